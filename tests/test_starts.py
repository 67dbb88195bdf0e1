"""What a screen starts from: the newest committee that fits, or the one that was named."""

import pytest
from aiida import orm
from aiida.common.links import LinkType
from click.testing import CliRunner

from aiida_haml.calculations.levels import theory_key
from aiida_haml.calculations.pool import gather
from aiida_haml.cli import haml
from aiida_haml.codes import find_code
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.spec import SpecError, parse_spec
from aiida_haml.starts import labels_from, start_from
from aiida_haml.workchains.inputs import validate_trajectories
from aiida_haml.workchains.protocols import level_of_theory, protocol_settings
from aiida_haml.workchains.screen import ScreenWorkChain
from tests.graphs import frames
from tests.models import tiny_mace

THEORY = "pbe-0123456789ab"


@pytest.fixture
def committee(aiida_profile_clean, tmp_path):
    def make(elements=("Li", "S"), level=f"{THEORY}@cp2k-2025.1", trusted=True):
        node = PotentialData.from_files(
            [tiny_mace(tmp_path / "m.model", list(elements))], elements, 4.0, "float64", level
        )
        if trusted:
            node.trust()
        else:
            node.distrust()
        return node.store()

    return make


def test_the_newest_that_fits_is_taken(committee):
    committee()
    newest = committee()
    committee(("Li",))  # does not know sulfur
    committee(("Li", "O", "S"))  # could not go on learning without labels of oxygen
    committee(level="pbe-ffffffffffff@cp2k-2025.1")
    assert start_from("own", THEORY, ["Li", "S"])["potential"].uuid == newest.uuid
    assert start_from("own", THEORY, ["Li", "S", "P"]) == {}


def test_what_is_not_trusted_is_not_taken_unasked(committee):
    committee(trusted=False)
    assert start_from("own", THEORY, ["Li", "S"]) == {}


def test_one_may_be_named(committee):
    node = committee()
    for name in (str(node.pk), node.uuid):
        assert start_from(name, THEORY, ["Li"])["potential"].uuid == node.uuid


@pytest.mark.parametrize("name", ["999999", "nonsense", "-1"])
def test_what_is_no_potential_is_refused(committee, name):
    with pytest.raises(ValueError, match="no potential of this database"):
        start_from(name, THEORY, ["Li"])


def test_another_level_of_theory_is_refused(committee):
    node = committee(level="lda-0123456789ab@cp2k-2025.1")
    with pytest.raises(ValueError, match="forces differ"):
        start_from(str(node.pk), THEORY, ["Li"])


@pytest.mark.parametrize(("learned", "told"), [(None, "knows O, S too"), (["Li", "O"], "knows S too"),
                                                (["Li", "O", "S"], None)])  # fmt: skip
def test_a_committee_goes_on_learning_with_just_the_elements_that_it_knows(committee, learned, told):
    settings = protocol_settings("fast", {"learning": {"elements": learned, "n_committee": 1}})
    complaint = validate_trajectories(
        {
            "structures": {"a": frames("structure", n=1)},
            "candidates": {"a": orm.Dict({"temperature_K": 300.0, "seed": 1})},
            "settings": settings,
            "potential": committee(("Li", "O", "S")),
        },
        None,
    )
    assert complaint is None if told is None else told in complaint


# -- a screen ------------------------------------------------------------------------------------------------

SCREEN = "name: a\ndopings: [pristine]\nlevel_of_theory: teacher\n"
ELEMENTS = ("Cl", "Li", "P", "S")


@pytest.fixture
def ready(committee):
    """A function that makes a committee at the level of the screen, in a profile after `setup`."""
    CliRunner().invoke(haml, ["setup"], catch_exceptions=False)
    key = theory_key(level_of_theory("teacher"))
    return lambda elements=ELEMENTS, trusted=True, version="ase-3.29": committee(elements, f"{key}@{version}", trusted)


@pytest.mark.parametrize("port", ["potential", "foundation"])
@pytest.mark.parametrize(("models", "told"), [({"trusted": False}, "was not trained here"),
                                              ({"elements": ("Li", "S")}, "does not know Cl, P")])  # fmt: skip
def test_models_that_cannot_drive_a_screen_are_refused_at_its_start(ready, port, models, told):
    """A screen has no cells yet to compare with, and would end by an exception when it has them, hours later."""
    node = ready(**models)
    spec = parse_spec(f"{SCREEN}{port}: {node.pk}\noverrides: {{learning: {{n_committee: 1}}}}\n")
    with pytest.raises(ValueError, match=told):
        ScreenWorkChain.get_builder_from_spec(spec)
    settings = orm.Dict(protocol_settings("fast", {"learning": {"elements": list(ELEMENTS)}}))
    assert told in ScreenWorkChain.spec().inputs.validator({"settings": settings, port: node}, None)


def test_a_dry_run_refuses_a_committee_that_is_too_small(ready, tmp_path):
    (tmp_path / "spec.yaml").write_text(f"{SCREEN}potential: {ready().pk}\n")
    before = orm.QueryBuilder().append(orm.Node).count()
    result = CliRunner().invoke(haml, ["screen", "submit", "--dry-run", str(tmp_path / "spec.yaml")])
    assert result.exit_code == 1
    assert "`potential` has 1 members, and `learning.n_committee` is" in result.output
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_what_another_version_of_the_code_taught_is_refused(ready):
    """The newest label of the screen's code says which version it is; labels of two versions are never mixed."""
    old, new = ready(version="ase-3.29"), ready(version="ase-3.30")
    code = find_code("engine", None)
    job = orm.CalcJobNode(computer=code.computer, process_type="aiida.calculations:haml.teacher")
    job.base.links.add_incoming(code, LinkType.INPUT_CALC, "code")
    job.store()
    label = FramesData(frames("burst", n=2).frames, kind="burst", level_of_theory=new.level_of_theory)
    label.base.links.add_incoming(job, LinkType.CREATE, "frames")
    label.store()
    overrides = "overrides: {learning: {n_committee: 1}}\n"
    with pytest.raises(ValueError, match=r"ase-3.29, and the screen's labels are of .*ase-3.30"):
        ScreenWorkChain.get_builder_from_spec(parse_spec(f"{SCREEN}potential: {old.pk}\n{overrides}"))
    newest = ready(version="ase-3.29")
    builder = ScreenWorkChain.get_builder_from_spec(parse_spec(f"{SCREEN}potential: own\n{overrides}"))
    assert builder.potential.uuid == new.uuid != newest.uuid


# -- labels without a committee ------------------------------------------------------------------------------


def imported(level=f"{THEORY}@cp2k-2025.1", n=5):
    node = frames("burst", n=n, seed=n)
    return FramesData(node.frames, kind="imported", level_of_theory=level).store()


def test_the_largest_pool_at_the_level_is_taken(aiida_profile_clean):
    for n in (3, 7, 5):
        gather(**{f"imported_{n}__labels": imported(n=n)})
    gather(a__labels=imported("lda-0123456789ab@cp2k-2025.1", 9))
    assert labels_from("own", THEORY, ["Li", "S"])["pool"].n_labels == 7
    assert labels_from("own", THEORY, ["S"]) == {}, "a potential of sulfur learns from no lithium"
    assert labels_from("own", "pbe-ffffffffffff", ["Li"]) == {}


def test_a_pool_may_be_named_and_has_to_fit(aiida_profile_clean):
    node = imported()
    pool = gather(imported__labels=node)
    assert labels_from(str(pool.pk), THEORY, ["Li"])["pool"].uuid == pool.uuid
    for said, theory, elements, told in (
        (str(node.pk), THEORY, ["Li"], "no pool of this database"),
        ("nonsense", THEORY, ["Li"], "no pool of this database"),
        (pool.uuid, "lda-0123456789ab", ["Li"], "forces differ"),
        (pool.uuid, THEORY, ["S"], "hold Li"),
    ):
        with pytest.raises(ValueError, match=told):
            labels_from(said, theory, elements)


def test_imported_labels_are_gathered_by_a_command_that_an_audit_can_follow(aiida_profile_clean):
    key = f"{THEORY}@cp2k-2025.1"
    run = CliRunner()
    assert "no imported labels" in run.invoke(haml, ["labels", "gather", key]).output
    node = imported()
    run.invoke(haml, ["labels", "collect"])
    result = run.invoke(haml, ["labels", "gather", key], catch_exceptions=False)
    assert "of 5 labels in 1 nodes" in result.output
    pool = labels_from("own", THEORY, ["Li"])["pool"]
    assert [link.node.uuid for link in pool.creator.base.links.get_incoming().all()] == [node.uuid]


def test_a_screen_is_handed_the_pool_and_no_potential(aiida_profile_clean):
    run = CliRunner()
    run.invoke(haml, ["setup"], catch_exceptions=False)
    key = theory_key(level_of_theory("teacher"))
    pool = gather(imported__labels=imported(f"{key}@ase-3.29"))
    builder = ScreenWorkChain.get_builder_from_spec(parse_spec(f"{SCREEN}labels: {pool.pk}\n"))
    assert builder.pool.uuid == pool.uuid
    assert "potential" not in builder or builder.potential is None
    with pytest.raises(SpecError, match="brings its own"):
        parse_spec(f"{SCREEN}labels: own\npotential: own\n")


# -- the start potential of the package ----------------------------------------------------------------------


def test_a_screen_begins_with_the_start_potential(ready):
    """It is made when it is first asked for, and found again later."""
    spec = parse_spec(f"{SCREEN}foundation: start\n")
    first = ScreenWorkChain.get_builder_from_spec(spec).foundation
    assert set(ELEMENTS) < set(first.elements)
    assert first.n_members >= protocol_settings("fast", {})["learning"]["n_committee"]
    assert first.is_trusted
    first.store()
    assert ScreenWorkChain.get_builder_from_spec(spec).foundation.uuid == first.uuid


def test_a_liquid_is_beyond_the_start_potential(ready):
    liquid = "electrolytes: [{solvents: {DME: 1}, salt: LiFSI, molarity_M: 1.0}]\n"
    with pytest.raises(ValueError, match="does not know C, H, N"):
        ScreenWorkChain.get_builder_from_spec(
            parse_spec(f"name: a\n{liquid}level_of_theory: teacher\nfoundation: start\n")
        )
