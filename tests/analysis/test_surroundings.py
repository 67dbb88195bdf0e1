"""Distances and coordination are those of crystals where there are crystals, and of none where there is none."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from aiida_haml.analysis.balance.states import HOST, ION, METAL, PRODUCT
from aiida_haml.analysis.chemistry.surroundings import BIN, REGIONS, distribution, surroundings
from aiida_haml.analysis.references.solutions import antifluorite
from aiida_haml.frames import Frames

ELEMENTS = ("Li", "S")


def found(images, states, before=-np.inf, start=0.0):
    for k, image in enumerate(images):
        image.info["time"] = start + 50.0 * k
    frames = Frames.from_ase(images)
    of_frames = np.broadcast_to(states, (len(frames), frames.n_atoms)).astype(np.int8)
    return surroundings(frames, of_frames, before, ELEMENTS)


def test_sulfur_of_lithium_sulfide_has_eight_lithium_at_the_crystals_distance():
    crystal = antifluorite({}, 2)
    series = found([crystal], np.where(crystal.symbols == "S", PRODUCT, ION))
    within, g = distribution(series)
    interphase = REGIONS.index("interphase")
    assert within[interphase, 1, 0, round(3.2 / BIN)] == pytest.approx(8)
    assert within[interphase, 1, 1, round(4.3 / BIN)] == pytest.approx(12)  # a face-centred lattice of sulfur
    assert (np.flatnonzero(g[interphase, 1, 0])[0] + 0.5) * BIN == pytest.approx(5.708 * np.sqrt(3) / 4, abs=BIN)
    assert np.isnan(within[REGIONS.index("electrolyte")]).all()


def test_an_atom_counts_in_the_region_of_its_state_alone():
    metal = bulk("Li", "bcc", 3.51, cubic=True).repeat(3)
    within, _ = distribution(found([metal], METAL))
    assert within[REGIONS.index("metal"), 0, 0, round(3.7 / BIN)] == pytest.approx(14)
    assert np.isnan(within[REGIONS.index("interphase")]).all()


def test_a_gas_has_a_distribution_of_one():
    rng = np.random.default_rng(1)
    images = [Atoms("Li200S200", rng.random((400, 3)) * 16, cell=[16] * 3, pbc=True) for _ in range(20)]
    _, g = distribution(found(images, HOST))
    assert g[REGIONS.index("electrolyte"), 0, 1, 20:] == pytest.approx(np.ones(30), abs=0.1)


def test_the_same_frames_are_taken_however_a_run_is_cut():
    """At 0, 100, 200 fs: not at 150, where a batch begins within an interval whose frame the one ahead has taken."""
    images = [bulk("Li", "bcc", 3.51, cubic=True).repeat(2) for _ in range(5)]
    assert found(images, METAL)["pairs_time"].tolist() == [0, 100, 200]
    assert found(images[:2], METAL, before=100.0, start=150.0)["pairs_time"].tolist() == [200]
    nothing = found(images[:1], METAL, before=100.0, start=150.0)
    assert nothing["pairs"].shape[0] == len(nothing["pairs_time"]) == len(nothing["pairs_centres"]) == 0
