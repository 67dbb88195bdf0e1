"""MACE on a graph of edge vectors: energy, forces and virial of one member, with no step through ASE.

The model is asked for the derivative of its energy with respect to the edge vectors, as ML-IAP asks it in
LAMMPS. Forces and virial follow from it by two sums, so that the virial is free, and the vectors are
made in float64 also where the model is float32.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import vesin
from ase.data import atomic_numbers
from mace.tools.torch_tools import default_dtype
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray


class ModelRefusedError(ValueError):
    """A model file is not what it was declared to be, or cannot serve the atoms at hand."""


@dataclass(frozen=True)
class Graph:
    """All pairs of atoms within a cutoff, each in both directions.

    Parameters
    ----------
    senders, receivers : (E,) int64 arrays
    vectors : (E, 3) array
        From sender to receiver, Angstrom.
    n_atoms : int
    """

    senders: NDArray[np.int64]
    receivers: NDArray[np.int64]
    vectors: FloatArray
    n_atoms: int

    @classmethod
    def within(cls, cutoff: float, positions: FloatArray, cell: FloatArray, pbc: NDArray[np.bool_]) -> Graph:
        """Find the pairs within ``cutoff`` of a single configuration; the atoms may lie outside the cell."""
        return Neighbours(cutoff, skin=0.0).graph(positions, cell, pbc)

    @property
    def distances(self) -> FloatArray:
        """(E,) lengths of the edges, Angstrom."""
        return np.asarray(np.linalg.norm(self.vectors, axis=1))


class Neighbours:
    """The pairs of atoms along a run, whose list is built anew only when an atom has moved half the skin.

    Parameters
    ----------
    cutoff : float
        Angstrom.
    skin : float
        Angstrom. 0.6 is the fastest of 0.3, 0.6 and 1.0 at 0.006 Angstrom a step and direction; the pairs are the same
        for any.
    """

    def __init__(self, cutoff: float, skin: float = 0.6) -> None:
        self._list = vesin.NeighborList(cutoff=cutoff, full_list=True, skin=skin)

    def graph(self, positions: FloatArray, cell: FloatArray, pbc: NDArray[np.bool_]) -> Graph:
        """Return the pairs within the cutoff; the atoms may lie outside the cell."""
        i, j, vectors = self._list.compute(
            points=positions, box=cell, periodic=pbc if pbc.any() else False, quantities="ijD"
        )
        return Graph(i.astype(np.int64), j.astype(np.int64), vectors.reshape(-1, 3), len(positions))


@dataclass(frozen=True)
class Evaluation:
    """What a model says of a graph.

    Parameters
    ----------
    energy : float
        eV.
    forces : (N, 3) array
        eV / Angstrom.
    virial : (3, 3) array
        Minus the derivative of the energy with respect to strain, eV; stress is ``-virial / volume``.
    """

    energy: float
    forces: FloatArray
    virial: FloatArray

    @property
    def is_finite(self) -> bool:
        """Whether no number is NaN or infinite."""
        return bool(np.isfinite(self.energy) and np.isfinite(self.forces).all())


class MaceModel:
    """One MACE model, bound to the elements of its atoms.

    Parameters
    ----------
    module : torch.nn.Module
        A MACE model, or the ML-IAP object that ``mace_create_lammps_model`` makes of one.
    symbols : sequence of str
        Chemical symbol of each atom.
    precision : str, optional
        ``float32`` or ``float64``, to which the module is cast; None leaves it as it is.

    Raises
    ------
    ModelRefusedError
        If the model does not know one of the elements.
    """

    def __init__(self, module: torch.nn.Module, symbols: list[str], precision: str | None = None) -> None:
        self.module: Any = _unwrapped(module).to(device())  # what torch says of attributes is too wide
        if precision is not None:
            self.module = self.module.to(getattr(torch, precision))
        for parameter in self.module.parameters():
            parameter.requires_grad_(False)
        self.dtype = next(self.module.parameters()).dtype
        self.cutoff = float(self.module.r_max)
        self._graph_of_atoms = self._constants(symbols)

    @classmethod
    def load(cls, path: Path, symbols: list[str], precision: str | None = None) -> MaceModel:
        """Read a model file. Unpickling runs whatever code is in it: compare its hash first (`check_sha256`).

        Raises
        ------
        ModelRefusedError
            If the file cannot be read, or holds no MACE model.
        """
        try:
            module = torch.load(path, map_location=device(), weights_only=False)
        except Exception as error:  # a broken pickle can raise anything
            raise ModelRefusedError(
                f"The model file {path.name} could not be read ({error}); train the potential again."
            ) from error
        return cls(module, symbols, precision)

    def inputs(self, graph: Graph) -> dict[str, torch.Tensor]:
        """Return what the module reads of a graph; its ``shifts`` are the edge vectors, to be derived by."""
        vectors = torch.as_tensor(graph.vectors, dtype=self.dtype, device=device()).requires_grad_()
        edges = torch.as_tensor(np.stack([graph.senders, graph.receivers]), device=device())
        # With all atoms at the origin, an edge's vector is its shift alone.
        shifts = {"shifts": vectors, "unit_shifts": torch.zeros_like(vectors), "edge_index": edges}
        return self._graph_of_atoms | shifts

    def evaluate(self, graph: Graph) -> Evaluation:
        """Return energy, forces and virial."""
        inputs = self.inputs(graph)
        vectors, edges = inputs["shifts"], inputs["edge_index"]
        with default_dtype(self.dtype):  # some of MACE's constants are of the default type, whatever the model's
            output = self.module(inputs, compute_force=False)
        gradient = torch.autograd.grad(output["interaction_energy"].sum(), vectors)[0].double()
        forces = torch.zeros((graph.n_atoms, 3), dtype=torch.float64, device=device())
        forces.index_add_(0, edges[0], gradient).index_add_(0, edges[1], -gradient)
        return Evaluation(
            # MACE sums the atoms' energies in its own precision, in which large cells lose their meV.
            energy=float(output["node_energy"].detach().double().sum()),
            forces=forces.cpu().numpy(),
            virial=-graph.vectors.T @ gradient.cpu().numpy(),
        )

    def _constants(self, symbols: list[str]) -> dict[str, torch.Tensor]:
        """Return what the model reads and never changes along a run."""
        known = [int(z) for z in self.module.atomic_numbers]
        numbers = [atomic_numbers[symbol] for symbol in symbols]
        if missing := sorted({s for s, z in zip(symbols, numbers, strict=True) if z not in known}):
            raise ModelRefusedError(
                f"The model does not know {', '.join(missing)}; train a potential on frames that hold them."
            )
        n_atoms, place = len(symbols), device()
        kinds = torch.tensor([known.index(z) for z in numbers], device=place)
        heads = getattr(self.module, "heads", None) or ["Default"]
        return {
            "positions": torch.zeros((n_atoms, 3), dtype=self.dtype, device=place),
            "cell": torch.zeros((3, 3), dtype=self.dtype, device=place),
            "node_attrs": torch.nn.functional.one_hot(kinds, len(known)).to(self.dtype),
            "batch": torch.zeros(n_atoms, dtype=torch.int64, device=place),
            "ptr": torch.tensor([0, n_atoms], device=place),
            "head": torch.tensor([heads.index(head_of(self.module))], device=place),
        }


def load_committee(
    folder: Path, hashes: dict[str, str | None], symbols: list[str], precision: str | None = None
) -> list[MaceModel]:
    """Load the members of a committee, after all their hashes were compared.

    Parameters
    ----------
    folder : Path
    hashes : dict of str to str or None
        File names, and the sha256 of each; None where nothing was declared.
    symbols : list of str
        Chemical symbol of each atom.
    precision : str, optional
        See `MaceModel`.

    Raises
    ------
    ModelRefusedError
        If a file is missing or refused, or the members differ in precision.
    """
    for name, sha256 in hashes.items():
        if not (folder / name).is_file():
            raise ModelRefusedError(f"The model file {name} is missing; copy it beside the input deck.")
        if sha256 is not None:
            check_sha256(folder / name, sha256)
    models = [MaceModel.load(folder / name, symbols, precision) for name in hashes]
    precisions = {str(model.dtype) for model in models}
    if len(precisions) > 1:
        raise ModelRefusedError(
            f"The members of the committee differ in precision ({', '.join(sorted(precisions))}); "
            "train them with the same default_dtype."
        )
    return models


def check_sha256(path: Path, expected: str) -> None:
    """Refuse a file whose content is not the declared one.

    Raises
    ------
    ModelRefusedError
        If the hash differs.
    """
    with path.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != expected:
        raise ModelRefusedError(
            f"The model file {path.name} has sha256 {found[:12]}..., but {expected[:12]}... was declared: "
            "it was changed or damaged on its way, and is not opened. Copy the potential's own file again."
        )


def _unwrapped(module: Any) -> Any:
    """Return the MACE model inside an ML-IAP object, or the model itself."""
    if hasattr(module, "element_types") and hasattr(module, "model"):
        module = module.model.model
    if not hasattr(module, "r_max") or not hasattr(module, "atomic_numbers"):
        raise ModelRefusedError(f"The file holds a {type(module).__name__}, which is no MACE model.")
    return module


def head_of(module: Any) -> str:
    """Return the head MACE's own calculator takes: the only one, or the one named default."""
    heads = list(getattr(module, "heads", None) or ["Default"])
    names = [head.lower() for head in heads]
    return heads[names.index("default") if "default" in names else -1]


def device() -> str:
    """Return where models run: on the job's GPU, if it has one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
