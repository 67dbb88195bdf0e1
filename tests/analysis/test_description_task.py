"""The task that describes one candidate: segments joined, thinned, written; refused if no trajectory."""

import json
import shutil
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from ase.build import molecule

from aiida_haml.analysis.balance.areal import balance
from aiida_haml.analysis.joining import join_descriptions, join_environments, read_parts
from aiida_haml.analysis.segments import new_frames, thinned
from aiida_haml.engines import description
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals
from tests.library import reference
from tests.orphans import left_behind

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
    assert series["consumed"].max() == 0
    assert series["faces"].tolist() == ["whole"]
    assert np.isnan(series["thickness"]).all()  # there is no metal that a layer could lie before
    assert series["ladder"].sum(axis=(1, 2)).tolist() == [[28, 0, 0, 0]] * 12
    assert series["profile"].sum(axis=(1, 2)).tolist() == [52] * 12
    assert series["snapshot_states"].shape == (2, 52)


def test_cutting_into_segments_changes_nothing(job, tmp_path):
    folder, frames, _ = job
    frames.save(tmp_path / "inputs" / "segment_000")
    describe(tmp_path)
    split, whole = load(folder / "series"), load(tmp_path / "series")
    assert set(split) == set(whole)
    for name in {n for n in whole if not n.startswith("partial_")} - {"segment"}:
        if whole[name].dtype.kind in "fiub":
            assert np.allclose(split[name], whole[name], atol=1e-4, equal_nan=True), name  # single precision
        else:
            assert np.array_equal(split[name], whole[name]), name


def test_the_same_job_writes_the_same_bytes(job, tmp_path):
    folder, frames, _ = job
    for i, part in enumerate((frames[:5], frames[4:9], frames[8:])):
        part.save(tmp_path / "inputs" / f"segment_{i:03d}")
    describe(tmp_path)
    for path in sorted(folder.glob("*/*.npy")):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path.name


def test_common_drift_consumes_nothing(tmp_path):
    atoms = crystals.argyrodite()
    drift = np.arange(4)[:, None, None] * np.array([0.0, 0.0, 2.5])
    still = walk(atoms, 4)
    Frames(still.numbers, atoms.positions + drift, still.cells, still.pbc, times=still.times).save(
        tmp_path / "inputs" / "segment_000"
    )
    describe(tmp_path)
    series = load(tmp_path / "series")
    assert series["consumed"].max() == 0
    assert np.array_equal(series["profile"][0], series["profile"][-1])  # heights are about the middle of the host


def test_pure_lithium_has_no_phosphorus_to_speak_of(tmp_path):
    walk(crystals.lithium() * (3, 3, 3), 2).save(tmp_path / "inputs" / "segment_000")
    describe(tmp_path)
    series = load(tmp_path / "series")
    assert np.isnan(series["ps4_fraction"]).all()
    assert (series["metal"] == 54).all()
    assert series["ladder"].sum() == 0


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


# -- batches ---------------------------------------------------------------------------------------------


def write_batches(folder, segments, batches, settings):
    """Describe batches of segments, each with two segments ahead of it, and return the joined description."""
    names = list(segments)
    for k, batch in enumerate(batches):
        job = folder / f"job_{k}"
        for name in batch:
            segments[name].save(job / "inputs" / name)
        first = names.index(batch[0])
        for name in names[max(0, first - 2) : first]:
            segments[name].save(job / "inputs" / "previous" / name)
        if first:
            segments[names[0]].save(job / "inputs" / "origin")
        assert "error" not in describe(job, settings)
        for part in ("series", "environments"):
            shutil.copytree(job / part, folder / part / f"part_{k:03d}")
    return joined(folder)


def joined(folder):
    return join_descriptions(read_parts(folder / "series")), join_environments(read_parts(folder / "environments"))


def cut(frames, edges):
    """Return segments that each begin with the frame which the one ahead ends on."""
    return {f"segment_{k:03d}": frames[max(a - 1, 0) : b] for k, (a, b) in enumerate(pairwise(edges))}


@pytest.fixture(scope="module")
def reactive():
    """A trajectory in which units break, atoms cross the cell and the cell breathes."""
    frames = walk(crystals.argyrodite(), 60, step=20.0)
    rng = np.random.default_rng(5)
    moved = np.cumsum(rng.standard_normal(frames.positions.shape) * 0.08, axis=0)
    cells = frames.cells * (1 + 0.01 * np.sin(frames.times / 300))[:, None, None]
    return Frames(frames.numbers, frames.positions + moved, cells, frames.pbc, times=frames.times,
                  velocities=rng.standard_normal(frames.positions.shape) * 1e-3)  # fmt: skip


@pytest.mark.parametrize("every_fs", [0, 50.0])
def test_batches_joined_are_one_description_to_the_last_digit(reactive, tmp_path, every_fs):
    settings = SMALL | {"every_fs": every_fs, "chunk": 200}
    segments = cut(reactive, [0, 17, 30, 41, 60])
    names = list(segments)
    once = write_batches(tmp_path / "once", segments, [names], settings)
    twice = write_batches(tmp_path / "twice", segments, [names[:2], names[2:]], settings)
    each = write_batches(tmp_path / "each", segments, [[n] for n in names], settings)
    assert len(once[0]["events_time"]) > 10  # else nothing would be tested of what has a memory
    for other in (twice, each):
        for whole, parts in zip(once, other, strict=True):
            assert set(whole) == set(parts)
            for name, expected in whole.items():
                assert parts[name].dtype == expected.dtype, name
                assert np.array_equal(parts[name], expected, equal_nan=expected.dtype.kind == "f"), name


def test_processes_change_no_digit(reactive, tmp_path):
    for k in (1, 2):
        reactive.save(tmp_path / str(k) / "inputs" / "segment_000")
        describe(tmp_path / str(k), SMALL | {"chunk": 300, "n_workers": k})
    for path in sorted((tmp_path / "1").glob("*/*.npy")):
        assert path.read_bytes() == (tmp_path / "2" / path.relative_to(tmp_path / "1")).read_bytes(), path.name


def test_what_has_reacted_is_counted_from_the_cell_as_built(reactive, tmp_path):
    """The trajectory begins with units that are broken already; without the cell as built they would count as whole."""
    late = reactive[40:]
    late.save(tmp_path / "a" / "inputs" / "segment_000")
    reactive[:1].save(tmp_path / "a" / "inputs" / "built")
    late.save(tmp_path / "b" / "inputs" / "segment_000")
    for folder in ("a", "b"):
        assert "error" not in describe(tmp_path / folder)
    from_built, from_start = (load(tmp_path / folder / "series")["consumed"] for folder in ("a", "b"))
    assert from_built[0].sum() > 0.5
    assert from_start[0].sum() == 0
    walk(crystals.lithium(), 1).save(tmp_path / "c" / "inputs" / "built")
    late.save(tmp_path / "c" / "inputs" / "segment_000")
    assert "built holds other atoms" in refused(tmp_path / "c")


def test_first_and_last_frames_are_kept_of_all_parts(reactive, tmp_path):
    segments = cut(reactive, [0, 30, 60])
    series, _ = write_batches(tmp_path, segments, [[n] for n in segments], SMALL)
    assert np.array_equal(series["snapshot_positions"], reactive.positions[[0, -1]])
    assert series["snapshot_times"].tolist() == [0.0, 59 * 20.0]
    assert len(series["profile"]) == 60


def test_a_description_is_not_joined_with_another(reactive, tmp_path):
    segments = cut(reactive, [0, 30, 60])
    write_batches(tmp_path, segments, [[n] for n in segments], SMALL)
    parts = read_parts(tmp_path / "series")
    with pytest.raises(ValueError, match="join parts in time order"):
        join_descriptions(parts[::-1])
    with pytest.raises(ValueError, match="differ in basis_key"):
        join_descriptions([parts[0], parts[1] | {"basis_key": np.array(["other"])}])
    with pytest.raises(ValueError, match="different atoms"):
        join_descriptions([parts[0], parts[1] | {"snapshot_numbers": np.ones(52, dtype=int)}])
    with pytest.raises(ValueError, match="No parts"):
        join_descriptions([])
    with pytest.raises(ValueError, match="describe it first"):
        read_parts(tmp_path / "job_0" / "series")


def test_a_batch_without_new_frames_is_refused(reactive, tmp_path):
    reactive[:10].save(tmp_path / "inputs" / "previous" / "segment_000")
    reactive[9:10].save(tmp_path / "inputs" / "segment_001")
    reactive[:1].save(tmp_path / "inputs" / "origin")
    assert "hold no frame after 180.0 fs" in refused(tmp_path)


def test_the_origin_is_the_start_of_the_same_trajectory(reactive, tmp_path):
    reactive[:10].save(tmp_path / "a" / "inputs" / "segment_000")
    walk(crystals.lithium(), 2).save(tmp_path / "a" / "inputs" / "origin")
    assert "origin holds other atoms" in refused(tmp_path / "a")
    reactive[:10].save(tmp_path / "b" / "inputs" / "segment_000")
    reactive[5:].save(tmp_path / "b" / "inputs" / "origin")
    assert "origin starts at 100.0 fs, after the segments do" in refused(tmp_path / "b")


# -- what must not change, or must --------------------------------------------------------------------------

#: Series of the whole cell, whose rows are frames.
WHOLE = ("consumed", "ps4_fraction", "p_chalcogen_bonds", "li_anion_coordination", "p_bond_order_state")


def series_of(frames, folder):
    frames.save(folder / "inputs" / "segment_000")
    assert "error" not in describe(folder)
    return load(folder / "series")


def changed(frames, **arrays):
    return Frames(**({"numbers": frames.numbers, "positions": frames.positions, "cells": frames.cells,
                      "pbc": frames.pbc, "times": frames.times} | arrays))  # fmt: skip


def rotated(frames):
    axes = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
    return changed(frames, positions=frames.positions @ axes.T, cells=frames.cells @ axes.T)


def shifted(frames):
    return changed(frames, positions=frames.positions + np.array([1.3, -7.0, 22.0]))


def permuted(frames):
    order = np.random.default_rng(4).permutation(frames.n_atoms)
    return changed(frames, numbers=frames.numbers[order], positions=frames.positions[:, order])


def repeated(frames):
    second = frames.positions + frames.cells[:, :1]
    cells = frames.cells * np.array([2.0, 1.0, 1.0])[None, :, None]
    return changed(
        frames, numbers=np.tile(frames.numbers, 2), cells=cells, positions=np.concatenate([frames.positions, second], 1)
    )


@pytest.mark.parametrize("change", [rotated, shifted, permuted, repeated])
def test_series_do_not_hang_on_how_the_cell_is_written(reactive, tmp_path, change):
    frames = changed(reactive[:20:4])
    before = series_of(frames, tmp_path / "before")
    after = series_of(change(frames), tmp_path / "after")
    for name in WHOLE:
        assert np.allclose(before[name], after[name], atol=1e-9, equal_nan=True), name
    shares = [found["ladder"].sum(axis=1) / found["ladder"][0].sum() for found in (before, after)]
    # An environment on the verge of two answers may fall to either side in the last digits.
    assert np.allclose(*shares, atol=0.02)


def test_a_stride_takes_frames_away_and_changes_none_of_the_rest(reactive, tmp_path):
    frames = changed(reactive)
    every, second = series_of(frames, tmp_path / "a"), series_of(frames[::2], tmp_path / "b")
    for name in ("metal", "layer_phases", "profile_elements"):
        assert np.array_equal(every[name][::2], second[name]), name


def test_a_liquid_is_followed_by_its_molecules(tmp_path):
    """One of two ether molecules is torn apart; no atom of them resembles a crystal at any time."""
    ether = molecule("CH3OCH3")
    both = ether + ether
    both.positions[len(ether) :] += [0, 0, 5.0]
    both.set_cell([12, 12, 12])
    both.pbc = True
    torn = np.repeat(both.positions[None], 4, axis=0)
    carbon = int(np.flatnonzero(both.symbols == "C")[0])
    torn[2:, carbon] += [0, -5.5, 0]
    frames = Frames(
        both.numbers, torn, np.repeat(both.cell.array[None], 4, axis=0), both.pbc, times=200.0 * np.arange(4)
    )
    frames.save(tmp_path / "inputs" / "segment_000")
    settings = {"elements": ["C", "H", "Li", "O"], "n_components": 8, "every_fs": 0}
    assert "error" not in describe(tmp_path, settings)
    series = load(tmp_path / "series")
    assert series["consumed"].sum(axis=1).tolist() == [0, 0, 0.5, 0.5]
    assert series["intact_molecules"].tolist() == [1, 1, 0.5, 0.5]
    assert set(series["fragments"]) == {"CH3", "CH3O"} or len(series["fragments"]) > 0


def test_a_liquid_that_only_vibrates_has_consumed_nothing(tmp_path):
    """Bonds of molecules are stiff: what an unreacted liquid reads is no share of it."""
    ether = molecule("CH3OCH3")
    both = ether + ether
    both.positions[len(ether) :] += [0, 0, 5.0]
    both.set_cell([12, 12, 12])
    both.pbc = True
    moved = both.positions + 0.03 * np.random.default_rng(1).standard_normal((6, len(both), 3))
    cells = np.repeat(both.cell.array[None], 6, axis=0)
    frames = Frames(both.numbers, moved, cells, both.pbc, times=20.0 * np.arange(6))
    frames.save(tmp_path / "inputs" / "segment_000")
    settings = {"elements": ["C", "H", "Li", "O"], "n_components": 8, "every_fs": 0}
    assert "error" not in describe(tmp_path, settings)
    known = balance(load(tmp_path / "series"))
    assert known.units == 2
    assert np.abs(known.consumed).max() < 0.02 * known.resolution


# -- refusals --------------------------------------------------------------------------------------------


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
    walk(reference("LiF"), 2).save(tmp_path / "inputs" / "segment_000")
    assert "['F']" in refused(tmp_path)
    assert "stride is not a setting of DescriptionSettings" in refused(tmp_path, {"stride": 2})


def test_workers_end_with_the_job_that_started_them():
    """Killed from outside, so that nothing of the job can clean up: one is at work, one waits for some."""
    text = (
        "import time; from aiida_haml.analysis.description import _workers\n"
        "with _workers(2, None) as submit: submit(time.sleep, 600); submit(time.sleep, 0)(); time.sleep(600)"
    )
    job = subprocess.Popen([sys.executable, "-c", text])
    assert not left_behind(job, 2)
