"""Hosts: parents with partial occupancies, whole counts, files read into plain values, refusals."""

import json
import warnings
from collections import Counter

import numpy as np
import pytest
import spglib
from ase.build import bulk, molecule
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from aiida_haml.structures.crystals import argyrodite
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import pairs_within
from aiida_haml.structures.host import host_settings, parent, read_crystal, site_counts

HALF = {"lithium": "48h", "exchange": 0}
CRYSTAL = {
    "cell": [[5.13, 0, 0], [0, 5.13, 0], [0, 0, 5.13]],
    "sites": [
        {"label": "1a", "occupancy": {"Li": 1.0}, "scaled": [0, 0, 0]},
        {"label": "1b", "occupancy": {"Cl": 1.0}, "scaled": [0.5, 0.5, 0.5]},
    ],
}


def disordered(atoms):
    """Return a parent as pymatgen's structure with its occupancies."""
    shares = [atoms.info["occupancies"][label] for label in atoms.arrays["sites"]]
    return Structure(Lattice(atoms.cell.array), shares, atoms.get_scaled_positions())


def write_cif(structure, path, **keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels of mixed sites are not unique, which no reader minds
        CifWriter(structure, **keywords).write_file(path)
    return path


def kinds(atoms):
    """Return a number for each different occupancy."""
    shares = [sorted(atoms.info["occupancies"][label].items()) for label in atoms.arrays["sites"]]
    distinct = sorted({str(s) for s in shares})
    return [distinct.index(str(s)) for s in shares]


def test_the_ordered_cell_is_that_of_the_phase_bit_for_bit():
    atoms, ordered = parent({"lithium": "24g", "exchange": 0}), argyrodite()
    for name in ("positions", "numbers", "sites"):
        assert atoms.arrays[name].tobytes() == ordered.arrays[name].tobytes()
    assert set(map(len, atoms.info["occupancies"].values())) == {1}
    assert parent({"name": "Li6PS5Cl", "a_A": 10.2}).cell.lengths() == pytest.approx(10.2)


def test_the_default_is_the_disordered_material_that_people_make():
    """Li on 48h, and 0.4 to 0.6 of S and Cl exchanged (Kraft et al., J. Am. Chem. Soc. 139, 10909 (2017))."""
    shares = parent("Li6PS5Cl").info["occupancies"]
    assert shares["48h"] == {"Li": 0.5}
    assert shares["4a"] == {"Cl": 0.5, "S": 0.5} == shares["4d"]


def test_half_occupied_lithium_lies_in_tetrahedra_in_pairs():
    atoms = parent(HALF)
    assert atoms.get_chemical_formula() == "Cl4Li48P4S20"
    assert atoms.info["occupancies"]["48h"] == {"Li": 0.5}
    assert site_counts(atoms)["48h"] == {"Li": 24}
    symbols = np.array(atoms.get_chemical_symbols())
    pairs = pairs_within(atoms, 3.0)
    first = symbols[pairs.i] == "Li"
    corners = first & np.isin(symbols[pairs.j], ["S", "Cl"])
    # Three S and one Cl around each Li, at the distances of Li2S and LiCl or somewhat below.
    seen = Counter(zip(pairs.i[corners].tolist(), symbols[pairs.j[corners]].tolist(), strict=True))
    assert {(element, n) for (_, element), n in seen.items()} == {("S", 3), ("Cl", 1)}
    assert 2.3 < pairs.distances[corners].min() < pairs.distances[corners].max() < 2.75
    close = pairs.distances[first & (symbols[pairs.j] == "Li")]
    assert (close < 2.0).sum() == 48  # one partner each
    assert close[close > 2.0].min() > 2.2
    assert spglib.get_spacegroup((atoms.cell.array, atoms.get_scaled_positions(), kinds(atoms))) == "F-43m (216)"


@settings(max_examples=25, deadline=None)
@given(
    eighths=st.integers(0, 8),
    lithium=st.sampled_from(["24g", "48h"]),
    supercell=st.lists(st.integers(1, 2), min_size=3, max_size=3),
)
def test_exchange_keeps_composition_charge_and_symmetry(eighths, lithium, supercell):
    atoms = parent({"exchange": eighths / 8, "lithium": lithium, "supercell": supercell})
    cells = int(np.prod(supercell))
    assert len(atoms) == cells * (52 if lithium == "24g" else 76)
    if eighths % 2 and cells == 1:
        with pytest.raises(StructureError, match="Make the cell 2 times as large"):
            site_counts(atoms)
        return
    totals = Counter()
    for shares in site_counts(atoms).values():
        totals.update(shares)
    assert totals == {"Li": 24 * cells, "P": 4 * cells, "S": 20 * cells, "Cl": 4 * cells}
    # Each site bears an element of its own, and the one with the largest share.
    for symbol, label in zip(atoms.get_chemical_symbols(), atoms.arrays["sites"], strict=True):
        shares = atoms.info["occupancies"][label]
        assert shares[symbol] == max(shares.values())


def test_shares_that_are_not_whole_name_the_smallest_cell_that_makes_them_so():
    atoms = parent({"name": "Li6PS5Cl", "exchange": 0.1})
    with pytest.raises(StructureError, match=r"0\.9 of the 4 4. sites.*Make the cell 5 times as large"):
        site_counts(atoms)
    fifth = parent({"name": "Li6PS5Cl", "exchange": 0.1, "supercell": [5, 1, 1]})
    assert site_counts(fifth)["4a"] == {"Cl": 18, "S": 2}


def test_a_third_may_be_written_with_three_decimals():
    third = {"occupancy": {"Li": 0.333}, "label": "3d"}
    places = [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    sites = [third | {"scaled": place} for place in places] + [CRYSTAL["sites"][1]]
    atoms = parent({"crystal": CRYSTAL | {"sites": sites}})
    assert site_counts(atoms)["3d"] == {"Li": 1}


def test_settings_are_written_out_and_stable():
    full = host_settings("Li6PS5Cl")
    usual = {"a_A": None, "supercell": [1, 1, 1], "charges": {}, "round": False}
    assert full == {"name": "Li6PS5Cl", "lithium": "48h", "exchange": 0.5} | usual
    read = host_settings({"crystal": CRYSTAL, "supercell": (1, 2, 1)})
    assert (read["name"], read["supercell"], read["a_A"]) == ("LiCl", [1, 2, 1], None)
    for once in (full, read):
        assert host_settings(once) == once
        assert json.loads(json.dumps(once)) == once


# -- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symprec", [None, 1e-3])
def test_a_cif_with_partial_and_mixed_occupancies_gives_the_parent_back(tmp_path, symprec):
    wanted = parent(HALF | {"exchange": 0.25})
    crystal = read_crystal(write_cif(disordered(wanted), tmp_path / "host.cif", symprec=symprec))
    assert json.loads(json.dumps(crystal.to_dict())) == crystal.to_dict()
    assert (crystal.name, crystal.source) == ("Li6PS5Cl", "host.cif")
    found = parent({"name": "Li6PS5Cl", "crystal": crystal})
    assert StructureMatcher(primitive_cell=False, scale=False).fit(disordered(found), disordered(wanted))
    # Letters of F-43m that a shift of the origin exchanges aside, the labels are those of the built-in host.
    assert Counter(found.arrays["sites"].tolist())["16e"] == 16
    counts = sorted(map(str, site_counts(found).values()))
    assert counts == sorted(map(str, site_counts(wanted).values()))
    assert found.cell.cellpar() == pytest.approx(wanted.cell.cellpar())


def test_primitive_and_repeated_cells_bear_the_labels_of_the_conventional_one(tmp_path):
    structure = disordered(parent(HALF))
    for other, share in ((structure.get_primitive_structure(), 0.25), (structure * (1, 2, 1), 2)):
        found = parent({"crystal": read_crystal(write_cif(other, tmp_path / "other.cif"))})
        members = Counter(found.arrays["sites"].tolist())
        assert members["48h"] == 48 * share
        assert members["16e"] == 16 * share
        assert sorted(members.values()) == sorted(share * n for n in (48, 16, 4, 4, 4))


def test_orbits_of_one_letter_are_told_apart(tmp_path):
    cell = [[6, 0, 0], [0, 7, 0], [0, 0, 8]]
    places = [[0.1, 0.2, 0.3], [0.6, 0.6, 0.7]]
    structure = Structure(Lattice(cell), ["Li", "Cl"], places)
    labels = [site.label for site in read_crystal(write_cif(structure, tmp_path / "p1.cif")).sites]
    assert len(set(labels)) == 2
    distinct = Structure.from_spacegroup("P2_1/c", Lattice(cell), ["Li", "Li", "O"], [*places, [0.3, 0.4, 0.1]])
    crystal = read_crystal(write_cif(distinct, tmp_path / "p21c.cif"))
    assert Counter(site.label for site in crystal.sites) == {"4e_a": 4, "4e_b": 4, "4e_c": 4}
    for label in ("4e_a", "4e_b", "4e_c"):
        assert len({str(site.occupancy) for site in crystal.sites if site.label == label}) == 1


def test_any_file_of_ase_is_read_with_full_sites(tmp_path):
    write(tmp_path / "salt.vasp", bulk("LiCl", "rocksalt", a=5.13, cubic=True), format="vasp")
    crystal = read_crystal(tmp_path / "salt.vasp")
    assert Counter(site.label for site in crystal.sites) == {"4a": 4, "4b": 4}
    atoms = parent({"crystal": crystal, "a_A": 5.0, "supercell": [2, 1, 1]})
    assert atoms.cell.lengths() == pytest.approx([10, 5, 5])
    assert site_counts(atoms) == {"4a": {"Li": 8}, "4b": {"Cl": 8}} or site_counts(atoms) == {
        "4a": {"Cl": 8}, "4b": {"Li": 8}
    }  # fmt: skip


CIF_HEAD = """data_x
_cell_length_a 5
_cell_length_b 5
_cell_length_c 5
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cl1 Cl .5 .5 .5 1
"""


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.cif", None, "is not a file"),
        ("empty.cif", "", "cannot be read as a crystal"),
        ("prose.cif", "Not a crystal at all.", "cannot be read as a crystal"),
        ("torn.cif", CIF_HEAD[:120], "cannot be read as a crystal"),
        ("noise.xyz", "2\n\nLi 0 0\n", "cannot be read as a structure"),
        ("what.unknown", "1 2 3", "cannot be read as a structure"),
        ("molecule.xyz", molecule, "has no cell"),
        ("above.cif", CIF_HEAD + "Li1 Li 0 0 0 1.4\n", "1.4 should be less than or equal to 1"),
        ("sum.cif", CIF_HEAD + "Li1 Li 0 0 0 0.7\nNa1 Na 0 0 0 0.7\n", r"sums to 1\.4"),
        ("none.cif", CIF_HEAD + "Li1 Li 0 0 0 0.0\n", "Li1.*not understood|greater than"),
        ("twice.cif", CIF_HEAD + "Li1 Li 0 0 0 1\nLi2 Li .1 0 0 1\n", r"both full and 0\.500 Angstrom apart"),
    ],
)
def test_bad_files_are_refused(tmp_path, name, content, words):
    if content is molecule:
        write(tmp_path / name, molecule("LiF"))
    elif content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(StructureError, match=words) as caught:
        read_crystal(tmp_path / name)
    assert caught.value.remedy in str(caught.value)


def replaced(k, **changes):
    """Return the salt with one of its sites changed."""
    sites = list(CRYSTAL["sites"])
    sites[k] = {key: value for key, value in (sites[k] | changes).items() if value is not None}
    return {"crystal": CRYSTAL | {"sites": sites}}


@pytest.mark.parametrize(
    ("host", "field"),
    [
        (None, "host"),
        (["Li6PS5Cl"], "host"),
        ("Li7P3S11", "host.name"),
        ({"name": "Li6PS5Cl", "lithum": "48h"}, "host.lithum"),
        ({"name": "Li6PS5Cl", "lithium": "16e"}, "host.lithium"),
        ({"name": "Li6PS5Cl", "lithium": ["48h"]}, "host.lithium"),
        ({"name": "Li6PS5Cl", "exchange": 1.2}, "host.exchange"),
        ({"name": "Li6PS5Cl", "exchange": float("nan")}, "host.exchange"),
        ({"name": "Li6PS5Cl", "exchange": True}, "host.exchange"),
        ({"name": "Li6PS5Cl", "a_A": -9.8}, "host.a_A"),
        ({"name": "Li6PS5Cl", "a_A": "ten"}, "host.a_A"),
        ({"name": "Li6PS5Cl", "supercell": 2}, "host.supercell"),
        ({"name": "Li6PS5Cl", "supercell": [1, 1]}, "host.supercell[2]"),
        ({"name": "Li6PS5Cl", "supercell": [1, 0, 1]}, "host.supercell[1]"),
        ({"name": "Li6PS5Cl", "supercell": [1, 1.5, 1]}, "host.supercell[1]"),
        ({"crystal": CRYSTAL, "lithium": "48h"}, "host.lithium"),
        ({"crystal": CRYSTAL, "name": 7}, "host.name"),
        ({"crystal": "LiCl.cif"}, "host.crystal"),
        ({"crystal": {"cell": CRYSTAL["cell"]}}, "host.crystal.sites"),
        ({"crystal": CRYSTAL | {"spacegroup": 1}}, "host.crystal.spacegroup"),
        ({"crystal": CRYSTAL | {"cell": [5, 5, 5]}}, "host.crystal.cell[0]"),
        ({"crystal": CRYSTAL | {"cell": "cubic"}}, "host.crystal.cell"),
        ({"crystal": CRYSTAL | {"cell": [[5, 0, 0], [5, 0, 0], [0, 0, 5]]}}, "host.crystal.cell"),
        ({"crystal": CRYSTAL | {"sites": []}}, "host.crystal.sites"),
        ({"crystal": CRYSTAL | {"sites": ["Li"]}}, "host.crystal.sites[0]"),
        (replaced(1, label=None), "host.crystal.sites[1].label"),
        (replaced(1, label=3), "host.crystal.sites[1].label"),
        (replaced(1, label="1a"), "host.crystal.sites[1].occupancy"),
        (replaced(0, occupancy={}), "host.crystal.sites[0].occupancy"),
        (replaced(0, occupancy={"Xx": 1.0}), "host.crystal.sites[0].occupancy.Xx"),
        (replaced(0, occupancy={"Li": 0.8, "Na": 0.4}), "host.crystal.sites[0].occupancy"),
        (replaced(0, occupancy={"Li": "all"}), "host.crystal.sites[0].occupancy.Li"),
        (replaced(0, scaled=[0.1, 0.2]), "host.crystal.sites[0].scaled[2]"),
        (replaced(0, scaled=[0.5, 0.5, 0.4]), "host.crystal.sites"),
        (replaced(0, occupancy={"Li": 0.7}), "host"),
        (replaced(0, occupancy={"U": 1.0}), "host.charges"),
    ],
)
def test_bad_hosts_are_refused(host, field):
    with pytest.raises(StructureError) as caught:
        parent(host)
    assert caught.value.field == field
    assert caught.value.remedy in str(caught.value)
