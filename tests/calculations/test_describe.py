"""A batch of segments knows what lies ahead of it; what no analysis may see is refused."""

from types import SimpleNamespace

import pytest

from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.calculations import describe


def segment(start, kind="stretch", n_atoms=8):
    attributes = {"time_start": start}
    return SimpleNamespace(kind=kind, n_atoms=n_atoms, base=SimpleNamespace(attributes=attributes))


TRAJECTORY = {f"segment_{k:03d}": segment(100.0 * k) for k in range(12)}


def test_as_many_segments_lie_ahead_as_memory_reaches_back():
    settings = DescriptionSettings(every_fs=10.0)
    ahead = describe.segments_ahead(TRAJECTORY, "segment_008", settings)
    assert list(ahead) == ["segment_004", "segment_005", "segment_006", "segment_007"]
    assert describe.segments_ahead(TRAJECTORY, "segment_000", settings) == {}
    assert list(describe.segments_ahead(TRAJECTORY, "segment_002", settings)) == ["segment_000", "segment_001"]
    longer = describe.segments_ahead(TRAJECTORY, "segment_011", DescriptionSettings(every_fs=200.0))
    assert next(iter(longer)) == "segment_001"  # 100 fs that a change has to last, and two strides


@pytest.mark.parametrize("validate", [describe.validate_segments, describe.validate_previous])
def test_untrusted_and_timeless_segments_are_refused(validate):
    assert validate(TRAJECTORY, None) is None
    assert "never analysed" in validate({"segment_000": segment(0.0, "untrusted")}, None)
    assert "no times" in validate({"segment_000": segment(None)}, None)
    assert "name it segment_000" in validate({"first": segment(0.0)}, None)


def test_a_batch_needs_segments_the_start_of_its_trajectory_and_the_cell_as_built():
    assert "no `segments`" in describe.validate_inputs({"segments": {}}, None)
    batch = {"segments": TRAJECTORY, "previous": TRAJECTORY}
    assert "without `origin`" in describe.validate_inputs(batch, None)
    batch |= {"origin": segment(0.0)}
    assert "no `built`" in describe.validate_inputs(batch, None)
    assert "holds 9 atoms" in describe.validate_inputs(batch | {"built": segment(None, n_atoms=9)}, None)
    assert describe.validate_inputs(batch | {"built": segment(None)}, None) is None
    assert "untrusted" in describe.validate_origin(segment(0.0, "untrusted"), None)
    assert "untrusted" in describe.validate_built(segment(0.0, "untrusted"), None)
