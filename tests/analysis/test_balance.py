"""Planted reactions are counted at their face, per area, to their amount; what has not reacted is not counted."""

from dataclasses import replace

import numpy as np
import pytest

from aiida_haml.analysis.balance.areal import COULOMB_M2, ELECTROLYTE_GONE, METAL_GONE, NMOL_CM2, Balance, balance
from aiida_haml.analysis.balance.cell import metallic
from aiida_haml.analysis.balance.states import HOST, anion_bonds
from aiida_haml.analysis.description import describe_batch
from aiida_haml.analysis.environments.basis import make_basis
from aiida_haml.analysis.joining import join_descriptions
from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.engines.description import series_arrays
from aiida_haml.frames import Frames
from tests.planted import interface, react, story

#: Formula units that have reacted at the lower and at the upper face, frame by frame.
COUNTS = [(0, 0)] * 6 + [(0, 1)] * 6 + [(0, 2)] * 6 + [(1, 2)] * 6
SETTINGS = DescriptionSettings(elements=("Cl", "Li", "P", "S"), n_components=16, every_fs=0.0)


@pytest.fixture(scope="module")
def basis():
    return make_basis(SETTINGS)


def series_of(frames, built, basis):
    description = describe_batch({"segment_0000": frames}, basis, built=Frames.from_ase([built]))
    return join_descriptions([series_arrays(description, basis)])


@pytest.fixture(scope="module")
def built():
    return interface()


@pytest.fixture(scope="module")
def series(built, basis):
    return series_of(story(built, COUNTS), built, basis)


@pytest.fixture(scope="module")
def known(series):
    return balance(series)


def per_count(values):
    """Return the mean over the frames of each planted amount."""
    edges = np.flatnonzero([a != b for a, b in zip(COUNTS[1:], COUNTS[:-1], strict=True)]) + 1
    return [float(np.mean(part)) for part in np.split(np.asarray(values), edges)]


def test_both_faces_are_found_and_what_reacts_is_counted_at_its_own(known):
    assert known.faces == ("lower", "upper")
    unit = known.resolution
    assert per_count(known.consumed[:, 1]) == pytest.approx([0, unit, 2 * unit, 2 * unit], abs=0.05 * unit)
    assert per_count(known.consumed[:, 0]) == pytest.approx([0, 0, 0, unit], abs=0.05 * unit)


def test_the_lithium_that_the_reaction_takes_is_missing_from_the_metal(known, series):
    """Eight for the formula unit at each face, within half a plane's worth of atoms that touch the layer."""
    per_atom = NMOL_CM2 / float(series["area"][0])
    assert per_count(known.lithium)[2] - per_count(known.lithium)[0] == pytest.approx(8 * per_atom, abs=2.5 * per_atom)
    assert known.charge == pytest.approx(known.lithium / NMOL_CM2 * COULOMB_M2)


def test_the_layer_is_as_thick_as_it_was_planted(known, built):
    for count, frames in (((0, 2), slice(12, 18)), ((1, 2), slice(18, 24))):
        expected = react(built, *count).thickness
        assert known.thickness[frames].mean(axis=0) == pytest.approx(expected, abs=1.0)
    assert np.abs(known.thickness[:6].mean(axis=0)).max() < 0.6


@pytest.mark.parametrize("count", [(0, 0), (0, 1), (1, 1), (2, 2), (3, 3)])
def test_a_plane_of_metal_that_a_layer_wets_is_metal(built, count):
    """Four atoms are half a plane. By bare atoms alone five to seven are missing of (0, 1), (1, 1) and (3, 3)."""
    planted = react(built, *count)
    frames = story(built, [count] * 3)
    bonds = np.array([anion_bonds(frame, SETTINGS.hysteresis) for frame in (frames[k] for k in range(3))])
    left = (built.arrays["sites"] == "metal") & ~planted.reacted
    assert metallic(frames, bonds).sum(axis=1).mean() == pytest.approx(left.sum(), abs=4)


def test_a_unit_counts_at_the_face_that_took_it_wherever_its_atoms_go(built, basis):
    """Sulfur of the layers changes places through the cell: neither face has consumed more or less."""
    frames = story(built, [(1, 1)] * 4)
    sulfur = np.flatnonzero((frames.numbers == 16) & react(built, 1, 1).reacted)
    z = frames.positions[0, sulfur, 2]
    low, high = sulfur[z.argmin()], sulfur[z.argmax()]
    changed = replace(frames, positions=frames.positions.copy())
    changed.positions[1:, [low, high]] = frames.positions[1:, [high, low]]
    known = balance(series_of(changed, built, basis))
    assert known.consumed == pytest.approx(np.full((4, 2), known.resolution), abs=0.05 * known.resolution)


def test_the_last_of_the_electrolyte_is_shared_and_moves_nothing(series):
    """Seen in dynamics: with the last unit, both faces jumped to half of the cell, whatever each had consumed."""
    taken = np.array([[0.0, 0.0], [0.125, 0.25], [0.125, 0.75], [0.5, 0.5], [0.5, 0.5]])
    shown = {name: values[:5] if values.shape[:1] == (len(COUNTS),) else values for name, values in series.items()}
    known = balance(shown | {"consumed": taken})
    assert known.consumed[2:] / known.consumed[-1].sum() == pytest.approx(
        np.array([[0.125, 0.75], [0.1875, 0.8125], [0.1875, 0.8125]]), abs=0.01
    )
    assert (np.diff(known.consumed, axis=0) >= -1e-9).all()


def test_every_atom_but_lithium_is_on_one_rung_in_every_frame(known, series):
    for amounts in (known.rungs, known.phosphorus, known.sulfur):
        total = amounts.sum(axis=(1, 2))
        assert total == pytest.approx(np.full(len(total), total[0]))
    assert per_count(known.phosphorus.sum(axis=1)[:, 0]) == pytest.approx(
        [known.phosphorus[0].sum() * (8 - n) / 8 for n in (0, 1, 2, 3)]
    )


def test_the_planted_solid_solution_is_called_a_product(built, basis):
    """Antifluorite with P and Cl in it, as the literature finds, in a layer thick enough to have an inside."""
    series = series_of(story(built, [(0, 6)] * 4), built, basis)
    names = [*series["phases"].tolist(), "none"]
    layer = balance(series).phases.sum(axis=(0, 1))
    product = [i for i, role in enumerate([*series["roles"].tolist(), ""]) if role == "product"]
    assert layer[product].sum() > 0.6 * layer.sum(), dict(zip(names, layer.round(1).tolist(), strict=True))


def test_what_reacts_before_the_first_frame_counts(built, basis):
    """The trajectory begins where the equilibration has let a unit react."""
    frames = story(built, [(0, 1)] * 4)
    from_built = balance(series_of(frames, built, basis))
    assert from_built.consumed[:, 1].mean() == pytest.approx(from_built.resolution, rel=0.05)


def test_lithium_of_a_layer_that_was_there_at_the_start_is_not_the_electrolytes(built, basis):
    """Three of eight units react while the cell is warmed up, and nothing after that."""
    series = series_of(story(built, [(1, 2)] * 4), built, basis)
    for direction in ("plane", "normal"):
        assert "38% of the electrolyte is consumed" in str(series[f"li_diffusivity_{direction}_reason"])


def test_a_run_ends_when_the_metal_is_used_up(basis):
    """Three of four units would need 24 lithium more than there is."""
    poor = interface(layers=4)
    units, metal = int((poor.symbols == "P").sum()), int((poor.arrays["sites"] == "metal").sum())
    most = metal // 8
    assert most < units
    counts = [(n // 2, n - n // 2) for n in range(most + 1) for _ in range(4)] + [(most // 2, most - most // 2)] * 16
    known = balance(series_of(story(poor, counts), poor, basis))
    assert known.reservoir < 1.5
    end, what = known.end
    assert what == METAL_GONE
    assert end == pytest.approx(10.0 * 4 * most, abs=60)


def of_shares(metal, electrolyte, reservoir=float("nan")):
    n = len(metal)
    empty = np.zeros((n, 1, 4))
    return Balance(
        10.0 * np.arange(n), ("whole",), np.zeros((n, 1)), np.zeros((n, 1)), np.zeros(n), np.asarray(metal),
        np.asarray(electrolyte), empty, empty, empty, empty, np.zeros((n, 1)), 0.0, 2.0, 12.0, reservoir,
    )  # fmt: skip


def test_the_end_is_what_runs_out_first_and_a_dip_is_no_end():
    line = np.linspace(1, -0.2, 100).clip(0)
    assert of_shares(line, np.ones(100)).end[1] == METAL_GONE
    assert of_shares(np.ones(100), line).end[1] == ELECTROLYTE_GONE
    assert of_shares(np.full(100, np.nan), np.ones(100)).end == (990.0, None)
    dipped = np.ones(100)
    dipped[50] = 0
    assert of_shares(dipped, np.ones(100)).end == (990.0, None)


def test_metal_that_is_left_over_and_not_recognised_has_not_run_out():
    """With half the electrolyte reacted, and twice the lithium that all of it needs, three quarters are left."""
    gone, half = np.linspace(1, -0.2, 100).clip(0), np.linspace(1, 0.5, 100)
    hidden = of_shares(gone, half, reservoir=2.0)
    assert hidden.end == (990.0, None)
    assert hidden.hides_metal
    assert of_shares(gone, half, reservoir=0.5).end[1] == METAL_GONE


def test_less_than_one_layer_of_units_is_no_electrolyte():
    """Of 24 Angstrom a tenth is thinner than one PS4, and stops no reaction; a quarter is a layer of it."""
    assert of_shares(np.ones(100), np.linspace(1, 0.1, 100)).end[1] == ELECTROLYTE_GONE
    assert of_shares(np.ones(100), np.linspace(1, 0.25, 100)).end[1] is None


@pytest.mark.parametrize(
    "spec",
    [
        {"doping": [{"dopant": "O", "site": "16e", "fraction": 0.25}]},
        {"doping": [{"dopant": "F", "site": "4a", "fraction": 0.5}]},
        {"doping": [{"dopant": "F", "site": "4d", "fraction": 0.5}], "compensation": "vacancies"},
        {"doping": [{"dopant": "F", "site": "16e", "fraction": 0.25}], "compensation": "vacancies"},
        {"host": {"name": "Li6PS5Cl", "exchange": 0.5}},
    ],
    ids=str,
)
def test_an_unreacted_cell_reads_as_unreacted_whatever_its_doping(spec):
    """Each candidate is compared with its own doped and disordered electrolyte."""
    own = make_basis(DescriptionSettings(n_components=16, every_fs=0.0))
    cell = interface(**spec)
    known = series_of(story(cell, [(0, 0)] * 6), cell, own)
    assert known["consumed"].sum(axis=1).mean() < 0.02


def test_a_description_from_before_the_balance_is_refused():
    with pytest.raises(ValueError, match="describe the trajectory anew"):
        balance({"time": np.zeros(3)})


def test_states_of_the_first_frame_are_those_of_the_cell_as_built(series, built):
    states = series["snapshot_states"][0]
    assert ((states == HOST) == (built.numbers != 3)).all()
