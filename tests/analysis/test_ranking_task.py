"""The task that ranks: descriptions of all candidates in, one ranking out, the same each time."""

import json
import shutil

import numpy as np
import pytest

from aiida_haml.engines import description, ranking
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals

DESCRIPTION = {"elements": ["Cl", "Li", "P", "S"], "n_components": 16, "every_fs": 0}
RANKING = {"min_simulated_fs": 100, "n_draws": 200, "max_centres": 100}


def wandering(seed, speed, n_frames=60):
    """Return an electrolyte that wanders off its sites by random steps of the given size (Angstrom)."""
    atoms = crystals.argyrodite()
    rng = np.random.default_rng(seed)
    moved = np.cumsum(rng.standard_normal((n_frames, len(atoms), 3)) * speed, axis=0)
    cells = np.repeat(atoms.cell.array[None], n_frames, axis=0)
    times = 2.0 * np.arange(n_frames)
    return Frames(atoms.numbers, atoms.positions + moved - moved[0], cells, atoms.pbc, times=times)


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    root = tmp_path_factory.mktemp("rank")
    candidates = {}
    for label, speed in (("calm", 0.01), ("wild", 0.12)):
        for seed in (1, 2):
            key = f"{label}_{seed}"
            folder = root / "describe" / key
            wandering(seed, speed).save(folder / "inputs" / "segment_000")
            description.run(folder, {"settings": DESCRIPTION})
            for part in ("environments", "series"):
                shutil.copytree(folder / part, root / "inputs" / part / key / "part_000")
            candidates[key] = {"label": label, "seed": seed, "temperature_K": 300}
    return root, candidates


def job(described, folder):
    shutil.copytree(described[0] / "inputs", folder / "inputs")
    return folder


def run(folder, candidates, **task):
    ranking.run(folder, {"candidates": candidates, "settings": RANKING, **task})
    return json.loads((folder / "results.json").read_text())


def test_a_ranking_of_all_candidates_with_its_parts(described, tmp_path):
    results = run(job(described, tmp_path), described[1], level_of_theory="abc", teacher=True)
    made = json.loads((tmp_path / "ranking.json").read_text())
    assert results["n_environments"] == 4 * 60 * 52
    assert made["level_of_theory"] == "abc"
    assert made["teacher"] is True
    rows = {row["label"]: row for row in made["candidates"]}
    assert rows["wild"]["rank"] == 1  # what reacts faster forms its layer faster
    assert rows["wild"]["metrics"]["ps4_loss"] > rows["calm"]["metrics"]["ps4_loss"] == 0
    assert rows["calm"]["members"] == ["calm_1", "calm_2"]
    assert {"id", "size", "nearest_phase", "central"} <= set(made["clusters"][0])
    assert {c["central"] for c in made["clusters"]} == {"Cl", "Li", "P", "S"}
    assert "Li6PS5Cl" in {c["nearest_phase"] for c in made["clusters"]}
    assert np.array(made["distances"]).shape == (2, 2)
    assert made["distances"][0][1] > 0.3
    assert sorted(made["order"]) == ["calm", "wild"]


def test_kinetics_and_what_sets_the_candidates_apart(described, tmp_path):
    run(job(described, tmp_path), described[1])
    made = json.loads((tmp_path / "ranking.json").read_text())
    rows = {row["label"]: row for row in made["candidates"]}
    assert rows["calm"]["kinetics"]["model"] == "undetermined"
    assert rows["calm"]["kinetics"]["rate_per_ps"] is None
    assert rows["wild"]["kinetics"]["thickness_A"]["value"] > 5  # most of a cell of 10 A is no electrolyte any more
    assert rows["calm"]["kinetics"]["thickness_A"]["value"] < 2
    (pair,) = made["differences"]
    assert sorted(pair["labels"]) == ["calm", "wild"]
    assert pair["distance"] == pytest.approx(made["distances"][0][1])
    known = {c["id"]: c for c in made["clusters"]}
    for cluster in pair["clusters"]:
        assert (cluster["central"], cluster["nearest_phase"]) == (
            known[cluster["id"]]["central"],
            known[cluster["id"]]["nearest_phase"],
        )
    assert sorted(c["contribution"] for c in pair["clusters"])[::-1] == [c["contribution"] for c in pair["clusters"]]
    assert made["groups"] == [["wild"], ["calm"]]
    assert {a["label"] for a in made["arrhenius"]} == {"calm", "wild"}
    assert made["sensitivity"]["rank_probability"].keys() == {"calm", "wild"}


def test_a_much_worse_potential_is_refused_a_rank(described, tmp_path):
    candidates = {k: c | {"force_rmse": 0.5 if "wild" in k else 0.05} for k, c in described[1].items()}
    candidates["calm_2"]["force_rmse"] = 0.06  # seeds may differ in it
    run(job(described, tmp_path), candidates)
    made = json.loads((tmp_path / "ranking.json").read_text())
    assert [row["rank"] for row in made["candidates"]] == [1, None]
    assert "force error of its potential" in made["candidates"][1]["status"]


def test_reactions_that_were_not_seen_alike_are_warned_of(described, tmp_path):
    folder = job(described, tmp_path)
    np.save(folder / "inputs" / "series" / "wild_2" / "part_000" / "reacted_by.npy", np.array(["molecules"]))
    run(folder, described[1])
    warnings = json.loads((folder / "ranking.json").read_text())["warnings"]
    assert any("not seen in the same way" in w and "by molecules: wild_2" in w for w in warnings)


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
    assert made["candidates"][0]["status"] == "undetermined: simulated 118 fs, needs at least 5000 fs"
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
    np.save(folder / "inputs" / "environments" / "wild_2" / "part_000" / "basis_key.npy", np.array(["other"]))
    assert "different settings or elements" in refused(folder, described[1])


def test_unknown_settings_are_refused(described, tmp_path):
    assert "min_time" in refused(job(described, tmp_path), described[1], settings={"min_time": 3})
