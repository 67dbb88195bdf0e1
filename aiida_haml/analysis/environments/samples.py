"""Descriptors of disordered snapshots: what phases are fitted to, and calibrated on."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from dscribe.descriptors import SOAP
from numpy.typing import NDArray

from aiida_haml.analysis.environments.modes import Float32Array
from aiida_haml.analysis.environments.soap import describe_atoms, soap
from aiida_haml.analysis.references.disorder import snapshot
from aiida_haml.analysis.references.mixtures import mixtures, outsiders
from aiida_haml.analysis.references.phases import CRYSTAL, ELECTROLYTE, ReferencePhase
from aiida_haml.analysis.settings import DescriptionSettings

#: Snapshots of a phase for each temperature, for the fit and as many for the calibration: of a crystal, of what has
#: no order, and of an electrolyte, which differ in dopants and lithium sites as well.
SNAPSHOTS, DISORDERED_SNAPSHOTS, ELECTROLYTE_SNAPSHOTS = 6, 24, 100
#: What a sample is of: the index of a phase, or one of these.
MIXED, OUTSIDE = -2, -1


class Samples:
    """Descriptors by use ('fit' or 'calibrate'), what they are of, and central species."""

    def __init__(self, descriptor: SOAP) -> None:
        self.descriptor = descriptor
        self.rows: list[tuple[str, int, NDArray[np.int64], Float32Array]] = []

    def add(self, use: str, what: int, atoms: Atoms) -> None:
        """Describe the atoms of a cell."""
        self.rows.append((use, what, atoms.numbers, describe_atoms(self.descriptor, atoms)))

    def take(self, use: str, what: int, central: int) -> Float32Array:
        """Return the (M, D) descriptors of one central species."""
        parts = [x[z == central] for u, w, z, x in self.rows if u == use and w == what]
        return np.concatenate(parts) if parts else np.empty((0, self.descriptor.get_number_of_features()), np.float32)


def draw_samples(phases: Sequence[ReferencePhase], settings: DescriptionSettings) -> Samples:
    """Return snapshots of each phase, of what lies between them, and of what is none of them."""
    samples = Samples(soap(settings))
    for k, phase in enumerate(phases):
        rng = np.random.default_rng([settings.reference_seed, 0, k])
        count = SNAPSHOTS if phase.form == CRYSTAL else DISORDERED_SNAPSHOTS
        count = ELECTROLYTE_SNAPSHOTS if phase.role == ELECTROLYTE else count
        for temperature in settings.reference_temperatures_K:
            for use in ("fit", "calibrate"):
                for _ in range(count):
                    samples.add(use, k, snapshot(phase, temperature, settings.elements, rng))
    for atoms in mixtures(settings.elements, phases, settings.reference_seed):
        samples.add("fit", MIXED, atoms)
    for atoms in outsiders(settings.elements, phases, settings.reference_seed):
        samples.add("calibrate", OUTSIDE, atoms)
    return samples
