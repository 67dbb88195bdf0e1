"""A screen's specification: what it expands to, and that each kind of mistake is named with its remedy."""

from pathlib import Path

import pytest

from aiida_haml.spec import SpecError, load_spec, parse_spec

EXAMPLES = Path(__file__).parents[1] / "examples"

GOOD = """
name: good
dopings: [pristine, {dopant: O, site: 16e, fraction: 0.25}]
"""


def doping(**changes):
    content = {"dopant": "O", "site": "16e", "fraction": 0.25, **changes}
    inside = ", ".join(f"{key}: {value}" for key, value in content.items())
    return f"name: x\ndopings: [{{{inside}}}]\n"


#: What is broken, the text, and what the message has to say: field, then value, then remedy.
BROKEN = {
    "wrong element": (doping(dopant="Br"), ["dopings[0].dopant", "'Br'", "O, Se, F"]),
    "negative fraction": (doping(fraction=-0.25), ["dopings[0].fraction", "-0.25", "greater than 0"]),
    "fraction above one": (doping(fraction=1.5), ["dopings[0].fraction", "1.5", "less than or equal to 1"]),
    "fraction of a site": (doping(fraction=0.23), ["dopings[0].fraction", "0.23", "0.1875"]),
    "unknown site": (doping(site="99z"), ["dopings[0].site", "'99z'", "16e"]),
    "aliovalent": (doping(site="4a"), ["dopings[0].site", "aliovalent", "Put O on 16e"]),
    "no such configuration": (doping(configuration=99), ["dopings[0].configuration", "99", "0 to 32"]),
    "configuration in words": (doping(configuration="some"), ["dopings[0].configuration", "'some'", "`all`"]),
    "unknown key": (GOOD + "protocl: quick\n", ["protocl", "Did you mean 'protocol'?"]),
    "unknown key inside": (GOOD + "interface: {layer: 3}\n", ["interface.layer", "Did you mean 'layers'?"]),
    "no name": ("dopings: [pristine]\n", ["name", "required"]),
    "no dopings": ("name: x\ndopings: []\n", ["dopings", "at least 1 item"]),
    "code without computer": (GOOD + "codes: {cp2k: cp2k}\n", ["codes.cp2k", "'cp2k'", "cp2k@localhost"]),
    "bad protocol": (GOOD + "protocol: quik\n", ["protocol", "'quik'", "Did you mean 'quick'?"]),
    "bad level of theory": (GOOD + "level_of_theory: b3lyp\n", ["level_of_theory", "'b3lyp'", "gfn1-xtb"]),
    "bad teacher": (
        GOOD + "level_of_theory: {teacher: {calculator: ase.EMT}}\n",
        ["level_of_theory.teacher.calculator", "'ase.EMT'", "module:Class"],
    ),
    "duplicate candidates": ("name: x\ndopings: [pristine, null]\n", ["dopings", "duplicate", "entry 0"]),
    "duplicate seeds": (GOOD + "seeds: [1, 1]\n", ["seeds", "repeats 1", "duplicate"]),
    "negative weight": (GOOD + "weights: {formation: -1}\n", ["weights.formation", "-1", "greater"]),
    "unknown weight": (GOOD + "weights: {formtion: 1}\n", ["weights.formtion", "Did you mean 'formation'?"]),
    "no weight at all": (GOOD + "weights: {formation: 0}\n", ["weights", "nothing could be ranked"]),
    "unreadable YAML": (GOOD + "seeds: [1\n", ["not valid YAML", "line"]),
    "key given twice": (GOOD + "name: again\n", ["'name' is given twice", "line 4"]),
    "not a mapping": ("- pristine\n", ["a list", "examples/quick_screen.yaml"]),
    "empty": ("", ["nothing", "examples/quick_screen.yaml"]),
    "negative temperature": (GOOD + "temperature_K: -300\n", ["temperature_K", "-300", "greater than 0"]),
    "temperature in words": (GOOD + "temperature_K: [300, hot]\n", ["temperature_K[1]", "'hot'", "in K"]),
    "infinite temperature": (GOOD + "temperature_K: .inf\n", ["temperature_K", "finite"]),
    "number for a switch": (GOOD + "max_in_flight: true\n", ["max_in_flight", "True", "not a number"]),
    "strain out of reach": (GOOD + "interface: {max_strain: 1.0e-9}\n", ["interface.max_strain"]),
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


def test_candidates_are_every_combination_in_order_with_labels_that_links_allow():
    from aiida.common.links import validate_link_label

    spec = parse_spec(GOOD + "temperature_K: [300, 312.5]\nseeds: [3, 1]\n")
    candidates = spec.candidates()
    assert candidates == spec.candidates()
    assert list(candidates) == sorted(candidates)
    combinations = [(c["structure"]["doping"], c["temperature_K"], c["seed"]) for c in candidates.values()]
    oxygen = {"dopant": "O", "site": "16e", "fraction": 0.25, "configuration": 0}
    assert combinations == [(d, t, s) for d in (None, oxygen) for t in (300.0, 312.5) for s in (3, 1)]
    for slug in candidates:
        assert validate_link_label(slug) is None
        assert "__" not in slug  # AiiDA's separator of namespaces


def test_seeds_of_one_candidate_share_its_label():
    candidates = parse_spec(GOOD + "seeds: [1, 2]\n").candidates()
    labels = [c["label"] for c in candidates.values()]
    assert labels[0] == labels[1] != labels[2] == labels[3]


def test_structures_are_what_the_builders_take():
    from aiida_haml.structures.candidates import validate

    for candidate in parse_spec(GOOD + "interface: {facet: 110, max_strain: 0.1}\n").candidates().values():
        assert validate(candidate["structure"])["interface"]["facet"] == [1, 1, 0]


def test_all_configurations_are_every_distinct_one():
    spec = parse_spec(doping(fraction=0.125, configuration="all"))
    configurations = [c["structure"]["doping"]["configuration"] for c in spec.candidates().values()]
    assert len(configurations) > 1
    assert configurations == list(range(len(configurations)))
    with pytest.raises(SpecError, match=f"0 to {len(configurations) - 1}"):
        parse_spec(doping(fraction=0.125, configuration=len(configurations)))


def test_level_of_theory_is_a_preset_or_a_chosen_teacher():
    assert parse_spec(GOOD).level_name == "gfn1-xtb"
    assert parse_spec(GOOD).teacher is None
    spec = parse_spec(GOOD + "level_of_theory: {teacher: {calculator: 'ase.calculators.emt:EMT'}}\n")
    assert spec.level_name == "teacher"
    assert spec.teacher == {"calculator": "ase.calculators.emt:EMT", "parameters": {}}


def test_elements_are_those_of_all_candidates():
    assert parse_spec(GOOD).elements() == ["Cl", "Li", "O", "P", "S"]


def test_every_field_is_described():
    """The schema is the documentation."""
    from aiida_haml.spec import ScreenSpec

    schema = ScreenSpec.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        for name, field in model.get("properties", {}).items():
            assert field.get("description"), f"{model['title']}.{name}"
