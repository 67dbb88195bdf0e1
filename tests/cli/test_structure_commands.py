"""The commands on structures: cells as files, checks with numbers, and cells in the database."""

import json
import re
from pathlib import Path

import pytest
from aiida import orm
from ase.build import bulk
from ase.io import read
from click.testing import CliRunner

from aiida_haml.cli import haml
from aiida_haml.queries import audit
from aiida_haml.structures import crystals

SPEC = """
name: cells
dopings: [pristine, {dopant: O, site: 16e, fraction: 0.25}, {dopant: F, site: 4a, fraction: 0.5, configuration: all}]
interface: {layers: 1}
demonstration: true
"""

CRYSTALS = Path(__file__).parents[1] / "data" / "crystals"


def call(*words, code=0):
    result = CliRunner().invoke(haml, ["structure", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def test_cells_are_written_with_pictures_and_reports_and_pass_their_checks(spec, tmp_path):
    told = call("build", spec, "-o", tmp_path / "cells", "--picture", "svg")
    assert "wrote 3 cells" in told
    files = sorted((tmp_path / "cells").glob("001_*"))
    assert [path.suffix for path in files] == [".cif", ".extxyz", ".json", ".svg"]
    report = json.loads(files[2].read_text())
    atoms = read(files[1])
    assert (report["label"], report["n_atoms"]) == ("Li6PS4OCl#16e-s00", len(atoms))
    assert read(files[0]).get_chemical_formula() == atoms.get_chemical_formula()
    files = sorted((tmp_path / "cells").glob("*.extxyz"))
    assert "failed" not in call("check", "--demonstration", *files)
    assert "results need 1.5" in call("check", files[0], code=1)
    assert "metal 0.0 A, 0.25 of what can be taken up (too little for results)" in told


def test_chosen_cells_alone_are_built_and_unknown_ones_are_named(spec, tmp_path):
    assert "wrote 1 cells" in call("build", spec, "-o", tmp_path / "one", "-c", "Li6PS5Cl")
    assert "Li6PS5Cl2 is not made by the specification" in call("build", spec, "-c", "Li6PS5Cl2", code=1)


def test_a_cell_that_should_not_be_simulated_fails_its_check_with_numbers(tmp_path):
    squeezed = crystals.argyrodite()
    squeezed.positions[0] = squeezed.positions[1] + [0.5, 0, 0]
    squeezed.write(tmp_path / "bad.extxyz")
    told = call("check", tmp_path / "bad.extxyz", code=1)
    assert "0.500 Angstrom apart" in told
    assert "1 check failed" in told
    assert "cannot be read" in call("check", __file__, code=1)


def test_a_file_is_drawn(tmp_path):
    bulk("Li", cubic=True).repeat(3).write(tmp_path / "li.cif")
    call("draw", tmp_path / "li.cif", tmp_path / "li.png")
    assert (tmp_path / "li.png").read_bytes().startswith(b"\x89PNG")
    assert "suffix of a picture" in call("draw", tmp_path / "li.cif", tmp_path / "li.txt", code=1)


def test_hosts_dopings_and_references_are_listed(spec, tmp_path):
    assert "16e      16 sites: S 1" in call("host", "Li6PS5Cl")
    crystals.argyrodite().write(tmp_path / "mine.cif")
    told = call("host", tmp_path / "mine.cif")
    assert "52 sites" in told
    assert "oxidation states: Cl 1-, S 2-, P 5+, Li 1+ assumed" in told
    assert "Did you mean 'Li6PS5Cl'" in call("host", "Li7PS6", code=1)
    assert "33 distinct" in call("dopings", spec)
    listed = call("references", "-o", tmp_path / "phases")
    for name, role, conducts in (
        ("Li", "metal", "electrons"), ("Li6PS5Cl", "electrolyte", "ions"), ("Li3PO4", "thiophosphate", "ions"),
        ("LiP", "intermediate", "both"), ("LiBr", "product", "ions"), ("Li2CO3", "product", "ions"),
        ("Li2S solid solution", "product", "ions"), ("amorphous products", "product", "ions"),
    ):  # fmt: skip
        assert re.search(rf"^ *{name}  +{role}  +{conducts}  ", listed, re.MULTILINE), (name, listed)
    assert "Wyckoff" in listed
    assert read(tmp_path / "phases" / "Li2S.cif").get_chemical_formula(empirical=True) == "Li2S"


def test_a_name_a_file_and_a_specification_are_taken_everywhere(spec, tmp_path):
    """The list that interface.cut and interface.match number is seen for a host of one's own too."""
    crystals.argyrodite().write(tmp_path / "mine.cif")
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "name: x\nhost: {file: mine.cif}\ndopings: [pristine]\ninterface: {electrolyte_facet: 1-10, facet: 110}\n"
    )
    for what in ("Li6PS5Cl", tmp_path / "mine.cif", spec, mine):
        assert "sites, cell" in call("host", what)
        assert "non-polar" in call("cuts", what)
        assert "matches up to 150 A2 and 3 %" in call("matches", what, "--max-area", 150)
        call("check", what)
        call("draw", what, tmp_path / "picture.png")
    assert "of (1-10) for interface.cut" in call("cuts", mine)
    assert "of (1-10)" in call("cuts", "--electrolyte-facet", "1-10")
    assert "0  non-polar, through a plane of Cl0.5S0.5" in call("cuts")
    assert len(list(tmp_path.glob("picture_*.png"))) == 3  # one for each cell of the specification


def test_the_same_facets_are_taken_and_refused_as_in_a_specification():
    assert "210" in call("cuts", "--electrolyte-facet", "210")
    assert "is not one of 100, 110, 111" in call("matches", "--facet", "211", code=1)
    assert "is not a lattice plane" in call("matches", "--facet", "xyz", code=1)
    assert "interface.max_strain: 0.5" in call("matches", "--max-strain", "0.5", code=1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["check", "half_li.cif"], "Li 0.5 at 48 sites; a cell with partial occupancies is no cell"),
        (["draw", "mixed.cif", "x.png"], "Cl 0.375 and S 0.625 at 4 sites"),
        (["host", "water.cif"], "names site Wat (OH2), which was not understood: 3 sites in the file, 2 read"),
        (["check", "nocell.xyz"], "cell: failed"),
        (["check", "structure.data"], "--format lammps-data"),
        (["check", "structure.data", "--format", "lammps-data"], "--elements 'Li P S'"),
        (["check", "li3p.cif", "--reach", "-5"], "reach: -5.0 is no distance"),
        (["check", "li3p.cif", "--reach", "nan"], "reach: nan is no distance"),
        (["check", "nowhere.cif"], "is not a file"),
        (["host", "refined.cif"], "host: {round: true}, in this cell to"),
    ],
)
def test_files_that_cannot_be_meant_are_refused_with_a_remedy(words, told):
    words = [str(CRYSTALS / word) if "." in word and not word.startswith("x") else word for word in words]
    assert told in call(*words, code=1)


def test_files_of_other_people_are_shown_with_what_was_assumed(tmp_path):
    told = call("host", CRYSTALS / "li3p.cif")
    assert "! oxidation states: P 3-, Li 1+ from the file" in told
    told = call("host", CRYSTALS / "bromide.cif")
    assert "17 times as large" in told
    assert "round it with host: {round: true}" in told
    told = call("check", CRYSTALS / "structure.data", "--format", "lammps-data", "--elements", "Li")
    assert "54 atoms" in told
    crystals.argyrodite().write(tmp_path / "run.extxyz")
    crystals.argyrodite().write(tmp_path / "run.extxyz", append=True)
    assert "run.extxyz, frame 2 of 2" in call("check", tmp_path / "run.extxyz")


def test_seeds_make_other_cells_of_one_label(tmp_path):
    (tmp_path / "spec.yaml").write_text("name: x\ndopings: [pristine]\nreplicates: 2\n")
    call("build", tmp_path / "spec.yaml", "-o", tmp_path / "cells", "-s", 1, "-s", 2)
    first, second = (read(path) for path in sorted((tmp_path / "cells").glob("*.extxyz")))
    assert first.get_chemical_formula() == second.get_chemical_formula()
    assert first.positions.tobytes() != second.positions.tobytes()
    told = call("check", tmp_path / "spec.yaml")
    assert "! replicates: 2; 3 or more are recommended" in told
    assert "reservoir: passed" in told


def test_the_schema_is_printed():
    result = CliRunner().invoke(haml, ["screen", "schema"])
    assert result.exit_code == 0
    assert json.loads(result.output)["properties"]["replicates"]["minimum"] == 1


def test_stored_cells_have_a_creator(aiida_profile, spec):
    told = call("store", spec, "-c", "Li6PS4OCl#16e-s00")
    pk = int(told.split("structure <")[1].split(">")[0])
    node = orm.load_node(pk)
    assert node.creator.inputs.specification["doping"][0]["dopant"] == "O"
    assert audit(node.creator).ok


def test_a_wrong_specification_is_told_before_anything_is_built(tmp_path):
    (tmp_path / "bad.yaml").write_text(SPEC.replace("fraction: 0.25", "fraction: 0.23"))
    assert "dopings[1].fraction" in call("build", tmp_path / "bad.yaml", "-o", tmp_path / "none", code=1)
    assert not (tmp_path / "none").exists()
