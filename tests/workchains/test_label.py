"""Labels through the WorkChain: what was finished is kept, and the next recipe is tried."""

import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_haml.calculations.levels import level_key, theory_key
from aiida_haml.data.frames import FramesData
from aiida_haml.queries.labels import level_of_code
from aiida_haml.workchains.atoms import AtomsWorkChain
from aiida_haml.workchains.label import LabelWorkChain

MD = {"steps": 6, "timestep_fs": 2.0, "temperature_K": 300.0, "thermostat_time_fs": 50.0, "seed": 7}


def teacher(calculator="ase.calculators.emt:EMT", parameters=None):
    theory = {"calculator": calculator, "parameters": parameters or {}}
    return orm.Dict({"engine": "teacher", "name": "teacher", "theory": theory, "solver": [{}]})


def label(code, level, md=MD):
    copper = FramesData.from_ase(bulk("Cu", cubic=True).repeat(2))
    return run_get_node(LabelWorkChain, job={"code": code, "initial": copper, "level": level, "md": orm.Dict(md)})


def test_a_burst(aiida_profile, engine_code):
    outputs, node = label(engine_code, teacher())
    assert node.is_finished_ok, node.exit_message
    assert len(outputs["frames"]) == 7
    assert outputs["output_parameters"]["steps_done"] == 6


def test_a_protocol_says_how_often_a_job_is_started_and_whether_its_folder_is_emptied(aiida_profile, engine_code):
    copper = FramesData.from_ase(bulk("Cu", cubic=True).repeat(2))
    overrides = {"restarts": {"max_iterations": 2, "clean_workdir": True}}
    builder = LabelWorkChain.get_builder_from_protocol(engine_code, copper, teacher(), None, overrides, steps=3)
    assert builder.max_iterations == 2
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert outputs["remote_folder"].is_empty


def test_a_burst_that_breaks_keeps_its_labels(aiida_profile, engine_code):
    level = teacher("tests.faulty:BreaksAfter", {"evaluations": 4})
    outputs, node = label(engine_code, level)
    assert node.is_finished_ok, node.exit_message
    assert 2 <= len(outputs["frames"]) < 7
    assert outputs["frames"].creator.exit_status == 450


def test_no_label_at_all_is_a_clear_failure(aiida_profile, engine_code):
    _, node = label(engine_code, teacher("tests.faulty:BreaksAfter", {"evaluations": 0}))
    assert node.exit_status == 410
    assert "No SCF recipe" in node.exit_message


def test_atoms_are_labelled_once(aiida_profile, engine_code):
    level = teacher(parameters={"asap_cutoff": True})  # a level of its own, so that no other test has labelled it
    inputs = {"label": {"job": {"code": engine_code, "level": level}}}
    first, node = run_get_node(AtomsWorkChain, elements=orm.List(["Cu", "Au"]), **inputs)
    assert node.is_finished_ok, node.exit_message
    assert len(node.called_descendants) > 2
    again, node = run_get_node(AtomsWorkChain, elements=orm.List(["Au"]), **inputs)
    assert node.called_descendants == []
    assert again["atoms"]["Au"].pk == first["atoms"]["Au"].pk


def test_atoms_of_another_version_are_not_taken(aiida_profile, engine_code, tmp_path):
    """The newest labels of a code say its version; atoms of an older one stay where they are."""
    level = teacher(parameters={"asap_cutoff": False})
    inputs = {"label": {"job": {"code": engine_code, "level": level}}}
    first, _ = run_get_node(AtomsWorkChain, elements=orm.List(["Cu"]), **inputs)
    own = first["atoms"]["Cu"]
    older = FramesData(own.frames, kind="isolated_atom", level_of_theory=level_key(level, "ase 1.0"))
    job = orm.CalcJobNode(computer=engine_code.computer, process_type="aiida.calculations:haml.teacher")
    job.base.links.add_incoming(engine_code, LinkType.INPUT_CALC, "code")
    job.store()
    older.base.links.add_incoming(job, LinkType.CREATE, "frames")
    older.store()
    assert level_of_code(engine_code, theory_key(level)) == older.level_of_theory
    again, _ = run_get_node(AtomsWorkChain, elements=orm.List(["Cu"]), **inputs)
    assert again["atoms"]["Cu"].pk == older.pk
    run_get_node(AtomsWorkChain, elements=orm.List(["Ag"]), **inputs)  # says that the version is the first's
    again, _ = run_get_node(AtomsWorkChain, elements=orm.List(["Cu"]), **inputs)
    assert again["atoms"]["Cu"].pk == own.pk


@pytest.mark.parametrize("level", [{"engine": "vasp", "solver": [{}]}, {"engine": "teacher", "solver": []}])
def test_broken_levels_are_refused(aiida_profile, engine_code, level):
    with pytest.raises(ValueError, match="level of theory"):
        label(engine_code, orm.Dict({"name": "broken", "theory": {}, **level}))
