"""The rank job: parts of descriptions and errors of potentials in, one ranking out."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_haml.calculations.rank import RankCalculation, potential_error, validate_keys
from aiida_haml.engines import description
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals

LEVEL = {"engine": "teacher", "name": "teacher", "theory": {"calculator": "ase.calculators.emt:EMT", "parameters": {}}}
DESCRIPTION = {"elements": ["Cl", "Li", "P", "S"], "n_components": 8, "every_fs": 0}


def described(folder, speed, seed):
    """Describe an electrolyte that wanders off its sites, and return environments and series as nodes."""
    atoms = crystals.argyrodite()
    steps = np.random.default_rng(seed).standard_normal((40, len(atoms), 3)) * speed
    cells = np.repeat(atoms.cell.array[None], 40, axis=0)
    positions = atoms.positions + np.cumsum(steps, axis=0) - steps[0]
    frames = Frames(atoms.numbers, positions, cells, atoms.pbc, times=10.0 * np.arange(40))
    frames.save(folder / "inputs" / "segment_000")
    description.run(folder, {"settings": DESCRIPTION})
    nodes = []
    for name in ("environments", "series"):
        nodes.append(orm.ArrayData())
        for path in sorted((folder / name).glob("*.npy")):
            nodes[-1].set_array(path.stem, np.load(path))
    return nodes


@pytest.fixture(scope="module")
def parts(aiida_profile, tmp_path_factory):
    root = tmp_path_factory.mktemp("described")
    return {label: described(root / label, speed, 1) for label, speed in (("quick", 0.12), ("slow", 0.01))}


def inputs(parts, histories=True):
    made = {"environments": {}, "series": {}, "candidates": {}, "histories": {}}
    for k, (label, (environments, series)) in enumerate(parts.items()):
        made["environments"][label] = {"part_000": environments}
        made["series"][label] = {"part_000": series}
        made["candidates"][label] = orm.Dict({"label": label, "seed": 1, "temperature_K": 300.0, "structure": {}})
        cycles = [{"prequential": None}, {"prequential": {"force_rmse": 0.05 * (1 + 9 * k)}}]
        made["histories"][label] = orm.Dict({"cycles": cycles})
    if not histories:
        del made["histories"]
    return made


def ranked(code, **given):
    settings = orm.Dict({"min_simulated_fs": 100.0, "n_draws": 200, "max_centres": 40})
    return run_get_node(RankCalculation, code=code, level=orm.Dict(LEVEL), settings=settings, **given)


@pytest.mark.parametrize(("histories", "ranks"), [(False, [1, 2]), (True, [1, None])])
def test_parts_are_ranked_and_errors_are_taken_from_the_histories(engine_code, parts, histories, ranks):
    outputs, node = ranked(engine_code, **inputs(parts, histories))
    assert node.is_finished_ok, node.exit_message
    rows = outputs["ranking"].get_dict()["candidates"]
    assert [row["label"] for row in rows] == ["quick", "slow"]
    assert [row["rank"] for row in rows] == ranks
    assert rows[0]["simulated_fs"] == 390
    if histories:
        assert "10.0 times the median" in rows[1]["status"]
    assert outputs["clusters"].get_array("keys").tolist() == ["quick", "slow"]


def test_keys_and_parts_that_do_not_match_are_refused(parts):
    assert validate_keys(inputs(parts), None) is None
    assert "no candidate" in validate_keys({}, None)
    lacking = inputs(parts)
    del lacking["series"]["slow"]
    assert "different keys" in validate_keys(lacking, None)
    torn = inputs(parts)
    del torn["series"]["slow"]["part_000"]
    assert "`environments.slow` and `series.slow` hold different parts" in validate_keys(torn, None)
    foreign = inputs(parts)
    foreign["histories"]["else"] = foreign["histories"]["slow"]
    assert "names else" in validate_keys(foreign, None)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [([], None), ([None], None), ([0.2], 0.2), ([None, 0.9, 0.3], 0.3), ([0.9, 0.5, 0.1, 0.3], 0.2)],
)
def test_error_of_a_potential_is_that_of_its_later_half(errors, expected):
    cycles = [{"prequential": None if e is None else {"force_rmse": e}} for e in errors]
    found = potential_error({"cycles": cycles})
    assert found == (expected if expected is None else pytest.approx(expected))
