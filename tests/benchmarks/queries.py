"""What does a question to the graph cost, and what does it grow with? Screens laid by bulk insertion.

Each question is put to a screen of 4 candidates and 10 rounds, and to one of three times the rounds, in a database of
1e5 nodes; with --full again in one of 1e6; --postgresql puts all of it into a cluster that is started for it. Times are
CPU seconds of this process, the fastest of three calls, for they are shared cores.

Aims: 50 ms for every thousand rows that an answer reads, and no less time than that for a small one; no growth with the
database (a factor of 1.5); at most linear in the answer; a number of statements that depends on neither; and lines of
5,000 potentials walked to their ends.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from _bulk import COMPONENT, LEVEL, THEORY, Bulk
from _workplace import bare_profile

from tests.services.servers import create_database, own_folder, postgresql

#: Screens that fill a database to about 1e5 nodes, as candidates and rounds.
FILLING = ((20, 100), (8, 100), (4, 100), (12, 30), (4, 30))
SMALL, LARGE = (4, 10), (4, 30)
N_TRAININGS = 5000
#: Aims: s a thousand rows read, growth with the database, excess over linear growth with the answer.
SECONDS, GROWTH, EXCESS = 0.050, 1.5, 1.3
SQLITE = ("verdi", "presto", "-n", "-p", "bench", "--no-broker")


def main() -> int:
    """Lay, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="1e6 nodes too")
    parser.add_argument("--postgresql", action="store_true", help="in a cluster of PostgreSQL of its own")
    chosen = parser.parse_args()
    with cluster() if chosen.postgresql else contextlib.nullcontext(SQLITE) as command, bare_profile(command):
        result = measure(10 if chosen.full else 0)
    print(json.dumps({"backend": "postgresql" if chosen.postgresql else "sqlite", **result}))
    return 0 if result["met"] else 1


def measure(n_more: int) -> dict[str, Any]:
    """Return what was seen in a database of 1e5 nodes, and in one that many times larger."""
    from aiida import orm

    small, large = (lay(*size) for size in (SMALL, LARGE))
    for size in FILLING:
        lay(*size)
    questions = {name: (ask(small, name), ask(large, name)) for name in QUESTIONS}
    seen = {"n_nodes": count(), "questions": {name: pair[0] | {"larger": pair[1]} for name, pair in questions.items()}}
    seen["chain"] = ask_chain()
    for _ in range(9 * bool(n_more)):
        for size in FILLING:
            lay(*size)
    if n_more:
        seen["n_nodes_full"] = count()
        for name in QUESTIONS:
            seen["questions"][name]["full"] = ask(small, name)
    seen["missed"] = list(missed(seen))
    seen["met"] = not seen["missed"]
    assert orm.load_node(small)
    return seen


def lay(n_candidates: int, n_rounds: int) -> int:
    """Lay a screen and return its pk."""
    bulk = Bulk(seed=count())
    pk = bulk.screen(n_candidates, n_rounds)
    bulk.write()
    return pk


def count() -> int:
    """Return the number of nodes."""
    import sqlalchemy as sa

    from aiida_haml.storage import read, tables

    return int(read(sa.select(sa.func.count(tables().node.id)))[0][0])


# -- questions ---------------------------------------------------------------------------------------------


def _results(pk: int) -> dict[str, Any]:
    from aiida import orm

    screen = orm.load_node(pk)
    first = _first_label(screen)
    code = orm.load_node(first).creator.inputs.code
    return {"screen": screen, "ranking": screen.outputs.ranking, "first": first, "code": code}


def _first_label(screen: Any) -> int:
    from aiida_haml.queries import labels_behind

    return next(t.pk for t in labels_behind(screen.outputs.ranking) if t.kind == "burst")


def _audit(nodes: dict[str, Any]) -> int:
    from aiida_haml.queries import audit

    report = audit(nodes["screen"])
    assert report.ok, report.problems[0]
    return report.n_processes + report.n_data


def _trace(nodes: dict[str, Any]) -> int:
    from aiida_haml.queries import ancestors, trace

    text = trace(nodes["ranking"])
    assert "CP2K calculation" in text
    return len(ancestors(nodes["ranking"].pk))


def _behind(nodes: dict[str, Any]) -> int:
    from aiida_haml.queries import ancestors, labels_behind

    assert labels_behind(nodes["ranking"])
    return len(ancestors(nodes["ranking"].pk))


def _taught(nodes: dict[str, Any]) -> int:
    from aiida_haml.queries import candidates_taught_by

    pupils = candidates_taught_by([nodes["first"]])
    assert len(pupils) == SMALL[0]
    return sum(pupil.n_stretches for pupil in pupils)


def _cost(nodes: dict[str, Any]) -> int:
    from aiida_haml.queries import called_descendants, cost

    assert cost(nodes["screen"]).n_jobs
    return len(called_descendants(nodes["screen"]))


def _poll(nodes: dict[str, Any]) -> int:
    from aiida_haml.queries.progress import progress

    return len(progress(nodes["screen"]).processes)


def _next_poll(nodes: dict[str, Any]) -> int:
    from aiida_haml.queries.progress import progress

    if "before" not in nodes:
        nodes["before"] = progress(nodes["screen"])
    return len(progress(nodes["screen"], nodes["before"]).processes)


def _ranking(nodes: dict[str, Any]) -> int:
    from aiida_haml.queries.rows import rows
    from aiida_haml.queries.walks import links_out_of

    (link,) = links_out_of([nodes["screen"].pk], ["return"], ["ranking"])
    return len(rows([link.target], candidates="attributes.candidates")[link.target].candidates)


def _failures(nodes: dict[str, Any]) -> int:
    from aiida_haml.queries import called_descendants, failures

    assert failures(nodes["screen"]) == []
    return len(called_descendants(nodes["screen"]))


def _atom(nodes: dict[str, Any]) -> int:
    from aiida_haml.queries.labels import isolated_atom

    assert nodes
    assert isolated_atom(LEVEL, "Li") is not None
    return 1


def _level(nodes: dict[str, Any]) -> int:
    from aiida_haml.queries.labels import level_of_code

    assert level_of_code(nodes["code"], THEORY) == LEVEL
    return 1


def _constant(nodes: dict[str, Any]) -> int:
    from aiida_haml.queries.lattices import known_constant

    assert nodes
    assert known_constant(LEVEL, COMPONENT, 0.1) is not None
    return 1


QUESTIONS: dict[str, Callable[[dict[str, Any]], int]] = {
    "audit": _audit,
    "trace": _trace,
    "labels_behind": _behind,
    "candidates_taught": _taught,
    "cost": _cost,
    "poll": _poll,
    "next_poll": _next_poll,
    "ranking": _ranking,
    "failures": _failures,
    "isolated_atom": _atom,
    "level_of_code": _level,
    "known_constant": _constant,
}


def ask(screen: int, name: str) -> dict[str, Any]:
    """Put a question three times; return CPU seconds, statements, and the rows that the answer reads."""
    nodes = _results(screen)
    times, question = [], QUESTIONS[name]
    n_rows = question(nodes)
    for _ in range(3):
        with counted() as statements:
            begin = time.process_time()
            question(nodes)
            times.append(time.process_time() - begin)
    return {"seconds": round(min(times), 5), "statements": len(statements), "rows": n_rows}


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """Note the statements that are sent to the database, without those that open and close transactions."""
    import sqlalchemy as sa
    from aiida.manage import get_manager

    storage: Any = get_manager().get_profile_storage()
    engine, statements = storage.get_session().get_bind(), []

    def note(*event: Any) -> None:
        if not event[2].startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            statements.append(event[2])

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def ask_chain() -> dict[str, Any]:
    """Walk a line of potentials to its end."""
    from aiida import orm

    from aiida_haml.queries import audit, labels_behind, trace, training_steps

    bulk = Bulk(seed=1)
    pk = bulk.chain(N_TRAININGS)
    bulk.write()
    potential: Any = orm.load_node(pk)
    seen = {}
    for name, question in (
        ("trace", lambda: trace(potential).count("made by haml.learn")),
        ("audit", lambda: (audit(potential).n_training_frames - 1) // 2),
        ("labels_behind", lambda: len(labels_behind(potential)) - 1),
        ("training_steps", lambda: len(training_steps(potential)) > N_TRAININGS and N_TRAININGS),
    ):
        begin = time.process_time()
        found = question()
        seen[name] = {"seconds": round(time.process_time() - begin, 3), "found": int(found)}
    return {"n_trainings": N_TRAININGS, **seen}


def missed(seen: dict[str, Any]) -> Iterator[str]:
    """Yield the aims that were missed, in words."""
    for name, small in seen["questions"].items():
        large, full = small["larger"], small.get("full")
        if small["seconds"] > SECONDS * max(1.0, small["rows"] / 1000):
            yield f"{name}: {1000 * small['seconds']:.0f} ms for {small['rows']} rows"
        if small["statements"] != large["statements"]:
            yield f"{name}: {small['statements']} statements, {large['statements']} for the larger answer"
        linear = small["seconds"] * max(large["rows"] / small["rows"], 1.0)
        if large["seconds"] > EXCESS * linear + 0.002:
            yield f"{name}: {1000 * large['seconds']:.0f} ms where {1000 * linear:.0f} ms would be linear"
        if full is not None and full["seconds"] > GROWTH * small["seconds"] + 0.002:
            yield f"{name}: grows with the database, {1000 * full['seconds']:.0f} ms at 1e6 nodes"
    for name, told in seen["chain"].items():
        if isinstance(told, dict) and told["found"] != N_TRAININGS:
            yield f"chain: {name} found {told['found']} of {N_TRAININGS} trainings"


@contextlib.contextmanager
def cluster() -> Iterator[tuple[str, ...]]:
    """Start a cluster of PostgreSQL; yield the command that makes a profile in it."""
    with postgresql() as port, own_folder("repository") as repository:
        create_database(port, "bench")
        yield (
            "verdi", "profile", "setup", "core.psql_dos", "-n", "--profile-name", "bench", "--email", "bench@localhost",
            "--first-name", "Bench", "--last-name", "Mark", "--institution", "none", "--set-as-default",
            "--database-hostname", "127.0.0.1", "--database-port", str(port), "--database-username", "postgres",
            "--database-password", "none", "--database-name", "bench", "--repository-uri", f"file://{repository}",
            "--broker", "none",
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
