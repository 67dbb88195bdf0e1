"""Ordering: energies, cold and warm draws against all arrangements, random anions, exclusions, determinism."""

from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_haml.structures.charges import FORMAL_CHARGES, formal_charge
from aiida_haml.structures.crystals import argyrodite
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import pairs_within
from aiida_haml.structures.host import order, ordering, parent, site_counts
from aiida_haml.structures.host.ordering import ewald_matrix

#: e^2 / (4 pi epsilon_0), eV Angstrom (CODATA 2018).
COULOMB = 14.399645478
FULL = {"name": "Li6PS5Cl", "lithium": "24g", "exchange": 0}
HALF = {"name": "Li6PS5Cl", "lithium": "48h", "exchange": 0}
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
    half, middle = parent(HALF), parent(FULL)
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


@pytest.mark.parametrize("atoms", [argyrodite(), *(skewed(seed) for seed in (1, 2))], ids=["24g", "skewed", "other"])
def test_the_matrix_holds_the_energy_of_any_neutral_charges(atoms):
    """Of charges that the matrix was not made with, against pymatgen's sum for those charges."""
    q = charges_of(atoms)
    q[-1] -= q.sum()  # the skewed cells are not neutral by themselves
    structure = AseAtomsAdaptor.get_structure(atoms)
    structure.add_oxidation_state_by_site(q.tolist())
    matrix = ewald_matrix(atoms)
    assert q @ matrix @ q == pytest.approx(EwaldSummation(structure, acc_factor=12).total_energy, rel=1e-7)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)


def test_the_madelung_constant_of_rocksalt():
    """1.7475645946 (D. Borwein et al., J. Math. Phys. 26, 2999 (1985))."""
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    q = charges_of(atoms)
    assert -(q @ ewald_matrix(atoms) @ q) * 2.82 / COULOMB == pytest.approx(1.7475645946, abs=1e-7)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_energy_of_an_ordered_cell_is_that_of_its_atoms(seed):
    spec = HALF | {"exchange": 0.25}
    atoms, report = order(parent(spec), site_counts(parent(spec)), (), seed)
    assert report.energy_eV == pytest.approx(oracle(atoms), abs=1e-4)
    assert report.random_energy_eV > report.energy_eV


# -- cold draws ---------------------------------------------------------------------------------------------


@pytest.fixture
def cold(monkeypatch):
    """Draw lithium at so low a temperature that only the least energy is left."""
    monkeypatch.setattr(ordering, "SAMPLING_EV", 1e-3)


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


def test_the_annealed_cell_is_the_best_of_all_where_all_can_be_counted(cold):
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
        assert report.energy_eV < report.random_energy_eV - 1.0


def test_sublattices_that_exclude_each_other_find_the_best_together(cold):
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


def test_sublattices_that_exclude_each_other_move_in_a_large_cell_too(cold):
    """The whole cell is no worse than four primitive ones, which needs Li of both sublattices to change places."""
    small, whole = primitive(shared_host()), shared_host()
    _, reference = order(small, site_counts(small), (), 0)
    _, report = order(whole, site_counts(whole), (), 0)
    assert report.energy_eV <= 4 * reference.energy_eV + 1e-4


def test_vacancies_are_the_best_of_all_too(cold):
    """Two vacancies on 24 sites beside two Cl that stay: 276 arrangements, of which the lowest is found."""
    host = parent(FULL)
    labels = host.arrays["sites"]
    host.symbols[np.flatnonzero(labels == "4d")[:2]] = "Cl"
    matrix, charges = ewald_matrix(host), charges_of(host)
    energies = []
    for a, b in combinations(np.flatnonzero(labels == "24g"), 2):
        q = charges.copy()
        q[[a, b]] = 0
        energies.append(q @ matrix @ q)
    atoms, report = order(host, {"24g": {"Li": 22}}, np.flatnonzero(labels != "24g"), 4)
    assert report.energy_eV == pytest.approx(min(energies), abs=1e-5)
    assert atoms.get_chemical_formula() == "Cl6Li22P4S18"


# -- draws --------------------------------------------------------------------------------------------------


def test_lithium_is_drawn_as_boltzmann_has_it(monkeypatch):
    """2^6 ways to take one of each pair of the primitive cell: their energies' mean and scatter over many seeds."""
    host = primitive(parent(HALF))
    matrix, charges, pairs = ewald_matrix(host), charges_of(host), close_pairs(host)
    energies = []
    for choice in product((0, 1), repeat=len(pairs)):
        q = charges.copy()
        q[[pair[side] for pair, side in zip(pairs, choice, strict=True)]] = 0
        energies.append(q @ matrix @ q)
    energies = np.array(energies) - min(energies)
    kt = 1.0
    monkeypatch.setattr(ordering, "SAMPLING_EV", kt)
    weights = np.exp(-energies / kt) / np.exp(-energies / kt).sum()
    mean = weights @ energies
    deviation = np.sqrt(weights @ (energies - mean) ** 2)
    drawn = np.array([order(host, site_counts(host), (), seed)[1].energy_eV for seed in range(300)])
    drawn -= lowest_of_all(host)
    assert deviation > 0.1  # there is something to draw
    assert drawn.mean() == pytest.approx(mean, abs=4 * deviation / np.sqrt(len(drawn)))
    assert drawn.std() == pytest.approx(deviation, rel=0.2)


def test_anions_that_changed_places_sit_at_random_and_not_where_their_energy_is_least():
    """Two Cl on four 4a sites and two on four 4d: 36 patterns, each as frequent; ordered ones would be the fewest."""
    host = parent({"lithium": "24g"})
    chosen = []
    for seed in range(360):
        atoms, _ = order(host, site_counts(host), (), seed)
        anions = atoms[np.isin(atoms.arrays["sites"], ["4a", "4d"])]
        chosen.append("".join("X" if symbol == "Cl" else "." for symbol in anions.symbols))
    seen = Counter(chosen)
    assert len(seen) == 36
    # Chi squared of 35 degrees of freedom: 66.6 is passed once in a thousand times.
    assert sum((n - 10) ** 2 / 10 for n in seen.values()) < 66.6


def test_the_same_anions_get_other_lithium_from_another_seed():
    host = parent(HALF)
    fixed = np.flatnonzero(host.arrays["sites"] != "48h")
    drawn = {order(host, {"48h": {"Li": 24}}, fixed, seed)[0].positions.tobytes() for seed in range(4)}
    assert len(drawn) == 4


def test_a_cation_among_lithium_is_quenched_too():
    host = parent(HALF)
    counts = site_counts(host) | {"48h": {"Li": 20, "Mg": 2}}
    atoms, _ = order(host, counts, (), 1)
    assert atoms.get_chemical_formula() == "Cl4Li20Mg2P4S20"
    cations = atoms[np.isin(atoms.get_chemical_symbols(), ["Li", "Mg"])]
    assert pairs_within(cations, 2.0).distances.size == 0
    places = {order(host, counts, (), seed)[0].positions[atoms.symbols == "Mg"].tobytes() for seed in range(4)}
    assert len(places) > 1


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
    host = parent({"lithium": lithium, "exchange": quarters / 4, "supercell": supercell})
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
        assert 2.2 < report.closest_lithium_A < 3.3
        assert report.closest_lithium_A == pytest.approx(pairs_within(atoms[atoms.numbers == 3], 4).distances.min())


def test_a_full_cell_is_returned_without_a_search(monkeypatch):
    def forbidden(*_):
        raise AssertionError("no energy is needed")

    monkeypatch.setattr(ordering, "ewald_matrix", forbidden)
    host = parent(FULL)
    atoms, report = order(host, site_counts(host), (), 3)
    assert atoms.positions.tobytes() == host.positions.tobytes()
    assert atoms.get_chemical_symbols() == host.get_chemical_symbols()
    assert report.to_dict() == {
        "energy_eV": None, "random_energy_eV": None, "temperature_eV": 0.0, "closest_lithium_A": None, "steps": 0,
        "seed": 3,
    }  # fmt: skip
    fixed, _ = order(host, {}, range(len(host)), 3)
    assert fixed == atoms


def test_decided_sites_keep_their_elements_and_lithium_answers_to_them(cold):
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


# -- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "field", "words"),
    [
        ({"24g": {"Li": 24}}, "counts", "'24g' is not a site of the host"),
        ({"48h": {"Li": 24}}, "counts", "'16e' has 16 sites that are neither counted nor fixed"),
        (ANION_POOR | {"48h": {"U": 22}}, "host.charges", "U.*has no oxidation state"),
        (ANION_POOR | {"48h": {"Li": 49}}, "counts.48h", "49 atoms are more than the 48 sites"),
        (ANION_POOR | {"4d": {"S": 3, "Cl": 2}}, "counts.4d", "more than the 4 sites"),
        (ANION_POOR | {"48h": {"Li": 24}}, "host", r"\+2 e. is left in the cell"),
        (ANION_POOR | {"4a": {}}, "host", r"\+4 e. is left in the cell"),
        (ANION_POOR | {"48h": {"Li": 28}, "4d": {"S": 4}, "4a": {"S": 4}}, "host", "4 pairs of atoms stay too close"),
    ],
)
def test_what_cannot_be_ordered_is_refused(counts, field, words):
    with pytest.raises(StructureError, match=words) as caught:
        order(parent(HALF), counts)
    assert caught.value.field == field
    assert caught.value.remedy in str(caught.value)


def test_too_many_sites_are_refused_before_a_matrix_is_made(monkeypatch):
    monkeypatch.setattr(ordering, "MAX_SITES", 50)
    with pytest.raises(StructureError, match="more than the 50 that can be ordered"):
        order(parent(HALF), site_counts(parent(HALF)), (), 0)
