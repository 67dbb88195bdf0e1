"""The descriptor of an atom's surroundings."""

import numpy as np
from ase import Atoms
from dscribe.descriptors import SOAP
from numpy.typing import NDArray

from aiida_haml.analysis.environments.modes import Float32Array
from aiida_haml.analysis.settings import DescriptionSettings


def soap(settings: DescriptionSettings, dtype: str = "float32") -> SOAP:
    """Return the descriptor: SOAP with the chemistry of neighbours kept (mu1nu1)."""
    return SOAP(
        species=list(settings.elements), r_cut=settings.r_cut, n_max=settings.n_max, l_max=settings.l_max,
        sigma=settings.sigma, periodic=True, compression={"mode": "mu1nu1"}, dtype=dtype,
    )  # fmt: skip


def describe_atoms(descriptor: SOAP, atoms: Atoms, centres: NDArray[np.int64] | None = None) -> Float32Array:
    """Return (M, D) descriptors of unit length, of all atoms or of the chosen ones."""
    values = np.asarray(descriptor.create(atoms, centers=None if centres is None else centres.tolist()))
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)
