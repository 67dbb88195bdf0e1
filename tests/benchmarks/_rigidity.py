"""Members of a committee from one trained model: samples of its last layer, as stiff as the labels hold it.

A model's energy is linear in the weights of its last layers. Where the labels fix a combination of these weights, it
is rigid; where they do not, it may take other values, and the forces that follow from it are uncertain (last-layer
prediction rigidity; Bigi, Chong, Ceriotti and Grasselli, Mach. Learn.: Sci. Technol. 5, 045018 (2024)). Members
drawn from that distribution cost no training, and their spread is read like that of a committee.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from mace.tools.torch_tools import default_dtype

from aiida_haml.engines.mace_batches import Sample, collate

#: Random directions in which the forces of a batch are looked at; their mean over many batches is exact.
_N_DIRECTIONS = 4
_BATCH_SIZE = 4
#: Ridge, as a share of the mean curvature: directions that no label holds are not infinitely loose.
_RIDGE = 1e-4


def last_layers(module: Any) -> list[torch.nn.Parameter]:
    """Return the weights in which a model's energy is linear."""
    weights = []
    for readout in module.readouts:
        layer = getattr(readout, "linear_2", None) or readout.linear
        weights.append(layer.weight)
    return weights


def curvature(module: Any, samples: Sequence[Sample], seed: int) -> torch.Tensor:
    """Return the (P, P) sum over labels of the squared force's derivatives by the P last-layer weights.

    For each batch it is estimated by the derivatives of the forces' projections on random signs, whose squares have the
    wanted expectation (Hutchinson, Commun. Stat. Simul. Comput. 18, 1059 (1989)).
    """
    weights = last_layers(module)
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros((n := sum(w.numel() for w in weights), n), dtype=torch.float64)
    with default_dtype(weights[0].dtype):
        for start in range(0, len(samples), _BATCH_SIZE):
            part = [s.to(str(weights[0].device)) for s in samples[start : start + _BATCH_SIZE]]
            batch = collate(part, len(module.atomic_numbers))
            forces = module(batch.inputs, training=True)["forces"] * batch.weights.sqrt()[:, None]
            for _ in range(_N_DIRECTIONS):
                signs = torch.randint(0, 2, forces.shape, generator=generator).to(forces) * 2 - 1
                slopes = torch.autograd.grad((signs * forces).sum(), weights, retain_graph=True)
                slope = torch.cat([g.reshape(-1) for g in slopes]).double().cpu()
                total += torch.outer(slope, slope) / _N_DIRECTIONS
    return total


def loosened(module: Any, samples: Sequence[Sample], n_members: int, scale: float, seed: int) -> list[Any]:
    """Return copies of a model whose last layers are drawn around its own.

    Parameters
    ----------
    module : torch.nn.Module
    samples : sequence of Sample
        What it was trained on.
    n_members : int
    scale : float
        Root mean square force error that the labels leave, eV / Angstrom.
    seed : int
    """
    matrix = curvature(module, samples, seed)
    matrix += _RIDGE * matrix.diagonal().mean() * torch.eye(len(matrix), dtype=matrix.dtype)
    values, vectors = torch.linalg.eigh(matrix)
    generator = torch.Generator().manual_seed(seed)
    members = []
    for _ in range(n_members):
        noise = torch.randn(len(matrix), dtype=matrix.dtype, generator=generator)
        shift = scale * vectors @ (noise / values.clamp_min(1e-300).sqrt())
        member = copy.deepcopy(module)
        begin = 0
        for weight in last_layers(member):
            part = shift[begin : begin + weight.numel()].reshape(weight.shape)
            begin += weight.numel()
            weight.data += part.to(weight)
        members.append(member)
    return members
