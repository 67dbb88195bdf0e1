"""Parity: what the engine of the dynamics makes of one frame, against the path on which the potential was trained."""

import copy

import numpy as np
from ase import Atoms
from mace.calculators import MACECalculator
from mace.tools.torch_tools import default_dtype

from aiida_haml.engines.mace_forces import Evaluation, MaceModel, ModelRefusedError, device, head_of

#: Largest difference of a force, eV / Angstrom, at which a run may go on: what float32 loses is some 1e-5.
TOLERANCE = 1e-2


def parity(model: MaceModel, atoms: Atoms, evaluation: Evaluation) -> dict[str, float]:
    """Compare an evaluation with that of the same model by MACE's own calculator in float64.

    The calculator has the trainer's graph (matscipy's neighbours), not the edge vectors of `MaceModel`.

    Parameters
    ----------
    model : MaceModel
    atoms : Atoms
        The frame that was evaluated.
    evaluation : Evaluation

    Returns
    -------
    dict
        ``energy_eV_per_atom`` and ``force_eV_per_A``: the differences, of the forces the largest of any component.

    Raises
    ------
    ModelRefusedError
        If a force differs by more than `TOLERANCE`: the potential is another one here than where it was trained.
    """
    with default_dtype("float64"):
        module = copy.deepcopy(model.module).double()
        calculator = MACECalculator(models=[module], device=device(), default_dtype="float64", head=head_of(module))
        atoms = atoms.copy()
        atoms.calc = calculator
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    difference = float(np.abs(evaluation.forces - forces).max())
    if not difference <= TOLERANCE:
        raise ModelRefusedError(
            f"A force differs by {difference:.3g} eV/A from that of MACE's own calculator (limit {TOLERANCE:g}); "
            "try the precision float64, and report the model."
        )
    return {"energy_eV_per_atom": abs(evaluation.energy - float(energy)) / len(atoms), "force_eV_per_A": difference}
