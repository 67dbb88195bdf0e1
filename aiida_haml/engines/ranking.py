"""Rank described candidates: environments and series of all in, ranking and clusters out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from threadpoolctl import threadpool_limits

from aiida_haml.analysis.balance.areal import balance
from aiida_haml.analysis.compare.clusters import Clusters, Described, find_clusters
from aiida_haml.analysis.compare.distances import differences, distance_matrix, floor
from aiida_haml.analysis.joining import join_descriptions, join_environments, read_parts
from aiida_haml.analysis.quantity import json_number
from aiida_haml.analysis.ranking.groups import grouped
from aiida_haml.analysis.ranking.order import horizons, rank
from aiida_haml.analysis.ranking.replicates import Replicate
from aiida_haml.analysis.references.phases import IONS, PRODUCT
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.arrays import FloatArray
from aiida_haml.engines.outcome import reports_errors, write_results

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
        ``candidates``: KEY -> {label, seed, temperature_K (optional), interface (optional: words; only equal ones are
        compared), force_rmse (optional: the prequential error of its potential, eV/Angstrom), ...}; ``settings``:
        keys of `RankingSettings`, optional;
        ``level_of_theory`` (key) and ``teacher`` (bool), optional: passed on to the ranking.

    Candidates that cannot be compared are an ``error`` in ``results.json``, with the reason.
    """
    settings = RankingSettings.from_dict(task.get("settings"))
    inputs, candidates = folder / "inputs", dict(sorted(task["candidates"].items()))
    _check_labels(candidates)
    phases, conducts, roles = _common_phases(inputs / "environments", inputs / "series", list(candidates))
    replicates = _replicates(inputs / "series", candidates, settings)
    times = horizons(replicates, settings)
    compared_fs = [times.get(r.group, r.simulated_fs) for r in replicates]
    described = _Candidates(inputs / "environments", list(candidates))
    # One thread: sums come in one order, so that the same inputs give the same ranking to the last digit.
    with threadpool_limits(1):
        clusters = find_clusters(described, described.references(), phases, compared_fs, settings)
        replicates = [replace(r, layer=clusters.layer[k]) for k, r in enumerate(replicates)]
        protective = clusters.references[(conducts == IONS) & (roles == PRODUCT)]
        late = _late(clusters, settings)
        floors = {g: _floor(g, replicates, late) for g in {r.group for r in replicates}}
        ranking = rank(replicates, settings, protective, floors)
    cluster_rows = _cluster_rows(clusters)
    labels = [row["label"] for row in ranking["candidates"]]
    pooled = [np.mean([late[k] for k, r in enumerate(replicates) if r.label == label], axis=0) for label in labels]
    distances = distance_matrix(pooled)
    for group in ranking["groups"]:
        group["floor"] = json_number(floors[group["name"]])
    overall = floor(distance_matrix(late), [r.label for r in replicates])
    ranking |= {
        "clusters": cluster_rows,
        "differences": differences(labels, pooled, distances, cluster_rows, overall),
        "distances": [[json_number(float(d)) for d in row] for row in distances],
        "floor": json_number(overall),
        "level_of_theory": task.get("level_of_theory"),
        "teacher": bool(task.get("teacher", False)),
    }
    (folder / "ranking.json").write_text(json.dumps(ranking, indent=1, sort_keys=True, allow_nan=False))
    _save(folder / "clusters", {
        "central": clusters.central, "size": clusters.size, "noise": clusters.noise,
        "nearest_phase": np.array(clusters.nearest_phase), "layer": clusters.layer,
        "references": clusters.references, "phases": np.array(phases), "time_edges": clusters.time_edges,
        "keys": np.array(list(candidates)), "labels": np.array(labels), "distances": distances,
    })  # fmt: skip
    write_results(folder, {
        "n_candidates": len(replicates),
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


def _replicates(
    folder: Path, candidates: Mapping[str, Mapping[str, Any]], settings: RankingSettings
) -> list[Replicate]:
    joined = {}
    for key in candidates:
        if not (folder / key).is_dir():
            raise ValueError(f"The series of candidate {key} are missing; describe it before it is ranked.")
        joined[key] = join_descriptions(read_parts(folder / key))
    labels = {c["label"] for c in candidates.values()}
    conditions = {
        label: (
            _conditions(next(c for c in candidates.values() if c["label"] == label)),
            float(np.mean([joined[k]["electrolyte_length"][0] for k, c in candidates.items() if c["label"] == label])),
        )
        for label in labels
    }
    groups = grouped(conditions, settings.thickness_tolerance)
    return [
        Replicate(
            key, c["label"], groups[c["label"]], balance(joined[key]),
            instability=_mean(joined[key].get("lindemann")),
            temperature_K=c.get("temperature_K"), force_rmse=c.get("force_rmse"),
        )
        for key, c in candidates.items()
    ]  # fmt: skip


def _conditions(candidate: Mapping[str, Any]) -> str:
    """Say in words what has to be equal for candidates to be compared."""
    temperature = candidate.get("temperature_K")
    words = [f"{temperature:g} K"] if temperature is not None else []
    return ", ".join([*words, *([candidate["interface"]] if candidate.get("interface") else [])])


def _mean(values: np.ndarray | None) -> float:
    known = np.empty(0) if values is None else values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _late(clusters: Clusters, settings: RankingSettings) -> list[FloatArray]:
    """Return the (K,) late interphase of each candidate, all its faces together."""
    windows = clusters.layer.sum(axis=2)
    first = round(windows.shape[1] * (1 - settings.late_fraction))
    return [np.nan_to_num(own[first:]).mean(axis=0) for own in windows]


def _floor(group: str, replicates: Sequence[Replicate], late: Sequence[FloatArray]) -> float:
    own = [k for k, r in enumerate(replicates) if r.group == group]
    return floor(distance_matrix([late[k] for k in own]), [replicates[k].label for k in own])


def _common_phases(environments: Path, series: Path, keys: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the phases, what they conduct, and their roles, after making sure that all were described alike."""
    made: dict[str, str] = {}
    for key in keys:
        basis = _constant(environments, key, "basis_key")
        if basis is None:
            raise ValueError(f"The environments of candidate {key} are missing; describe it before it is ranked.")
        made[key] = str(basis[0])
    if len(set(made.values())) > 1:
        raise ValueError(
            f"The candidates were described with different settings or elements ({made}); describe all of "
            "them with the same DescriptionSettings, elements included."
        )
    phases = _constant(environments, keys[0], "phases")
    conducts, roles = (_constant(series, keys[0], name) for name in ("conducts", "roles"))
    if phases is None or conducts is None or roles is None:
        raise ValueError(f"The series of candidate {keys[0]} are missing; describe it before it is ranked.")
    return [str(p) for p in phases], conducts.astype(str), roles.astype(str)


def _constant(folder: Path, key: str, name: str) -> np.ndarray | None:
    """Return an array that all parts of a candidate share, from the first of them."""
    path = next(iter(sorted(folder.glob(f"{key}/*/{name}.npy"))), None)
    return None if path is None else np.load(path, allow_pickle=False)


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
        names = ("projected", "central", "phase", "state", "face", "frame")
        return Described(key=key, **{name: joined[name] for name in names}, time=time - time.min())

    def references(self) -> Described:
        """Return the environments of the reference phases."""
        part = read_parts(self.folder / self.keys[0])[0]
        projected, central, phase = (part[f"reference_{n}"] for n in ("projected", "central", "phase"))
        nothing = np.zeros(len(central))
        return Described("references", projected, central, phase, nothing.astype(np.int8), nothing.astype(np.int8),
                         nothing.astype(np.int32), nothing)  # fmt: skip


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
