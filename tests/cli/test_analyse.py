"""A trajectory of any origin, analysed without a database; and a screen's tables."""

import csv

import ase.io
import pytest

from tests.cli.running import run
from tests.planted import interface, story

SPEC = """
name: mine
host: {name: Li6PS5Cl, lithium: 24g, exchange: 0}
dopings: [pristine]
interface: {layers: 10, electrolyte_cells: 2}
temperature_K: 300
seeds: [0]
protocol: quick
level_of_theory: gfn1-xtb
demonstration: true
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cell whose upper face consumes two of eight formula units, written by ASE alone."""
    folder = tmp_path_factory.mktemp("analyse")
    counts = [(0, 0)] * 8 + [(0, 1)] * 8 + [(0, 2)] * 24
    images = story(interface(), counts).to_ase()
    ase.io.write(folder / "run.extxyz", images, format="extxyz")
    for image in images:
        image.info.clear()
    ase.io.write(folder / "run.traj", images)
    (folder / "spec.yaml").write_text(SPEC)
    return folder


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_was_planted_is_said_and_written(folder):
    told = run("analyse", folder / "run.extxyz", "--candidate", folder / "spec.yaml", "-o", folder / "out")
    assert "used up" not in told
    faces = rows(folder / "out" / "faces.csv")
    assert {row["candidate"] for row in faces} == {"run"}
    assert [row["face"] for row in faces[:2]] == ["lower", "upper"]
    last = {row["face"]: float(row["consumed_A"]) for row in faces[-2:]}
    assert last["lower"] == pytest.approx(0, abs=0.1)
    middle = next(float(r["consumed_A"]) for r in faces if r["face"] == "upper" and float(r["time_fs"]) == 120)
    assert last["upper"] == pytest.approx(2 * middle, rel=0.02)
    assert f"upper face: {last['upper']:.2f} Å of the electrolyte consumed" in told
    cell = rows(folder / "out" / "cell.csv")
    assert float(cell[-1]["electrolyte_left"]) == pytest.approx(0.75, abs=0.01)
    assert {"phases.csv", "profiles.csv", "events.csv"} <= {path.name for path in (folder / "out").iterdir()}


def test_a_file_without_times_needs_the_time_between_its_frames(folder):
    given = ("analyse", folder / "run.traj", "--candidate", folder / "spec.yaml", "-o", folder / "traj")
    assert "--step-fs" in run(*given, code=1)
    run(*given, "--step-fs", 10.0)
    one, other = rows(folder / "traj" / "faces.csv"), rows(folder / "out" / "faces.csv")
    for name in ("time_fs", "consumed_A", "thickness_A"):
        expected = [float(row[name]) for row in other]
        assert [float(row[name]) for row in one] == pytest.approx(expected, abs=1e-5)  # extended XYZ rounds


def test_more_than_one_candidate_is_refused(folder):
    (folder / "two.yaml").write_text(SPEC.replace("[pristine]", "[pristine, {dopant: O, site: 16e, fraction: 0.25}]"))
    told = run("analyse", folder / "run.extxyz", "--candidate", folder / "two.yaml", code=1)
    assert "makes 2 candidates" in told
