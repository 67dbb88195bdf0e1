"""Ordering: Ewald energies against pymatgen's, minima against all arrangements, exclusions, determinism."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_haml.structures.crystals import FORMAL_CHARGES, argyrodite, formal_charge
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import pairs_within
from aiida_haml.structures.host import ordering
from aiida_haml.structures.host.ordering import COULOMB, ewald_matrix, order
from aiida_haml.structures.host.sites import parent, site_counts

HALF = {"name": "Li6PS5Cl", "lithium": "48h"}
ANION_POOR = {"48h": {"Li": 22}, "4b": {"P": 4}, "16e": {"S": 16}, "4d": {"S": 2, "Cl": 2}, "4a": {"Cl": 4}}


def charges_of(atoms):
    return np.array([FORMAL_CHARGES[symbol] for symbol in atoms.get_chemical_symbols()])


def oracle(atoms):
    """Return pymatgen's Ewald energy, eV."""
    structure = AseAtomsAdaptor.get_structure(atoms)
    structure.add_oxidation_state_by_site(charges_of(atoms).tolist())
    return EwaldSummation(structure, acc_factor=12).total_energy


def close_pairs(atoms):
    """Return the pairs of lithium sites of which one can be taken."""
    lithium = np.flatnonzero(atoms.numbers == 3)
    pairs = pairs_within(atoms[lithium], 2.0)
    return [(int(lithium[i]), int(lithium[j])) for i, j in zip(pairs.i, pairs.j, strict=True) if i < j]


def sites_taken(atoms, whole):
    """Return the indices of the atoms among the sites of a parent."""
    places = {tuple(p): k for k, p in enumerate(whole.positions.round(6).tolist())}
    return [places[tuple(p)] for p in atoms.positions.round(6).tolist()]


def shared_host():
    """Return the argyrodite with Li on 48h and on 24g between its pairs: three sites of which one is taken."""
    half, middle = parent(HALF), parent("Li6PS5Cl")
    whole = half + middle[middle.arrays["sites"] == "24g"]
    whole.info["occupancies"] = half.info["occupancies"] | {"48h": {"Li": 5 / 12}, "24g": {"Li": 1 / 6}}
    return whole


def primitive(whole):
    """Return the primitive cell of a parent: six pairs of lithium sites for 6 Li."""
    labels, numbers = np.unique(whole.arrays["sites"], return_inverse=True)
    cell, scaled, kinds = spglib.standardize_cell(
        (whole.cell.array, whole.get_scaled_positions(), numbers), to_primitive=True
    )
    shares = {str(label): whole.info["occupancies"][str(label)] for label in labels}
    sites = [
        {"label": str(labels[kind]), "occupancy": shares[str(labels[kind])], "scaled": place.tolist()}
        for place, kind in zip(scaled, kinds, strict=True)
    ]
    return parent({"name": "primitive", "crystal": {"cell": cell.tolist(), "sites": sites}})


# -- energies -----------------------------------------------------------------------------------------------


def skewed(seed):
    rng = np.random.default_rng(seed)
    cell = np.diag([5.0, 7.0, 11.0]) + rng.uniform(-2, 2, (3, 3))
    return Atoms(
        rng.permutation(["Li", "Li", "Na", "S", "O", "Mg"] * 2), rng.random((12, 3)) @ cell, cell=cell, pbc=True
    )


@pytest.mark.parametrize(
    "atoms",
    [argyrodite(), bulk("NaCl", "rocksalt", a=5.64), bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (1, 1, 4)]
    + [skewed(seed) for seed in (1, 2)],
    ids=["24g", "two ions", "long", "skewed", "skewed too"],
)
def test_energies_are_those_of_pymatgen(atoms):
    q = charges_of(atoms)
    q[-1] -= q.sum()  # the skewed cells are not neutral by themselves
    structure = AseAtomsAdaptor.get_structure(atoms)
    structure.add_oxidation_state_by_site(q.tolist())
    wanted = EwaldSummation(structure, acc_factor=12).total_energy
    matrix = ewald_matrix(atoms)
    assert q @ matrix @ q == pytest.approx(wanted, rel=1e-7)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)


def test_the_madelung_constant_of_rocksalt():
    """1.7475645946 (D. Borwein et al., J. Math. Phys. 26, 2999 (1985))."""
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    q = charges_of(atoms)
    assert -(q @ ewald_matrix(atoms) @ q) * 2.82 / COULOMB == pytest.approx(1.7475645946, abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_energy_of_an_ordered_cell_is_that_of_its_atoms(seed):
    spec = HALF | {"exchange": 0.25}
    atoms, report = order(parent(spec), site_counts(parent(spec)), (), seed)
    assert report.energy_eV == pytest.approx(oracle(atoms), abs=1e-4)
    assert report.random_energy_eV > report.energy_eV


# -- minima -------------------------------------------------------------------------------------------------


def lowest_of_all(host):
    """Return the lowest energy of all ways to take one of each close pair."""
    matrix = ewald_matrix(host)
    charges = charges_of(host)
    pairs = close_pairs(host)
    energies = []
    for choice in product((0, 1), repeat=len(pairs)):
        taken = charges.copy()
        for pair, side in zip(pairs, choice, strict=True):
            taken[pair[side]] = 0
        energies.append(taken @ matrix @ taken)
    return min(energies)


def test_the_annealed_cell_is_the_best_of_all_where_all_can_be_counted():
    host = primitive(parent(HALF))
    assert len(close_pairs(host)) == 6
    lowest = lowest_of_all(host)
    for seed in range(3):
        _, report = order(host, site_counts(host), (), seed)
        assert report.energy_eV == pytest.approx(lowest, abs=1e-5)
    # The conventional cell holds four primitive ones and may do better than their repetition, never worse.
    conventional = parent(HALF)
    for seed in range(3):
        _, report = order(conventional, site_counts(conventional), (), seed)
        assert report.energy_eV <= 4 * lowest + 1e-4
        assert report.energy_eV == pytest.approx(-1018.630, abs=0.5)
        assert report.energy_eV < report.random_energy_eV - 1.0


def test_sublattices_that_exclude_each_other_find_the_best_together():
    host = primitive(shared_host())
    counts = site_counts(host)
    assert counts["24g"] == {"Li": 1}
    assert counts["48h"] == {"Li": 5}
    lithium = np.flatnonzero(host.numbers == 3)
    middles = [int(k) for k in lithium if host.arrays["sites"][k] == "24g"]
    distances = host.get_all_distances(mic=True)
    cages = [[int(k) for k in lithium if distances[middle, k] < 1.2] for middle in middles]
    assert list(map(len, cages)) == [3] * 6
    matrix, charges = ewald_matrix(host), charges_of(host)
    energies = []
    for choice in product(range(3), repeat=6):
        taken = [cage[side] for cage, side in zip(cages, choice, strict=True)]
        if sum(site in middles for site in taken) == 1:
            q = charges.copy()
            q[np.setdiff1d(lithium, taken)] = 0
            energies.append(q @ matrix @ q)
    assert len(energies) == 6 * 2**5
    for seed in range(4):
        atoms, report = order(host, counts, (), seed)
        assert report.energy_eV == pytest.approx(min(energies), abs=1e-5)
        assert pairs_within(atoms[atoms.numbers == 3], 2.0).distances.size == 0


def test_sublattices_that_exclude_each_other_move_in_a_large_cell_too():
    """The whole cell is no worse than four primitive ones, which needs Li of both sublattices to change places."""
    small, whole = primitive(shared_host()), shared_host()
    _, reference = order(small, site_counts(small), (), 0)
    _, report = order(whole, site_counts(whole), (), 0)
    assert report.energy_eV <= 4 * reference.energy_eV + 1e-4


def test_anions_and_vacancies_are_the_best_of_all_too():
    """Two vacancies on 24 sites, two Cl on four: 1656 arrangements, of which the lowest is found."""
    host = parent("Li6PS5Cl")
    labels = host.arrays["sites"]
    counts = {"24g": {"Li": 22}, "4d": {"S": 2, "Cl": 2}}
    fixed = np.flatnonzero(~np.isin(labels, ["24g", "4d"]))
    matrix, charges = ewald_matrix(host), charges_of(host)
    lithium, free = np.flatnonzero(labels == "24g"), np.flatnonzero(labels == "4d")
    energies = []
    for a, b, c, d in product(lithium, lithium, free, free):
        if a < b and c < d:
            q = charges.copy()
            q[[a, b]] = 0
            q[[c, d]] = -1
            energies.append(q @ matrix @ q)
    atoms, report = order(host, counts, fixed, 4)
    assert len(energies) == 1656
    assert report.energy_eV == pytest.approx(min(energies), abs=1e-5)
    assert atoms.get_chemical_formula() == "Cl6Li22P4S18"


def test_no_single_exchange_lowers_the_energy():
    host = parent(HALF | {"supercell": [2, 1, 1]})
    atoms, report = order(host, site_counts(host), (), 5)
    taken = np.zeros(len(host), dtype=bool)
    taken[sites_taken(atoms, host)] = True
    matrix = ewald_matrix(host)
    charges = charges_of(host) * taken
    assert charges @ matrix @ charges == pytest.approx(report.energy_eV, abs=1e-4)
    for a, b in close_pairs(host):
        moved = charges.copy()
        moved[[a, b]] = moved[[b, a]]
        assert moved @ matrix @ moved > report.energy_eV - 1e-4


# -- what must always hold ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short_search():
    """Search less: what must always hold does not wait for the minimum."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "SWEEPS", 20)
        yield


@settings(max_examples=25, deadline=None)
@given(
    quarters=st.integers(0, 4),
    supercell=st.sampled_from([[1, 1, 1], [1, 2, 1]]),
    lithium=st.sampled_from(["24g", "48h"]),
    seed=st.integers(0, 10**6),
)
def test_composition_charge_exclusions_and_determinism(short_search, quarters, supercell, lithium, seed):
    spec = {"name": "Li6PS5Cl", "lithium": lithium, "exchange": quarters / 4, "supercell": supercell}
    host = parent(spec)
    counts = site_counts(host)
    atoms, report = order(host, counts, (), seed)
    again, second = order(host.copy(), dict(reversed(counts.items())), [], seed)
    for name in ("positions", "numbers", "sites"):
        assert atoms.arrays[name].tobytes() == again.arrays[name].tobytes()
    assert report == second
    assert formal_charge(atoms) == 0
    for label, wanted in counts.items():
        assert Counter(atoms.symbols[atoms.arrays["sites"] == label]) == wanted
    taken = sites_taken(atoms, host)
    assert taken == sorted(taken)
    assert atoms.arrays["sites"].tolist() == host.arrays["sites"][taken].tolist()
    among = set(taken)
    assert all((a in among) != (b in among) for a, b in close_pairs(host))
    if report.energy_eV is not None:
        assert report.energy_eV <= report.random_energy_eV
        assert 2.2 < report.closest_lithium_A < 3.3
        assert report.closest_lithium_A == pytest.approx(pairs_within(atoms[atoms.numbers == 3], 4).distances.min())


def test_a_full_cell_is_returned_without_a_search(monkeypatch):
    def forbidden(*_):
        raise AssertionError("no energy is needed")

    monkeypatch.setattr(ordering, "ewald_matrix", forbidden)
    host = parent("Li6PS5Cl")
    atoms, report = order(host, site_counts(host), (), 3)
    assert atoms.positions.tobytes() == host.positions.tobytes()
    assert atoms.get_chemical_symbols() == host.get_chemical_symbols()
    assert report.to_dict() == {
        "energy_eV": None, "random_energy_eV": None, "closest_lithium_A": None, "steps": 0, "seed": 3
    }  # fmt: skip
    fixed, _ = order(host, {}, range(len(host)), 3)
    assert fixed == atoms


def test_decided_sites_keep_their_elements_and_lithium_answers_to_them():
    """Cl on one free-sulfur site, one Li less: the vacancy and the others arrange around it."""
    host = parent(HALF)
    free = np.flatnonzero(host.arrays["sites"] == "4d")
    host.symbols[free[2]] = "Cl"
    fixed = np.flatnonzero(host.arrays["sites"] != "48h")
    atoms, _ = order(host, {"48h": {"Li": 23}}, fixed, 0)
    assert atoms.get_chemical_formula() == "Cl5Li23P4S19"
    dopant = next(k for k, site in enumerate(sites_taken(atoms, host)) if site == free[2])
    assert atoms.symbols[dopant] == "Cl"
    # Fewer Li around Cl- than around each S2- of that sublattice.
    near = [
        (atoms.get_distances(k, np.flatnonzero(atoms.numbers == 3), mic=True) < 3.2).sum()
        for k in np.flatnonzero(atoms.arrays["sites"] == "4d")
    ]
    assert near[2] < min(n for k, n in enumerate(near) if k != 2)


def test_seeds_find_other_arrangements_of_nearly_the_same_energy():
    host = parent(HALF | {"supercell": [2, 1, 1]})
    found = [order(host, site_counts(host), (), seed) for seed in range(3)]
    assert len({atoms.positions.tobytes() for atoms, _ in found}) > 1
    energies = [report.energy_eV for _, report in found]
    assert max(energies) - min(energies) < 2.0


# -- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "fixed", "seed", "field", "words"),
    [
        ({"24g": {"Li": 24}}, (), 0, "counts", "'24g' is not a site of the host"),
        ({"48h": {"Li": 24}}, (), 0, "counts", "'16e' has 16 sites that are neither counted nor fixed"),
        (ANION_POOR | {"48h": {"Xx": 22}}, (), 0, "counts", "'Xx' has no formal charge"),
        (ANION_POOR | {"48h": {"Li": -2}}, (), 0, "counts.48h.Li", "-2 is not a number of atoms"),
        (ANION_POOR | {"48h": {"Li": 21.5}}, (), 0, "counts.48h.Li", "21.5 is not a number of atoms"),
        (ANION_POOR | {"48h": {"Li": 49}}, (), 0, "counts.48h", "more atoms than the 48 sites"),
        (ANION_POOR | {"4d": {"S": 3, "Cl": 2}}, (), 0, "counts.4d", "more atoms than the 4 sites"),
        (ANION_POOR | {"48h": {"Li": 24}}, (), 0, "counts", r"leave a charge of \+2 e"),
        (ANION_POOR | {"4a": {}}, (), 0, "counts", r"leave a charge of \+4 e"),
        (ANION_POOR, (0, 76), 0, "fixed", "are not all sites"),
        (ANION_POOR, (-1,), 0, "fixed", "are not all sites"),
        (ANION_POOR, (), -1, "seed", "is not a seed"),
        (ANION_POOR, (), 0.5, "seed", "is not a seed"),
        (ANION_POOR, (), True, "seed", "is not a seed"),
        (
            ANION_POOR | {"48h": {"Li": 28}, "4d": {"S": 4}, "4a": {"S": 4}},
            (), 0, "counts", "4 pairs of atoms stay too close",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_ordered_is_refused(counts, fixed, seed, field, words):
    with pytest.raises(StructureError, match=words) as caught:
        order(parent(HALF), counts, fixed, seed)
    assert caught.value.field == field
    assert caught.value.remedy in str(caught.value)


def test_too_many_sites_are_refused_before_a_matrix_is_made(monkeypatch):
    monkeypatch.setattr(ordering, "MAX_SITES", 50)
    with pytest.raises(StructureError, match="more than the 50 that can be ordered"):
        order(parent(HALF), site_counts(parent(HALF)), (), 0)
