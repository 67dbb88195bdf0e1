"""A batch of segments knows what lies ahead of it; what no analysis may see is refused."""

from types import SimpleNamespace

import pytest

from aiida_haml.analysis import description
from aiida_haml.calculations import describe


def segment(start, kind="stretch"):
    attributes = {"time_start": start}
    return SimpleNamespace(kind=kind, base=SimpleNamespace(attributes=attributes))


TRAJECTORY = {f"segment_{k:03d}": segment(100.0 * k) for k in range(12)}


def test_as_many_segments_lie_ahead_as_memory_reaches_back():
    ahead = describe.segments_ahead(TRAJECTORY, "segment_008", every_fs=10.0)
    assert list(ahead) == ["segment_004", "segment_005", "segment_006", "segment_007"]
    assert describe.segments_ahead(TRAJECTORY, "segment_000", 10.0) == {}
    assert list(describe.segments_ahead(TRAJECTORY, "segment_002", 10.0)) == ["segment_000", "segment_001"]


def test_the_bridge_and_the_analysis_remember_equally_long():
    assert describe.MEMORY_FS == description.MEMORY_FS


@pytest.mark.parametrize("validate", [describe.validate_segments, describe.validate_previous])
def test_untrusted_and_timeless_segments_are_refused(validate):
    assert validate(TRAJECTORY, None) is None
    assert "never analysed" in validate({"segment_000": segment(0.0, "untrusted")}, None)
    assert "no times" in validate({"segment_000": segment(None)}, None)
    assert "name it segment_000" in validate({"first": segment(0.0)}, None)


def test_a_batch_needs_segments_and_the_start_of_its_trajectory():
    assert "no `segments`" in describe.validate_inputs({"segments": {}}, None)
    batch = {"segments": TRAJECTORY, "previous": TRAJECTORY}
    assert "without `origin`" in describe.validate_inputs(batch, None)
    assert describe.validate_inputs(batch | {"origin": segment(0.0)}, None) is None
    assert "untrusted" in describe.validate_origin(segment(0.0, "untrusted"), None)
