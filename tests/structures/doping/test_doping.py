"""Dopings: composition, charge, arrangements, labels, supercells and refusals, in the argyrodite and other hosts."""

from collections import Counter
from math import comb

import numpy as np
import pytest
from ase.spacegroup import crystal
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_haml.structures.charges import FORMAL_CHARGES, formal_charge
from aiida_haml.structures.checks import check
from aiida_haml.structures.crystals import argyrodite
from aiida_haml.structures.doping import Lattice, Sample, dope, read_doping
from aiida_haml.structures.doping.arrangements import count_arrangements
from aiida_haml.structures.doping.bonds import CENTRE_BONDS, CORNER_BONDS
from aiida_haml.structures.doping.formula import formula
from aiida_haml.structures.doping.lattice import MAX_ARRANGEMENTS
from aiida_haml.structures.doping.sublattices import Sublattices
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import count_intact_tetrahedra, pairs_within
from aiida_haml.structures.host import parent

HOST = argyrodite()
LATTICE = Lattice(HOST)
HALF = Lattice(parent({"exchange": 0}))
#: The ordered argyrodite, in settings.
ORDERED = {"lithium": "24g", "exchange": 0}


def thiophosphate():
    """Return a crystal like beta-Li3PS4: Pnma, P-S bonds of 2.0 to 2.1 Angstrom, shares of Li whole in one cell."""
    sites = [
        ("Li", (0.333, 0.033, 0.388), "8d", 1.0),
        ("Li", (0.0, 0.0, 0.5), "4b", 0.75),
        ("Li", (0.300, 0.25, 0.920), "4c_a", 0.25),
        ("P", (0.087, 0.25, 0.176), "4c_b", 1.0),
        ("S", (0.157, 0.029, 0.270), "8d_b", 1.0),
        ("S", (0.937, 0.25, 0.265), "4c_c", 1.0),
        ("S", (0.105, 0.25, 0.850), "4c_d", 1.0),
    ]
    atoms = crystal(
        [s[0] for s in sites],
        [s[1] for s in sites],
        spacegroup=62,
        cellpar=[12.82, 8.22, 6.12, 90, 90, 90],
    )
    kinds, scaled = atoms.arrays["spacegroup_kinds"], atoms.get_scaled_positions()
    plain = [
        {"label": sites[k][2], "occupancy": {sites[k][0]: sites[k][3]}, "scaled": place.tolist()}
        for k, place in zip(kinds, scaled, strict=True)
    ]
    return {"name": "Li3PS4", "crystal": {"cell": atoms.cell.array.tolist(), "sites": plain}}


THIOPHOSPHATE = Lattice(parent(thiophosphate()))


def substitution(dopant, site, count, lattice=LATTICE):
    n_sites = sum(len(lattice.members[label]) for label in lattice.labels_of(site))
    return one(dopant, site, count / n_sites)


def one(dopant, site, fraction):
    return read_doping({"dopant": dopant, "site": site, "fraction": fraction})[0]


# -- what is made -------------------------------------------------------------------------------------------


@st.composite
def dopings(draw):
    """Draw isovalent and aliovalent substitutions of the argyrodite that need at most a few vacancies."""
    parts = [substitution("O", "16e", draw(st.integers(0, 4)))] if draw(st.booleans()) else []
    parts += [substitution("Se", draw(st.sampled_from(["16e", "4d"])), draw(st.integers(0, 2)))]
    parts += [substitution(draw(st.sampled_from(["F", "Br"])), "4a", draw(st.integers(0, 4)))]
    parts += [substitution("Cl", "4d", draw(st.integers(0, 2)))] if draw(st.booleans()) else []
    return draw(st.permutations(parts))


def charge_of(parts, lattice=LATTICE):
    return sum(
        round(part.fraction * sum(len(lattice.members[label]) for label in lattice.labels_of(part.site)))
        * (FORMAL_CHARGES[part.dopant] - FORMAL_CHARGES[lattice.replaced(lattice.labels_of(part.site)[0])])
        for part in parts
    )


@settings(max_examples=15, deadline=None)
@given(parts=dopings(), sample=st.integers(0, 3), seed=st.integers(0, 2**31), disordered=st.booleans())
def test_composition_charge_and_determinism_hold(parts, sample, seed, disordered):
    host = HALF if disordered else LATTICE
    charge = charge_of(parts, host)
    compensation = "vacancies" if charge else None
    plan = host.plan(parts, compensation)
    if count_arrangements(plan.choices) <= MAX_ARRANGEMENTS:
        sample %= len(host.enumerate(plan))
    doped = dope(host, parts, Sample(sample=sample), seed, compensation)
    again = dope(host, list(reversed(parts)), Sample(sample=sample), seed, compensation)
    assert doped.atoms.positions.tobytes() == again.atoms.positions.tobytes()
    assert doped.label == again.label
    symbols = doped.atoms.get_chemical_symbols()
    for element in ("O", "Se", "F", "Br"):
        wanted = sum(
            round(p.fraction * sum(len(host.members[label]) for label in host.labels_of(p.site)))
            for p in parts
            if p.dopant == element
        )
        assert symbols.count(element) == wanted
    assert formal_charge(doped.atoms) == 0
    assert symbols.count("Li") == 24 - charge
    assert len(doped.atoms) == 52 - charge
    assert count_intact_tetrahedra(doped.atoms) == 4
    placed = {(symbols[i], doped.atoms.arrays["sites"][i]) for i in doped.dopants}
    assert placed <= {(p.dopant, p.site) for p in parts}
    assert len(doped.dopants) == len(doped.arrangement.dopants)
    arrangement = doped.arrangement
    if arrangement.index is not None:
        # What the seed drew is reached by its index too.
        named = host.arrange(plan, arrangement.index, seed)
        assert named.dopants == arrangement.dopants
        assert named.degeneracy == arrangement.degeneracy
        assert arrangement.degeneracy <= arrangement.total
    check(doped.atoms, neutral=True)


@settings(max_examples=20, deadline=None)
@given(
    lattice=st.sampled_from([LATTICE, THIOPHOSPHATE]),
    counts=st.tuples(st.integers(0, 3), st.integers(0, 2)),
    site=st.sampled_from([0, 1, 2]),
)
def test_degeneracies_sum_to_all_arrangements_in_any_host(lattice, counts, site):
    anions = [label for label in lattice.members if lattice.replaced(label) == "S"]
    label = anions[site % len(anions)]
    parts = [substitution("O", label, counts[0], lattice), substitution("Se", label, counts[1], lattice)]
    n = len(lattice.members[label])
    if sum(counts) > n:
        with pytest.raises(StructureError, match="sum to 1"):
            lattice.plan(parts)
        return
    found = lattice.enumerate(lattice.plan(parts))
    assert found.degeneracies.sum() == comb(n, counts[0]) * comb(n - counts[0], counts[1])


def test_distinct_arrangements_are_different_crystals_and_equivalent_ones_the_same():
    matcher = StructureMatcher(primitive_cell=False, attempt_supercell=False, scale=False)
    parts = [substitution("O", "16e", 1), substitution("F", "4a", 1), substitution("Se", "4d", 1)]
    n = len(LATTICE.enumerate(LATTICE.plan(parts)))
    cells = [AseAtomsAdaptor.get_structure(dope(LATTICE, parts, k).atoms) for k in range(n)]
    assert [[i, j] for i in range(n) for j in range(i) if matcher.fit(cells[i], cells[j])] == []
    assert n > 3


@pytest.mark.parametrize("dopant", ["O", "Se", "F"])
def test_substituted_corners_lie_at_their_own_bond_length(dopant):
    compensation = "vacancies" if dopant == "F" else None
    doped = dope(HOST, [one(dopant, "16e", 0.25)], 2, compensation=compensation)
    symbols = np.array(doped.atoms.get_chemical_symbols())
    pairs = pairs_within(doped.atoms, 2.5)
    bonds = (symbols[pairs.i] == "P") & (symbols[pairs.j] == dopant)
    assert bonds.sum() == 4
    np.testing.assert_allclose(pairs.distances[bonds], CORNER_BONDS[dopant], atol=1e-9)
    kept = np.isin(symbols, ["P", "S", "Cl"])
    hosts = {tuple(position) for position in HOST.positions}
    assert all(tuple(position) in hosts for position in doped.atoms.positions[kept])


def test_corners_of_any_host_are_found_by_their_bond_to_phosphorus():
    doped = dope(THIOPHOSPHATE, [substitution("O", "S", 2, THIOPHOSPHATE)], Sample(sample=1))
    symbols = np.array(doped.atoms.get_chemical_symbols())
    pairs = pairs_within(doped.atoms, 2.5)
    bonds = (symbols[pairs.i] == "P") & (symbols[pairs.j] == "O")
    np.testing.assert_allclose(pairs.distances[bonds], [1.54, 1.54], atol=1e-9)
    assert count_intact_tetrahedra(doped.atoms) == 4


# -- charge -------------------------------------------------------------------------------------------------


def test_vacancies_balance_a_positive_doping_and_show_in_the_formula():
    doped = dope(HOST, [substitution("F", "16e", 2)], 1, compensation="vacancies")
    assert doped.label == "Li5.5PS4.5ClF0.5#16e-01"
    assert doped.atoms.symbols.count("Li") == 22
    assert formal_charge(doped.atoms) == 0
    assert doped.ordering["energy_eV"] <= doped.ordering["random_energy_eV"]
    chlorine_rich = dope(HOST, [substitution("Cl", "4d", 2)], compensation="vacancies")
    assert chlorine_rich.label == "Li5.5PS4.5Cl1.5#4d-00"


def test_interstitials_take_empty_sites_of_a_host_that_has_them():
    shares = {"4c_d": {"Cl": 1.0}, "8d": {"Li": 0.75}, "4b": {"Li": 0.25}}
    host = thiophosphate()
    for site in host["crystal"]["sites"]:
        site["occupancy"] = shares.get(site["label"], site["occupancy"])
    lattice = Lattice(parent(host))
    assert sum(c.get("Li", 0) for c in lattice.counts.values()) == 8
    doped = dope(lattice, [one("S", "4c_d", 0.5)], compensation="interstitials")
    assert doped.atoms.symbols.count("Li") == 10
    assert formal_charge(doped.atoms) == 0
    assert pairs_within(doped.atoms[doped.atoms.symbols == "Li"], 2.0).i.size == 0


def test_anions_that_change_places_need_no_compensation():
    doped = dope(HOST, [substitution("S", "4a", 1), substitution("Cl", "4d", 1)])
    assert doped.ordering is None
    assert formal_charge(doped.atoms) == 0
    assert doped.label == "Li6PS5Cl#4a:S1+4d:Cl1-00"


def test_vacancies_are_shared_out_over_the_lithium_sublattices():
    plan = THIOPHOSPHATE.plan([substitution("F", "4c_c", 3, THIOPHOSPHATE)], "vacancies")
    before = {label: c["Li"] for label, c in THIOPHOSPHATE.counts.items() if "Li" in c}
    assert before == {"8d": 8, "4b": 3, "4c_a": 1}
    assert plan.lithium == {"8d": 6, "4b": 2, "4c_a": 1}


def test_dopants_beside_exchanged_anions_keep_the_counts_of_both():
    lattice = Lattice(parent({"lithium": "24g", "exchange": 0.25}))
    doped = dope(lattice, [substitution("O", "4d", 2, lattice), substitution("F", "4a", 3, lattice)], 0)
    sites = doped.atoms.arrays["sites"]
    symbols = np.array(doped.atoms.get_chemical_symbols())
    on = {label: sorted(symbols[sites == label].tolist()) for label in ("4a", "4d")}
    assert on == {"4a": ["F", "F", "F", "S"], "4d": ["Cl", "O", "O", "S"]}
    with pytest.raises(StructureError, match="holds 3 Cl beside exchanged anions"):
        lattice.plan([substitution("F", "4a", 4, lattice)])


# -- samples and quasi-random ones --------------------------------------------------------------------------


def test_samples_of_a_large_cell_are_distinct_and_repeatable():
    lattice = Lattice(parent(ORDERED | {"supercell": [1, 1, 2]}), [1, 1, 2])
    parts = [one("O", "16e", 0.25), one("F", "4a", 0.25)]
    late = lattice.arrange(lattice.plan(parts), Sample(sample=5), 3).dopants
    fresh = Lattice(parent(ORDERED | {"supercell": [1, 1, 2]}), [1, 1, 2])
    drawn = [fresh.arrange(fresh.plan(parts), Sample(sample=k), 3).dopants for k in range(6)]
    assert drawn[5] == late
    assert len({tuple(sorted(dopants.items())) for dopants in drawn}) == 6
    assert dope(lattice, parts, Sample(sample=5), 3).label == "Li6PS4OCl0.75F0.25#16e+4a-s05"


def test_samples_of_a_small_cell_go_once_through_all_arrangements():
    plan = LATTICE.plan([substitution("O", "S", 2)])
    drawn = [LATTICE.arrange(plan, Sample(sample=k), 11).index for k in range(7)]
    assert sorted(drawn) == list(range(7))
    assert drawn != [LATTICE.arrange(plan, Sample(sample=k), 12).index for k in range(7)]


def test_the_quasirandom_arrangement_is_labelled_and_reported():
    doped = dope(HOST, [substitution("O", "16e", 8)], "sqs", 4)
    assert doped.label == "Li6PS3O2Cl#16e-sqs"
    assert doped.arrangement.mismatch < 0.05
    assert doped.atoms.symbols.count("O") == 8


# -- labels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "configuration", "label"),
    [
        ([("O", "16e", 1 / 16)], 0, "Li6PS4.75O0.25Cl#16e-00"),
        ([("O", "16e", 0.25)], 2, "Li6PS4OCl#16e-02"),
        ([("Se", "4d", 0.5)], 0, "Li6PS4.5Se0.5Cl#4d-00"),
        ([("F", "4a", 0.5)], 0, "Li6PS5Cl0.5F0.5#4a-00"),
        ([("F", "4a", 1)], 0, "Li6PS5F#4a-00"),
        ([("I", "4a", 1)], 0, "Li6PS5I#4a-00"),
        ([("O", "16e", 0.0)], 0, "Li6PS5Cl"),
        ([], 0, "Li6PS5Cl"),
        ([("O", "16e", 0.125), ("F", "4a", 0.5)], 7, "Li6PS4.5O0.5Cl0.5F0.5#16e+4a-07"),
        ([("F", "4a", 0.5), ("O", "16e", 0.125)], 7, "Li6PS4.5O0.5Cl0.5F0.5#16e+4a-07"),
        ([("O", "16e", 0.125), ("Se", "16e", 0.125)], 3, "Li6PS4O0.5Se0.5Cl#16e-03"),
        ([("O", "S", 0.1)], 4, "Li6PS4.5O0.5Cl#S-04"),
    ],
)
def test_labels(parts, configuration, label):
    assert dope(LATTICE, [one(*part) for part in parts], configuration).label == label


def test_labels_of_distinct_dopings_differ():
    counts = [(a, b, c, d) for a in range(3) for b in range(3) for c in range(2) for d in range(3)]
    labels = [
        LATTICE.label(
            LATTICE.plan(
                [substitution(e, s, n) for e, s, n in zip(("O", "O", "Se", "Se"), ("16e", "4d") * 2, ns, strict=True)]
            ),
            0,
        )
        for ns in counts
    ]
    assert len(set(labels)) == len(labels) == 54


def test_formulas_put_cations_ahead_of_anions():
    assert formula({"S": 24, "P": 4, "Ge": 2, "Li": 20}, 2) == "Li10GeP2S12"


# -- supercells ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "parts", "cell"),
    [
        (ORDERED, [("O", "16e", 0.25)], [1, 1, 1]),
        (ORDERED, [("O", "16e", 0.05)], [1, 1, 5]),
        (ORDERED, [("O", "16e", 0.125), ("F", "4a", 0.125)], [1, 1, 2]),
        (ORDERED, [("O", "16e", 1 / 64)], [1, 2, 2]),
        (ORDERED, [("O", "16e", 1 / 128)], [2, 2, 2]),
        ({"lithium": "24g", "exchange": 0.125}, [("O", "16e", 0.25)], [1, 1, 2]),
        # 12.8 x 8.2 x 6.1: the shortest axis is repeated first.
        (thiophosphate(), [("O", "4c_c", 0.125)], [1, 1, 2]),
        (thiophosphate(), [("O", "4c_c", 0.0625)], [1, 2, 2]),
    ],
)
def test_the_smallest_supercell_makes_fractions_whole(host, parts, cell):
    wanted = [one(*part) for part in parts]
    assert Sublattices(parent(host)).smallest_supercell(wanted) == cell
    Lattice(parent({**host, "supercell": cell}), cell).plan(wanted)  # and so it does


@given(fraction=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_fraction_is_a_whole_number_of_sites_or_refused(fraction):
    count = round(fraction * 4)
    if abs(fraction * 4 - count) <= 1e-6 * 4 and (count or not fraction):
        assert len(dope(LATTICE, [one("F", "4a", fraction)]).dopants) == count
    else:
        with pytest.raises(StructureError, match="nearest fractions"):
            LATTICE.plan([one("F", "4a", fraction)])


# -- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "settings_", "field", "value", "words"),
    [
        ([("Xx", "16e", 0.25)], {}, "doping.dopant", "Xx", "is no element"),
        ([("Na", "16e", 0.25)], {}, "doping.site", "16e", r"Na is a cation. Choose one of 24g \(Li\), 4b \(P\)"),
        ([("Fe", "24g", 0.25)], {}, "host.charges", "Fe", r"charges: \{Fe: N\}"),
        ([("Al", "4b", 0.25)], {}, "doping.site", "4b", "no length of a Al-S bond.*Put Al on 24g"),
        ([("O", "8c", 0.25)], {}, "doping.site", "8c", r"Choose one of 16e \(S\), 4d \(S\), 4a \(Cl\)"),
        ([("O", "24g", 0.25)], {}, "doping.site", "24g", "holds Li, and O is an anion"),
        ([("O", "P", 0.25)], {}, "doping.site", "P", "holds P, and O is an anion"),
        ([("S", "16e", 0.25)], {}, "doping.dopant", "S", "holds already"),
        ([("Br", "16e", 0.25)], {}, "doping.site", "16e", "no length of a P-Br bond.*Put Br on 4d or 4a"),
        ([("O", "16e", -0.25)], {}, "doping.fraction", -0.25, "0 to 1"),
        ([("O", "16e", 1.25)], {}, "doping.fraction", 1.25, "0 to 1"),
        ([("O", "16e", "a quarter")], {}, "doping.fraction", "a quarter", "0 to 1"),
        ([("O", "16e", True)], {}, "doping.fraction", True, "0 to 1"),
        ([("O", "16e", 0.1)], {}, "doping.fraction", 0.1, r"0.0625 \(1 site\) and 0.125 \(2 sites\)"),
        (
            [("O", "16e", 0.05)],
            {},
            "doping.fraction",
            0.05,
            r"of 16 sites is 0.8.*supercell \[1, 1, 5\] makes it whole",
        ),
        ([("O", "16e", 1e-9)], {}, "doping.fraction", 1e-9, "No supercell of up to 64"),
        ([("F", "4a", 0.25), ("O", "16e", 0.1)], {}, "doping[1].fraction", 0.1, "only whole sites"),
        (
            [("O", "16e", 0.75), ("Se", "16e", 0.5)],
            {},
            "doping[1].fraction",
            0.5,
            "20 dopants on the 16 16e sites, with 12 O.*sum to 1",
        ),
        ([("O", "16e", 0.25), ("O", "S", 0.5)], {}, "doping[1].dopant", "O", "same sites twice"),
        ([("F", "16e", 0.0625)], {}, "compensation", None, r"F -1 for S -2.*vacancies \(1 Li fewer\), or put F on 4a"),
        ([("O", "4a", 0.5)], {}, "compensation", None, r"interstitials \(2 Li more\), or put O on 16e or 4d"),
        (
            [("O", "4a", 0.5)],
            {"compensation": "vacancies"},
            "compensation",
            "vacancies",
            "needs interstitials, not vac",
        ),
        (
            [("F", "4d", 0.5)],
            {"compensation": "interstitials"},
            "compensation",
            "interstitials",
            "needs vacancies, not",
        ),
        ([("O", "4a", 0.25)], {"compensation": "interstitials"}, "compensation", "interstitials", "24 Li on 24 24g"),
        ([("O", "16e", 0.25)], {"compensation": "vacancies"}, "compensation", "vacancies", "not needed"),
        ([("O", "16e", 0.25)], {"configuration": 33}, "configuration", 33, "from 0 to 32"),
        ([("O", "16e", 0.25)], {"configuration": Sample(sample=33)}, "configuration", {"sample": 33}, "from 0 to 32"),
        ([], {"configuration": 1}, "configuration", 1, "the pristine host"),
    ],
)
def test_what_cannot_be_built_is_refused(parts, settings_, field, value, words):
    with pytest.raises(StructureError, match=words) as caught:
        dope(LATTICE, [one(*part) for part in parts], **settings_)
    assert caught.value.field == field
    assert caught.value.value == value
    assert str(caught.value).endswith(caught.value.remedy)


def test_interstitials_are_refused_where_empty_sites_lie_beside_taken_ones():
    with pytest.raises(StructureError, match=r"25 Li where 24 at most find room.*1.59 Angstrom"):
        HALF.plan([substitution("O", "4a", 1)], "interstitials")


def test_too_many_arrangements_are_refused_and_samples_proposed():
    lattice = Lattice(parent(ORDERED | {"supercell": [1, 1, 2]}))
    plan = lattice.plan([one("O", "16e", 0.25)])
    with pytest.raises(StructureError, match=f'^configuration: {comb(32, 8)}.*"sample": k.*"sqs"'):
        lattice.arrange(plan, 0, 0)


# -- cations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dopant", ["As", "Sb"])
def test_an_isovalent_centre_takes_the_bonds_of_its_own_and_leaves_the_other_units_whole(dopant):
    doped = dope(HALF, [one(dopant, "4b", 0.25)], 0)
    symbols = np.array(doped.atoms.get_chemical_symbols())
    pairs = pairs_within(doped.atoms, 2.6)
    bonds = (symbols[pairs.i] == dopant) & (symbols[pairs.j] == "S")
    np.testing.assert_allclose(pairs.distances[bonds], [CENTRE_BONDS[dopant]] * 4, atol=1e-9)
    assert count_intact_tetrahedra(doped.atoms) == doped.tetrahedra == 3
    assert doped.label == f"Li6P0.75{dopant}0.25S5Cl#4b-00".replace("P0.75As0.25", "As0.25P0.75")


def test_a_centre_and_its_corners_can_be_doped_together():
    doped = dope(HALF, [one("Sb", "4b", 1), one("O", "16e", 0.25)], 0)
    pairs = pairs_within(doped.atoms, 2.6)
    symbols = np.array(doped.atoms.get_chemical_symbols())
    bonds = pairs.distances[(symbols[pairs.i] == "Sb") & (symbols[pairs.j] == "O")]
    np.testing.assert_allclose(bonds, [CORNER_BONDS["O"] + CENTRE_BONDS["Sb"] - CENTRE_BONDS["P"]] * 4, atol=1e-9)


@pytest.mark.parametrize("dopant", ["Si", "Ge", "Sn"])
def test_a_centre_of_less_charge_needs_one_that_something_else_brings(dopant):
    with pytest.raises(StructureError, match=rf"{dopant} \+4 for P \+5.*interstitials"):
        HALF.plan([one(dopant, "4b", 0.25)])
    with pytest.raises(StructureError, match=r"25 Li where 24 at most find room.*host: \{file"):
        HALF.plan([one(dopant, "4b", 0.25)], "interstitials")
    doped = dope(HALF, [one(dopant, "P", 0.25), one("Cl", "4d", 0.25)])
    assert Counter(doped.atoms.get_chemical_symbols()) == {"Cl": 5, "Li": 24, "P": 3, "S": 19, dopant: 1}
    assert formal_charge(doped.atoms) == 0
    pairs, symbols = pairs_within(doped.atoms, 2.6), np.array(doped.atoms.get_chemical_symbols())
    bonds = (symbols[pairs.i] == dopant) & (symbols[pairs.j] == "S")
    np.testing.assert_allclose(pairs.distances[bonds], [CENTRE_BONDS[dopant]] * 4, atol=1e-9)


def test_a_cation_on_full_lithium_sites_is_arranged_and_balanced():
    plan = LATTICE.plan([one("Mg", "24g", 1 / 12)], "vacancies")
    assert LATTICE.enumerate(plan).degeneracies.sum() == comb(24, 2)
    doped = dope(LATTICE, [one("Mg", "24g", 1 / 12)], 1, compensation="vacancies")
    assert doped.atoms.get_chemical_formula() == "Cl4Li20Mg2P4S20"
    assert formal_charge(doped.atoms) == 0


@pytest.mark.parametrize(("dopant", "lithium"), [("Zn", 20), ("Al", 18), ("Ca", 20)])
def test_a_cation_on_lithium_sites_filled_in_part_is_drawn(dopant, lithium):
    """The fraction is one of the lithium, 24 in a cell; which sites it takes is drawn by the seed."""
    cells = [dope(HALF, [one(dopant, "48h", 1 / 12)], 0, seed, "vacancies").atoms for seed in range(3)]
    for atoms in cells:
        assert Counter(atoms.symbols) == {"Li": lithium, dopant: 2, "P": 4, "S": 20, "Cl": 4}
        assert formal_charge(atoms) == 0
        check(atoms, tetrahedra=4, neutral=True)
    assert len({atoms.positions[atoms.symbols == dopant].tobytes() for atoms in cells}) > 1


@pytest.mark.parametrize(
    ("dopant", "label"), [("O", "4d"), ("Se", "4d"), ("Te", "4d"), ("F", "4a"), ("Br", "4a"), ("I", "4a")]
)
def test_isovalent_anions_are_placed(dopant, label):
    check(dope(LATTICE, [one(dopant, label, 0.5)]).atoms, neutral=True)
