"""What came with an archive counts for nothing until somebody adopts it, and for everything afterwards."""

import ase
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from aiida.tools.archive import create_archive, import_archive
from ase import Atoms

from aiida_haml.adoption import adopt
from aiida_haml.calculations.levels import level_key
from aiida_haml.calculations.teacher import TeacherCalculation
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.queries.labels import isolated_atom
from aiida_haml.queries.origin import foreign, is_foreign
from tests.graphs import Builder, frames
from tests.models import tiny_mace
from tests.workchains.synthetic import job

ASE = f"ase {ase.__version__}"
EMT = {
    "engine": "teacher",
    "name": "teacher",
    "theory": {"calculator": "ase.calculators.emt:EMT", "parameters": {}},
}


@pytest.fixture
def builder(aiida_localhost, tmp_path):
    return Builder(aiida_localhost, tmp_path)


def label_copper(code):
    atom = FramesData.from_ase(Atoms("Cu", cell=[12.0] * 3, pbc=True), kind="isolated_atom")
    with enable_caching(identifier="aiida.calculations:haml.*"):
        outputs, node = run_get_node(TeacherCalculation, code=code, initial=atom, level=orm.Dict(EMT))
    assert node.is_finished_ok, node.exit_message
    return outputs["frames"], node


def own_code(folder, executable):
    computer = orm.Computer("own", "localhost", transport_type="core.local", scheduler_type="core.direct")
    computer.set_workdir(str(folder / "work"))
    computer.set_minimum_job_poll_interval(0.5)
    computer.store().configure(use_login_shell=False, safe_interval=0)
    return orm.InstalledCode(computer, executable, label="own-engine", default_calc_job_plugin="haml.teacher").store()


def test_an_imported_job_is_found_by_ones_own_code_once_it_is_adopted(
    aiida_profile_clean, engine_code, aiida_config, aiida_profile_factory, tmp_path
):
    theirs, job = label_copper(engine_code)
    uuid, energies, executable = theirs.uuid, theirs.frames.energies, str(engine_code.filepath_executable)
    create_archive([job], filename=tmp_path / "screen.aiida")
    with aiida_profile_factory(aiida_config):
        code = own_code(tmp_path, executable)
        import_archive(tmp_path / "screen.aiida")
        came, key = foreign(), level_key(EMT, ASE)
        assert [orm.load_node(pk).process_type for pk in came.jobs] == ["aiida.calculations:haml.teacher"]
        assert came.people == (orm.User.collection.get_default().email,)
        assert isolated_atom(key, "Cu") is None

        (their_code,) = came.codes
        assert adopt((*came.jobs, *came.others), {their_code: code}) == len(came.jobs) + len(came.others)
        assert foreign().jobs == foreign().others == ()
        assert isolated_atom(key, "Cu").uuid == uuid
        found, again = label_copper(code)
        assert again.base.caching.get_cache_source() == orm.load_node(uuid).creator.uuid
        assert found.frames.energies == pytest.approx(energies)


def test_an_imported_job_is_paid_for_again_by_those_who_have_not_adopted_it(
    aiida_profile_clean, engine_code, aiida_config, aiida_profile_factory, tmp_path
):
    executable = str(engine_code.filepath_executable)
    create_archive([label_copper(engine_code)[1]], filename=tmp_path / "screen.aiida")
    with aiida_profile_factory(aiida_config):
        code = own_code(tmp_path, executable)
        import_archive(tmp_path / "screen.aiida")
        own, again = label_copper(code)
        assert not again.base.caching.is_created_from_cache
        assert isolated_atom(level_key(EMT, ASE), "Cu").uuid == own.uuid


def test_a_training_whose_models_are_not_trusted_is_no_cache(aiida_profile_clean, aiida_localhost, tmp_path):
    """Adopted or not: its potential would be refused by the stretch that comes next, and end the screen."""
    models = [tiny_mace(tmp_path / "m.model", ["Li", "S"])]
    potential = PotentialData.from_files(models, ["Li", "S"], 4.0, "float64", "key")
    trained = job("haml.learn", aiida_localhost, 0, potential=potential).seal()
    tested = job("haml.learn", aiida_localhost, 0).seal()
    potential.distrust()
    assert not trained.base.caching.is_valid_cache
    assert tested.base.caching.is_valid_cache, "a round that trained nothing hands on no models"
    potential.trust()
    assert trained.base.caching.is_valid_cache


def test_nodes_that_were_made_here_are_not_foreign(builder):
    made = builder.label(frames("structure", n=1))
    assert is_foreign([made.pk, made.creator.pk]) == set()


def hidden(node):
    """As an import leaves it: without AiiDA's own extras."""
    node.base.extras.delete("_aiida_hash")
    return node


def test_a_forged_atom_is_never_used(builder):
    """Right label, right attributes, even a job that made it: what an archive claims is no reason."""
    initial = frames("structure", n=1)
    job = builder.process(orm.CalcJobNode, "haml.cp2k", {"initial": initial})
    forged = builder.create(job, frames=frames("isolated_atom", n=1))
    assert isolated_atom("key", "Li").pk == forged.pk
    hidden(forged)
    assert isolated_atom("key", "Li") is None


def test_an_atom_that_no_job_labelled_is_no_isolated_atom(builder):
    frames("isolated_atom", n=1).store()
    other = builder.process(orm.CalcFunctionNode, "haml.mix", {})
    builder.create(other, result=frames("isolated_atom", n=1, seed=1))
    assert isolated_atom("key", "Li") is None


def test_only_the_label_leads_to_an_atom_and_only_its_content_makes_it_one(builder):
    job = builder.process(orm.CalcJobNode, "haml.cp2k", {"initial": frames("structure", n=1)})
    atom = builder.create(job, frames=frames("isolated_atom", n=1))
    assert atom.label == "atom Li key"
    atom.label = "atom S key"
    assert isolated_atom("key", "S") is None
    assert isolated_atom("key", "Li") is None


def test_the_first_atom_answers_ever_after(builder):
    made = []
    for seed in (1, 2):
        job = builder.process(orm.CalcJobNode, "haml.cp2k", {"initial": frames("structure", n=1)})
        made.append(builder.create(job, frames=frames("isolated_atom", n=1, seed=seed)))
    assert isolated_atom("key", "Li").pk == made[0].pk
    assert isolated_atom("another", "Li") is None
