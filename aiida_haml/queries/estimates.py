"""What a screen will cost, from what screens at the same level of theory have cost in this database."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from aiida import orm

from aiida_haml.calculations.label_engines import label_process_types
from aiida_haml.queries.anatomy import HYBRID, OF
from aiida_haml.queries.cost import cost
from aiida_haml.queries.rows import rows
from aiida_haml.queries.screens import find_screens
from aiida_haml.queries.stored import distinct_bytes
from aiida_haml.queries.walks import called_descendants, links_into, links_out_of

#: Screens that are looked at, the newest first.
MOST = 20
#: Kinds of work in accounts of cost, and the options of the scheduler that steer them.
OPTIONS = {"labels": "label", "training": "learn", "evaluation": "learn", "MLP-MD": "md", "analysis": "analysis"}


@dataclass(frozen=True)
class Past:
    """What a screen took.

    Attributes
    ----------
    pk, n_atoms, n_labels, n_jobs, n_bytes : int
        Atoms of a cell on the average; frames labelled; jobs, those from the cache too.
    simulated_fs : float
        Of all candidates together.
    longest_fs : float
        Of one candidate, on the average.
    seconds : mapping of str to float
        Of the engines, by kind of work, s; what came from the cache counts with what it had cost.
    wall_s : float
    in_flight : int
        Candidates that ran at the same time.
    """

    pk: int
    n_atoms: float
    n_labels: int
    n_jobs: int
    n_bytes: int
    simulated_fs: float
    longest_fs: float
    seconds: Mapping[str, float]
    wall_s: float
    in_flight: int


@dataclass(frozen=True)
class Spread:
    """Least, median and largest of what the screens of the past would make of this one."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """What a screen will take, in proportion to the atoms and the time that are simulated.

    Attributes
    ----------
    n_screens : int
        That it rests on.
    past_fs : float
        How long a candidate of theirs was followed, the median, fs; far from what is asked for, it is a guess.
    labels, jobs, core_hours, wall_hours, megabytes : Spread
    """

    n_screens: int
    past_fs: float
    labels: Spread
    jobs: Spread
    core_hours: Spread
    wall_hours: Spread
    megabytes: Spread


def history(level: Mapping[str, Any]) -> list[Past]:
    """Return what the newest screens at a level of theory took, of those that brought time lines.

    Parameters
    ----------
    level : mapping
        ``name``, ``engine`` and ``theory``; basis sets need not be pinned.
    """
    ended = [entry.pk for entry in find_screens(unfinished=False)]
    given = links_into(ended, ["input_work"], [f"label{OF}job{OF}level"])
    levels = rows(
        (link.source for link in given), name="attributes.name", engine="attributes.engine", theory="attributes.theory"
    )
    alike = {pk for pk, row in levels.items() if _content(row._asdict()) == _content(level)}
    newest = sorted((link.target for link in given if link.source in alike), reverse=True)[:MOST]
    return [past for pk in newest if (past := _past(pk)) is not None]


def estimate(
    past: Iterable[Past],
    n_atoms: Iterable[int],
    simulated_fs: float,
    in_flight: int,
    cores: Mapping[str, int],
) -> Estimate | None:
    """Return what a screen will take, or None where there is nothing to tell it from.

    Parameters
    ----------
    past : iterable of Past
    n_atoms : iterable of int
        Of each candidate's cell.
    simulated_fs : float
        That each is to be followed.
    in_flight : int
        Candidates that run at the same time.
    cores : mapping
        Cores of a job, by key of `OPTIONS`' values; the screens of the past are taken to have had as many.
    """
    screens, sizes = list(past), list(n_atoms)
    if not screens:
        return None
    fs, atoms_fs = simulated_fs * len(sizes), simulated_fs * sum(sizes)

    def spread(of: Callable[[Past], float]) -> Spread:
        values = sorted(map(of, screens))
        return Spread(values[0], median(values), values[-1])

    def core_seconds(screen: Past) -> float:
        return sum(seconds * cores.get(OPTIONS.get(kind, ""), 1) for kind, seconds in screen.seconds.items())

    def by_size(screen: Past) -> float:
        return atoms_fs / (screen.simulated_fs * screen.n_atoms)

    beside = max(min(in_flight, len(sizes)), 1)
    return Estimate(
        n_screens=len(screens),
        past_fs=median(screen.longest_fs for screen in screens),
        labels=spread(lambda screen: screen.n_labels / screen.simulated_fs * fs),
        jobs=spread(lambda screen: screen.n_jobs / screen.simulated_fs * fs),
        core_hours=spread(lambda screen: core_seconds(screen) * by_size(screen) / 3600),
        wall_hours=spread(lambda screen: screen.wall_s * screen.in_flight * by_size(screen) / beside / 3600),
        megabytes=spread(lambda screen: screen.n_bytes * by_size(screen) / 1e6),
    )


def _content(level: Mapping[str, Any]) -> tuple[Any, ...]:
    theory = {key: value for key, value in (level["theory"] or {}).items() if key != "kinds"}
    return level["name"], level["engine"], theory


def _past(pk: int) -> Past | None:
    """Return what one screen took; None for one that simulated nothing."""
    report = cost(orm.load_node(pk))  # type: ignore[arg-type]  # pks of screens are those of processes
    if report.simulated_fs <= 0:
        return None
    below = called_descendants(pk)
    types = rows(below, process_type="process_type")
    hybrids = [child for child, row in types.items() if row.process_type == HYBRID]
    cells = [link.source for link in links_into(hybrids, ["input_work"]) if link.label.startswith(f"structures{OF}")]
    atoms = [row.n_atoms for row in rows(cells, n_atoms="attributes.n_atoms").values() if row.n_atoms]
    labelling = [child for child, row in types.items() if row.process_type in label_process_types()]
    labels = [link.target for link in links_out_of(labelling, ["create"], ["frames"])]
    windows = [link.source for link in links_into([pk], ["input_work"], ["max_in_flight"])]
    made = [link.target for link in links_out_of(below, ["create"])]
    in_flight = next((row.value for row in rows(windows, value="attributes.value").values()), 1)
    return Past(
        pk=pk,
        n_atoms=mean(atoms) if atoms else 1,
        n_labels=sum(row.n_frames or 0 for row in rows(labels, n_frames="attributes.n_frames").values()),
        n_jobs=report.n_jobs + report.n_cached,
        n_bytes=distinct_bytes(made),
        simulated_fs=report.simulated_fs,
        longest_fs=report.simulated_fs / max(len(cells), 1),
        seconds={kind: work.seconds for kind, work in report.kinds.items()},
        wall_s=report.wall_s,
        in_flight=max(1, min(in_flight, len(cells) or 1)),
    )
