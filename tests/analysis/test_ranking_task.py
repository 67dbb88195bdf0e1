"""The task that ranks: descriptions of all candidates in, one ranking out, the same each time."""

import json
import shutil

import numpy as np
import pytest

from aiida_haml.engines import description, ranking
from aiida_haml.frames import Frames
from tests.planted import interface, story

DESCRIPTION = {"elements": ["Cl", "Li", "P", "S"], "n_components": 16, "every_fs": 0}
RANKING = {"min_simulated_fs": 100, "n_weight_draws": 100, "max_centres": 100}
#: Formula units that react at each face by the end, and how fast: the first reacts at once and stops.
STORIES = {"stops": (2, 4.0), "goes on": (4, 1.0)}
N_FRAMES = 36


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    root = tmp_path_factory.mktemp("rank")
    built = interface()
    candidates = {}
    for label, (final, pace) in STORIES.items():
        for seed in (1, 2, 3):
            key = f"{label}_{seed}"
            folder = root / "describe" / key
            counts = [min(final, int(final * pace * k / N_FRAMES)) for k in range(N_FRAMES)]
            frames = story(built, [(n, n) for n in counts], step_fs=20.0, seed=seed)
            frames.save(folder / "inputs" / "segment_0000")
            Frames.from_ase([built]).save(folder / "inputs" / "built")
            description.run(folder, {"settings": DESCRIPTION})
            for part in ("environments", "series"):
                shutil.copytree(folder / part, root / "inputs" / part / key / "part_000")
            candidates[key] = {"label": label, "seed": seed, "temperature_K": 300, "interface": "Li6PS5Cl | Li(100)"}
    return root, candidates, len(built)


def job(described, folder):
    shutil.copytree(described[0] / "inputs", folder / "inputs")
    return folder


def run(folder, candidates, **task):
    ranking.run(folder, {"candidates": candidates, "settings": RANKING, **task})
    return json.loads((folder / "results.json").read_text())


def test_from_frames_to_verdicts_and_an_order(described, tmp_path):
    results = run(job(described, tmp_path), described[1], level_of_theory="abc", teacher=True)
    made = json.loads((tmp_path / "ranking.json").read_text())
    assert results["n_environments"] == 6 * N_FRAMES * described[2]
    assert (made["level_of_theory"], made["teacher"]) == ("abc", True)
    rows = {row["label"]: row for row in made["candidates"]}
    assert {label: row["verdict"] for label, row in rows.items()} == {"stops": "passivates", "goes on": "does not stop"}
    assert [row["label"] for row in made["candidates"]] == ["stops", "goes on"]
    assert rows["stops"]["members"] == ["stops_1", "stops_2", "stops_3"]
    eighth = rows["stops"]["metrics"]["consumed"] / 2  # the electrolyte of one of eight formula units, Angstrom
    assert rows["goes on"]["metrics"]["consumed"] == pytest.approx(3 * eighth, rel=0.15)  # it is at three of its four
    (group,) = made["groups"]
    assert group["name"].startswith("300 K, Li6PS5Cl | Li(100), ")
    assert group["order"] == ["stops", "goes on"]
    assert "stops: passivates" in group["sentence"]


def test_clusters_are_named_and_interphases_compared(described, tmp_path):
    run(job(described, tmp_path), described[1])
    made = json.loads((tmp_path / "ranking.json").read_text())
    assert {"id", "size", "nearest_phase", "central"} <= set(made["clusters"][0])
    assert {c["central"] for c in made["clusters"]} == {"Cl", "Li", "P", "S"}
    assert "Li6PS5Cl" in {c["nearest_phase"] for c in made["clusters"]}
    assert np.array(made["distances"]).shape == (2, 2)
    assert made["floor"] is not None
    layer = np.load(tmp_path / "clusters" / "layer.npy")
    assert layer.shape[:3] == (6, 12, 2)


def test_temperatures_are_groups_of_their_own(described, tmp_path):
    candidates = {k: c | {"temperature_K": 300 if "stops" in k else 600} for k, c in described[1].items()}
    run(job(described, tmp_path), candidates)
    made = json.loads((tmp_path / "ranking.json").read_text())
    assert [row["rank"] for row in made["candidates"]] == [1, 1]
    assert len(made["groups"]) == 2


def test_a_potential_that_is_off_is_refused_a_rank(described, tmp_path):
    candidates = {k: c | {"force_rmse": 0.5 if "goes" in k else 0.05} for k, c in described[1].items()}
    candidates["stops_2"]["force_rmse"] = 0.06  # seeds may differ in it
    run(job(described, tmp_path), candidates)
    made = json.loads((tmp_path / "ranking.json").read_text())
    assert [row["rank"] for row in made["candidates"]] == [1, None]
    assert "its potential was off by 0.5 eV/Å" in made["candidates"][1]["reason"]


def test_the_same_descriptions_give_the_same_bytes(described, tmp_path):
    first, second = job(described, tmp_path / "a"), job(described, tmp_path / "b")
    run(first, described[1])
    run(second, dict(reversed(described[1].items())))
    for path in [first / "ranking.json", *sorted(first.glob("clusters/*.npy"))]:
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes(), path.name
    assert "time_s" not in (first / "ranking.json").read_text()


def test_too_short_a_screen_ranks_nothing_but_still_clusters(described, tmp_path):
    settings = RANKING | {"min_simulated_fs": 5000}
    run(job(described, tmp_path), described[1], settings=settings)
    made = json.loads((tmp_path / "ranking.json").read_text())
    assert [row["rank"] for row in made["candidates"]] == [None, None]
    assert made["candidates"][0]["status"] == "undetermined: simulated 700 fs, needs at least 5000 fs"
    assert made["clusters"]


def refused(folder, candidates, **task):
    results = run(folder, candidates, **task)
    assert results["error"]["kind"] == "refused"
    assert not (folder / "ranking.json").exists()
    return results["error"]["message"]


def test_no_candidates_are_refused(tmp_path):
    assert "is empty" in refused(tmp_path, {})


def test_a_label_for_different_things_is_refused(described, tmp_path):
    candidates = {k: {"label": "x", "seed": 1, "temperature_K": 300 + i} for i, k in enumerate(described[1])}
    assert "share the label 'x' but differ in ['temperature_K']" in refused(job(described, tmp_path), candidates)


def test_candidates_without_description_are_refused(described, tmp_path):
    message = refused(job(described, tmp_path), {"nobody": {"label": "nobody", "seed": 1}})
    assert "nobody are missing" in message


def test_different_projections_are_refused(described, tmp_path):
    folder = job(described, tmp_path)
    np.save(folder / "inputs" / "environments" / "stops_2" / "part_000" / "basis_key.npy", np.array(["other"]))
    assert "different settings or elements" in refused(folder, described[1])


def test_unknown_settings_are_refused(described, tmp_path):
    assert "min_time" in refused(job(described, tmp_path), described[1], settings={"min_time": 3})
