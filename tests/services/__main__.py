"""One screen on PostgreSQL, RabbitMQ and SLURM against the embedded database, then again by a second person.

Starts the three servers from Debian's packages in folders of its own, makes two Unix users for the time it takes, and
runs a rehearsal of two candidates three times:

embedded  by the first person, on SQLite, ZeroMQ and no scheduler
services  by the same one on PostgreSQL and RabbitMQ, two workers, through SLURM
second    by the other one on the same database, in another order

    make test-services

The last line is a JSON object; the exit code is 1 where an aim is missed: the same ranking to the last digit in all
three; audits without a doubt; nothing computed by the second person, whose setup leaves the first one's codes as they
are; and everything readable and writable for both. Needs root, and a Python that every user may run.
"""

import contextlib
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.rehearsal import DOPINGS, SPEC
from tests.services.people import SCRIPTS, Person, people, share
from tests.services.servers import create_database, own_folder, postgresql, rabbitmq, slurm

HAML = "aiida-haml"


def main() -> int:
    """Start all, tell the story, print the figures."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is ended ends its servers
    with contextlib.ExitStack() as stack:
        begin = time.monotonic()
        folder = stack.enter_context(own_folder("services"))
        database, broker = stack.enter_context(postgresql()), stack.enter_context(rabbitmq())
        variables = stack.enter_context(slurm())
        (first, second), group = stack.enter_context(people(("a", "b"), folder, variables))
        said = first.tries("python", "-c", "import aiida_haml")
        if said.returncode:
            print(f"{first.account} cannot run {sys.executable}: {said.stderr or said.stdout}", file=sys.stderr)
            return 2
        say(f"servers after {time.monotonic() - begin:.0f} s")
        shared = Shared(first, second, group, database, broker, folder)
        seen = {"embedded": embedded(first), "services": shared.first_person(), **shared.second_person()}
    rankings = [seen[name].pop("ranking") for name in ("embedded", "services", "second")]
    seen["same_ranking"] = len(set(rankings)) == 1
    seen["met"] = all(value for part in seen.values() for value in _verdicts(part))
    print(json.dumps(seen))
    return 0 if seen["met"] else 1


def _verdicts(part: Any) -> list[bool]:
    if isinstance(part, dict):
        return [verdict for value in part.values() for verdict in _verdicts(value)]
    return [part] if isinstance(part, bool) else []


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, flush=True)


# -- screens -----------------------------------------------------------------------------------------------


def run_screen(person: Person, profile: str, dopings: tuple[str, ...], workers: int) -> dict[str, Any]:
    """Submit the screen as a person does, wait for its end, and say what it brought and what it took."""
    spec = person.home / "screen.yaml"
    spec.write_text(SPEC.format(name="shared", dopings=", ".join(dopings)))
    spec.chmod(0o644)
    started = time.monotonic()
    person.does("verdi", "-p", profile, "daemon", "start", str(workers))
    person.haml(profile, "screen", "submit", str(spec))
    person.haml(profile, "screen", "watch", "shared")
    wall = time.monotonic() - started
    person.does("verdi", "-p", profile, "daemon", "stop")
    return {"wall_s": round(wall, 1), **read_screen(person, profile)}


def read_screen(person: Person, profile: str) -> dict[str, Any]:
    """Return what a person sees of their newest screen: its ranking, its cost, and whether it is whole."""
    pk = person.haml(profile, "screen", "pk", "shared").strip()
    cost = json.loads(person.haml(profile, "cost", pk, "--json"))
    audit = person.tries(HAML, "-p", profile, "audit", pk)
    trace = person.tries(HAML, "-p", profile, "trace", pk)
    return {
        "ranking": person.haml(profile, "screen", "rank", pk, "--format", "json"),
        "jobs_run": cost["n_jobs"],
        "jobs_cached": cost["n_cached"],
        "audit_is_clean": audit.returncode == 0,
        "trace_works": trace.returncode == 0,
    }


def embedded(person: Person) -> dict[str, Any]:
    """Run the screen as `verdi presto` and `setup` leave a profile."""
    person.does("verdi", "presto", "-n", "-p", "embedded", "--use-zeromq")
    person.haml("embedded", "setup")
    seen = run_screen(person, "embedded", DOPINGS, 1)
    say(f"embedded: {seen['wall_s']} s, {seen['jobs_run']} jobs")
    return seen


# -- the shared database -----------------------------------------------------------------------------------


class Shared:
    """A database on which two people work, and what each of them does there."""

    name = "shared"

    def __init__(self, first: Person, second: Person, group: str, database: int, broker: int, folder: Path) -> None:
        self.first, self.second, self.group, self.folder = first, second, group, folder
        self.database, self.broker, self.repository = database, broker, folder / "repository"
        self.work = folder / "work"
        self.work.mkdir()
        self.work.chmod(0o1777)

    def setup(self, person: Person, *more: str) -> str:
        """Make this machine ready for a person, through SLURM and with a work folder for each."""
        place = str(self.work / "{username}")
        return person.haml(self.name, "setup", "--scheduler", "slurm", "--workdir", place, *more)

    def first_person(self) -> dict[str, Any]:
        """Make the database and run the screen."""
        create_database(self.database, self.name)
        self.repository.mkdir()
        share(self.repository, self.group)
        self.first.makes_profile(self.name, self.database, self.broker, self.repository)
        share(self.repository, self.group)
        self.setup(self.first)
        seen = run_screen(self.first, self.name, DOPINGS, 2)
        say(f"services: {seen['wall_s']} s, {seen['jobs_run']} jobs")
        return seen

    def second_person(self) -> dict[str, Any]:
        """Join the database, look, set up, and run the same screen in another order."""
        self.second.makes_profile(self.name, self.database, self.broker, self.repository)
        before, people_seen = self.codes(), self.looks()
        people_seen["not_set_up_is_told"] = self.submits_too_soon()
        people_seen["codes_of_the_first_are_left"] = self.sets_up_otherwise(before)
        after = set(self.codes())
        self.setup(self.second)
        people_seen["a_second_setup_makes_nothing_new"] = set(self.codes()) == after
        seen = run_screen(self.second, self.name, DOPINGS[::-1], 1)
        seen["computes_nothing_again"] = seen["jobs_run"] == 0
        say(f"second: {seen['wall_s']} s, {seen['jobs_run']} jobs, {seen['jobs_cached']} from the cache")
        people_seen |= self.writes()
        return {"second": seen, "people": people_seen}

    def codes(self) -> list[str]:
        """Return the codes that the first person sees, hidden ones not."""
        lines = self.first.does("verdi", "-p", self.name, "code", "list", "-A", "-r").splitlines()
        return sorted(line.split()[0] for line in lines if "@" in line)

    def looks(self) -> dict[str, bool]:
        """Read the first person's screen in the second one's profile."""
        name = f"{self.first.account}@localhost/shared"
        listed = self.second.haml(self.name, "screen", "list")
        mine = self.first.haml(self.name, "screen", "rank", "--format", "json")
        ranked = self.second.haml(self.name, "screen", "rank", name, "--format", "json")
        report = self.second.home / "report.html"
        self.second.haml(self.name, "screen", "report", name, "-o", str(report))
        return {
            "screens_are_listed_with_their_owner": f"of {self.first.account}@localhost" in listed,
            "the_ranking_reads_the_same": ranked == mine,
            "the_report_is_made": report.stat().st_size > 10_000,
        }

    def submits_too_soon(self) -> bool:
        """Submit without `setup`: refused, with the remedy, and nothing is stored."""
        spec = self.second.home / "screen.yaml"
        named = "codes: {engine: haml-engine@localhost-slurm, lammps: haml-lammps@localhost-slurm}\n"
        told = []
        for codes in ("", named):
            spec.write_text(SPEC.format(name="shared", dopings="pristine") + codes)
            spec.chmod(0o644)
            told.append(self.second.tries(HAML, "-p", self.name, "screen", "submit", "--yes", str(spec)))
        refused = all(result.returncode == 1 and "aiida-haml setup" in result.stderr for result in told)
        return refused and "not configured for" in told[1].stderr

    def sets_up_otherwise(self, before: list[str]) -> bool:
        """Register programs of one's own under another path: the first person's codes keep their names."""
        own = self.second.home / "own-engine"
        shutil.copy(SCRIPTS / "haml-engine", own)
        own.chmod(0o755)
        self.setup(self.second, "--engine", str(own))
        return set(before) <= set(self.codes())

    def writes(self) -> dict[str, bool]:
        """Store something in the name of each, and read it in the name of the other."""
        frames = self.folder / "cell.xyz"
        frames.write_text('1\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 pbc="T T T"\nLi 0 0 0\n')
        frames.chmod(0o644)
        read = []
        for writer, reader in ((self.second, self.first), (self.first, self.second)):
            told = writer.haml(self.name, "frames", "import", str(frames))
            pk = told.partition(" are node ")[2].partition(":")[0]
            there = str(reader.home / f"{pk}.xyz")
            read.append(reader.tries(HAML, "-p", self.name, "frames", "export", pk, there))
        mine = self.first.haml(self.name, "screen", "list", "--name", "shared").splitlines()
        return {
            "each_reads_what_the_other_stored": all(result.returncode == 0 for result in read),
            "ones_own_screen_comes_first": len(mine) == 2 and f"of {self.second.account}" in mine[1],
        }


if __name__ == "__main__":
    sys.exit(main())
