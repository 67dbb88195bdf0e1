"""From the graph to the report: descriptions in parts, samples of environments, figures from the command line."""

import numpy as np
import pytest
from aiida import orm
from ase import units
from click.testing import CliRunner

from aiida_haml.calculations.history import tell_history
from aiida_haml.cli import haml
from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames
from aiida_haml.queries.stored import StoredArrays
from aiida_haml.report.collect import _cycle, _joined, _pressure, _watch, collect, sampled
from aiida_haml.report.data import Candidate
from aiida_haml.report.figures import learning
from tests.graphs import Builder, frames, lay_screen


def test_a_sample_keeps_rows_together_and_is_the_same_every_time():
    n = 500
    environments = {
        "projected": np.arange(4.0 * n).reshape(n, 4), "central": np.arange(n), "phase": np.arange(n) - 1,
        "time": np.arange(n) / 2, "face": np.zeros(n),
    }  # fmt: skip
    found = sampled(environments, 100)
    assert {name: array.shape for name, array in found.items()} == {
        "projected": (100, 2), "central": (100,), "phase": (100,), "time": (100,),
    }  # fmt: skip
    assert np.array_equal(found["projected"][:, 0], 4 * found["central"])
    assert np.array_equal(found["phase"], found["central"] - 1)
    assert len(np.unique(found["central"])) == 100
    assert np.array_equal(found["central"], sampled(environments, 100)["central"])
    assert len(sampled(environments, 10_000)["central"]) == n
    assert sampled({"central": np.zeros(3)}, 10) == {}


def test_parts_of_a_description_are_joined_in_the_order_of_their_names(aiida_profile):
    parts = {f"part_{k:03d}": orm.ArrayData({"time": np.array([k, k + 0.5])}).store().pk for k in (2, 0, 1)}
    arrays = StoredArrays(parts.values())
    joined = _joined(parts, arrays, lambda found: {"time": np.concatenate([part["time"] for part in found])})
    assert joined["time"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert _joined({"": parts["part_001"]}, arrays, None)["time"].tolist() == [1, 1.5]
    assert _joined({}, arrays, None) == {}


def test_deviations_stand_at_the_times_at_which_they_were_measured(aiida_profile):
    def segment(start, deviations):
        n = len(deviations)
        run = Frames(
            numbers=[3], positions=np.zeros((n, 1, 3)), cells=np.tile(np.eye(3), (n, 1, 1)), pbc=[True] * 3,
            times=start + np.arange(n), deviations=np.array(deviations),
        )  # fmt: skip
        return FramesData(run, kind="stretch").store().pk

    watch = _of(_watch, [segment(0.0, [np.nan, 0.1]), segment(10.0, [0.2, np.nan, 0.3])])
    assert watch["time"].tolist() == [1, 10, 12]
    assert watch["deviation"].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert _of(_watch, []) == {}
    assert _of(_watch, [frames("burst").store().pk]) == {}


def test_the_pressure_is_that_of_the_later_bursts(aiida_profile):
    def burst(start, pressure):
        run = Frames(
            numbers=[3], positions=np.zeros((2, 1, 3)), cells=np.tile(np.eye(3), (2, 1, 1)), pbc=[True] * 3,
            times=start + np.arange(2), stresses=np.tile([-pressure * units.GPa] * 3 + [0.0] * 3, (2, 1)),
        )  # fmt: skip
        return FramesData(run, kind="burst").store().pk

    unpressed = frames("burst").store().pk
    assert _of(_pressure, [burst(0.0, 50.0), unpressed, burst(20.0, 1.0)]) == pytest.approx(1.0)
    assert _of(_pressure, []) is None
    moving = Frames(
        numbers=[3], positions=np.zeros((1, 1, 3)), cells=10 * np.eye(3)[None], pbc=[True] * 3,
        velocities=np.ones((1, 1, 3)), stresses=np.zeros((1, 6)),
    )  # fmt: skip
    pressure = _of(_pressure, [FramesData(moving, kind="burst").store().pk])
    assert pressure == pytest.approx(float(moving.pressures().mean())), "the motion presses too"
    assert pressure > 0


def test_the_deviation_of_each_round_is_drawn_as_the_watch_saw_it(aiida_profile):
    def verdict(round_, reached):
        return {f"verdicts_{round_:04d}": {"c000": {"reached_fs": reached, "n_labels": 2, "force_rmse": 0.1}}}

    def stretch(round_, deviation):
        return {f"c000__stretch_{round_:04d}": {"steps_done": 9, "checks": {"n": 3, "deviation_max": deviation}}}

    told = verdict(0, 5.0) | verdict(1, 9.0) | verdict(2, 12.0) | stretch(1, 0.7) | stretch(2, 0.4)
    history = tell_history(**{name: orm.Dict(content) for name, content in told.items()})["c000"]
    drawing = learning([Candidate("c000", "pristine", cycles=[_cycle(of) for of in history["rounds"]])])
    errors, deviations = (axes.get_lines() for axes in drawing.figure.axes)
    assert errors[0].get_xydata().tolist() == [[0, 0.1], [1, 0.1], [2, 0.1]]
    assert deviations[0].get_xydata().tolist() == [[1, 0.7], [2, 0.4]]


def test_the_number_of_statements_does_not_grow_with_the_time_line(aiida_localhost, tmp_path, count_statements):
    """All segments are asked for at once, and what they hold is read from the repository."""
    counts = {}
    for more in (0, 2, 4):
        builder = Builder(aiida_localhost, tmp_path)
        graph = lay_screen(builder, ended=False).made
        for number in range(4, 4 + more):
            name = f"trajectories__c000__segments__segment_{number:04d}"
            builder.give_back(graph["screen"], **{name: frames("stretch", start=12.0 + number, seed=number)})
        builder.end()
        counts[more] = count_statements(lambda graph=graph, more=more: _has_segments(graph["screen"], 4 + more))
    assert len(set(counts.values())) == 1, counts


def _has_segments(screen, count):
    (candidate,) = collect(screen).candidates
    assert [s.time_start for s in candidate.segments] == sorted(s.time_start for s in candidate.segments)
    assert len(candidate.segments) == count


def _of(read, pks):
    return read(pks, StoredArrays(pks))


def test_the_command_writes_the_page_and_its_figures(aiida_localhost, tmp_path):
    screen = lay_screen(Builder(aiida_localhost, tmp_path)).made["screen"]
    page, folder = tmp_path / "report.html", tmp_path / "figures"
    arguments = ["screen", "report", str(screen.pk), "-o", str(page), "--figures", str(folder)]
    result = CliRunner().invoke(haml, arguments)
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in folder.iterdir())
    assert {"scores-1.pdf", "scores-1.svg", "cost.pdf"} <= set(names)
    assert f"wrote {len(names)} files" in result.output
    assert page.read_text(encoding="utf-8").count("<figure>") == len(names) // 2
