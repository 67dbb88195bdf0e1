"""The commands on structures: cells as files, checks with numbers, and cells in the database."""

import json

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
"""


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
    assert (report["label"], report["n_atoms"]) == ("Li6PS4OCl#16e-00", len(atoms))
    assert read(files[0]).get_chemical_formula() == atoms.get_chemical_formula()
    assert "failed" not in call("check", *sorted((tmp_path / "cells").glob("*.extxyz")))


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


def test_hosts_dopings_matches_cuts_and_references_are_listed(spec, tmp_path):
    assert "16e      16 sites: S 1" in call("host", "Li6PS5Cl")
    crystals.argyrodite().write(tmp_path / "mine.cif")
    assert "52 sites" in call("host", tmp_path / "mine.cif")
    assert "Choose one of Li6PS5Cl" in call("host", "Li7PS6", code=1)
    assert "33 distinct" in call("dopings", spec)
    assert "1 matches up to 150 A2 and 3 %" in call("matches", "--max-area", 150)
    assert "write them as 110" in call("matches", "--facet", "xyz", code=2)
    assert "dipole_per_area" in call("cuts")
    listed = call("references", "-o", tmp_path / "phases")
    assert all(name in listed for name in crystals.REFERENCE_PHASES)
    assert read(tmp_path / "phases" / "Li2S.cif").get_chemical_formula() == "Li8S4"


def test_stored_cells_have_a_creator(aiida_profile, spec):
    told = call("store", spec, "-c", "Li6PS4OCl#16e-00")
    pk = int(told.split("structure <")[1].split(">")[0])
    node = orm.load_node(pk)
    assert node.creator.inputs.specification["doping"][0]["dopant"] == "O"
    assert audit(node.creator).ok


def test_a_wrong_specification_is_told_before_anything_is_built(tmp_path):
    (tmp_path / "bad.yaml").write_text(SPEC.replace("fraction: 0.25", "fraction: 0.23"))
    assert "dopings[1].fraction" in call("build", tmp_path / "bad.yaml", "-o", tmp_path / "none", code=1)
    assert not (tmp_path / "none").exists()
