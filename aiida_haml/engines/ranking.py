"""Rank described candidates: environments and series of all in, ranking and clusters out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from threadpoolctl import threadpool_limits

from aiida_haml.analysis.blocks import SCALARS, Member
from aiida_haml.analysis.clusters import Clusters, Described, distance_matrix, find_clusters, hierarchy
from aiida_haml.analysis.differences import differences
from aiida_haml.analysis.joining import join_descriptions, join_environments, read_parts
from aiida_haml.analysis.layers import layer_thickness
from aiida_haml.analysis.ranking import rank
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.engines.outcome import reports_errors, write_results
from aiida_haml.frames import FloatArray

#: What candidates of one label may differ in.
OWN = ("seed", "force_rmse")


@reports_errors
def run(folder: Path, task: dict[str, Any]) -> None:
    """Read the descriptions and write ``ranking.json``, ``clusters/*.npy`` and ``results.json``.

    Parameters
    ----------
    folder : Path
        The job's folder with ``inputs/environments/KEY/PART/*.npy`` and ``inputs/series/KEY/PART/*.npy``, whose
        parts are those of one candidate in time order.
    task : dict
        ``candidates``: KEY -> {label, seed, temperature_K (optional), force_rmse (optional: the prequential error of
        its potential, eV/Angstrom), ...}; ``settings``: keys of `RankingSettings`, optional;
        ``level_of_theory`` (key) and ``teacher`` (bool), optional: passed on to the ranking.

    Candidates that cannot be compared are an ``error`` in ``results.json``, with the reason.
    """
    settings = RankingSettings.from_dict(task.get("settings"))
    inputs, candidates = folder / "inputs", dict(sorted(task["candidates"].items()))
    _check_labels(candidates)
    members = [_member(inputs / "series" / key, key, c) for key, c in candidates.items()]
    phases = _common_phases(inputs / "environments", list(candidates))
    # One thread: sums come in one order, so that the same inputs give the same ranking to the last digit.
    with threadpool_limits(1):
        ranking = rank(members, settings)
    ranking["warnings"] += _mixed_reactions(inputs / "series", list(candidates))
    horizon = ranking["compared_fs"] or max(m.simulated_fs for m in members)
    with threadpool_limits(1):
        clusters = find_clusters(_Candidates(inputs / "environments", list(candidates)), phases, horizon, settings)
    labels = [row["label"] for row in ranking["candidates"]]
    pooled = [_pooled(clusters, members, label) for label in labels]
    distances = distance_matrix(pooled)
    tree, leaves = hierarchy(distances)
    cluster_rows = _cluster_rows(clusters)
    ranking |= {
        "clusters": cluster_rows,
        "differences": differences(labels, pooled, distances, cluster_rows),
        "distances": [[None if np.isnan(d) else round(float(d), 10) for d in row] for row in distances],
        "order": [labels[i] for i in leaves],
        "level_of_theory": task.get("level_of_theory"),
        "teacher": bool(task.get("teacher", False)),
    }
    (folder / "ranking.json").write_text(json.dumps(ranking, indent=1, sort_keys=True, allow_nan=False))
    _save(folder / "clusters", {
        "central": clusters.central, "size": clusters.size, "noise": clusters.noise,
        "nearest_phase": np.array(clusters.nearest_phase), "distribution": clusters.distribution,
        "time_edges": clusters.time_edges, "keys": np.array([m.key for m in members]),
        "labels": np.array(labels),
        "label_distribution": np.array(pooled), "distances": distances, "linkage": tree,
        "leaves": np.array(leaves, dtype=np.int64),
    })  # fmt: skip
    write_results(folder, {
        "n_candidates": len(members),
        "n_labels": len(labels),
        "n_environments": int(clusters.size.sum()),
        "n_clusters": len(clusters.size),
    })  # fmt: skip


def _check_labels(candidates: dict[str, dict[str, Any]]) -> None:
    if not candidates:
        raise ValueError("task.candidates is empty; give at least one candidate to rank.")
    first: dict[str, tuple[str, dict[str, Any]]] = {}
    for key, candidate in candidates.items():
        if "label" not in candidate:
            raise ValueError(
                f"Candidate {key} has no label; give it one, shared by candidates that differ in seed only."
            )
        shared = {k: v for k, v in candidate.items() if k not in OWN}
        other, known = first.setdefault(candidate["label"], (key, shared))
        differing = sorted(k for k in known.keys() | shared.keys() if known.get(k) != shared.get(k))
        if differing:
            raise ValueError(
                f"Candidates {other} and {key} share the label {candidate['label']!r} but differ in "
                f"{differing}; only what differs in nothing but the seed is pooled. "
                "Give them different labels."
            )


def _member(folder: Path, key: str, candidate: dict[str, Any]) -> Member:
    if not folder.is_dir():
        raise ValueError(f"The series of candidate {key} are missing; describe it before it is ranked.")
    joined = join_descriptions(read_parts(folder))
    series = {name: np.asarray(joined[name]) for name in ("time", "framework_fractions", *SCALARS)}
    if (thickness := layer_thickness(joined)) is not None:
        series["layer_thickness"] = thickness
    return Member(key, candidate["label"], series, candidate.get("temperature_K"), candidate.get("force_rmse"))


def _constant(folder: Path, key: str, name: str) -> np.ndarray | None:
    """Return an array that all parts of a candidate share, from the first of them."""
    path = next(iter(sorted(folder.glob(f"{key}/*/{name}.npy"))), None)
    return None if path is None else np.load(path, allow_pickle=False)


def _mixed_reactions(folder: Path, keys: Sequence[str]) -> list[str]:
    """Return a warning if the reaction was not seen in the same way for all candidates."""
    ways: dict[str, list[str]] = {}
    for key in keys:
        found = _constant(folder, key, "reacted_by")
        ways.setdefault("phase" if found is None else str(found[0]), []).append(key)
    if len(ways) < 2:
        return []
    said = "; ".join(f"by {way}: {', '.join(names)}" for way, names in sorted(ways.items()))
    return [f"The reacted fraction was not seen in the same way for all candidates ({said}): compare with care."]


def _common_phases(folder: Path, keys: Sequence[str]) -> list[str]:
    """Return the phases, after making sure that all candidates were described alike."""
    made: dict[str, str] = {}
    phases: list[str] = []
    for key in keys:
        basis, names = _constant(folder, key, "basis_key"), _constant(folder, key, "phases")
        if basis is None or names is None:
            raise ValueError(f"The environments of candidate {key} are missing; describe it before it is ranked.")
        made[key], phases = str(basis[0]), [str(p) for p in names]
    if len(set(made.values())) > 1:
        raise ValueError(
            f"The candidates were described with different settings or elements ({made}); describe all of "
            "them with the same DescriptionSettings, elements included."
        )
    return phases


class _Candidates(Sequence[Described]):
    """Environments of the candidates, joined when one is asked for: all of them together need not fit in memory."""

    def __init__(self, folder: Path, keys: list[str]) -> None:
        self.folder, self.keys = folder, keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        key = self.keys[index]
        joined = join_environments(read_parts(self.folder / key))
        time = np.asarray(joined["time"])
        arrays = {name: joined[name] for name in ("projected", "central", "phase")}
        return Described(key=key, **arrays, time=time - time.min())


def _pooled(clusters: Clusters, members: Sequence[Member], label: str) -> FloatArray:
    """Return the mean (B, K) distribution of a label's members, over those that have frames in a bin."""
    own = clusters.distribution[[i for i, m in enumerate(members) if m.label == label]]
    filled = (own.sum(axis=2) > 0).sum(axis=0)[:, None]
    return np.asarray(own.sum(axis=0) / np.maximum(filled, 1))


def _cluster_rows(clusters: Clusters) -> list[dict[str, Any]]:
    return [
        {
            "id": i,
            "size": int(clusters.size[i]),
            "nearest_phase": clusters.nearest_phase[i],
            "central": chemical_symbols[clusters.central[i]],
            "noise": bool(clusters.noise[i]),
        }
        for i in range(len(clusters.size))
    ]


def _save(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
