"""How much of everything there is at each face, frame by frame.

The two dividing surfaces of a face are Gibbs's equimolar ones: the host ends where it was built to end, less what has
been consumed there at the density that it was built with, and what is metal is a block about the metal's middle.
Between the two blocks lies the layer. Such surfaces need no bins, do not move when layers mix, and lose nothing:
host, layer and metal add up to the cell (J. W. Gibbs, Trans. Conn. Acad. 3, 343 (1878)).
"""

import numpy as np
from numpy.typing import NDArray

from aiida_haml.analysis.balance.cell import LITHIUM_VOLUME, LOWER, BuiltCell
from aiida_haml.analysis.balance.connectivity import connected_share, networks
from aiida_haml.analysis.balance.states import (
    HOST,
    INTERMEDIATE,
    LADDER,
    METAL,
    PRODUCT,
    STATES,
    Ladder,
    StateArray,
)
from aiida_haml.arrays import FloatArray
from aiida_haml.frames import Frames

#: Width of the bins of profiles along the normal, Angstrom.
BIN = 1.0
#: Units that stood this near to the middle of the host belong to the half that they stood in, Angstrom: a front that
#: takes one of two units side by side says nothing of where it came from.
BESIDE = 1.0
PHOSPHORUS = 15


def inventory(
    frames: Frames, risen: FloatArray, states: StateArray, charges: FloatArray, phases: NDArray[np.int16],
    n_phases: int, built: BuiltCell, ladder: Ladder, elements: tuple[str, ...],
) -> dict[str, np.ndarray]:  # fmt: skip
    """Count what lies at each face.

    Parameters
    ----------
    frames : Frames
        T frames.
    risen : (T, N) array
        Change of the scaled coordinate along the normal since the cell was built, not wrapped.
    states : (T, N) array
    charges : (T, N) array
        Formal charges, e; of metal 0.
    phases : (T, N) int array
        Phase that each atom resembles, -1 for none.
    n_phases : int
        P.
    built : BuiltCell
        With F faces.
    ladder : Ladder
        Says which atoms the electrolyte is counted by, and whose unit they are of.
    elements : tuple of str
        E elements that may be on the ladder.

    Returns
    -------
    dict
        - ``metal`` (T,): atoms of lithium metal;
        - ``consumed`` (T, F): share of the electrolyte that has reacted, by its units (by its atoms, if it has none); a
          unit is counted at the face that it stood nearer to, seen from the host that is left, wherever its atoms went;
        - ``electrolyte`` (T,): share of what lithium takes apart of it that has not reacted;
        - ``ladder`` (T, F, E, 4): atoms of each element on each rung of `LADDER`;
        - ``layer_phases`` (T, F, P + 1): reacted atoms that are not lithium by the phase that they resemble, the last
          column being none;
        - ``thickness`` (T, F): of the layer, Angstrom; NaN where there is no metal as built;
        - ``phosphide_connected`` (T, F): share of the P without S whose Li-P network leads from the metal to the host;
          NaN where one of the three is missing; ``phosphide_largest`` (T, F): P in the largest such network;
        - ``atom_face`` (T, N): index of the face that each atom is at;
        - ``profile`` (T, Z, 6): atoms by state in bins of `BIN` along the normal, from the seam on, and
          ``profile_elements`` (T, Z, E + 1): the same by element, Li last, and ``profile_charge`` (T, Z): the sum of
          their charges; all about the middle of the host.
    """
    heights, period, seam, middle = place(frames, risen, states, built)
    side = np.zeros(heights.shape, dtype=np.int64) if len(built.faces) < 2 else (heights > 0).astype(np.int64)
    symbols = np.array(frames.symbols)
    consumed = _consumed(states, ladder.counted, built.heights[ladder.centre], len(built.faces))
    lost = consumed * built.electrolyte_length
    found = {
        "metal": (states == METAL).sum(axis=1),
        "consumed": consumed,
        "electrolyte": (states[:, ladder.reducible] == HOST).mean(axis=1),
        "ladder": _ladder(states, side, symbols, elements, len(built.faces)),
        "layer_phases": _phases(states, side, phases, n_phases, built),
        "thickness": _thickness(heights, period, middle, lost, states, built),
        "atom_face": side,
    }
    found |= _phosphide(frames, states, side, built)
    return found | _profiles(heights, seam, states, charges, symbols, elements, built)


def place(
    frames: Frames, risen: FloatArray, states: StateArray, built: BuiltCell
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Say where atoms are along the normal.

    Returns
    -------
    heights : (T, N) array
        From the middle of the host, Angstrom: below the seam and not more than a period under it.
    period, seam : (T,) arrays
        Angstrom. The seam is in the middle of the metal as it is, or of the vacuum.
    middle : (T,) array
        Where the middle of the host is in the heights of the cell as built, taken along by the host's drift.
    """
    scale = _along(frames.cells, built.normal) / _along(built.frame.cells, built.normal)
    period, seam = built.period * scale, built.seam * scale
    host = states == HOST
    host[~host.any(axis=1)] = built.framework
    count = np.maximum(host.sum(axis=1), 1)
    # Half way between the ends that the host still has: its mean place, were it not for the layers of its crystal.
    uneven = sum(built.ends) / 2 - built.heights[built.framework].mean() if built.framework.any() else 0.0
    middle = np.where(host, built.heights, 0).sum(axis=1) / count + uneven
    heights = (built.heights / built.period + risen) * period[:, None]
    heights -= (np.where(host, heights, 0).sum(axis=1) / count + uneven)[:, None]
    if not built.vacuum and built.metal.any():
        metal = states == METAL
        found = metal.sum(axis=1)
        own = np.where(metal, heights % period[:, None], 0).sum(axis=1) / np.maximum(found, 1)
        seam = np.where(found > 0, own, seam)
    return seam[:, None] - (seam[:, None] - heights) % period[:, None], period, seam, middle


def _along(cells: FloatArray, normal: int) -> FloatArray:
    """Return the (T,) lengths of cells across the plane of the two other vectors, Angstrom."""
    cross = np.cross(cells[:, (normal + 1) % 3], cells[:, (normal + 2) % 3])
    return np.asarray(np.einsum("tk,tk->t", cells[:, normal], cross) / np.linalg.norm(cross, axis=1))


def _consumed(states: StateArray, counted: NDArray[np.bool_], stood: FloatArray, n_faces: int) -> FloatArray:
    """Return the (T, F) shares that have reacted, from where the units of atoms stood as built."""
    reacted, stood = states[:, counted] > HOST, stood[counted]
    if n_faces < 2:
        return np.asarray(reacted.mean(axis=1, keepdims=True))
    left = (~reacted).sum(axis=1, keepdims=True)
    above = stood - np.where(reacted, 0, stood).sum(axis=1, keepdims=True) / np.maximum(left, 1)
    upper = np.where(np.abs(above) < BESIDE, stood, above) > 0
    return np.stack([(reacted & ~upper).mean(axis=1), (reacted & upper).mean(axis=1)], axis=1)


def _ladder(
    states: StateArray, side: NDArray[np.int64], symbols: np.ndarray, elements: tuple[str, ...], n_faces: int
) -> NDArray[np.int32]:
    n_frames = len(states)
    on_ladder = symbols != "Li"
    element = np.searchsorted(np.array(elements), symbols[on_ladder])
    shape = (n_frames, n_faces, len(elements), len(LADDER))
    rung = states[:, on_ladder].astype(np.int64) - HOST
    frame = np.broadcast_to(np.arange(n_frames)[:, None], rung.shape)
    flat = np.ravel_multi_index((frame, side[:, on_ladder], np.broadcast_to(element, rung.shape), rung), shape)
    return np.bincount(flat.ravel(), minlength=int(np.prod(shape))).reshape(shape).astype(np.int32)


def _phases(
    states: StateArray, side: NDArray[np.int64], phases: NDArray[np.int16], n_phases: int, built: BuiltCell
) -> NDArray[np.int32]:
    shape = (len(states), len(built.faces), n_phases + 1)
    frame, atom = np.nonzero((states > HOST) & built.framework)
    flat = np.ravel_multi_index((frame, side[frame, atom], phases[frame, atom]), shape, mode="wrap")  # -1 is the last
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.int32)


def _thickness(
    heights: FloatArray, period: FloatArray, middle: FloatArray, lost: FloatArray, states: StateArray,
    built: BuiltCell,
) -> FloatArray:  # fmt: skip
    """Return the (T, F) distance between the dividing surfaces of host and metal."""
    if not built.metal.any():
        return np.full((len(heights), 1), np.nan)
    per_atom = LITHIUM_VOLUME / built.area
    found = np.empty(lost.shape)
    for f, name in enumerate(built.faces):
        sign = -1 if name == LOWER else 1
        own = states == METAL
        outward = sign * heights
        if built.vacuum:  # each face has a metal of its own
            own &= outward > 0
        else:  # one metal for both
            outward = outward % period[:, None]
        count = own.sum(axis=1)
        edge = np.where(built.framework, outward, -np.inf).max(axis=1)  # without metal the layer ends where it ends
        surface = np.where(own, outward, 0).sum(axis=1) / np.maximum(count, 1) - count * per_atom / 2
        host = sign * (built.ends[1 if sign > 0 else 0] - middle) - lost[:, f]
        found[:, f] = np.where(count > 0, surface, edge) - host
    return np.maximum(found, 0.0)


def _phosphide(frames: Frames, states: StateArray, side: NDArray[np.int64], built: BuiltCell) -> dict[str, np.ndarray]:
    connected = np.full((len(states), len(built.faces)), np.nan)
    largest = np.zeros(connected.shape, dtype=np.int32)
    bare = (frames.numbers == PHOSPHORUS) & ((states == INTERMEDIATE) | (states == PRODUCT))
    ends = (states == METAL).any(axis=1) & ((states == HOST) & (frames.numbers == PHOSPHORUS)).any(axis=1)
    for t in np.flatnonzero(bare.any(axis=1)):
        for f in range(len(built.faces)):
            own = np.flatnonzero(bare[t] & (side[t] == f))
            if len(own):
                network = networks(frames[int(t)], own)
                largest[t, f] = np.bincount(network).max()
                if ends[t]:
                    connected[t, f] = connected_share(frames[int(t)], own, network, states[t])
    return {"phosphide_connected": connected, "phosphide_largest": largest}


def _profiles(
    heights: FloatArray, seam: FloatArray, states: StateArray, charges: FloatArray, symbols: np.ndarray,
    elements: tuple[str, ...], built: BuiltCell,
) -> dict[str, np.ndarray]:  # fmt: skip
    n_frames, n_bins = len(heights), max(1, int(np.ceil(built.period / BIN)))
    slab = np.clip((heights - seam[:, None] + built.period) / BIN, 0, n_bins - 1).astype(np.int64)
    frame = np.broadcast_to(np.arange(n_frames)[:, None], slab.shape)
    place = np.ravel_multi_index((frame, slab), (n_frames, n_bins)).ravel()
    columns = (*elements, "Li")
    element = np.array([columns.index(s) for s in symbols])

    def counted(kind: np.ndarray, n_kinds: int) -> NDArray[np.int16]:
        flat = place * n_kinds + np.broadcast_to(kind, slab.shape).ravel()
        counts = np.bincount(flat, minlength=n_frames * n_bins * n_kinds)
        return counts.reshape(n_frames, n_bins, n_kinds).astype(np.int16)

    return {
        "profile": counted(states.astype(np.int64), len(STATES)),
        "profile_elements": counted(element, len(columns)),
        "profile_charge": np.bincount(place, charges.ravel(), n_frames * n_bins)
        .reshape(n_frames, n_bins)
        .astype(np.float32),
    }
