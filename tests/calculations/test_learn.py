"""A round's learning through AiiDA: pool and champion in; tests, a verdict and a potential out."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching

from aiida_haml.calculations.learn import LearnCalculation
from aiida_haml.calculations.pool import gather
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.data.trust import distrust
from aiida_haml.frames import Frames
from tests.labels import LEARN, emt_frames, isolated_atom
from tests.models import tiny_mace

LEVEL = "teacher-emt"


def label(frames: Frames, kind: str = "burst", level: str | None = LEVEL) -> FramesData:
    return FramesData(frames, kind=kind, level_of_theory=level)


def pool(previous=None, **labels):
    labels = labels or {"a__burst_0000": label(emt_frames(6, seed=1)), "b__probes_0000": label(emt_frames(5, seed=2))}
    return gather(**labels, **({"previous": previous} if previous else {}))


def inputs(code, **changes):
    return {
        "code": code,
        "pool": changes.pop("pool", None) or pool(),
        "isolated_atoms": {symbol: label(isolated_atom(symbol), "isolated_atom") for symbol in ("Cu", "Au")},
        "settings": orm.Dict(LEARN | {"steps_first": 30, "steps_per_round": 10, "gate_steps": 5}),
    } | changes


def committee(path, elements=("Cu", "Au"), level=LEVEL, trusted=True) -> PotentialData:
    paths = [tiny_mace(path / f"{i}.model", list(elements), seed=i) for i in range(2)]
    node = PotentialData.from_files(paths, list(elements), 4.0, "float64", level)
    if trusted:
        node.trust()
    return node


@pytest.mark.engine
def test_two_rounds(aiida_profile_clean, engine_code):
    first = pool()
    start = FramesData(emt_frames(1, amplitude=0.02))
    outputs, node = run_get_node(LearnCalculation, **inputs(engine_code, pool=first, starts={"a": start}))
    assert node.is_finished_ok, node.exit_message
    champion = outputs["potential"]
    assert champion.is_trusted
    assert (champion.n_members, champion.elements, champion.cutoff) == (2, ["Au", "Cu"], 4.0)
    assert (champion.level_of_theory, champion.pool) == (LEVEL, first.content_key)
    errors = outputs["errors"].get_dict()
    assert errors["verdict"]["winner"] == "challenger"
    assert errors["gate"]["a"]["passed"]
    assert set(errors["challenger"]) == {"a", "b"}
    entries = first.entries()
    assert errors["trained_on"] == sorted(e.key for e in entries if e.part == "train")
    assert "tests" not in outputs
    assert set(node.base.repository.list_object_names()) == {"task.json", "_aiidasubmit.sh", ".aiida"}

    with enable_caching():
        _, node = run_get_node(LearnCalculation, **inputs(engine_code, pool=first, starts={"a": start}))
    assert node.base.caching.is_created_from_cache

    burst = label(emt_frames(4, seed=9))
    second = pool(first, a__burst_0001=burst)
    outputs, node = run_get_node(
        LearnCalculation, **inputs(engine_code, pool=second, champion=champion, tests={"a__burst_0001": burst})
    )
    assert node.is_finished_ok, node.exit_message
    tests = outputs["tests"]
    assert tests.get_array("a__burst_0001__errors").shape == (4, 16)
    assert tests.get_array("a__burst_0001__deviations").min() > 0
    assert tests.get_array("a__burst_0001__energy_errors").shape == (4,)
    rmse = tests.get_array("a__burst_0001__force_rmse")
    assert rmse == pytest.approx(np.sqrt(np.square(tests.get_array("a__burst_0001__errors")).mean(axis=1) / 3))
    errors = outputs["errors"].get_dict()
    assert errors["trained"] is bool(rmse.max() > 0.1)
    assert "a__burst_0001" in errors["reason"]
    assert ("potential" in outputs) == (errors["verdict"]["winner"] == "challenger")
    assert set(errors["champion"]) == set(errors["challenger"]) == {"a", "b"}


@pytest.mark.engine
def test_no_round_trains_where_nothing_was_wrong(aiida_profile_clean, engine_code, tmp_path):
    burst = label(emt_frames(3, seed=5))
    settings = orm.Dict(LEARN | {"force_rmse_tolerance": 1e3, "energy_tolerance": 1e3})
    outputs, node = run_get_node(
        LearnCalculation,
        **inputs(engine_code, champion=committee(tmp_path), tests={"a__burst_0001": burst}, settings=settings),
    )
    assert node.is_finished_ok, node.exit_message
    assert "potential" not in outputs
    assert outputs["errors"]["trained"] is False
    assert outputs["tests"].get_array("a__burst_0001__force_rmse").shape == (3,)


@pytest.mark.engine
def test_a_training_cut_by_its_wall_time_leaves_a_potential(aiida_profile_clean, engine_code):
    settings = orm.Dict(LEARN | {"steps_first": 10**6, "n_committee": 1})
    metadata = {"options": {"max_wallclock_seconds": 30}}
    outputs, node = run_get_node(LearnCalculation, **inputs(engine_code, settings=settings, metadata=metadata))
    assert node.exit_status == LearnCalculation.exit_codes.ERROR_OUT_OF_WALLTIME.status, node.exit_message
    assert outputs["potential"].n_members == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda: {"settings": orm.Dict({"steps": 3})}, "did you mean"),
        (lambda: {"settings": orm.Dict(LEARN | {"n_committee": 0})}, "n_committee is 0"),
        (lambda: {"settings": orm.Dict(LEARN | {"elements": ["Cu", "Au", "Ag"]})}, "`isolated_atoms` lacks Ag"),
        (lambda: {"isolated_atoms": {"Cu": label(isolated_atom("Cu"))}}, "`pool` holds Au"),
        (lambda: {"isolated_atoms": {"Au": label(isolated_atom("Cu"))}}, "has to be one Au atom"),
        (lambda: {"tests": {"a__x": label(emt_frames(2), level="pbe")}}, "`tests.a__x` has labels of .* pbe"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_what_does_not_go_together_is_refused_before_a_job_starts(aiida_profile_clean, engine_code, changes, message):
    with pytest.raises(ValueError, match=message):
        run_get_node(LearnCalculation, **inputs(engine_code, **changes()))
    assert orm.QueryBuilder().append(orm.CalcJobNode).count() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trusted": False}, "was not trained here"),
        ({"level": "pbe"}, "level of theory pbe"),
        ({"elements": ("Cu", "Au", "Ag")}, "knows Ag, Au, Cu"),
    ],
)
def test_a_champion_that_does_not_fit_is_refused(aiida_profile_clean, engine_code, tmp_path, changes, message):
    champion = committee(tmp_path, **changes)
    if not changes.get("trusted", True):
        for sha256 in champion.sha256:
            distrust(sha256)
    with pytest.raises(ValueError, match=message):
        run_get_node(LearnCalculation, **inputs(engine_code, champion=champion))


def test_every_failure_invalidates_the_cache():
    own = [code for code in LearnCalculation.exit_codes.values() if 300 <= code.status < 500]
    assert own
    assert all(code.invalidates_cache for code in own)
