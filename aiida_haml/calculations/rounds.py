"""The calcfunction of the judge: what a round brought, candidate by candidate."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_haml.calculations.probes import HOT
from aiida_haml.data.frames import FramesData
from aiida_haml.engines.pairs import shortest_distances
from aiida_haml.frames import Frames
from aiida_haml.learning.calibration import Calibration
from aiida_haml.learning.judge import Point, Verdict, false_states, judge
from aiida_haml.learning.learner import LearnerSettings
from aiida_haml.learning.rounds import RoundSettings

#: Atoms farther apart than this are no contact, Angstrom.
REACH = 4.0
#: Between a candidate's slug and what of it a node is, in the names of ports.
OF = "__"


def port(slug: str, name: str) -> str:
    """Return the name of the port that carries something of a candidate."""
    return f"{slug}{OF}{name}"


def flat(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return nodes by the names that `port` gave them; AiiDA hands a name with two underscores back as a namespace."""
    found: dict[str, Any] = {}
    for name, value in namespace.items():
        found |= {port(name, inner): v for inner, v in value.items()} if isinstance(value, Mapping) else {name: value}
    return found


def by_candidate(nodes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sort nodes whose names begin with a candidate's slug, as `port` made them."""
    sorted_: dict[str, dict[str, Any]] = {}
    for name, node in sorted(nodes.items()):
        slug, found, rest = name.partition(OF)
        if found:
            sorted_.setdefault(slug, {})[rest] = node
    return sorted_


@calcfunction
def judge_round(settings: orm.Dict, **nodes: Any) -> dict[str, Any]:
    """Judge what each candidate's round brought.

    Parameters
    ----------
    settings : Dict
        Of `RoundSettings`.
    **nodes
        ``tests`` (errors of the driving potential, where there was one), ``calibration`` (of the round before),
        ``learning`` (what the learner found; where a challenger won, and learned from no false SCF state, the old one's
        calibration is forgotten), ``plan``
        (of the round: a burst hotter than its `max_burst_temperature_K` does not stay), and by candidate, as
        ``SLUG__NAME``: ``start`` (what the round went on from), ``burst``, and where there are any ``stretch``, and
        ``probes`` with ``why`` (each was chosen, and its time) and ``parameters`` (of the job).

    Returns
    -------
    dict
        ``verdicts``: by slug the fields of a `Verdict` and ``reached_fs``, ``advanced_fs``, ``stretch_fs``,
        ``burst_fs``, ``n_labels``, ``temperature_K`` (mean of the burst) and, of one that stays, ``hottest_atom_eV``
        (largest kinetic energy of one atom). ``calibration``: of this round, with the ``shortest`` distance that the
        labels hold for each pair of elements, Angstrom.
    """
    chosen = RoundSettings.from_dict(settings.get_dict())
    tests = nodes.get("tests")
    known = nodes["calibration"].get_dict() if "calibration" in nodes else {}
    calibration, shortest = read_calibration(known), dict(known.get("shortest", {}))
    verdicts: dict[str, Any] = {}
    plans = nodes["plan"].get_dict() if "plan" in nodes else {}
    for slug, of in by_candidate(nodes).items():
        probes, burst = _points(slug, of, tests)
        end = end_of(of["stretch"]) if "stretch" in of else None
        verdict = judge(chosen, end, probes, burst, of["start"].n_atoms)
        if not verdict.false_state:
            calibration = calibration.extended(_pairs(slug, tests))
        if too_hot := _too_hot(of, plans.get(slug, {}).get("max_burst_temperature_K")):
            verdict = verdict.without_burst(too_hot)
        for run in _cool_probes(of) + ([] if verdict.false_state or too_hot else _burst(of)):
            _shorten(shortest, run)
        verdicts[slug] = verdict.to_dict() | _progress(of, verdict)
    if "learning" in nodes and not false_states(verdicts):  # what learned from those does not drive
        calibration = _renewed(calibration, nodes["learning"].get_dict())
    return {"verdicts": orm.Dict(verdicts), "calibration": orm.Dict(told_calibration(calibration, chosen, shortest))}


def told_calibration(calibration: Calibration, rounds: RoundSettings, shortest: Mapping[str, float]) -> dict[str, Any]:
    """Return what a calibration's node holds: itself, what it says, and the shortest distances in the labels."""
    limit = calibration.threshold(rounds.max_force_error)
    return calibration.to_dict() | {
        "threshold": limit,
        "false_alarms": calibration.false_alarms(limit, rounds.max_force_error),
        "misses": calibration.misses(limit, rounds.max_force_error),
        "shortest": dict(shortest),
    }


def read_calibration(content: Mapping[str, Any]) -> Calibration:
    """Return the calibration that a node holds."""
    return Calibration.from_dict({name: content[name] for name in ("deviations", "errors") if name in content})


def _renewed(calibration: Calibration, learning: Mapping[str, Any]) -> Calibration:
    """Begin anew where another committee will drive, with what it says of labels that it has not learned from."""
    if learning.get("verdict", {}).get("winner") != "challenger":
        return calibration
    return Calibration().extended((d, e) for d, e in learning["largest"])


def _burst(of: Mapping[str, Any]) -> list[Frames]:
    return [of["burst"].frames] if "burst" in of else []


def _cool_probes(of: Mapping[str, Any]) -> list[Frames]:
    """Return the probes of a candidate but for those of a hot run, which shows nothing of how close atoms can come."""
    met = [row for row, choice in enumerate(_labelled(of)) if choice["kind"] != HOT] if "probes" in of else []
    return [of["probes"].frames[np.array(met)]] if met else []


def _shorten(shortest: dict[str, float], run: Frames) -> None:
    """Note how close labels show that atoms can come, but for frames of forces that no training is shown."""
    forces = np.linalg.norm(np.asarray(run.forces), axis=2).max(axis=1)
    soft = np.flatnonzero(forces <= LearnerSettings.force_cap)
    for pair, length in shortest_distances(run[soft], REACH).items() if len(soft) else ():
        shortest[pair] = min(length, shortest.get(pair, length))


def _labelled(of: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return why each of the probes was chosen, but for those that gave no label."""
    chosen = of["why"]["frames"]
    return [chosen[i] for i in of["parameters"].get_dict().get("kept", range(len(chosen)))]


def end_of(node: FramesData) -> float:
    """Return the last moment of a run, fs."""
    return float(node.base.attributes.get("time_end") or 0.0)


def _points(slug: str, of: Mapping[str, Any], tests: orm.ArrayData | None) -> tuple[list[Point], list[Point]]:
    """Return the points of a candidate's probes and of its burst."""
    if tests is None:
        return [], []
    probes: list[Point] = []
    if "probes" in of:
        times = [choice.get("time_fs") for choice in _labelled(of)]
        probes = _tested(tests, port(slug, "probes"), times, of["probes"].n_atoms)
    burst: list[Point] = []
    if "burst" in of:
        burst = _tested(tests, port(slug, "burst"), of["burst"].get_array("times"), of["burst"].n_atoms)
    return probes, burst


def _tested(tests: orm.ArrayData, key: str, times: Sequence[float | None], n_atoms: int) -> list[Point]:
    """Return the points of the labels that have a place in time, which distorted and hot ones have not."""
    if f"{key}{OF}force_rmse" not in tests.get_arraynames():
        return []
    rmse = tests.get_array(f"{key}{OF}force_rmse")
    errors = tests.get_array(f"{key}{OF}errors")
    energies = tests.get_array(f"{key}{OF}energy_errors") / n_atoms
    return [
        Point(float(t), float(r), float(e.max()), float(d))
        for t, r, e, d in zip(times, rmse, errors, energies, strict=True)
        if t is not None
    ]


def _pairs(slug: str, tests: orm.ArrayData | None) -> list[tuple[float, float]]:
    """Return largest deviation and largest error of one atom, frame by frame."""
    if tests is None:
        return []
    pairs = []
    for name in ("probes", "burst"):
        key = port(slug, name)
        if f"{key}{OF}deviations" not in tests.get_arraynames():
            continue
        deviations, errors = tests.get_array(f"{key}{OF}deviations"), tests.get_array(f"{key}{OF}errors")
        pairs += [(float(d.max()), float(e.max())) for d, e in zip(deviations, errors, strict=True)]
    return pairs


def _temperature(of: Mapping[str, Any]) -> float | None:
    """Return the mean temperature of a candidate's burst, K; None without velocities."""
    if "burst" not in of or (run := of["burst"].frames).velocities is None:
        return None
    return float(run.temperatures().mean())


def _too_hot(of: Mapping[str, Any], limit: float | None) -> str | None:
    """Say that a burst is hotter than a reaction makes it: its ab initio forces are wrong, or its cell explodes."""
    temperature = _temperature(of)
    if limit is None or temperature is None or temperature <= limit:
        return None
    return f"The burst does not stay: at {temperature:.0f} K it is hotter than the {limit:.0f} K that AIMD may reach."


def _progress(of: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """Return how far the time line got, and what that took."""
    start = end_of(of["start"])
    stretch = (verdict.end_fs - start) if verdict.end_fs is not None else 0.0
    burst: FramesData | None = of.get("burst")
    lasting, hottest_atom = 0.0, None
    if burst is not None and verdict.burst_stays:
        times = burst.get_array("times")
        lasting = float(times[-1] - times[0])
        hottest_atom = float(burst.frames.kinetic_energies().max()) if burst.has_velocities else None
    n_labels = sum(len(of[name]) for name in ("burst", "probes") if name in of)
    return {
        "stretch_fs": stretch,
        "burst_fs": lasting,
        "advanced_fs": stretch + lasting,
        "reached_fs": start + stretch + lasting,
        "n_labels": n_labels,
        "temperature_K": _temperature(of),
        "hottest_atom_eV": hottest_atom,
    }
