"""Only calculators of trusted modules are loaded, and nothing else is so much as imported."""

import sys

import pytest

from aiida_haml.engines.calculators import complaint, load_calculator


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A module beside Python's that leaves a mark when it is imported."""
    (tmp_path / "foreign_model.py").write_text(
        f"open({str(tmp_path / 'mark')!r}, 'w').close()\n"
        "import subprocess\n"
        "from ase.calculators.emt import EMT\n"
        "class Model(EMT): pass\n"
        "class Other: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HAML_TRUSTED_CALCULATORS", str(tmp_path / "trusted"))
    yield tmp_path
    sys.modules.pop("foreign_model", None)


@pytest.mark.parametrize(
    "path",
    [
        "subprocess:Popen",
        "os:system",
        "builtins:eval",
        "ase.calculators.vasp:Vasp",  # starts the program that it is told
        "ase.calculators.espresso:Espresso",
        "aiida_haml.engines.teacher:Recorder",
        "aiida_haml.engines.toy_ions.os:system",
    ],
)
def test_what_is_not_trusted_is_refused(foreign, path):
    assert "is not loaded" in complaint(path)
    with pytest.raises(ValueError, match="is not loaded"):
        load_calculator(path, {})


@pytest.mark.parametrize(
    "path", [None, 3, "", "ase", "ase:", ":EMT", "ase.calculators.emt:EMT.mro", "a b:c", "../x:y", ".a:b"]
)
def test_what_names_no_class_is_refused(foreign, path):
    assert "module:Class" in complaint(path)


@pytest.mark.parametrize("name", ["subprocess", "parameters", "arraytools", "Calculator.mro"])
def test_a_trusted_module_lends_its_trust_to_nothing_else_in_it(foreign, name):
    with pytest.raises(ValueError, match=r"no ASE calculator|cannot be loaded|module:Class"):
        load_calculator(f"ase.calculators.emt:{name}", {})


def test_a_module_is_imported_only_once_it_is_trusted(foreign):
    with pytest.raises(ValueError, match="add the line `foreign_model` to"):
        load_calculator("foreign_model:Model", {})
    assert not (foreign / "mark").exists()
    (foreign / "trusted").write_text("# mine\nforeign_*   # checked by hand\n\n")
    assert type(load_calculator("foreign_model:Model", {})).__name__ == "Model"
    with pytest.raises(ValueError, match="no ASE calculator"):
        load_calculator("foreign_model:Other", {})
    with pytest.raises(ValueError, match="cannot be made"):
        load_calculator("foreign_model:Model", {"nonsense_": [], "restart": 3})


def test_the_toy_potentials_are_trusted(foreign):
    load_calculator("aiida_haml.engines.toy_ions:ToyIons", {})
    load_calculator("aiida_haml.engines.toy_molecules:ToyMolecules", {})
    load_calculator("ase.calculators.lj:LennardJones", {"epsilon": 0.1})
