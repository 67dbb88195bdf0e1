"""Activation energies from rate constants at several temperatures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase.units import kB
from scipy import stats

from aiida_haml.analysis.kinetics.fit import Growth
from aiida_haml.analysis.quantity import Quantity

#: Temperatures that an activation energy needs.
FEWEST_TEMPERATURES = 3


@dataclass(frozen=True)
class Activation:
    """An activation energy (eV), or why there is none."""

    energy: Quantity | None
    status: str


def activation(found: Mapping[float, Growth], confidence: float = 0.95) -> Activation:
    """Return the activation energy of ``k = k0 exp(-E / (kB T))``: a line through all replicates' ln k over 1/T.

    Parameters
    ----------
    found : mapping
        Temperature (K) -> growth there.
    confidence : float
    """
    known = {t: g for t, g in sorted(found.items()) if g.log_rates}
    if len(known) < FEWEST_TEMPERATURES:
        return Activation(
            None, f"undetermined: {len(known)} temperatures with a rate constant, {FEWEST_TEMPERATURES} are needed"
        )
    laws = sorted({g.law for g in known.values()})
    if len(laws) > 1:
        return Activation(None, f"undetermined: the growth law differs between temperatures ({', '.join(laws)})")
    x = np.concatenate([np.full(len(g.log_rates), -1 / (kB * t)) for t, g in known.items()])
    y = np.concatenate([g.log_rates for g in known.values()])
    line = stats.linregress(x, y)
    margin = float(stats.t.ppf((1 + confidence) / 2, len(x) - 2)) * line.stderr
    return Activation(Quantity(line.slope, line.slope - margin, line.slope + margin), "determined")
