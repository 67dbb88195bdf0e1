"""`haml-engine learn`: one round's learning. Tests the champion, trains a challenger, compares the two, gates it.

Reads ``labels.npz`` (the frames that take part, runs by content key), ``tests.npz`` and ``starts.npz`` (runs by name),
``champion/member_i.model`` or ``foundation/member_i.model``; ``task.json`` holds ``settings``
(`aiida_haml.learning.learner.LearnerSettings`), ``entries`` (of each label that takes part its ``key``, ``source``,
``row``, ``part``, ``candidate`` and whether it is ``new``), ``isolated_atoms`` (eV by element), ``champion_sha256``,
``foundation_sha256`` and ``max_wall_time_s`` (each perhaps null).

Writes ``results.json``, ``tests/NAME__errors.npy`` and its like, ``member_i.model`` where a challenger won, and
``hot.npz``, by start the frames of its hot runs that are worth a label: those that led out of a run which it did not
survive, and those of its exploration.
"""

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mace
import numpy as np
import torch

from aiida_haml.arrays import FloatArray
from aiida_haml.engines import mace_committee as committee
from aiida_haml.engines.mace_batches import predict
from aiida_haml.engines.mace_courses import Label, lay_out
from aiida_haml.engines.mace_examination import (
    Examined,
    examine,
    report,
    report_by_candidate,
    save_tests,
    scores,
)
from aiida_haml.engines.mace_forces import Graph, MaceModel
from aiida_haml.engines.mace_hot_runs import along, explorations, gate
from aiida_haml.engines.mace_network import trainable
from aiida_haml.engines.mace_potential import elements_of, load_potential
from aiida_haml.engines.outcome import TaskError, reports_errors, write_results
from aiida_haml.frames import Frames
from aiida_haml.learning.comparison import Group, Verdict, compare
from aiida_haml.learning.learner import LearnerSettings
from aiida_haml.learning.pool import EXPLODED
from aiida_haml.learning.runs import load_runs, save_runs

#: Share of the wall time that tests and training may take; comparison and gate have to fit into the rest.
_TRAINING_SHARE = 0.75
#: Share after which the gate's runs are cut short.
_GATE_SHARE = 0.95
#: Largest difference of forces between trainer and MD engine, or between float32 and float64, eV / Angstrom.
_MAX_DISPARITY = 0.01


@reports_errors
def run(folder: Path, task: dict[str, Any]) -> None:
    """Learn from one round.

    Raises
    ------
    TaskError
        Of kind ``model_refused`` (champion), ``failed``, ``diverged`` or ``no_checkpoint``.
    ValueError
        If settings or labels are refused.
    """
    start = time.perf_counter()
    limit = math.inf if task.get("max_wall_time_s") is None else float(task["max_wall_time_s"])
    settings = LearnerSettings.from_dict(task["settings"])
    device = committee.resolve(settings.device)
    torch.set_num_threads(committee.n_threads(1))
    labels = _labels(load_runs(folder / "labels.npz"), task["entries"])
    energies = _energies(settings, task["isolated_atoms"], labels)
    champion = _champion(folder, task.get("champion_sha256"), list(energies), device)
    tests = _test(folder, champion)
    tested = time.perf_counter()
    reason = _need(settings, champion, tests)
    results: dict[str, Any] = {
        "trained": reason is not None,
        "reason": reason or "Training was not wanted, or no test asked for it.",
        "elements": sorted(energies),
        "precision": settings.precision,
        "device": device,
        "versions": {"mace": mace.__version__, "torch": torch.__version__},
        "test_time_s": tested - start,
        "stopped_by": None,
    }
    if reason is not None:
        foundation = _foundation(folder, task.get("foundation_sha256"), list(energies)) if not champion else []
        courses = lay_out(settings, champion, foundation, energies, labels, device)
        members = committee.train(courses, folder, start + _TRAINING_SHARE * limit)
        trained = time.perf_counter()
        results |= {
            "members": members,
            "stopped_by": next((m["stopped_by"] for m in members if m["stopped_by"]), None),
            "trained_on": sorted(label.key for label in labels if label.part == "train"),
            "training_time_s": trained - tested,
        }
        results |= _judge(folder, settings, champion, labels, start + _GATE_SHARE * limit)
        results["comparison_time_s"] = time.perf_counter() - trained
    write_results(folder, results)
    print(results["reason"], results.get("verdict", {}).get("reason", ""), flush=True)


# -- what goes in ------------------------------------------------------------------------------------------


def _labels(runs: Mapping[str, Frames], entries: Sequence[Mapping[str, Any]]) -> list[Label]:
    return [
        Label(e["key"], e["part"], Group(e["candidate"], e["new"]), runs[e["source"]][int(e["row"])]) for e in entries
    ]


def _energies(settings: LearnerSettings, given: Mapping[str, float], labels: Sequence[Label]) -> dict[str, float]:
    """Return the energy of the isolated atom of each element that the models are to know, eV."""
    elements = settings.elements or tuple(given)
    if missing := sorted(set(elements) - set(given)):
        raise ValueError(f"isolated_atoms lacks {', '.join(missing)}; give one for each of {', '.join(elements)}.")
    if unknown := sorted({s for label in labels for s in label.frame.elements} - set(elements)):
        raise ValueError(f"The labels hold {', '.join(unknown)}, and elements names {', '.join(elements)} alone.")
    return {symbol: given[symbol] for symbol in sorted(elements)}


def _champion(folder: Path, sha256: Sequence[str] | None, elements: list[str], device: str) -> list[Any]:
    """Return the models of the champion, after checking what they are; none where there is no champion."""
    if not sha256:
        return []
    models = load_potential(folder / "champion", sha256, elements)
    if (known := elements_of(models[0])) != sorted(elements):
        raise TaskError(
            "model_refused",
            f"The champion knows {', '.join(known)}, and elements asks for {', '.join(elements)}; use the same, or "
            "train without it.",
        )
    return [model.module.to(device) for model in models]


def _foundation(folder: Path, sha256: Sequence[str] | None, elements: list[str]) -> list[Any]:
    """Return the models that a first training starts from, after checking what they are; none where none is given."""
    return [model.module.cpu() for model in load_potential(folder / "foundation", sha256, elements)] if sha256 else []


# -- test, then train --------------------------------------------------------------------------------------


def _test(folder: Path, champion: list[Any]) -> dict[str, Examined]:
    """Score the champion on labels that it has not seen, and store what was found."""
    runs = load_runs(folder / "tests.npz")
    if not champion or not runs:
        return {}
    tests = dict(zip(runs, examine(champion, runs.values()), strict=True))
    save_tests(folder / "tests", tests)
    return tests


def _need(settings: LearnerSettings, champion: list[Any], tests: Mapping[str, Examined]) -> str | None:
    """Return why to train, or None."""
    if settings.train == "never":
        return None
    if not champion:
        return "There is no potential yet."
    if settings.train == "always":
        return "A training was asked for."
    limits = (
        ("force", settings.force_rmse_tolerance, "eV/Å", lambda test: test.arrays()["force_rmse"]),
        ("energy", settings.energy_tolerance, "eV/atom", lambda test: np.abs(test.energy_errors) / test.frames.n_atoms),
    )
    for what, limit, unit, errors in limits:
        worst = {name: _worst(test, errors(test)) for name, test in tests.items()}
        name = max(worst, key=lambda key: worst[key], default="")
        if name and worst[name] > limit:
            return f"The {what} error on {name} is {worst[name]:.3f} {unit}, beyond the tolerance of {limit:g}."
    return None


def _worst(test: Examined, errors: FloatArray) -> float:
    """Return the largest error of the frames that have not exploded."""
    forces = np.linalg.norm(np.asarray(test.frames.forces), axis=2).max(axis=1)
    return float(errors[forces <= EXPLODED].max(initial=0.0))


# -- compare, gate -----------------------------------------------------------------------------------------


def _judge(
    folder: Path, settings: LearnerSettings, champion: list[Any], labels: list[Label], deadline: float
) -> dict[str, Any]:
    """Compare the challenger with the champion on what trained neither, and let the winner run."""
    paths = [folder / f"member_{i}.model" for i in range(settings.n_committee)]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    models = load_potential(folder, hashes, labels[0].frame.symbols)
    challenger = [model.module for model in models]
    unseen = [label for label in labels if label.part in ("valid", "held_out")]
    groups = [label.group for label in unseen]
    frames = [label.frame for label in unseen]
    examined = {"challenger": examine(challenger, frames)}
    if champion:
        examined["champion"] = examine(champion, frames)
    found = {name: scores(these, groups, settings) for name, these in examined.items()}
    verdict = compare(
        found.get("champion"),
        found["challenger"],
        settings.min_gain,
        settings.max_regression,
        settings.force_rmse_tolerance,
    )
    results: dict[str, Any] = {
        "gate": {},
        "parity": _parity(challenger[0], frames[0]),
        "cutoff": models[0].cutoff,
        "sha256": hashes,
    }
    if verdict.winner == "challenger" and settings.gate_steps:
        verdict, results["gate"] = _gated(folder, settings, challenger[0], champion, verdict, deadline)
    if verdict.winner == "challenger" and settings.n_explored:
        results["explored"] = _explore(folder, settings, challenger[0], settings.seed + len(labels), deadline)
    for name, these in examined.items():
        results[name] = report_by_candidate(these, groups, found[name])
    winner = examined[verdict.winner] if verdict.winner in examined else examined["challenger"]
    for part in ("valid", "held_out"):
        results[part] = report([one for one, label in zip(winner, unseen, strict=True) if label.part == part])
    return results | {
        "verdict": verdict.to_dict(),
        "largest": [[float(one.deviations.max()), float(one.errors.max())] for one in winner],
        "examined_on": sorted(label.key for label in unseen if label.part == "held_out"),
    }


def _gated(
    folder: Path, settings: LearnerSettings, challenger: Any, champion: list[Any], verdict: Verdict, deadline: float
) -> tuple[Verdict, dict[str, Any]]:
    """Let the challenger run hot from every start; if it fails where the champion would not, it loses.

    The way into what it failed by is kept, to be labelled: a hole that nobody shows to a potential stays.
    """
    starts = load_runs(folder / "starts.npz")
    run = {
        "steps": settings.gate_steps,
        "temperature": settings.gate_temperature_K,
        "timestep": settings.gate_timestep_fs,
        "seed": settings.seed,
        "deadline": deadline,
    }
    runs = gate(challenger, starts, **run)
    told = {name: one.to_dict() for name, one in runs.items()}
    failed = {name: one for name, one in runs.items() if not one.passed}
    if not failed:
        return verdict, told
    save_runs(folder / "hot.npz", {name: along(starts[name], one.way) for name, one in failed.items() if one.way})
    reason = f"The challenger did not survive its hot run. {next(f'{n}: {one.reason}' for n, one in failed.items())}"
    if champion:
        others = gate(champion[0], {name: starts[name] for name in failed}, **run)
        if all(not others[name].passed and others[name].steps <= one.steps for name, one in failed.items()):
            return replace(verdict, reason=f"{verdict.reason} {reason} Nor did the champion, for as long."), told
    return replace(verdict, winner="champion" if champion else "none", reason=reason), told


def _explore(folder: Path, settings: LearnerSettings, potential: Any, seed: int, deadline: float) -> dict[str, int]:
    """Keep where a potential comes to from each start when it is hot enough for bonds to break; return how many frames.

    One that has seen hardly more than its start says of all else what follows from that: a reaction is less downhill to
    it than it is, and late. Labels along its ways at the wanted temperature do not tell, as it does not react there.
    """
    found = explorations(
        potential, load_runs(folder / "starts.npz"), n_frames=settings.n_explored, steps=settings.explore_steps,
        temperature=max(settings.explore_temperature_K, settings.gate_temperature_K),
        timestep=settings.gate_timestep_fs, seed=seed, deadline=deadline,
    )  # fmt: skip
    save_runs(folder / "hot.npz", found)
    return {name: len(frames) for name, frames in found.items()}


def _parity(module: Any, frame: Frames) -> dict[str, float]:
    """Check that trainer, MD engine and double precision agree on a frame; eV / Angstrom and eV / atom.

    Raises
    ------
    TaskError
        Of kind ``diverged``, if they do not.
    """
    ours = predict([module], frame)
    double = predict([trainable(module, "float64")], frame)
    graph = Graph.within(float(module.r_max), frame.positions[0], frame.cells[0], frame.pbc)
    theirs = MaceModel(module, frame.symbols).evaluate(graph)
    found = {
        "force_md": float(np.abs(ours.forces[0, 0] - theirs.forces).max()),
        "energy_md_per_atom": abs(float(ours.energies[0, 0]) - theirs.energy) / frame.n_atoms,
        "force_float64": float(np.abs(ours.forces - double.forces).max()),
        "energy_float64_per_atom": float(np.abs(ours.energies - double.energies).max()) / frame.n_atoms,
    }
    if max(found["force_md"], found["force_float64"]) > _MAX_DISPARITY:
        raise TaskError("diverged", f"Trainer, MD engine and double precision disagree ({found}); use float64.")
    return found
