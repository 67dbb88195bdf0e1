"""From the graph to what the report shows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from aiida import orm

from aiida_haml.analysis.joining import join_descriptions, join_environments
from aiida_haml.analysis.tables import Table, tables
from aiida_haml.calculations.label_engines import label_process_types
from aiida_haml.frames import Frames
from aiida_haml.queries import audit, cost
from aiida_haml.queries.anatomy import OF
from aiida_haml.queries.rows import rows
from aiida_haml.queries.stored import StoredArrays
from aiida_haml.queries.walks import CALLS, called_descendants, links_into, links_out_of, pk_of
from aiida_haml.report.data import Candidate, Cycle, Level, Reference, ReportData, Segment

Arrays = Mapping[str, np.ndarray]

#: Environments read for the map, over all candidates, and fewest of one candidate.
MAX_MAPPED, MIN_MAPPED = 60_000, 1_000
_LEVEL, _SPECIFICATION = f"label{OF}job{OF}level", "specification"
_CONTENT = {"uuid": "uuid", "content": "attributes"}
#: Of the frames of a burst, what a pressure follows from; and of a stretch, what the watch has seen.
_PRESSING = ("numbers", "positions", "cells", "pbc", "stresses", "velocities")
_WATCHED = {"times", "deviations"}


def collect(screen: orm.WorkChainNode) -> ReportData:
    """Read all that the report of a screen shows.

    Parameters
    ----------
    screen : WorkChainNode
        A ``haml.screen`` with a ranking.

    Raises
    ------
    ValueError
        If the screen has no ranking.
    """
    pk = pk_of(screen)
    given = {link.label: link.source for link in links_into([pk], ["input_work"])}
    told = {link.label: link.target for link in links_out_of([pk], ["return"])}
    if "ranking" not in told:
        raise ValueError(f"Screen <{pk}> has no ranking, so that there is nothing to report.")
    found = rows([told["ranking"], *(given[name] for name in (_LEVEL, _SPECIFICATION) if name in given)], **_CONTENT)
    ranking, level = found[told["ranking"]], found[given[_LEVEL]].content if _LEVEL in given else {}
    return ReportData(
        title=screen.label or f"Screen {pk}",
        ranking=ranking.content,
        level=Level(level.get("name", "?"), ranking.content.get("level_of_theory") or "?", level.get("engine", "?")),
        candidates=list(_candidates(pk, given, told)),
        spec=found[given[_SPECIFICATION]].content if _SPECIFICATION in given else {},
        cost=cost(screen),
        audit=audit(screen),
        provenance=[Reference("screen", screen.uuid, pk), Reference("ranking", str(ranking.uuid), ranking.id)],
        versions=_versions(screen),
    )


def described_tables(screen: orm.WorkChainNode) -> Iterator[tuple[str, dict[str, Table]]]:
    """Yield the key and the tables of each candidate that the ranking of a screen read."""
    (told,) = links_out_of([pk_of(screen)], ["return"], ["ranking"])
    series = _by_candidate(_read_by(told.target), "series")
    arrays = StoredArrays(_pks(series))
    for key, parts in series.items():
        yield key, tables(_joined(parts, arrays, join_descriptions))


def _candidates(screen: int, given: Mapping[str, int], told: Mapping[str, int]) -> Iterator[Candidate]:
    contents, trajectories = _by_candidate(given, "candidates"), _by_candidate(told, "trajectories")
    read = _read_by(told["ranking"])
    series, environments = (_by_candidate(read, name) for name in ("series", "environments"))
    run = next((link.target for link in links_out_of([screen], CALLS, ["dynamics"])), screen)
    found = rows({run, *_pks(contents), *_pks(trajectories)}, **_CONTENT)
    arrays = StoredArrays({*_pks(trajectories), *_pks(series), *_pks(environments)})
    quota = max(MIN_MAPPED, MAX_MAPPED // max(len(contents), 1))
    for key, content in contents.items():
        parts = trajectories.get(key, {})
        yield _candidate(
            key,
            found[content[""]].content,
            str(found[run].uuid) if parts else None,
            found[parts["history"]].content if "history" in parts else {},
            [found[pk] for name, pk in parts.items() if name.startswith(f"segments{OF}")],
            arrays,
            _joined(series.get(key, {}), arrays, join_descriptions),
            sampled(_joined(environments.get(key, {}), arrays, join_environments), quota),
        )


def _read_by(ranking: int) -> dict[str, int]:
    """Return the inputs of the job that made a ranking, by name."""
    jobs = [link.source for link in links_into([ranking], ["create"])]
    return {link.label: link.source for link in links_into(jobs, ["input_calc"])}


def _by_candidate(links: Mapping[str, int], port: str) -> dict[str, dict[str, int]]:
    """Return the pks behind links called ``PORT__SLUG__REST`` by slug and rest; the rest may be empty."""
    found: dict[str, dict[str, int]] = {}
    for label in sorted(links):
        name, _, own = label.partition(OF)
        if name == port:
            slug, _, rest = own.partition(OF)
            found.setdefault(slug, {})[rest] = links[label]
    return found


def _pks(found: Mapping[str, Mapping[str, int]]) -> set[int]:
    return {pk for parts in found.values() for pk in parts.values()}


def _joined(parts: Mapping[str, int], arrays: StoredArrays, join: Callable[[Sequence[Arrays]], Arrays]) -> Arrays:
    """Return the arrays of a description: joined where it was made in parts, empty where there is none."""
    if not parts or "" in parts:
        return arrays.read(parts[""]) if parts else {}
    return join([arrays.read(parts[name]) for name in sorted(parts)])


def sampled(environments: Arrays, quota: int) -> Arrays:
    """Return what the map of environments needs of at most `quota` of them, drawn at random.

    Parameters
    ----------
    environments : mapping
        ``projected`` (M, C), ``central``, ``phase``, ``time`` (M,) and others.
    quota : int
    """
    names = ("central", "phase", "time")
    if "projected" not in environments or any(name not in environments for name in names):
        return {}
    count = len(environments["central"])
    chosen = np.sort(np.random.default_rng(0).permutation(count)[:quota])
    found = {name: np.asarray(environments[name][chosen]) for name in names}
    return found | {"projected": np.asarray(environments["projected"][chosen, :2])}


def _candidate(
    key: str, content: Mapping[str, Any], run: str | None, history: Mapping[str, Any], segments: Sequence[Any],
    arrays: StoredArrays, series: Arrays, environments: Arrays,
) -> Candidate:  # fmt: skip
    return Candidate(
        key=key,
        label=content["label"],
        uuid=run,
        formula=segments[0].content.get("formula") if segments else None,
        temperature_K=content.get("temperature_K"),
        seed=content.get("seed"),
        simulated_fs=history.get("simulated_fs"),
        pressure_GPa=_pressure([row.id for row in segments if row.content["kind"] == "burst"], arrays),
        segments=[_segment(row) for row in segments],
        cycles=[_cycle(told) for told in history.get("rounds", [])],
        series=series,
        environments=environments,
        watch=_watch([row.id for row in segments], arrays),
    )


def _pressure(bursts: Sequence[int], arrays: StoredArrays) -> float | None:
    """Return the mean pressure of the ab initio steps in the later half of the bursts, GPa."""
    with_stress = [pk for pk in bursts if "stresses" in arrays.names(pk)]
    later = [Frames(**arrays.read(pk, _PRESSING)) for pk in with_stress[len(with_stress) // 2 :]]
    return float(np.concatenate([frames.pressures() for frames in later]).mean()) if later else None


def _watch(segments: Sequence[int], arrays: StoredArrays) -> Arrays:
    """Return times and deviations of all frames in which the committee was compared."""
    watched = [arrays.read(pk, _WATCHED) for pk in segments if arrays.names(pk) >= _WATCHED]
    if not watched:
        return {}
    time, deviation = (np.concatenate([found[name] for found in watched]) for name in ("times", "deviations"))
    good = np.isfinite(deviation)
    return {"time": time[good], "deviation": deviation[good]}


def _segment(row: Any) -> Segment:
    return Segment(row.content["kind"], row.content["time_start"], row.content["time_end"], str(row.uuid))


def _cycle(told: Mapping[str, Any]) -> Cycle:
    planned, stretch = told.get("planned") or {}, told.get("stretch") or {}
    return Cycle(
        cycle=told["round"],
        burst_steps=planned.get("n_burst"),
        force_rmse=told.get("force_rmse"),
        deviation_max=stretch.get("deviation_max"),
        stretch_steps=stretch.get("steps_done"),
        trusted_steps=stretch.get("trusted_steps"),
        stopped_by=stretch.get("stopped_by"),
    )


def _versions(screen: orm.WorkChainNode) -> dict[str, str]:
    """Return the version of the code behind the labels, as the code itself said it."""
    filters = {"id": {"in": sorted(called_descendants(screen))}, "process_type": {"in": label_process_types()}}
    builder = orm.QueryBuilder().append(orm.CalcJobNode, filters=filters, tag="job")
    builder.append(
        orm.Dict,
        with_incoming="job",
        edge_filters={"label": "output_parameters"},
        project="attributes.code_version",
    )
    versions = sorted({str(version) for (version,) in builder.iterall() if version})
    return {"labels": ", ".join(versions)} if versions else {}
