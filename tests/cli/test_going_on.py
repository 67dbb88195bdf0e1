"""Commands that go on with a screen: what the next one is handed, told by the builder that is not started."""

import re
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace

import pytest
from aiida import orm
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from aiida.manage.configuration import get_config

from aiida_haml.calculations.rounds import port
from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData
from aiida_haml.data.potential import PotentialData
from aiida_haml.groups import ScreenGroup
from aiida_haml.spec import parse_spec
from aiida_haml.workchains.screen import ScreenWorkChain
from tests.cli.running import run
from tests.graphs import Builder, frames

WALL_TIME = 4321
SPEC = f"""name: tried
dopings: [pristine]
level_of_theory: teacher
seeds: [{{seeds}}]
overrides:
  learning: {{{{n_committee: 1}}}}
  options:
    label: {{{{max_wallclock_seconds: {WALL_TIME}}}}}
    learn: {{{{max_wallclock_seconds: {WALL_TIME}}}}}
"""
TWO = SPEC.format(seeds="1, 2")
RESERVED = TWO.replace("n_committee: 1", "n_committee: 1, elements: [Cl, Li, O, P, S]")


@dataclass
class Laid:
    """A screen of two candidates, of which one has a time line."""

    screen: orm.WorkChainNode
    slug: str
    segments: dict[str, FramesData]
    pool: LabelPoolData
    potential: PotentialData
    calibration: orm.Dict
    history: orm.Dict
    plan: orm.Dict
    verdicts: orm.Dict


def submitted(text=TWO, state="finished"):
    """Return the process of a screen as a submission leaves it, with all its inputs, and run nothing of it."""
    return stored(ScreenWorkChain.get_builder_from_spec(parse_spec(text)), state)


def stored(builder, state="finished"):
    """Return the process of a screen with these inputs, which is not run."""
    screen = instantiate_process(get_manager().get_runner(), builder).node
    screen.set_process_state(state)
    if state == "finished":
        screen.set_exit_status(0)
    return screen


@pytest.fixture
def laid(request, ready, aiida_localhost, tmp_path):
    """A burst, a potential, a stretch and another burst, all of them accepted; the second candidate never started."""
    builder = Builder(aiida_localhost, tmp_path)
    screen = submitted(getattr(request, "param", TWO))
    slug = min(screen.inputs.candidates)
    hybrid = builder.process(orm.WorkChainNode, "haml.hybrid", {}, screen, "dynamics")
    last, pool, segments = frames("structure", n=1).store(), None, {}
    elements = screen.inputs.settings["learning"]["elements"]
    (tmp_path / "m.model").write_bytes(b"never loaded")
    potential = PotentialData.from_files([tmp_path / "m.model"], elements, 5.0, "float64", level_of_theory="key")
    potential.trust()
    for number, start in enumerate((0.0, 6.0)):
        kept = []
        if number:
            kept.append(builder.stretch(last, potential, hybrid, 2.0, call=port(slug, f"stretch_{number:04d}")))
        burst = builder.label(last, hybrid, start=start, seed=number, call=port(slug, f"burst_{number:04d}"))
        kept.append(burst)
        labels = {port(slug, f"burst_{number:04d}"): burst}
        given = labels | ({"previous": pool} if pool is not None else {})
        gather = builder.process(orm.CalcFunctionNode, "haml.gather", given, hybrid, f"gather_{number:04d}")
        pool = builder.create(gather, result=LabelPoolData.of(labels, pool))
        learn = builder.process(orm.CalcJobNode, "haml.learn", {"pool": pool}, hybrid, f"learn_{number:04d}")
        if not number:
            builder.create(learn, potential=potential)
        judge = builder.process(
            orm.CalcFunctionNode, "haml.judge", {"settings": orm.Dict()}, hybrid, f"judge_{number:04d}"
        )
        plan = builder.process(
            orm.CalcFunctionNode, "haml.plan", {"settings": orm.Dict()}, hybrid, f"plan_{number:04d}"
        )
        planned = builder.create(plan, result=orm.Dict({slug: {"n_stretch": 50 * (number + 1)}}))
        calibration = orm.Dict({"errors": [number]})
        verdict = {"action": "accept" if number else "absent", "burst_stays": True}
        verdicts = orm.Dict({slug: verdict})
        builder.create(judge, verdicts=verdicts, calibration=calibration)
        for node in kept:
            segments[port(slug, f"segment_{len(segments):04d}")] = node
        last = burst
    tell = builder.process(orm.CalcFunctionNode, "haml.history", {"settings": orm.Dict()}, hybrid)
    history = builder.create(tell, told=orm.Dict({"rounds": []}))
    builder.give_back(screen, **{f"trajectories__{slug}__history": history})
    builder.end()
    return Laid(screen, slug, segments, pool, potential, calibration, history, planned, verdicts)


def handed_on(builder, laid):
    """Assert that a builder goes on from what a screen has, and return its candidates."""
    assert {name: node.uuid for name, node in builder.segments.items()} == {
        name: node.uuid for name, node in laid.segments.items()
    }
    for name in ("pool", "calibration"):
        assert builder[name].uuid == getattr(laid, name).uuid
    assert {slug: node.uuid for slug, node in builder.histories.items()} == {laid.slug: laid.history.uuid}
    if builder.potential is not None:
        assert {slug: node.uuid for slug, node in builder.plans.items()} == {laid.slug: laid.plan.uuid}
        assert {slug: node.uuid for slug, node in builder.verdicts.items()} == {laid.slug: laid.verdicts.uuid}
    return sorted(builder.candidates)


def submittable(builder):
    """Assert that a process starts with these inputs."""
    assert instantiate_process(get_manager().get_runner(), builder).node.is_stored


def but_for_the_time(builder):
    settings = deepcopy(builder.settings.get_dict())
    return settings["hybrid"].pop("simulated_fs"), settings


def test_a_wide_cell_is_followed_with_what_a_screen_has_taught(laid, monkeypatch):
    builders = []
    ended = orm.WorkChainNode().store()
    module = import_module("aiida_haml.cli.hybrid")  # the package has the command of that name
    monkeypatch.setattr(module, "run_or_submit", lambda builder, _: builders.append(builder) or ended)
    command = ("hybrid", "produce", laid.screen.pk, laid.slug, "--repeat", 2, 3, "--ps", 4, "--yes")
    assert "12 atoms, 4 ps" in run(*command)
    (builder,) = builders
    for name in ("pool", "potential", "calibration"):
        assert builder[name].uuid == getattr(laid, name).uuid
    assert builder.candidate["temperature_K"] == laid.screen.inputs.candidates[laid.slug]["temperature_K"]
    assert builder.candidate["simulated_fs"] == 4000.0
    first = laid.segments[min(laid.segments)].read(0)
    wide = builder.structure.read(-1)
    assert wide.positions[0, :2] == pytest.approx(first.positions[0])
    assert wide.cells[0].diagonal() == pytest.approx(first.cells[0].diagonal() * [2, 3, 1])
    assert builder.structure.creator.inputs.frames.uuid == laid.segments[min(laid.segments)].uuid
    assert builder.evaluate.job.code.uuid == laid.screen.inputs.learn.job.code.uuid
    assert builder.evaluate.job.metadata.options["max_wallclock_seconds"] == WALL_TIME
    assert builder.label.job.metadata.options["max_wallclock_seconds"] == WALL_TIME
    with pytest.raises(ValueError, match=r"taught at key.* labelled at teacher-"):  # the planted potential's level
        submittable(builder)


@pytest.mark.parametrize(("told", "more"), [
    (r"nobody has no time line in <\d+>; there are: Li6PS5Cl", ("nobody",)),
    ("10.0 x 10.0 Å wide", ("SLUG", "--repeat", 1, 1)),
])  # fmt: skip
def test_a_wide_cell_that_cannot_be_is_refused(laid, told, more):
    words = [laid.slug if word == "SLUG" else word for word in more]
    result = run("hybrid", "produce", laid.screen.pk, *words, "--yes", code=1)
    assert re.search(told, result)


def test_a_screen_is_extended_from_where_it_ended(laid, started):
    run("screen", "extend", laid.screen.pk, "--simulated-fs", 5000, "--yes")
    (builder,) = started
    assert handed_on(builder, laid) == sorted(laid.screen.inputs.candidates)
    assert builder.potential.uuid == laid.potential.uuid
    simulated_fs, settings = but_for_the_time(builder)
    assert simulated_fs == 5000.0
    assert settings == but_for_the_time(laid.screen.inputs)[1], "nothing else may change, or jobs are paid for twice"
    assert builder.learn.job.code.uuid == laid.screen.inputs.learn.job.code.uuid
    for kind in ("label", "learn"):
        assert builder[kind].job.metadata.options["max_wallclock_seconds"] == WALL_TIME
    submittable(builder)


def test_what_failed_is_tried_again_and_what_is_there_is_not_followed_anew(laid, started):
    run("screen", "retry", laid.screen.pk, "--yes")
    (builder,) = started
    assert handed_on(builder, laid) == sorted(laid.screen.inputs.candidates)
    assert builder.potential.uuid == laid.potential.uuid
    assert builder.settings.get_dict() == laid.screen.inputs.settings.get_dict()


def test_what_there_is_is_ranked_without_those_that_have_nothing(laid, started):
    run("screen", "rank-so-far", laid.screen.pk, "--yes")
    (builder,) = started
    assert handed_on(builder, laid) == [laid.slug]
    ends = [node.base.attributes.get("time_end") for node in laid.segments.values()]
    assert but_for_the_time(builder)[0] == max(ends), "it is followed no further"


def test_candidates_of_the_same_elements_join_the_learner(laid, started, tmp_path):
    (tmp_path / "more.yaml").write_text(SPEC.format(seeds="1, 2, 3"))
    run("screen", "add", laid.screen.pk, tmp_path / "more.yaml", "--yes")
    (builder,) = started
    known = sorted(laid.screen.inputs.candidates)
    found = handed_on(builder, laid)
    assert set(known) < set(found)
    assert len(found) == 3
    assert builder.potential.uuid == laid.potential.uuid


@pytest.mark.parametrize(("laid", "keeps"), [(TWO, False), (RESERVED, True)], indirect=["laid"])
def test_a_new_element_keeps_the_potential_only_if_it_was_reserved(laid, started, tmp_path, keeps):
    """All labels are handed on either way."""
    doped = (RESERVED if keeps else TWO).replace("pristine", "pristine, {dopant: O, site: 16e, fraction: 0.25}")
    (tmp_path / "more.yaml").write_text(doped)
    run("screen", "add", laid.screen.pk, tmp_path / "more.yaml", "--yes")
    (builder,) = started
    assert len(handed_on(builder, laid)) == 4
    assert (builder.potential.uuid if keeps else builder.potential) == (laid.potential.uuid if keeps else None)


def test_what_a_screen_has_cannot_be_added(laid, started, tmp_path):
    (tmp_path / "same.yaml").write_text(SPEC.format(seeds="1"))
    assert "holds no candidate" in run("screen", "add", laid.screen.pk, tmp_path / "same.yaml", "--yes", code=1)
    assert started == []


def test_another_person_adds_to_a_screen(laid, started, tmp_path, aiida_profile):
    """What it taught is handed on, and used once they trust it; the new screen is theirs."""
    owner = aiida_profile.default_user_email
    orm.User(email="next@person").store()
    get_manager().set_default_user_email(aiida_profile, "next@person")
    try:
        run("setup")
        (tmp_path / "more.yaml").write_text(SPEC.format(seeds="1, 2, 3"))
        run("screen", "add", f"{owner}/tried", tmp_path / "more.yaml", "--yes")
        (builder,) = started
        assert len(handed_on(builder, laid)) == 3
        assert builder.potential.uuid == laid.potential.uuid
        with pytest.raises(ValueError, match="was not trained here"):  # trust is each person's own
            stored(builder)
        laid.potential.trust()
        assert stored(builder).user.email == "next@person"
    finally:
        get_manager().set_default_user_email(aiida_profile, owner)


def test_more_at_a_time_than_the_daemon_has_slots_is_refused_of_all_that_goes_on(laid, tmp_path):
    (tmp_path / "more.yaml").write_text(SPEC.format(seeds="1, 2, 3"))
    commands = (
        ("screen", "extend", laid.screen.pk, "--simulated-fs", 5000),
        ("screen", "retry", laid.screen.pk),
        ("screen", "rank-so-far", laid.screen.pk),
        ("screen", "add", laid.screen.pk, tmp_path / "more.yaml"),
        ("hybrid", "produce", laid.screen.pk, laid.slug, "--repeat", 2, 3),
    )
    get_config().set_option("daemon.worker_process_slots", 5)
    try:
        for command in commands:
            assert "all would wait for ever" in run(*command, "--yes", code=1), command
    finally:
        get_config().unset_option("daemon.worker_process_slots")


# -- the same specification once more ------------------------------------------------------------------------


@pytest.fixture
def unfinished(ready):
    return submitted(state="running")


@pytest.fixture
def daemon(unfinished, aiida_profile, monkeypatch):
    """The daemon of a profile with a broker that keeps messages."""
    daemon = SimpleNamespace(is_daemon_running=True)
    monkeypatch.setattr(type(aiida_profile), "process_control_backend", "core.rabbitmq")
    monkeypatch.setattr("aiida.engine.daemon.client.get_daemon_client", lambda: daemon)
    return daemon


@pytest.fixture
def played(monkeypatch):
    """Processes that were let go on."""
    nodes = []
    monkeypatch.setattr("aiida.engine.processes.control.play_processes", lambda given, **_: nodes.extend(given))
    return nodes


@pytest.mark.parametrize("paused", [False, True])
def test_an_unfinished_screen_of_the_same_content_is_taken_up(unfinished, daemon, played, started, tmp_path, paused):
    (tmp_path / "spec.yaml").write_text(f"# another comment\n{TWO}")
    if paused:
        unfinished.pause()
    told = run("screen", "submit", "--resume", "--yes", tmp_path / "spec.yaml")
    assert f"<{unfinished.pk}> 'tried' is unfinished and goes on" in told
    assert [node.pk for node in played] == ([unfinished.pk] if paused else [])
    assert started == []


def test_a_screen_that_nobody_takes_up_does_not_go_on(unfinished, daemon, played, tmp_path):
    (tmp_path / "spec.yaml").write_text(TWO)
    daemon.is_daemon_running = False
    resume = ("screen", "submit", "--resume", "--yes", tmp_path / "spec.yaml")
    assert "! no daemon of profile" in run(*resume), "that of another machine may"
    unfinished.pause()
    told = run(*resume, code=1)
    assert f"Screen <{unfinished.pk}> is paused, and no daemon runs" in told
    assert "goes on\n" not in told
    assert played == []


def test_a_screen_joins_those_of_its_owner_and_name_as_it_starts(ready):
    """However it was started: from Python, or by a worker that begins anew."""
    builder = ScreenWorkChain.get_builder_from_spec(parse_spec(TWO))
    process = instantiate_process(get_manager().get_runner(), builder)
    for _ in range(2):
        process.setup()
    (group,) = ScreenGroup.collection.all()
    assert group.label == f"{process.node.user.email}/tried"
    assert [node.pk for node in group.nodes] == [process.node.pk]
    assert group.base.extras.get("specification")["seeds"] == [1, 2]


@pytest.mark.parametrize("changed", [SPEC.format(seeds="1"), TWO.replace("tried", "another")])
def test_a_changed_specification_is_a_screen_of_its_own(unfinished, started, tmp_path, changed):
    (tmp_path / "spec.yaml").write_text(changed)
    told = run("screen", "submit", "--resume", "--yes", tmp_path / "spec.yaml")
    assert "unfinished" not in told
    (builder,) = started
    assert builder.specification.get_dict() == parse_spec(changed).model_dump(mode="json")
