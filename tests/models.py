"""Small MACE models with random weights: real in everything but what they have learned."""

import importlib
from pathlib import Path
from typing import Any


def tiny_mace(path: Path, elements: list[str], seed: int = 0, **wanted: Any) -> Path:
    """Write a MACE model of random weights, in a second and without training; see `tiny_model`."""
    import torch

    torch.save(tiny_model(elements, seed, **wanted), path)
    return path


def tiny_model(
    elements: list[str],
    seed: int = 0,
    dtype: str = "float64",
    scale: float = 1.0,
    channels: int = 4,
    cutoff: float = 4.0,
    degree: int = 0,
    heads: tuple[str, ...] = ("Default",),
    repels: bool = True,
) -> Any:
    """Return a MACE model of random weights.

    Parameters
    ----------
    elements : list of str
        Chemical symbols it knows.
    seed : int
        Of the weights; models of different seeds make a committee.
    dtype : str
        ``float64`` or ``float32``.
    scale : float
        Factor on the interaction energy, eV; it sets how large the forces are.
    channels : int
        Width of the model: channels of each degree.
    cutoff : float
        Angstrom.
    degree : int
        Largest of the features'.
    heads : tuple of str
        Levels of theory that it speaks for.
    repels : bool
        Whether close pairs repel each other whatever the weights say.
    """
    import numpy as np
    import torch
    from ase.data import atomic_numbers
    from mace import modules
    from mace.tools import torch_tools

    o3 = importlib.import_module("e3nn.o3")  # after mace, which makes it loadable
    interaction = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    numbers = sorted(atomic_numbers[symbol] for symbol in elements)
    several = len(heads) > 1
    with torch_tools.default_dtype(dtype), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return modules.ScaleShiftMACE(
            atomic_inter_scale=[scale] * len(heads) if several else scale,
            atomic_inter_shift=[0.0] * len(heads) if several else 0.0,
            r_max=cutoff,
            num_bessel=6,
            num_polynomial_cutoff=5,
            max_ell=2,
            interaction_cls=interaction,
            interaction_cls_first=interaction,
            num_interactions=2,
            num_elements=len(numbers),
            hidden_irreps=o3.Irreps("+".join(f"{channels}x{d}{'eo'[d % 2]}" for d in range(degree + 1))),
            MLP_irreps=o3.Irreps(f"{channels}x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=np.array(
                [[-float(z) for z in numbers]] * len(heads) if several else [-float(z) for z in numbers]
            ),
            avg_num_neighbors=10.0,
            atomic_numbers=numbers,
            correlation=2,
            radial_type="bessel",
            pair_repulsion=repels,
            distance_transform="None",
            heads=list(heads),
        )
