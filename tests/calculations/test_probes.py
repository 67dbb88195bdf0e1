"""The calcfunctions that choose probes: frames without labels out, and a reason for each."""

import numpy as np
from aiida import orm

from aiida_haml.calculations.pool import gather
from aiida_haml.calculations.probes import distort_start, select_probes
from aiida_haml.data.frames import FramesData
from tests.labels import emt_frames

LEVEL = "teacher-emt"


def test_a_start_becomes_probes(aiida_profile_clean):
    start = FramesData(emt_frames(2))
    made = distort_start(start, orm.Dict({"n_rattled": 3}), orm.Int(1))
    selection, why = made["selection"], made["why"].get_dict()["frames"]
    assert selection.kind == "selection"
    assert not selection.has_labels
    assert len(selection) == len(why) > 3
    assert all(entry["reason"] for entry in why)
    assert selection.creator.process_label == "distort_start"


def test_probes_say_where_they_come_from_and_why(aiida_profile_clean):
    stretch = emt_frames(12, seed=4)
    frames = FramesData(stretch[:9], kind="stretch")
    untrusted = FramesData(stretch[9:], kind="untrusted")
    pool = gather(
        a__burst=FramesData(emt_frames(4, seed=1), kind="burst", level_of_theory=LEVEL),
        b__burst=FramesData(emt_frames(4, seed=2), kind="burst", level_of_theory=LEVEL),
    )
    chosen = select_probes(
        frames, orm.Dict({"n_probes": 5, "spacing_fs": 0.0}), untrusted=untrusted, pool=pool, candidate=orm.Str("a")
    )
    selection, why = chosen["selection"].frames, chosen["why"].get_dict()["frames"]
    assert len(selection) == len(why) == 5
    for frame, entry in zip(selection, why, strict=True):
        source = {"frames": stretch[:9], "untrusted": stretch[9:]}[entry["source"]]
        # Between its ends a stretch is kept in single precision.
        np.testing.assert_allclose(frame.positions[0], source.positions[entry["index"]], atol=1e-6, rtol=0)
        assert entry["time_fs"] == source.times[entry["index"]]
        assert entry["reason"]
    assert [entry["time_fs"] for entry in why] == sorted(entry["time_fs"] for entry in why)
    assert why[-1]["kind"] == "breach"


def test_hot_frames_are_chosen_last_and_have_no_place_in_time(aiida_profile_clean):
    stretch, hot = FramesData(emt_frames(9, seed=4), kind="stretch"), FramesData(emt_frames(2, seed=8))
    chosen = select_probes(stretch, orm.Dict({"n_probes": 3}), hot=hot)
    for made in (chosen, distort_start(stretch, orm.Dict({"n_rattled": 2}), orm.Int(1), hot=hot)):
        selection, why = made["selection"].frames, made["why"].get_dict()["frames"]
        assert len(selection) == len(why) > 2
        assert [entry["kind"] for entry in why[-2:]] == ["hot", "hot"]
        assert "hot" not in {entry["kind"] for entry in why[:-2]}
        assert all(entry.get("time_fs") is None for entry in why[-2:])
        np.testing.assert_array_equal(selection.positions[-2:], hot.frames.positions)


def test_what_the_pool_holds_is_not_chosen(aiida_profile_clean):
    stretch = emt_frames(12, seed=4)
    settings = orm.Dict({"n_probes": 1, "even_share": 0.0})
    first = select_probes(FramesData(stretch, kind="stretch"), settings)["why"].get_dict()["frames"][0]["index"]
    pool = gather(a__probes=FramesData(stretch[[0, first]], kind="probes", level_of_theory=LEVEL))
    second = select_probes(FramesData(stretch, kind="stretch"), settings, pool=pool, candidate=orm.Str("a"))
    assert second["why"].get_dict()["frames"][0]["index"] != first


def test_a_stretch_too_short_to_choose_from_gives_nothing(aiida_profile_clean):
    assert select_probes(FramesData(emt_frames(2), kind="stretch"), orm.Dict({})) == {}
