"""The task that describes one candidate: segments joined, thinned, written; refused if no trajectory."""

import json

import numpy as np
import pytest

from aiida_haml.analysis.description import new_frames, thinned
from aiida_haml.engines import description
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals

SMALL = {"elements": ["Cl", "Li", "P", "S"], "n_components": 16, "every_fs": 0}


def walk(atoms, n_frames, seed=0, start=0.0, step=1.0):
    """Return a trajectory whose atoms wander a little."""
    rng = np.random.default_rng(seed)
    moved = np.cumsum(rng.standard_normal((n_frames, len(atoms), 3)) * 0.01, axis=0)
    moved -= moved[0]
    return Frames(
        numbers=atoms.numbers, positions=atoms.positions + moved,
        cells=np.repeat(atoms.cell.array[None], n_frames, axis=0), pbc=atoms.pbc,
        times=start + step * np.arange(n_frames),
    )  # fmt: skip


def describe(folder, settings=SMALL):
    description.run(folder, {"settings": settings})
    return json.loads((folder / "results.json").read_text())


def load(folder):
    return {p.stem: np.load(p, allow_pickle=False) for p in folder.glob("*.npy")}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("describe")
    frames = walk(crystals.argyrodite(), 12)
    frames[:5].save(folder / "inputs" / "segment_000")
    frames[4:9].save(folder / "inputs" / "segment_001")  # begins with the frame that the one ahead ended on
    frames[8:].save(folder / "inputs" / "segment_002")
    return folder, frames, describe(folder)


def test_handover_frames_are_taken_once(job):
    folder, frames, results = job
    series = load(folder / "series")
    assert np.array_equal(series["time"], frames.times)
    assert series["segment"].tolist() == [0] * 5 + [1] * 4 + [2] * 3
    assert results["n_frames"] == 12
    assert results["n_environments"] == 12 * 52
    assert results["segments"] == ["segment_000", "segment_001", "segment_002"]


def test_environments_are_written_single_precision_and_complete(job):
    folder, frames, _ = job
    arrays = load(folder / "environments")
    assert arrays["projected"].dtype == np.float32
    assert arrays["projected"].shape == (12 * 52, 16)
    assert np.array_equal(arrays["central"].reshape(12, 52)[3], frames.numbers)
    assert np.array_equal(arrays["time"].reshape(12, 52)[:, 0], frames.times)
    assert arrays["frame"].max() == 11


def test_a_resting_electrolyte_stays_the_electrolyte(job):
    folder, _, _ = job
    series = load(folder / "series")
    assert np.all(series["ps4_fraction"] == 1)
    assert series["reacted_fraction"].max() < 0.1
    assert series["product_score"].max() < 0.2
    assert np.allclose(series["phase_fractions"].sum(axis=1), 1)
    assert np.allclose(series["profile"].sum(axis=(1, 2)), 1)
    assert series["framework_displacement"][0] == pytest.approx(0)


def test_cutting_into_segments_changes_nothing(job, tmp_path):
    folder, frames, _ = job
    frames.save(tmp_path / "inputs" / "segment_000")
    describe(tmp_path)
    split, whole = load(folder / "series"), load(tmp_path / "series")
    for name in set(whole) - {"segment", "phases", "roles", "elements"}:
        assert np.allclose(split[name], whole[name], atol=1e-5, equal_nan=True), name  # single precision


def test_the_same_job_writes_the_same_bytes(job, tmp_path):
    folder, frames, _ = job
    for i, part in enumerate((frames[:5], frames[4:9], frames[8:])):
        part.save(tmp_path / "inputs" / f"segment_{i:03d}")
    describe(tmp_path)
    for path in sorted(folder.glob("*/*.npy")):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path.name


def test_common_drift_is_no_displacement(tmp_path):
    atoms = crystals.argyrodite()
    drift = np.arange(4)[:, None, None] * np.array([0.5, 0.0, 0.0])
    still = walk(atoms, 4)
    Frames(still.numbers, atoms.positions + drift, still.cells, still.pbc, times=still.times).save(
        tmp_path / "inputs" / "segment_000"
    )
    describe(tmp_path)
    assert np.load(tmp_path / "series" / "framework_displacement.npy").max() < 1e-9


def test_pure_lithium_has_no_phosphorus_to_speak_of(tmp_path):
    walk(crystals.lithium() * (3, 3, 3), 2).save(tmp_path / "inputs" / "segment_000")
    describe(tmp_path)
    series = load(tmp_path / "series")
    assert np.isnan(series["ps4_fraction"]).all()
    assert np.isnan(series["reacted_fraction"]).all()
    assert np.isnan(series["framework_displacement"]).all()
    assert series["phase_fractions"][:, series["phases"].tolist().index("Li")].min() > 0.9


def test_one_frame_is_described(tmp_path):
    walk(crystals.argyrodite(), 1).save(tmp_path / "inputs" / "segment_000")
    results = describe(tmp_path)
    assert results["n_frames"] == 1
    assert results["time_start_fs"] == results["time_end_fs"] == 0


def test_frames_are_thinned_on_a_grid_common_to_all_segments():
    frames = walk(crystals.lithium(), 21, step=0.5)
    assert thinned(frames, 2.0).times.tolist() == [0, 2, 4, 6, 8, 10]
    later = walk(crystals.lithium(), 5, start=3.0, step=0.5)
    assert thinned(later, 2.0).times.tolist() == [3, 4, 5]
    assert len(thinned(frames, 0)) == 21


def test_frames_known_already_are_not_new():
    frames = walk(crystals.lithium(), 3)
    assert new_frames(frames, 2.0) is None
    assert new_frames(frames, 1.0).times.tolist() == [2]


def refused(folder, settings=SMALL):
    results = describe(folder, settings)
    assert results["error"]["kind"] == "refused"
    assert not (folder / "series").exists()
    return results["error"]["message"]


def test_no_segments_are_refused(tmp_path):
    (tmp_path / "inputs").mkdir()
    assert "No segments" in refused(tmp_path)


def test_frames_without_times_are_refused(tmp_path):
    Frames.from_ase([crystals.argyrodite()] * 2).save(tmp_path / "inputs" / "segment_000")
    assert "segment_000 has no times" in refused(tmp_path)


def test_changing_atoms_are_refused(tmp_path):
    walk(crystals.argyrodite(), 2).save(tmp_path / "inputs" / "segment_000")
    walk(crystals.lithium(), 2, start=5).save(tmp_path / "inputs" / "segment_001")
    assert "segment_001 holds other atoms" in refused(tmp_path)


def test_segments_out_of_order_are_refused(tmp_path):
    walk(crystals.lithium(), 4).save(tmp_path / "inputs" / "segment_000")
    walk(crystals.lithium(), 4, start=1).save(tmp_path / "inputs" / "segment_001")
    assert "time order" in refused(tmp_path)


def test_nan_positions_are_refused(tmp_path):
    folder = tmp_path / "inputs" / "segment_000"
    walk(crystals.lithium(), 2).save(folder)
    np.save(folder / "positions.npy", np.full((2, 2, 3), np.nan))
    assert "NaN" in refused(tmp_path)


def test_unknown_elements_and_settings_are_refused(tmp_path):
    walk(crystals.REFERENCE_PHASES["LiF"].build(), 2).save(tmp_path / "inputs" / "segment_000")
    assert "['F']" in refused(tmp_path)
    assert "stride is not a setting of DescriptionSettings" in refused(tmp_path, {"stride": 2})
