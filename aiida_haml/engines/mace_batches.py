"""Frames as MACE takes them: graphs on a device, many in one batch, and what models say of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols
from mace.tools.torch_tools import default_dtype

from aiida_haml.arrays import FloatArray
from aiida_haml.engines.mace_forces import Graph
from aiida_haml.engines.outcome import TaskError
from aiida_haml.frames import Frames
from aiida_haml.learning.comparison import force_weights

#: Edges in one batch of an evaluation; about 1 GB for a model of 128 channels.
_MAX_EDGES = 60_000


@dataclass(frozen=True)
class Prediction:
    """What each member of a committee says about one run of frames.

    Attributes
    ----------
    energies : (M, F) array
        eV.
    forces : (M, F, N, 3) array
        eV / Angstrom.
    """

    energies: FloatArray
    forces: FloatArray


@dataclass(frozen=True)
class Sample:
    """One frame: the edges of its graph and, where it is labelled, what a model should say.

    Attributes
    ----------
    vectors : (E, 3) tensor
        From sender to receiver, Angstrom. Made in float64, as differences of large coordinates lose digits.
    edges : (2, E) tensor
    kinds : (N,) tensor
        Index of each atom's element in the model.
    energy : float
        Without the isolated atoms' energies, eV.
    forces : (N, 3) tensor
        eV / Angstrom.
    weights : (N,) tensor
        Of the atoms in the loss.
    """

    vectors: torch.Tensor
    edges: torch.Tensor
    kinds: torch.Tensor
    energy: float
    forces: torch.Tensor
    weights: torch.Tensor

    @property
    def n_atoms(self) -> int:
        return len(self.kinds)

    @property
    def n_edges(self) -> int:
        return len(self.vectors)

    def to(self, device: str) -> Sample:
        """Return the same on another device."""
        moved = {n: getattr(self, n).to(device) for n in ("vectors", "edges", "kinds", "forces", "weights")}
        return replace(self, **moved)


@dataclass(frozen=True)
class Batch:
    """Several frames as one graph.

    Attributes
    ----------
    inputs : dict of str to tensor
        What a MACE model reads.
    index : (A,) tensor
        Frame of each atom.
    sizes, energies : (B,) tensor
        Atoms and interaction energy (eV) of each frame.
    forces, weights : (A, 3), (A,) tensor
    """

    inputs: dict[str, torch.Tensor]
    index: torch.Tensor
    sizes: torch.Tensor
    energies: torch.Tensor
    forces: torch.Tensor
    weights: torch.Tensor


def atomic_energies(module: Any) -> FloatArray:
    """Return the energy of each isolated atom that a model adds, in the order of its elements, eV."""
    return np.asarray(module.atomic_energies_fn.atomic_energies.detach().cpu().double().numpy()).reshape(-1)


def make_samples(module: Any, frames: Frames, large_force: float = np.inf) -> list[Sample]:
    """Return the graphs of frames for a model, on the CPU and in the model's precision.

    Raises
    ------
    TaskError
        Of kind ``model_refused``, if the model does not know an element.
    """
    known = [int(z) for z in module.atomic_numbers]
    if missing := sorted({chemical_symbols[z] for z in frames.numbers.tolist() if z not in known}):
        raise TaskError("model_refused", f"The model does not know {', '.join(missing)}; train one that does.")
    dtype = next(module.parameters()).dtype
    kinds = np.array([known.index(z) for z in frames.numbers.tolist()])
    isolated = atomic_energies(module)[kinds].sum()
    labelled = frames.energies is not None and frames.forces is not None
    energies = np.asarray(frames.energies) - isolated if labelled else np.zeros(len(frames))
    forces = np.asarray(frames.forces) if labelled else np.zeros_like(frames.positions)
    samples = []
    for f in range(len(frames)):
        graph = Graph.within(float(module.r_max), frames.positions[f], frames.cells[f], frames.pbc)
        samples.append(
            Sample(
                vectors=torch.as_tensor(graph.vectors, dtype=dtype),
                edges=torch.as_tensor(np.stack([graph.senders, graph.receivers])),
                kinds=torch.as_tensor(kinds),
                energy=float(energies[f]),
                forces=torch.as_tensor(forces[f], dtype=dtype),
                weights=torch.as_tensor(force_weights(forces[f], large_force), dtype=dtype),
            )
        )
    return samples


def collate(samples: Sequence[Sample], n_elements: int) -> Batch:
    """Join frames into one graph. With all atoms at the origin, an edge's vector is its shift alone."""
    device, dtype = samples[0].vectors.device, samples[0].vectors.dtype
    sizes = torch.tensor([sample.n_atoms for sample in samples], device=device)
    starts = torch.cat([torch.zeros(1, dtype=sizes.dtype, device=device), sizes.cumsum(0)])
    index = torch.repeat_interleave(torch.arange(len(samples), device=device), sizes)
    vectors = torch.cat([sample.vectors for sample in samples])
    kinds = torch.cat([sample.kinds for sample in samples])
    inputs = {
        "positions": torch.zeros((len(kinds), 3), dtype=dtype, device=device),
        "shifts": vectors,
        "unit_shifts": torch.zeros_like(vectors),
        "cell": torch.zeros((3 * len(samples), 3), dtype=dtype, device=device),
        "edge_index": torch.cat([s.edges + start for s, start in zip(samples, starts, strict=False)], dim=1),
        "node_attrs": torch.nn.functional.one_hot(kinds, n_elements).to(dtype),
        "batch": index,
        "ptr": starts,
        "head": torch.zeros(len(samples), dtype=torch.int64, device=device),
    }
    return Batch(
        inputs=inputs,
        index=index,
        sizes=sizes,
        energies=torch.tensor([sample.energy for sample in samples], dtype=torch.float64, device=device),
        forces=torch.cat([sample.forces for sample in samples]),
        weights=torch.cat([sample.weights for sample in samples]),
    )


def evaluate(module: Any, samples: Sequence[Sample]) -> Iterator[tuple[float, FloatArray]]:
    """Yield interaction energy (eV) and forces (N, 3) of each frame, computed in batches on the model's device."""
    first = next(module.parameters())
    with default_dtype(first.dtype):
        for part in _parts(samples):
            batch = collate([sample.to(first.device) for sample in part], len(module.atomic_numbers))
            output = module(batch.inputs, training=False)
            energies = output["interaction_energy"].detach().double().cpu().numpy()
            forces = output["forces"].detach().double().cpu().numpy()
            ends = np.cumsum([sample.n_atoms for sample in part])
            yield from zip(energies.tolist(), np.split(forces, ends[:-1]), strict=True)


def predict(modules: Sequence[Any], frames: Frames) -> Prediction:
    """Return energies and forces of all frames with every model.

    Raises
    ------
    TaskError
        Of kind ``model_refused``, if a model does not know an element; of kind ``diverged``, if a number is NaN
        or infinite.
    """
    energies, forces = [], []
    for m, module in enumerate(modules):
        samples = make_samples(module, frames)
        isolated = atomic_energies(module)[samples[0].kinds.numpy()].sum()
        found = list(evaluate(module, samples))
        energies.append([energy + isolated for energy, _ in found])
        forces.append([force for _, force in found])
        if not (np.isfinite(energies[-1]).all() and np.isfinite(forces[-1]).all()):
            raise TaskError("diverged", f"Model {m} gives energies or forces that are NaN or infinite.")
    return Prediction(np.array(energies), np.array(forces))


def _parts(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Cut a run of samples where a batch would have too many edges."""
    part: list[Sample] = []
    n_edges = 0
    for sample in samples:
        if part and n_edges + sample.n_edges > _MAX_EDGES:
            yield part
            part, n_edges = [], 0
        part.append(sample)
        n_edges += sample.n_edges
    if part:
        yield part
