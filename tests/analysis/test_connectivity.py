"""A network of P without S conducts where it leads from the metal to the electrolyte, and nowhere else."""

import numpy as np
import pytest
from ase import Atoms

from aiida_haml.analysis.balance.connectivity import connected_share, networks
from aiida_haml.analysis.balance.states import HOST, METAL, PRODUCT
from aiida_haml.frames import Frames

#: Heights of lithium of the metal, of a chain of P as far apart as in an antifluorite, and of P of the electrolyte.
LITHIUM, CHAIN, UNIT = 2.0, [5.0, 9.1, 13.2, 17.3, 21.4], 26.0


def share(chain, beside=(), shift=0.0, electrolyte=UNIT):
    """Return the share of a chain along z, and of P that stands 10 Angstrom beside it."""
    places = [[0, 0, LITHIUM], *([0, 0, z] for z in chain), *([10, 0, z] for z in beside), [0, 0, electrolyte]]
    n = len(chain) + len(beside)
    atoms = Atoms(["Li", *["P"] * (n + 1)], np.add(places, [0, 0, shift]), cell=[20, 20, 45], pbc=True)
    atoms.wrap()
    frame, phosphide = Frames.from_ase([atoms]), np.arange(1, n + 1)
    states = np.array([METAL, *[PRODUCT] * n, HOST])
    return connected_share(frame, phosphide, networks(frame, phosphide), states)


@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_a_chain_from_the_metal_to_the_electrolyte_conducts(shift):
    """Through the side of the cell too."""
    assert share(CHAIN, shift=shift) == 1


@pytest.mark.parametrize("missing", range(len(CHAIN)))
def test_a_chain_that_is_broken_anywhere_does_not(missing):
    assert share([z for k, z in enumerate(CHAIN) if k != missing]) == 0


def test_only_the_cluster_that_leads_through_counts():
    assert share(CHAIN, beside=[9.1, 13.2, 17.3]) == pytest.approx(5 / 8)


def test_what_does_not_reach_the_electrolyte_does_not_conduct():
    assert share(CHAIN, electrolyte=UNIT + 2) == 0
