"""The rank job: parts of descriptions and errors of potentials in, one ranking out."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_haml.calculations.rank import RankCalculation, interface_words, potential_error, validate_keys
from aiida_haml.engines import description
from aiida_haml.frames import Frames
from aiida_haml.spec import parse_spec
from aiida_haml.structures import crystals
from aiida_haml.structures.candidates import build
from aiida_haml.structures.own_cell import OwnCell

LEVEL = {"engine": "teacher", "name": "teacher", "theory": {"calculator": "ase.calculators.emt:EMT", "parameters": {}}}
DESCRIPTION = {"elements": ["Cl", "Li", "P", "S"], "n_components": 8, "every_fs": 0}


def described(folder, speed, seed):
    """Describe an electrolyte whose units break up, and return environments and series as nodes."""
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
        rounds = [{"force_rmse": None}, {"force_rmse": 0.05 * (1 + 9 * k)}]
        made["histories"][label] = orm.Dict({"rounds": rounds})
    if not histories:
        del made["histories"]
    return made


def ranked(code, **given):
    settings = orm.Dict({"min_simulated_fs": 100.0, "n_weight_draws": 100, "max_centres": 40})
    return run_get_node(RankCalculation, code=code, level=orm.Dict(LEVEL), settings=settings, **given)


@pytest.mark.parametrize("histories", [False, True])
def test_parts_are_ranked_and_errors_are_taken_from_the_histories(engine_code, parts, histories):
    outputs, node = ranked(engine_code, **inputs(parts, histories))
    assert node.is_finished_ok, node.exit_message
    ranking = outputs["ranking"].get_dict()
    rows = {row["label"]: row for row in ranking["candidates"]}
    assert set(rows) == {"quick", "slow"}
    assert [row["simulated_fs"] for row in rows.values()] == [390, 390]
    assert rows["quick"]["metrics"]["consumed"] > 1 > rows["slow"]["metrics"]["consumed"]
    assert rows["slow"]["force_error"] == (0.5 if histories else None)
    assert ("off by 0.5 eV/Å" in rows["slow"]["reason"]) == histories
    assert ranking["groups"][0]["name"].startswith("300 K, Li6PS5Cl | Li(100), ")
    assert outputs["clusters"].get_array("keys").tolist() == ["quick", "slow"]


def test_only_what_is_alike_in_all_but_the_doping_has_the_same_words():
    plain = {"host": "Li6PS5Cl", "interface": {"facet": [1, 0, 0], "layers": 8}}
    doped = plain | {"doping": [{"dopant": "O", "site": "16e", "fraction": 0.25}], "seed": 3}
    assert interface_words(plain) == interface_words(doped) == "Li6PS5Cl | Li(100), layers 8"
    larger = {"host": "Li6PS5Cl", "interface": {"facet": [1, 0, 0], "layers": 8, "repeat": [2, 1]}}
    assert interface_words(larger) == interface_words(plain)
    for other in ({"facet": [1, 1, 0], "layers": 8}, {"facet": [1, 0, 0], "layers": 8, "cut": 1}):
        assert interface_words(plain | {"interface": other}) != interface_words(plain)
    assert interface_words({"liquid": {"salt": "LiFSI"}, "interface": {"layers": 4}}) == "liquid | Li(100), layers 4"


def test_cells_of_ones_own_are_compared_where_sides_and_metal_are_the_same():
    def words(facet="100", **spec):
        interface = {"layers": 4, "electrolyte_cells": 1, "facet": facet, "max_strain": 0.07}
        atoms = build(spec | {"interface": interface})[0]
        return interface_words({"cell": OwnCell(
            name="mine", symbols=atoms.get_chemical_symbols(), positions=atoms.positions.tolist(),
            cell=atoms.cell.tolist(), metal=np.flatnonzero(atoms.arrays["sites"] == "metal").tolist(),
        ).to_dict()})  # fmt: skip

    assert words() == words(doping=[{"dopant": "O", "site": "16e", "fraction": 0.25}])
    assert words().startswith("a cell of one's own, ")
    assert words() != words("110")


@pytest.mark.parametrize("host", [{"lithium": "24g"}, {"exchange": 0.25}, {"a_A": 9.9}])
def test_hosts_of_unlike_settings_are_not_compared(host):
    """Lithium on 24g and on 48h, as by default, moves and reacts in unlike ways."""
    usual = interface_words({"host": {"name": "Li6PS5Cl", "lithium": "48h"}})
    assert usual == interface_words({"host": "Li6PS5Cl"})
    assert interface_words({"host": {"name": "Li6PS5Cl"} | host}) != usual


def test_words_for_an_interface_are_short_and_name_only_what_was_chosen():
    """With every default written out, as a screen holds it, a heading says no more than a person would."""
    screen = parse_spec("{name: a, demonstration: true, dopings: [pristine], interface: {layers: 2}}")
    (candidate,) = screen.candidates().values()
    assert interface_words(candidate["structure"]) == "Li6PS5Cl | Li(100), layers 2"
    host = {"name": "Li3PS4", "crystal": {"symbols": ["Li"] * 40, "positions": [[0.0, 0.25, 0.5]] * 40}}
    words = interface_words({"host": host, "interface": {"layers": 8}})
    assert words.startswith("Li3PS4, crystal ")
    assert len(words) < 60
    assert words != interface_words({"host": host | {"crystal": {"symbols": ["S"] * 80}}, "interface": {"layers": 8}})


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
    found = potential_error({"rounds": [{"force_rmse": e} for e in errors]})
    assert found == (expected if expected is None else pytest.approx(expected))
