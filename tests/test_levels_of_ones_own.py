"""A level of theory of one's own: merged, hashed, and refused where it would do more than decide a label."""

import pytest
from aiida import orm
from aiida.plugins import DataFactory, GroupFactory
from click.testing import CliRunner

from aiida_haml.calculations.cp2k_input import build_parameters
from aiida_haml.calculations.levels import CP2K_DATA, elements_of_level, pin, theory_key
from aiida_haml.cli import haml
from aiida_haml.frames import Frames
from aiida_haml.spec import SpecError, parse_spec
from aiida_haml.spec.cp2k_keywords import check_theory
from aiida_haml.workchains.protocols import level_of_theory

SPEC = "name: own\ndopings: [pristine]\nlevel_of_theory: {{preset: pbe-dzvp, theory: {}}}\n"
#: Cutoff, k-points, dispersion and spin, as one writes them for production.
PRODUCTION = """{DFT: {MGRID: {CUTOFF: 700}, KPOINTS: {SCHEME: MONKHORST-PACK 2 2 1}, UKS: true, MULTIPLICITY: 1,
 XC: {VDW_POTENTIAL: {POTENTIAL_TYPE: PAIR_POTENTIAL, PAIR_POTENTIAL: {TYPE: DFTD3(BJ), REFERENCE_FUNCTIONAL: PBE,
  PARAMETER_FILE_NAME: dftd3.dat, R_CUTOFF: 12.0}}}, SCF: {SMEAR: {ELECTRONIC_TEMPERATURE: '[K] 300'}}}}"""


def theory_of(spec):
    return level_of_theory(spec.level_name, spec.theory)["theory"]["DFT"]


def test_keywords_are_merged_over_the_preset():
    spec = parse_spec(SPEC.format(PRODUCTION))
    theory, preset = theory_of(spec), level_of_theory("pbe-dzvp")["theory"]["DFT"]
    assert theory["MGRID"] == {**preset["MGRID"], "CUTOFF": 700}
    assert theory["XC"]["XC_FUNCTIONAL"] == preset["XC"]["XC_FUNCTIONAL"]
    assert theory["SCF"]["SMEAR"] == {**preset["SCF"]["SMEAR"], "ELECTRONIC_TEMPERATURE": "[K] 300"}
    assert level_of_theory("pbe-dzvp")["theory"]["DFT"] == preset, "the preset stays what it was"


def test_what_decides_a_label_decides_the_key():
    cutoffs = [f"{{DFT: {{MGRID: {{CUTOFF: {cutoff}}}}}}}" for cutoff in (500, 600, 700)]
    keys = {theory_key(level_of_theory("pbe-dzvp", parse_spec(SPEC.format(own)).theory)) for own in cutoffs}
    assert len(keys) == 3
    assert theory_key(level_of_theory("pbe-dzvp")) in keys, "what is said to be as the preset has it is the preset"


def test_an_atom_alone_has_neither_the_cells_k_points_nor_its_spin():
    theory = level_of_theory("pbe-dzvp", parse_spec(SPEC.format(PRODUCTION)).theory)["theory"]
    atom = Frames(numbers=[8], positions=[[[0, 0, 0]]], cells=[[[9, 0, 0], [0, 9, 0], [0, 0, 9]]], pbc=[True] * 3)
    dft = build_parameters(atom, theory, {}, {}, True, None)["FORCE_EVAL"]["DFT"]
    assert not {"KPOINTS", "UKS"} & set(dft)
    assert (dft["LSD"], dft["MULTIPLICITY"], dft["MGRID"]["CUTOFF"]) == (True, 3, 700)


@pytest.mark.parametrize(
    ("theory", "field", "told"),
    [
        ("{DFT: {MGRID: {CUTOF: 600}}}", "DFT.MGRID.CUTOF", "Did you mean 'CUTOFF'?"),
        ("{dft: {}}", "dft", "in capitals"),
        ("{DFT: {MGRID: 600}}", "DFT.MGRID", "is a section of CP2K"),
        ("{DFT: {MGRID: {CUTOFF: high}}}", "DFT.MGRID.CUTOFF", "Give a number"),
        ("{DFT: {MGRID: {CUTOFF: .nan}}}", "DFT.MGRID.CUTOFF", "is no number"),
        ("{DFT: {MGRID: {NGRIDS: 4.5}}}", "DFT.MGRID.NGRIDS", "Give a whole number"),
        ("{DFT: {UKS: perhaps}}", "DFT.UKS", "Give true or false"),
        ("{DFT: {LSD: true}}", "DFT.LSD", "is no section or keyword"),
        ("{STRESS_TENSOR: ANALYTIC}", "STRESS_TENSOR", "Did you mean 'ANALYTICAL'?"),
        ("{DFT: {SCF: {OT: {MINIMIZER: DIIS}}}}", "DFT.SCF.OT", "how the SCF converges"),
        ("{DFT: {SCF: {SCF_GUESS: RESTART}}}", "DFT.SCF.SCF_GUESS", "how the SCF converges"),
        # What includes, reads or writes files, or reaches beyond its own line.
        ("{'@INCLUDE': /etc/passwd}", "@INCLUDE", "no part of a level of theory"),
        ("{DFT: {'@INCLUDE': /etc/passwd}}", "DFT.@INCLUDE", "is no section or keyword"),
        ("{DFT: {'@SET': x}}", "DFT.@SET", "is no section or keyword"),
        ('{DFT: {MULTIPLICITY: "1\\n@INCLUDE x"}}', "DFT.MULTIPLICITY", "is no number, switch or short word"),
        ("{DFT: {MULTIPLICITY: '${HOME}'}}", "DFT.MULTIPLICITY", "is no number, switch or short word"),
        ("{DFT: {MULTIPLICITY: '1 &END DFT'}}", "DFT.MULTIPLICITY", "is no number, switch or short word"),
        ("{DFT: {BASIS_SET_FILE_NAME: BASIS_MOLOPT}}", "DFT.BASIS_SET_FILE_NAME", "reads or writes files"),
        ("{DFT: {WFN_RESTART_FILE_NAME: x.wfn}}", "DFT.WFN_RESTART_FILE_NAME", "reads or writes files"),
        ("{DFT: {PRINT: {E_DENSITY_CUBE: {}}}}", "DFT.PRINT", "reads or writes files"),
        ("{SUBSYS: {COORD: {}}}", "SUBSYS", "no part of a level of theory"),
        ("{kinds: {Li: {}}}", "kinds", "no part of a level of theory"),
        (
            "{DFT: {XC: {VDW_POTENTIAL: {PAIR_POTENTIAL: {PARAMETER_FILE_NAME: /tmp/mine.dat}}}}}",
            "DFT.XC.VDW_POTENTIAL.PAIR_POTENTIAL.PARAMETER_FILE_NAME",
            "dftd3.dat",
        ),
        (
            "{DFT: {XC: {VDW_POTENTIAL: {PAIR_POTENTIAL: {PARAMETER_FILE_NAME: ../dftd3.dat}}}}}",
            "DFT.XC.VDW_POTENTIAL.PAIR_POTENTIAL.PARAMETER_FILE_NAME",
            "dftd3.dat",
        ),
    ],
)
def test_what_is_wrong_or_more_than_a_value_is_refused_with_its_place(theory, field, told):
    with pytest.raises(SpecError) as caught:
        parse_spec(SPEC.format(theory))
    (problem,) = caught.value.problems
    assert problem.path == f"level_of_theory.theory.{field}"
    assert told in str(problem)


@pytest.mark.parametrize("name", ["gfn1-xtb", "pbe-szv", "pbe-dzvp"])
def test_every_preset_would_pass(name):
    """What is checked against is CP2K's own description, so that it refuses nothing that is known to run."""
    check_theory(level_of_theory(name)["theory"])


@pytest.mark.parametrize(
    ("level", "told"),
    [("{preset: chgnet, theory: {}}", "preset"), ("{theory: {}}", "preset")],
)
def test_it_starts_from_a_preset_of_cp2k(level, told):
    with pytest.raises(SpecError, match=f"level_of_theory.{told}"):
        parse_spec(f"name: own\ndopings: [pristine]\nlevel_of_theory: {level}\n")


# -- basis sets and pseudopotentials -----------------------------------------------------------------------

OWN = "name: own\ndopings: [pristine]\nlevel_of_theory: {{preset: pbe-dzvp, {}}}\n"


def level_of(text):
    spec = parse_spec(OWN.format(text))
    return level_of_theory(spec.level_name, spec.theory, spec.gaussians)


@pytest.fixture
def groups(aiida_profile_clean):
    """A function that puts basis sets and pseudopotentials of some elements into groups of a label."""

    def fill(label, elements):
        for kind, file in (("basisset", "BASIS_MOLOPT"), ("pseudo", "GTH_POTENTIALS")):
            with (CP2K_DATA / file).open() as handle:
                nodes = DataFactory(f"gaussian.{kind}").from_cp2k(
                    handle, filters={"element": lambda e: e in elements}, duplicate_handling="new"
                )
            group = GroupFactory(f"gaussian.{kind}")(label=label).store()
            group.add_nodes([node.store() for node in nodes])

    return fill


def test_a_larger_basis_of_one_element_is_another_level(aiida_profile):
    larger, _ = pin(level_of("kinds: {S: {basis: TZVP-MOLOPT-GTH}}"))
    same, nodes = pin(level_of("kinds: {S: {basis: DZVP-MOLOPT-SR-GTH}}"))
    preset, _ = pin(level_of_theory("pbe-dzvp"))
    assert theory_key(same) == theory_key(preset)
    assert theory_key(larger) != theory_key(preset)
    assert larger["theory"]["kinds"]["P"] == preset["theory"]["kinds"]["P"]
    assert "DZVP-MOLOPT-SR-GTH" in nodes["basissets"]["S"].aliases


def test_an_element_that_the_preset_has_not_may_be_added(aiida_profile):
    assert "Si" not in elements_of_level(level_of_theory("pbe-dzvp"))
    added = level_of("kinds: {Si: {basis: DZVP-MOLOPT-SR-GTH, pseudo: GTH-PBE-q4}}")
    assert {"Si", "Li"} <= set(elements_of_level(added))
    assert "Si" not in elements_of_level(level_of("kinds: {Si: {basis: DZVP-MOLOPT-SR-GTH}}")), "half is nothing"


def test_a_group_of_the_database_takes_the_place_of_the_data_folder(groups, tmp_path):
    """The same content is the same level, wherever it lies; CP2K need not be installed where one submits."""
    groups("mine", ["Li", "P", "S", "Cl"])
    level = level_of("basis_group: mine, pseudo_group: mine")
    assert elements_of_level(level, tmp_path) == ("Cl", "Li", "P", "S")
    pinned, nodes = pin(level, tmp_path)
    whole, _ = pin(level_of_theory("pbe-dzvp"))
    assert pinned["theory"]["kinds"] == {e: whole["theory"]["kinds"][e] for e in ("Cl", "Li", "P", "S")}
    assert all(node.is_stored for by in nodes.values() for node in by.values())
    with pytest.raises(ValueError, match="import FILE -G nobodys"):
        pin(level_of("basis_group: nobodys"))


def test_what_a_group_lacks_is_told_before_anything_is_submitted(groups, tmp_path):
    groups("mine", ["Li", "P", "S"])
    (tmp_path / "cp2k.psmp").write_text("#!/bin/sh\n")
    CliRunner().invoke(haml, ["setup", "--cp2k", str(tmp_path / "cp2k.psmp")], catch_exceptions=False)
    before = orm.QueryBuilder().append(orm.Node).count()
    for text, told in (
        ("basis_group: mine", "Cl has no basis at the level of theory pbe-dzvp"),
        ("basis_group: nobodys", "level_of_theory: 'pbe-dzvp' is refused: No group 'nobodys' holds any"),
    ):
        (tmp_path / "spec.yaml").write_text(OWN.format(text))
        result = CliRunner().invoke(haml, ["screen", "submit", "--dry-run", str(tmp_path / "spec.yaml")])
        assert result.exit_code == 1
        assert told in result.output
    assert orm.QueryBuilder().append(orm.Node).count() == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kinds: {Xx: {basis: SZV}}", "'Xx', which is no element"),
        ("kinds: {Li: {bases: SZV}}", "bases"),
    ],
)
def test_kinds_that_are_none_are_refused(text, told):
    with pytest.raises(SpecError, match=told):
        parse_spec(OWN.format(text))


def test_a_level_without_basis_sets_takes_none():
    with pytest.raises(SpecError, match="has no basis sets"):
        parse_spec("name: own\ndopings: [pristine]\nlevel_of_theory: {preset: gfn1-xtb, basis_group: mine}\n")
