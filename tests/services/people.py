"""People who share a database: each a Unix user of their own, with a profile of their own."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class Person:
    """Somebody at a terminal.

    Parameters
    ----------
    account : str
        Their Unix user; the e-mail address of their profile is ``ACCOUNT@localhost``.
    home : Path
    variables : mapping of str to str
        Of their environment.
    """

    account: str
    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def tries(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this Python environment, whatever comes of it; what it writes, the group may write to."""
        variables = {
            "AIIDA_PATH": str(self.home),
            "HOME": str(self.home),
            "PATH": f"{SCRIPTS}:/usr/bin:/bin:/usr/sbin:/sbin",
            "OMP_NUM_THREADS": "1",
            "LANG": "C.UTF-8",
            "AIIDA_WARN_v3": "",
            **self.variables,
        }
        told = [f"{name}={value}" for name, value in variables.items()]
        as_them = ["runuser", "-u", self.account, "--", "env", "-i", *told, *command]
        return subprocess.run(as_them, capture_output=True, text=True, check=False, cwd=self.home, umask=0o002)

    def does(self, *command: str) -> str:
        """Run a program that has to succeed, and return what it printed.

        Raises
        ------
        RuntimeError
            With what it said.
        """
        result = self.tries(*command)
        if result.returncode:
            said = f"{result.stdout}\n{result.stderr}"[-4000:]
            raise RuntimeError(f"{self.account}: {' '.join(command)}: exit code {result.returncode}\n{said}")
        return result.stdout

    def haml(self, profile: str, *arguments: str) -> str:
        """Run `aiida-haml` in one of their profiles; it has to succeed."""
        return self.does("aiida-haml", "-p", profile, *arguments)

    def makes_profile(self, name: str, database: int, broker: int, repository: Path) -> None:
        """Make a profile on the database that is called like it, or join the one that is there."""
        for command in self.profile_commands(name, database, broker, repository):
            self.does(*command)
        self.does("verdi", "config", "set", "warnings.rabbitmq_version", "False")

    def profile_commands(self, name: str, database: int, broker: int, repository: Path) -> list[tuple[str, ...]]:
        """Return the commands that make a profile, and tell it of its broker."""
        make = (
            "verdi", "profile", "setup", "core.psql_dos", "-n", "--profile-name", name, "--set-as-default",
            "--email", f"{self.account}@localhost", "--first-name", self.account, "--last-name", "Test",
            "--institution", "none", "--database-hostname", "127.0.0.1", "--database-port", str(database),
            "--database-username", "postgres", "--database-password", "none", "--database-name", name,
            "--repository-uri", f"file://{repository}", "--broker", "none",
        )  # fmt: skip
        tell = (
            "verdi", "profile", "configure-rabbitmq", name, "-n", "-f", "--broker-protocol", "amqp",
            "--broker-username", "guest", "--broker-password", "guest", "--broker-host", "127.0.0.1",
            "--broker-port", str(broker), "--broker-virtual-host", "",
        )  # fmt: skip
        return [make, tell]


@contextlib.contextmanager
def people(names: tuple[str, ...], folder: Path, variables: Mapping[str, str]) -> Iterator[tuple[list[Person], str]]:
    """Make Unix users with a group that they share; yield them and its name, and remove all of it at the end."""
    group = f"haml{os.getpid()}"
    accounts = [f"{group}{name}" for name in names]
    _as_root("groupadd", group)
    made = []
    try:
        for account in accounts:
            home = folder / account
            _as_root("useradd", "--user-group", "--groups", group, "--home-dir", str(home), "--create-home", account)
            made.append(Person(account, home, variables))
        yield made, group
    finally:
        for person in made:
            person.tries("verdi", "daemon", "stop", "--all")
            subprocess.run(["userdel", person.account], check=False, stderr=subprocess.DEVNULL)
        _as_root("groupdel", group)


def share(repository: Path, group: str) -> None:
    """Let a group write to a repository and to all that will be in it, as the how-to on databases says."""
    _as_root("chgrp", "-R", group, str(repository))
    _as_root("chmod", "-R", "g+rwX", str(repository))
    _as_root("find", str(repository), "-type", "d", "-exec", "chmod", "g+s", "{}", "+")


def _as_root(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
