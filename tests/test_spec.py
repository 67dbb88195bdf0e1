"""A screen's specification: what it expands to, and that each kind of mistake is named with its remedy."""

import json
from pathlib import Path

import pytest
import yaml

from aiida_haml.analysis.ranking.metrics import METRICS
from aiida_haml.analysis.references.phases import reference_phases
from aiida_haml.spec import ScreenSpec, SpecError, load_spec, parse_spec
from aiida_haml.spec.fields import _slugs
from aiida_haml.structures import crystals
from aiida_haml.structures.host.settings import KnownHost
from aiida_haml.structures.interface import SolidInterface
from aiida_haml.workchains.screen_settings import screen_settings
from tests.library import LIBRARY

EXAMPLES = Path(__file__).parents[1] / "examples"
CRYSTALS = Path(__file__).parent / "data" / "crystals"

GOOD = """
name: good
dopings: [pristine, {dopant: O, site: 16e, fraction: 0.25}]
"""


def doping(**changes):
    content = {"dopant": "O", "site": "16e", "fraction": 0.25, **changes}
    inside = ", ".join(f"{key}: {value}" for key, value in content.items())
    return f"name: x\ndopings: [{{{inside}}}]\n"


def codoping(second, **changes):
    content = ", ".join(f"{key}: {value}" for key, value in changes.items())
    first = "{dopant: O, site: 16e, fraction: 0.25}"
    return f"name: x\ndopings: [{{together: [{first}, {second}]{', ' if content else ''}{content}}}]\n"


def liquid(interface="", **changes):
    content = {"solvents": "{DME: 1}", "salt": "LiFSI", **changes}
    inside = ", ".join(f"{key}: {value}" for key, value in content.items() if value is not None)
    return f"name: x\nelectrolytes: [{{{inside}}}]\n{interface}"


#: What is broken, the text, and what the message has to say: field, then value, then remedy.
BROKEN = {
    "wrong element": (doping(dopant="Xx"), ["dopings[0].dopant", "'Xx'"]),
    "cation for an anion": (doping(dopant="Mg"), ["dopings[0].site", "'16e'", "Mg is a cation", "48h (Li)"]),
    "negative fraction": (doping(fraction=-0.25), ["dopings[0].fraction", "-0.25", "greater than 0"]),
    "fraction above one": (doping(fraction=1.5), ["dopings[0].fraction", "1.5", "less than or equal to 1"]),
    "fraction of a site": (doping(fraction=0.23), ["dopings[0].fraction", "0.23", "supercell"]),
    "unknown site": (doping(site="99z"), ["dopings[0].site", "'99z'", "16e"]),
    "aliovalent": (doping(site="4a"), ["dopings[0].compensation", "aliovalent", "interstitials"]),
    "needless compensation": (doping(compensation="vacancies"), ["compensation", "vacancies"]),
    "unknown compensation": (doping(compensation="holes"), ["dopings[0].compensation", "'holes'", "vacancies"]),
    "no such configuration": (doping(configuration=99), ["dopings[0].configuration", "99", "0 to 32"]),
    "configuration in words": (doping(configuration="some"), ["dopings[0].configuration", "'some'", "`all`"]),
    "negative configuration": (doping(configuration=-1), ["dopings[0].configuration", "from 0 on"]),
    "no samples": (doping(configuration="{sample: 0}"), ["dopings[0].configuration.sample", "or equal to 1"]),
    "co-doping that overlaps": (codoping("{dopant: Se, site: 16e, fraction: 0.9}"), ["dopings[0]", "fraction"]),
    "co-doping, second one wrong": (
        codoping("{dopant: F, site: 4a, fraction: 0.3}"),
        ["dopings[0].together[1].fraction"],
    ),
    "co-doping of one": ("name: x\ndopings: [{together: []}]\n", ["dopings[0].together", "at least 2"]),
    "unknown key": (GOOD + "protocl: quick\n", ["protocl", "Did you mean 'protocol'?"]),
    "unknown key inside": (GOOD + "interface: {layer: 3}\n", ["interface.layer", "Did you mean 'layers'?"]),
    "no name": ("dopings: [pristine]\n", ["name", "required"]),
    "no dopings": ("name: x\ndopings: []\n", ["dopings", "at least 1 item"]),
    "solids and liquids": (GOOD + "electrolytes: [{solvents: {DME: 1}}]\n", ["electrolytes", "Make two files"]),
    "own cells beside dopings": (GOOD + "cells: [{name: x, file: nowhere.extxyz}]\n", ["cells[0].file", "nowhere"]),
    "unknown host": (GOOD + "host: Li6PS5Br2\n", ["host.name", "Li6PS5Br2", "Li6PS5Cl"]),
    "too little metal": (GOOD + "interface: {layers: 2}\n", ["interface.layers: 2", "0.50", "demonstration"]),
    "metal too thin": (liquid("interface: {layers: 4}\n"), ["interface.layers: 4", "5.3 Angstrom", "demonstration"]),
    "reference with disorder": (
        GOOD + f"references: ['{CRYSTALS / 'mixed.cif'}']\n",
        ["references[0].file", "mixed.cif", "full sites", "ordered cell"],
    ),
    "reference that cannot form": (
        GOOD + f"references: ['{LIBRARY / 'LiBr.cif'}']\n",
        ["references[0]", "Br", "no candidate"],
    ),
    "reference of the library's name": (
        GOOD + f"references: ['{CRYSTALS / 'li3p.cif'}']\n",
        ["references", "Two reference phases are called Li3P", "`name`"],
    ),
    "reference that is no file": (GOOD + "references: [nowhere.cif]\n", ["references[0].file", "nowhere.cif"]),
    "reference of no role": (
        GOOD + f"references: [{{file: '{CRYSTALS / 'li3p.cif'}', role: friend}}]\n",
        ["references[0].role", "'friend'", "intermediate"],
    ),
    "cut that is not there": (GOOD + "interface: {cut: 99}\n", ["interface.cut", "99", "non-polar"]),
    "lattice of neither kind": (GOOD + "lattice: guessed\n", ["lattice", "'guessed'", "relaxed"]),
    "replicates and seeds": (GOOD + "seeds: [1, 2]\nreplicates: 3\n", ["replicates: 3", "one of the two"]),
    "host's file missing": (GOOD + "host: {file: nowhere.cif}\n", ["host.file", "nowhere.cif"]),
    "exchange above one": (GOOD + "host: {exchange: 1.5}\n", ["host.exchange", "1.5", "0 to 1"]),
    "supercell of nothing": (GOOD + "host: {supercell: [1, 1, 0]}\n", ["host.supercell[2]", "0"]),
    "code without computer": (GOOD + "codes: {cp2k: cp2k}\n", ["codes.cp2k", "'cp2k'", "cp2k@localhost"]),
    "bad protocol": (GOOD + "protocol: quik\n", ["protocol", "'quik'", "Did you mean 'quick'?"]),
    "bad level of theory": (GOOD + "level_of_theory: b3lyp\n", ["level_of_theory", "'b3lyp'", "gfn1-xtb"]),
    "bad teacher": (
        GOOD + "level_of_theory: {teacher: {calculator: ase.EMT}}\n",
        ["level_of_theory.teacher.calculator", "'ase.EMT'", "module:Class"],
    ),
    "foreign teacher": (
        GOOD + "level_of_theory: {teacher: {calculator: 'subprocess:Popen', parameters: {args: 'touch proof'}}}\n",
        ["level_of_theory.teacher.calculator", "'subprocess:Popen'", "trusted_calculators"],
    ),
    "duplicate candidates": ("name: x\ndopings: [pristine, null]\n", ["dopings[1]", "duplicate", "dopings[0]"]),
    "duplicate seeds": (GOOD + "seeds: [1, 1]\n", ["seeds", "repeats 1", "duplicate"]),
    "negative weight": (GOOD + "weights: {consumed: -1}\n", ["weights.consumed", "-1", "greater"]),
    "unknown weight": (GOOD + "weights: {consmed: 1}\n", ["weights.consmed", "Did you mean 'consumed'?"]),
    "no weight at all": (GOOD + f"weights: {dict.fromkeys(METRICS, 0)}\n", ["weights", "nothing could be ranked"]),
    "unreadable YAML": (GOOD + "seeds: [1\n", ["not valid YAML", "line"]),
    "key given twice": (GOOD + "name: again\n", ["'name' is given twice", "line 4"]),
    "not a mapping": ("- pristine\n", ["a list", "examples/quick_screen.yaml"]),
    "empty": ("", ["nothing", "examples/quick_screen.yaml"]),
    "negative temperature": (GOOD + "temperature_K: -300\n", ["temperature_K", "-300", "greater than 0"]),
    "temperature in words": (GOOD + "temperature_K: [300, hot]\n", ["temperature_K[1]", "'hot'", "in K"]),
    "infinite temperature": (GOOD + "temperature_K: .inf\n", ["temperature_K", "finite"]),
    "number for a switch": (GOOD + "max_in_flight: true\n", ["max_in_flight", "True", "valid integer"]),
    "strain out of reach": (GOOD + "interface: {max_strain: 1.0e-9}\n", ["interface.max_strain"]),
    "facet that is none": (GOOD + "interface: {electrolyte_facet: abc}\n", ["interface.electrolyte_facet", "abc"]),
    "area beside a solid": (GOOD + "interface: {area_A2: 100}\n", ["interface.area_A2", "the fields are"]),
    "strain beside a liquid": (liquid("interface: {max_strain: 0.02}\n"), ["interface.max_strain", "the fields are"]),
    "unknown solvent": (liquid(solvents="{DMME: 1}"), ["electrolytes[0].solvents.DMME", "DME"]),
    "unknown salt": (liquid(salt="LiFSA"), ["electrolytes[0].salt", "LiFSA", "LiFSI"]),
    "molarity without salt": (liquid(salt=None, molarity_M=1.0), ["electrolytes[0].molarity_M", "without a salt"]),
    "SMILES that is none": (
        liquid(solvents="{MINE: 1}", molecules="{MINE: {smiles: 'C(((', density: 1.0}}"),
        ["electrolytes[0].molecules.MINE", "C((("],
    ),
    "no parts": (liquid(solvents="{}"), ["electrolytes[0].solvents", "at least 1"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_each_mistake_is_named_with_its_field_and_remedy(case):
    text, wanted = BROKEN[case]
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    assert len(caught.value.problems) == 1, str(caught.value)
    for part in wanted:
        assert part in str(caught.value)


def test_all_mistakes_are_listed_at_once():
    text = "name: x\ndopings: [{dopant: O, site: 16e, fraction: -1}]\nprotocol: slow\nseeds: [-1]\n"
    with pytest.raises(SpecError) as caught:
        parse_spec(text, "mine.yaml")
    assert [p.path for p in caught.value.problems] == ["dopings[0].fraction", "seeds[0]", "protocol"]
    assert str(caught.value).startswith("mine.yaml: 3 problems\n")


def test_missing_file_is_a_problem_like_any_other(tmp_path):
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda p: p.stem)
def test_examples_are_good(path):
    assert load_spec(path).candidates()


def test_the_full_example_names_every_field_of_a_screen_of_solids():
    elsewhere = {"electrolytes", "cells", "seeds"}
    named = yaml.safe_load((EXAMPLES / "full.yaml").read_text())
    assert set(named) == set(ScreenSpec.model_fields) - elsewhere
    assert set(named["host"]) == set(KnownHost.model_fields)
    assert set(named["interface"]) == set(SolidInterface.model_fields)


def test_candidates_are_every_combination_in_order_with_labels_that_links_allow():
    from aiida.common.links import validate_link_label

    spec = parse_spec(GOOD + "temperature_K: [300, 312.5]\nseeds: [3, 1]\n")
    candidates = spec.candidates()
    assert candidates == spec.candidates()
    combinations = [(c["structure"]["doping"], c["temperature_K"], c["seed"]) for c in candidates.values()]
    assert all(c["structure"]["seed"] == c["seed"] for c in candidates.values())  # a seed draws the structure too
    oxygen = [{"dopant": "O", "site": "16e", "fraction": 0.25}]
    assert combinations == [(d, t, s) for d in (None, oxygen) for t in (300.0, 312.5) for s in (3, 1)]
    for slug in candidates:
        assert validate_link_label(slug) is None
        assert "__" not in slug  # AiiDA's separator of namespaces


def test_another_order_and_more_of_them_change_no_candidate():
    """What was computed for one list of dopings is found again for another one that holds it."""
    selenium = "{dopant: Se, site: 16e, fraction: 0.25}"
    oxygen = "{dopant: O, site: 16e, fraction: 0.25}"
    one = parse_spec(f"name: a\ndopings: [pristine, {oxygen}]\n").candidates()
    other = parse_spec(f"name: b\ndopings: [{selenium}, {oxygen}, pristine]\nreplicates: 2\n").candidates()
    assert len(other) == 6
    assert {slug: other[slug] for slug in one} == one


def test_names_that_punctuation_alone_tells_apart_are_told_apart():
    slugs = _slugs(["LiF 1.5 M", "LiF-1.5-M", "LiCl", "1 M LiF"])
    assert len(set(slugs.values())) == 4
    assert slugs["LiCl"] == "LiCl"
    assert slugs["1 M LiF"] == "c1_M_LiF"  # as a label of a link begins with a letter
    assert slugs["LiF 1.5 M"] == _slugs(["LiF-1.5-M", "LiF 1.5 M"])["LiF 1.5 M"]


def test_seeds_of_one_candidate_share_its_label():
    candidates = parse_spec(GOOD + "seeds: [1, 2]\n").candidates()
    labels = [c["label"] for c in candidates.values()]
    assert labels[0] == labels[1] != labels[2] == labels[3]


def test_structures_are_what_the_builders_take():
    from aiida_haml.structures.candidates import validate

    for candidate in parse_spec(GOOD + "interface: {facet: 110, max_strain: 0.1}\n").candidates().values():
        assert validate(candidate["structure"]) == candidate["structure"] | {
            "doping": candidate["structure"]["doping"] or []
        }
        assert candidate["structure"]["interface"]["facet"] == "110"


def test_all_configurations_are_every_distinct_one():
    spec = parse_spec(doping(fraction=0.125, configuration="all"))
    configurations = [c["structure"]["configuration"] for c in spec.candidates().values()]
    assert len(configurations) > 1
    assert configurations == list(range(len(configurations)))
    with pytest.raises(SpecError, match=f"0 to {len(configurations) - 1}"):
        parse_spec(doping(fraction=0.125, configuration=len(configurations)))


def test_level_of_theory_is_a_preset_or_a_chosen_teacher():
    assert parse_spec(GOOD).level_name == "gfn1-xtb"
    assert parse_spec(GOOD).theory is None
    spec = parse_spec(GOOD + "level_of_theory: {teacher: {calculator: 'ase.calculators.emt:EMT'}}\n")
    assert spec.level_name == "teacher"
    assert spec.theory == {"calculator": "ase.calculators.emt:EMT", "parameters": {}}


def test_lists_are_swept_and_co_dopings_stand_together():
    text = """
name: sweep
dopings:
  - {dopant: [O, Se], site: 16e, fraction: [0.25, 0.5], configuration: {sample: 2}}
  - {together: [{dopant: O, site: 16e, fraction: 0.25}, {dopant: F, site: 4a, fraction: 0.5}], configuration: sqs}
"""
    structures = list(parse_spec(text).structures())
    swept = [(s["doping"][0]["dopant"], s["doping"][0]["fraction"], s["configuration"]) for s in structures[:-1]]
    samples = [{"sample": 0}, {"sample": 1}]
    assert swept == [(d, f, c) for d in ("O", "Se") for f in (0.25, 0.5) for c in samples]
    assert [s["dopant"] for s in structures[-1]["doping"]] == ["O", "F"]
    assert structures[-1]["configuration"] == "sqs"


def test_liquids_take_the_place_of_dopings():
    text = """
name: wet
electrolytes: [{solvents: {DME: 1}, salt: LiFSI}, {solvents: {EC: 1, DMC: 1}, salt: LiPF6, molarity_M: 1.2}]
level_of_theory: teacher
"""
    spec = parse_spec(text)
    labels = [candidate["label"] for candidate in spec.candidates().values()]
    assert len(set(labels)) == 2
    assert "LiFSI" in labels[0]
    assert spec.elements() == ["C", "F", "H", "Li", "N", "O", "P", "S"]
    assert "toy_molecules" in spec.theory["calculator"]


def test_files_are_read_and_their_content_kept(tmp_path):
    """A specification is whole without the files that it was made of."""
    crystals.argyrodite().write(tmp_path / "mine.cif")
    path = tmp_path / "spec.yaml"
    path.write_text("name: x\nhost: {name: mine, file: mine.cif}\ndopings: [pristine]\n")
    spec = load_spec(path)
    (tmp_path / "mine.cif").unlink()
    again = ScreenSpec.model_validate(spec.model_dump(mode="json"))
    assert again.candidates() == spec.candidates()
    assert spec.elements() == ["Cl", "Li", "P", "S"]


def test_replicates_are_seeds_that_share_a_label():
    spec = parse_spec(GOOD + "replicates: 3\n")
    candidates = spec.candidates().values()
    assert [c["seed"] for c in candidates] == [1, 2, 3, 1, 2, 3]
    assert len({c["label"] for c in candidates}) == 2
    assert spec.advice() == []
    assert "3 or more are recommended" in parse_spec(GOOD).advice()[0]
    again = ScreenSpec.model_validate(spec.model_dump(mode="json"))
    assert again.candidates() == spec.candidates()


def test_a_demonstration_may_have_too_little_metal_and_says_so():
    spec = parse_spec(GOOD + "interface: {layers: 2}\ndemonstration: true\n")
    assert any("nothing is to be concluded" in advice for advice in spec.advice())


def test_refined_occupancies_are_offered_rounding_in_the_specification(tmp_path):
    text = f"name: x\nhost: {{file: {CRYSTALS / 'refined.cif'}}}\ndopings: [pristine]\n"
    with pytest.raises(SpecError, match=r"host: .*round: true.*Li 24 for 21\.12"):
        parse_spec(text)
    spec = parse_spec(text.replace("}", ", round: true}"))
    assert spec.elements() == ["Cl", "Li", "P", "S"]


def test_the_schema_takes_what_people_write():
    """Short forms too: a name for a host, `pristine`, a value for a list of one, digits for a facet."""
    import jsonschema
    import yaml

    schema = ScreenSpec.model_json_schema()
    texts = [path.read_text() for path in EXAMPLES.glob("*.yaml")] + [
        GOOD,
        GOOD + "host: {file: mine.cif, round: true}\n"
        "interface: {facet: 110, electrolyte_facet: 1-10, metal_share: 0.5}\n",
        doping(fraction="[0.25, 0.5]", configuration="all"),
        liquid(salt="{LiTFSI: 1.0, LiNO3: 0.2}"),
    ]
    for text in texts:
        jsonschema.validate(yaml.safe_load(text), schema)
    for wrong in ("protocl: quick\n", "interface: {layer: 3}\n", "temperature_K: hot\n"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(GOOD + wrong), schema)
    assert json.loads(json.dumps(schema)) == schema


def test_elements_are_those_of_all_candidates():
    assert parse_spec(GOOD).elements() == ["Cl", "Li", "O", "P", "S"]


def test_every_field_is_described():
    """The schema is the documentation."""
    schema = ScreenSpec.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        for name, field in model.get("properties", {}).items():
            assert field.get("description"), f"{model['title']}.{name}"


def test_results_rest_on_relaxed_lattices_and_demonstrations_on_measured_ones():
    assert parse_spec(GOOD).relaxes_lattices
    assert not parse_spec(GOOD + "demonstration: true\n").relaxes_lattices
    assert parse_spec(GOOD + "demonstration: true\nlattice: relaxed\n").relaxes_lattices
    assert not parse_spec(GOOD + "lattice: measured\n").relaxes_lattices


def test_own_references_travel_whole_into_the_settings_of_the_description(tmp_path):
    """Given as a file beside the specification; the file may be gone when the description is made."""
    text = (CRYSTALS / "li3p.cif").read_text()
    (tmp_path / "phase.cif").write_text(text)
    own = "references: [{file: phase.cif, name: my Li3P, role: intermediate, conducts: both}]\n"
    (tmp_path / "screen.yaml").write_text(GOOD + own)
    spec = load_spec(tmp_path / "screen.yaml")
    (tmp_path / "phase.cif").unlink()
    settings = screen_settings(spec)["analysis"]
    phases = reference_phases(tuple(settings["elements"]), settings["host"], tuple(settings["references"]))
    (mine,) = (p for p in phases if p.name == "my Li3P")
    assert (mine.role, mine.conducts) == ("intermediate", "both")
    assert set(mine.cells[0].get_chemical_symbols()) == {"Li", "P"}
    assert ScreenSpec.model_validate(spec.to_dict()).own_phases == spec.own_phases
