"""The description of a candidate put together from its parts.

A candidate is described in parts, one for each batch of consecutive segments, so that a trajectory that has
grown is described where it is new. Joined, the parts are what one description of all segments would be, to
the last digit; what needs the whole of the trajectory (bins of time, diffusion) is made here.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from aiida_haml.analysis.chemistry.batch import chemistry_names, join_chemistry

Arrays = Mapping[str, np.ndarray]

#: The same in every part of one candidate, and of all candidates that are compared.
CONSTANT = ("phases", "roles", "forms", "conducts", "elements", "basis_key")
#: The same in every part of one candidate: what its cell was built as.
BUILT = (
    "faces", "area", "normal", "electrolyte_length", "metal_length", "n_framework", "n_metal", "n_units", "reservoir",
    "baseline_metal", "baseline_consumed", "baseline_thickness",
)  # fmt: skip
#: First and last described frame of a part.
SNAPSHOTS = ("snapshot_positions", "snapshot_cells", "snapshot_states", "snapshot_times")
#: Series whose first axis is the described frame; `temperature` only where there are velocities.
FRAME_SERIES = (
    "time", "temperature", "metal", "consumed", "electrolyte", "ladder", "layer_phases", "thickness",
    "phosphide_connected", "phosphide_largest", "profile", "profile_elements", "profile_charge",
)  # fmt: skip
#: Series whose first axis is a frame of which distances were taken.
PAIR_SERIES = ("pairs", "pairs_centres", "pairs_density", "pairs_time")
#: Arrays of environments whose first axis is the environment.
ENVIRONMENT_ARRAYS = ("projected", "central", "phase", "state", "face", "time")
#: Environments of the reference phases, the same in every part.
REFERENCES = ("reference_projected", "reference_central", "reference_phase")


def read_parts(folder: Path) -> list[dict[str, np.ndarray]]:
    """Return the arrays of each sub-folder, in the order of their names, as memory maps.

    Raises
    ------
    ValueError
        If there is no sub-folder, or one without arrays.
    """
    folders = sorted(p for p in folder.glob("*") if p.is_dir())
    parts = [{f.stem: np.load(f, mmap_mode="r", allow_pickle=False) for f in sorted(p.glob("*.npy"))} for p in folders]
    if not parts or not all(parts):
        raise ValueError(f"{folder.name} holds no description, or a part without arrays; describe it first.")
    return parts


def join_descriptions(parts: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """Join the series of consecutive parts of one candidate.

    Parameters
    ----------
    parts : sequence of mappings
        As `aiida_haml.engines.description` writes them into ``series``, in time order.

    Returns
    -------
    dict
        The arrays of `aiida_haml.analysis.description.describe_batch` along the whole time line; those that
        not every part has are left out. Besides:

        - ``segment`` (T,): index of the segment that a frame belongs to, counted through all parts;
        - ``snapshot_*``: of the first and the last described frame of all;
        - what `aiida_haml.analysis.chemistry.batch.join_chemistry` makes.

    Raises
    ------
    ValueError
        If there is no part, or parts were made with different settings or for different atoms or cells, or overlap in
        time.
    """
    _check(parts)
    first, last = parts[0], parts[-1]
    joined = {name: first[name] for name in (*CONSTANT, *BUILT) if name in first}
    shared = [name for name in (*FRAME_SERIES, *PAIR_SERIES) if all(name in part for part in parts)]
    joined |= {name: np.concatenate([part[name] for part in parts]) for name in shared}
    joined["segment"] = _segments(parts)
    joined |= {name: np.stack([first[name][0], last[name][-1]]) for name in SNAPSHOTS}
    joined["snapshot_numbers"] = first["snapshot_numbers"]
    theirs = chemistry_names(first)
    chemical = [{name: part[name] for name in theirs} for part in parts]
    return joined | join_chemistry(chemical, np.asarray(joined["normal"]), float(joined["consumed"][-1].sum()))


def join_environments(parts: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """Join the environments of consecutive parts of one candidate.

    Parameters
    ----------
    parts : sequence of mappings
        As `aiida_haml.engines.description` writes them into ``environments``, in time order.

    Returns
    -------
    dict
        The arrays of `aiida_haml.analysis.environments.Environments`, ``time`` (M,) in fs, ``phases`` and
        ``basis_key``; ``frame`` counts through all parts.

    Raises
    ------
    ValueError
        As `join_descriptions`.
    """
    _check(parts)
    joined = {name: parts[0][name] for name in (*CONSTANT, *REFERENCES) if name in parts[0]}
    joined |= {name: np.concatenate([part[name] for part in parts]) for name in ENVIRONMENT_ARRAYS}
    offsets = np.cumsum([0, *(int(part["frame"][-1]) + 1 for part in parts[:-1])]).astype(np.int32)
    joined["frame"] = np.concatenate([part["frame"] + k for part, k in zip(parts, offsets, strict=True)])
    return joined


def _segments(parts: Sequence[Arrays]) -> np.ndarray:
    offset, pieces = 0, []
    for part in parts:
        pieces.append(np.asarray(part["segment"]) + offset)
        offset = int(pieces[-1][-1]) + 1
    return np.concatenate(pieces)


def _same(one: np.ndarray, other: np.ndarray | None) -> bool:
    """Compare arrays; what is unknown in both is the same."""
    return other is not None and bool(np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind == "f"))


def _check(parts: Sequence[Arrays]) -> None:
    if not parts:
        raise ValueError("No parts of a description to join: describe at least one batch of segments.")
    for name in (*CONSTANT, *BUILT):
        if any(name in part and not _same(part[name], parts[0].get(name)) for part in parts):
            raise ValueError(
                f"The parts of a candidate's description differ in {name}; describe all its segments with the "
                "same DescriptionSettings, elements included, and from the same cell as built."
            )
    numbers = [part["snapshot_numbers"] for part in parts if "snapshot_numbers" in part]
    if any(not np.array_equal(n, numbers[0]) for n in numbers):
        raise ValueError("The parts of a description hold different atoms; join parts of one candidate only.")
    for before, after in pairwise(parts):
        if after["time"][0] <= before["time"][-1]:
            raise ValueError(
                f"A part of a description starts at {after['time'][0]} fs, not after the one ahead of it ends "
                f"({before['time'][-1]} fs); join parts in time order, described with `previous`."
            )
