"""Training and evaluation through AiiDA: what goes in is checked, what comes out is queryable."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching

from aiida_haml.calculations.evaluate import EvaluateCalculation
from aiida_haml.calculations.train import TrainCalculation
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData, distrust
from aiida_haml.frames import Frames
from tests.labels import QUICK, emt_frames, isolated_atom
from tests.models import tiny_mace

LEVEL = "teacher-emt"


def label(frames: Frames, level: str | None = LEVEL) -> FramesData:
    """Return frames as a node of labels."""
    return FramesData(frames, kind="burst", level_of_theory=level)


def inputs(code, **changes):
    """Return the inputs of a training, with some replaced."""
    return {
        "code": code,
        "labels": {"burst_000": label(emt_frames(6, seed=1)), "burst_001": label(emt_frames(4, seed=2))},
        "isolated_atoms": {symbol: label(isolated_atom(symbol)) for symbol in ("Cu", "Au")},
        "settings": orm.Dict(QUICK | {"max_epochs": 2, "fine_tune_epochs": 1}),
    } | changes


def potential(path, elements=("Cu", "Au"), level=LEVEL, n_members=2, trusted=True) -> PotentialData:
    """Return an unstored committee of untrained models."""
    paths = [tiny_mace(path / f"{i}.model", list(elements), seed=i) for i in range(n_members)]
    node = PotentialData.from_files(paths, list(elements), 4.0, "float64", level)
    if trusted:
        node.trust()
    return node


@pytest.mark.engine
def test_train_then_evaluate_then_train_further(aiida_profile_clean, engine_code):
    outputs, node = run_get_node(TrainCalculation, **inputs(engine_code))
    assert node.is_finished_ok, node.exit_message
    trained = outputs["potential"]
    assert trained.is_trusted
    assert (trained.n_members, trained.elements, trained.cutoff) == (2, ["Au", "Cu"], 4.0)
    assert trained.level_of_theory == LEVEL
    errors = outputs["errors"].get_dict()
    assert set(errors) >= {"train", "valid", "held_out", "split", "members"}
    assert set(errors["split"]) == {"burst_000", "burst_001"}
    assert trained.errors["valid"] == errors["valid"]
    assert outputs["output_parameters"]["wall_time_s"] > 0

    with enable_caching():
        repeated, node = run_get_node(TrainCalculation, **inputs(engine_code))
    assert node.base.caching.is_created_from_cache
    assert repeated["potential"].sha256 == trained.sha256

    unseen = label(emt_frames(3, seed=9))
    outputs, node = run_get_node(EvaluateCalculation, code=engine_code, potential=trained, frames=unseen)
    assert node.is_finished_ok, node.exit_message
    assert outputs["errors"]["n_frames"] == 3
    deviations = outputs["deviations"].get_array("deviations")
    assert deviations.shape == (3, 16)
    assert outputs["errors"]["deviation_max"] == pytest.approx(deviations.max())

    outputs, node = run_get_node(TrainCalculation, **inputs(engine_code, initial=trained))
    assert node.is_finished_ok, node.exit_message
    assert set(outputs["potential"].sha256).isdisjoint(trained.sha256)


@pytest.mark.engine
def test_a_training_that_diverges_has_its_own_exit_code(aiida_profile_clean, engine_code):
    frames = emt_frames(6)
    broken = Frames(**(frames.arrays() | {"forces": frames.forces * 1e160}))
    _, node = run_get_node(TrainCalculation, **inputs(engine_code, labels={"burst_000": label(broken)}))
    assert node.exit_status == TrainCalculation.exit_codes.ERROR_DIVERGED.status
    assert "lower lr" in node.exit_message


@pytest.mark.engine
def test_the_engines_refusal_is_the_exit_message(aiida_profile_clean, engine_code, tmp_path):
    unknown_size = potential(tmp_path, elements=("Cu", "Au"))
    # The node says that it knows silver, its models do not.
    unknown_size.base.attributes.set("elements", ["Ag", "Au", "Cu"])
    frames = emt_frames(2)
    silver = Frames(**(frames.arrays() | {"numbers": np.where(frames.numbers == 79, 47, 29)}))
    _, node = run_get_node(EvaluateCalculation, code=engine_code, potential=unknown_size, frames=label(silver))
    assert node.exit_status == EvaluateCalculation.exit_codes.ERROR_MODEL_REFUSED.status
    assert "Ag" in node.exit_message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda: {"settings": orm.Dict({"epochs": 3})}, "did you mean max_epochs"),
        (lambda: {"settings": orm.Dict(QUICK | {"n_committee": 0})}, "n_committee is 0"),
        (
            lambda: {"settings": orm.Dict(QUICK | {"elements": ["Cu", "Au", "Ag"]})},
            "`isolated_atoms` lacks Ag",
        ),
        (lambda: {"labels": {"burst_000": label(emt_frames(1))}}, "at least 2"),
        (lambda: {"labels": {"burst_000": label(emt_frames(4), level=None)}}, "label its frames first"),
        (
            lambda: {"labels": {"a": label(emt_frames(4)), "b": label(emt_frames(4), level="pbe")}},
            "never mixed.*labels.a.*labels.b",
        ),
        (lambda: {"isolated_atoms": {"Cu": label(isolated_atom("Cu"))}}, "`labels.burst_000` holds Au"),
        (lambda: {"isolated_atoms": {"Au": label(isolated_atom("Cu"))}}, "has to be one Au atom"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_labels_that_do_not_fit_are_refused_before_a_job_starts(aiida_profile_clean, engine_code, changes, message):
    with pytest.raises(ValueError, match=message):
        run_get_node(TrainCalculation, **inputs(engine_code, **changes()))
    assert orm.QueryBuilder().append(orm.CalcJobNode).count() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trusted": False}, "was not trained here"),
        ({"n_members": 1}, "has 1 members"),
        ({"level": "pbe"}, "level of theory pbe"),
        ({"elements": ("Cu", "Au", "Ag")}, "knows Ag, Au, Cu"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(aiida_profile_clean, engine_code, tmp_path, changes, message):
    initial = potential(tmp_path, **changes)
    if not changes.get("trusted", True):
        for sha256 in initial.sha256:
            distrust(sha256)
    with pytest.raises(ValueError, match=message):
        run_get_node(TrainCalculation, **inputs(engine_code, initial=initial))
