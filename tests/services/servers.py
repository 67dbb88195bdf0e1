"""Servers of one's own: each in a temporary folder and at ports that were free, ended with everything it started."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PATIENCE = 120.0


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def own_folder(name: str) -> Iterator[Path]:
    """Make a folder that others may pass through, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"haml-{name}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def postgresql() -> Iterator[int]:
    """Start a cluster that trusts whoever comes from this machine; yield its port."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    with own_folder("postgresql") as folder:
        shutil.chown(folder, "postgres")
        control, data, port = str(binaries / "pg_ctl"), str(folder / "data"), free_port()
        as_postgres(str(binaries / "initdb"), "-D", data, "-A", "trust", "-E", "UTF8", "--locale=C")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
        as_postgres(control, "-D", data, "-o", options, "-w", "-l", str(folder / "log"), "start")
        try:
            yield port
        finally:
            as_postgres(control, "-D", data, "-m", "immediate", "stop")


def create_database(port: int, name: str) -> None:
    """Make an empty database as AiiDA wants it: UTF-8, in the order of the C locale."""
    as_postgres("createdb", "-h", "127.0.0.1", "-p", str(port), "-T", "template0", name)


def as_postgres(*command: str) -> None:
    """Run a program of PostgreSQL as the user it wants to be."""
    subprocess.run(["runuser", "-u", "postgres", "--", *command], check=True, stdout=subprocess.DEVNULL, cwd="/")


@contextlib.contextmanager
def rabbitmq() -> Iterator[int]:
    """Start a node whose consumers may take as long as a job does; yield its port.

    RabbitMQ takes back after half an hour what a daemon has not finished, and AiiDA's tasks are whole processes.
    """
    with own_folder("rabbitmq") as folder:
        port, mapper = free_port(), str(free_port())
        (folder / "advanced.config").write_text("[{rabbit, [{consumer_timeout, undefined}]}].\n")
        (folder / "plugins").write_text("[].\n")
        variables = {
            "HOME": str(folder),
            "ERL_EPMD_PORT": mapper,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"haml-{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none",  # idle schedulers sleep
        }
        environment = os.environ | variables
        try:
            with _server(["/usr/lib/rabbitmq/bin/rabbitmq-server"], folder / "log", environment):
                wait_until(lambda: _listens(port), "RabbitMQ", folder / "log")
                yield port
        finally:  # Erlang starts a mapper of ports that outlives it
            subprocess.run(["epmd", "-port", mapper, "-kill"], check=False, stdout=subprocess.DEVNULL, env=environment)


@contextlib.contextmanager
def slurm() -> Iterator[dict[str, str]]:
    """Start a cluster of this one machine; yield the variables by which its commands find it."""
    with own_folder("slurm") as folder:
        key, letters = folder / "munge.key", folder / "munge.socket"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        files = {"key-file": key, "socket": letters, "pid-file": folder / "munge.pid", "seed-file": folder / "seed"}
        munged = ["munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in files.items())]
        host, configuration = socket.gethostname().partition(".")[0], folder / "slurm.conf"
        configuration.write_text(_slurm_conf(folder, letters, host))
        environment = os.environ | {"SLURM_CONF": str(configuration)}
        with contextlib.ExitStack() as servers:
            servers.enter_context(_server([*munged, f"--log-file={folder / 'munge.log'}"], folder / "munge.out"))
            wait_until(letters.exists, "munged", folder / "munge.out")
            for name, *arguments in (("slurmctld", "-D"), ("slurmd", "-D", "-N", host)):
                servers.enter_context(_server([name, *arguments], folder / f"{name}.out", environment))
            wait_until(lambda: _is_idle(environment), "SLURM", folder / "slurmd.out")
            yield {"SLURM_CONF": str(configuration)}


def _slurm_conf(folder: Path, letters: Path, host: str) -> str:
    cores = os.cpu_count() or 1
    return f"""\
ClusterName=haml
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={letters}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def _is_idle(environment: dict[str, str]) -> bool:
    told = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, env=environment, check=False)
    return told.stdout.strip() == "idle"


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def wait_until(ready: Callable[[], bool], what: str, log: Path | None = None) -> None:
    """Wait for something to be so.

    Raises
    ------
    TimeoutError
        After `PATIENCE` seconds, with the end of what the server said.
    """
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            said = log.read_text(errors="replace")[-2000:] if log is not None and log.exists() else ""
            raise TimeoutError(f"{what} is not ready after {PATIENCE:g} s. {said}")
        time.sleep(0.5)


@contextlib.contextmanager
def _server(command: list[str], log: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    """Run a server in a session of its own, and end all of that session."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True, cwd="/"
        )
    try:
        yield
    finally:
        for sent in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, sent)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=15)
