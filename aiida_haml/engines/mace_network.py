"""MACE models made, taken up again, and written."""

import copy
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import atomic_numbers
from mace import modules
from mace.tools.torch_tools import default_dtype

from aiida_haml.engines.mace_forces import Graph
from aiida_haml.frames import Frames
from aiida_haml.learning.learner import LearnerSettings

#: Exponent of the envelope at the cutoff, MACE's default.
_ENVELOPE = 5
#: Widths of the last readout's hidden layer, MACE's default.
_READOUT = "16x0e"


def build(settings: LearnerSettings, energies: Mapping[str, float], runs: Sequence[Frames], seed: int) -> Any:
    """Return a model with random weights, fitted to labels in its constants alone.

    Isolated atoms have their own energies, and the mean of what is left is the interaction's constant part. Forces
    are of the order of 1 eV / Angstrom wherever atoms react, and the interaction's scale is left at 1, so that the
    repulsion of close pairs (Ziegler, Biersack and Littmark, as MACE has it) is the true one and cannot be unlearned.

    Parameters
    ----------
    settings : LearnerSettings
    energies : mapping of str to float
        Of the isolated atom of each element that the model is to know, eV.
    runs : sequence of Frames
        Labels.
    seed : int
        Of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(settings, energies, _mean_interaction(energies, runs), _mean_neighbours(settings.r_max, runs))


def network(settings: LearnerSettings, energies: Mapping[str, float], shift: float, neighbours: float) -> Any:
    """Return a model with random weights.

    Parameters
    ----------
    settings : LearnerSettings
        Size, cutoff and precision.
    energies : mapping of str to float
        Of the isolated atom of each element that the model is to know, eV.
    shift : float
        Constant part of the interaction, eV / atom.
    neighbours : float
        Mean number of atoms within the cutoff, by which sums over neighbours are divided.
    """
    o3 = importlib.import_module("e3nn.o3")  # after mace, which makes it loadable
    interaction = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    elements = sorted(energies, key=lambda symbol: atomic_numbers[symbol])
    channels = settings.num_channels
    hidden = "+".join(f"{channels}x{degree}{'eo'[degree % 2]}" for degree in range(settings.max_L + 1))
    with default_dtype(settings.precision):
        return modules.ScaleShiftMACE(
            atomic_inter_scale=1.0,
            atomic_inter_shift=shift,
            r_max=settings.r_max,
            num_bessel=settings.num_radial_basis,
            num_polynomial_cutoff=_ENVELOPE,
            max_ell=settings.max_ell,
            interaction_cls=interaction,
            interaction_cls_first=interaction,
            num_interactions=settings.num_interactions,
            num_elements=len(elements),
            hidden_irreps=o3.Irreps(hidden),
            MLP_irreps=o3.Irreps(_READOUT),
            gate=torch.nn.functional.silu,
            atomic_energies=np.array([energies[symbol] for symbol in elements]),
            avg_num_neighbors=neighbours,
            atomic_numbers=[atomic_numbers[symbol] for symbol in elements],
            correlation=settings.correlation,
            radial_type="bessel",
            pair_repulsion=True,
        )


def trainable(module: Any, precision: str) -> Any:
    """Return a copy of a model on the CPU, in a precision, all of whose parameters can be trained."""
    copied = copy.deepcopy(module).cpu().to(getattr(torch, precision))
    for parameter in copied.parameters():
        parameter.requires_grad_(True)
    return copied


def write(module: Any, path: Path) -> None:
    """Write a model as MACE and its calculators read it."""
    module = module.cpu()
    for parameter in module.parameters():
        parameter.grad = None
    torch.save(module, path)


def _mean_interaction(energies: Mapping[str, float], runs: Sequence[Frames]) -> float:
    """Return the median of the interaction energy per atom, eV: hot and compressed frames must not decide it."""
    per_atom = [
        (np.asarray(run.energies) - sum(energies[symbol] for symbol in run.symbols)) / run.n_atoms for run in runs
    ]
    return float(np.median(np.concatenate(per_atom)))


def _mean_neighbours(cutoff: float, runs: Sequence[Frames]) -> float:
    graphs = [Graph.within(cutoff, run.positions[0], run.cells[0], run.pbc) for run in runs]
    return max(sum(len(graph.senders) for graph in graphs) / sum(graph.n_atoms for graph in graphs), 1.0)
