"""Figures: complete, the same every time, readable as files, and true to the numbers behind them."""

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from ase import Atoms

from aiida_haml.report.data import Candidate
from aiida_haml.report.figures import cells, depth, timeline
from aiida_haml.report.figures.balance import MAX_BANDS, consumed
from aiida_haml.report.figures.drawing import plain, slug
from aiida_haml.report.figures.environments import MAX_MAPPED, environments
from aiida_haml.report.figures.kinetics import arrhenius, rates
from aiida_haml.report.gallery import gallery, write_figures
from tests.report.fakes import EVIL, TIME_FS, full_candidate, full_screen, full_series

SHARED = {"comparison", "motion", "environments", "learning", "cost"}
OF_GROUP = {"consumed", "scores", "order", "sensitivity", "tree"}


@pytest.fixture(scope="module")
def drawn():
    return gallery(full_screen(("pristine", "O-doped", EVIL)))


def test_every_kind_of_data_has_its_figure(drawn):
    assert set(drawn.shared) == SHARED
    assert [set(own) for _, own in drawn.groups] == [OF_GROUP]
    assert [set(own) for _, own in drawn.candidates] == [{"time", "z", "cells"}] * 3
    names = [drawing.name for drawing in drawn]
    assert len(names) == len(set(names)) == len(SHARED) + len(OF_GROUP) + 9
    assert all(drawing.description and drawing.caption for drawing in drawn)


def test_nothing_is_drawn_of_nothing():
    data = dataclasses.replace(full_screen(), ranking={}, candidates=[Candidate("a", "a")], cost=None)
    assert list(gallery(data)) == []


@pytest.mark.parametrize("spoil", [lambda d: d[:-1], lambda d: [row[:-1] for row in d], lambda d: [*d[:-1], None]])
def test_a_ranking_that_contradicts_itself_is_named(spoil):
    data = full_screen(("a", "b", "c"), n_atoms=10)
    distances = spoil(data.ranking["distances"])
    with pytest.raises(ValueError, match="`distances` has to be a table of 3 x 3"):
        gallery(dataclasses.replace(data, ranking={**data.ranking, "distances": distances}, candidates=[]))


def test_figures_are_written_as_files_that_others_can_read(tmp_path):
    data = full_screen(labels=("pristine", EVIL), n_atoms=30)
    data = dataclasses.replace(data, candidates=[dataclasses.replace(data.candidates[1], environments={})])
    written = write_figures(data, tmp_path / "new" / "folder")
    assert len({p.stem for p in written}) > 10
    assert sorted(p.suffix for p in written) == [".pdf"] * (len(written) // 2) + [".svg"] * (len(written) // 2)
    for path in written:
        if path.suffix == ".svg":
            ET.parse(path)  # hostile labels leave it well-formed
        else:
            assert path.read_bytes().startswith(b"%PDF")
    text = "".join(ET.parse(tmp_path / "new" / "folder" / "scores-1.svg").getroot().itertext())
    assert "<script>alert('x')" in text
    assert "$x$" in text


def test_the_same_data_give_the_same_files(tmp_path):
    data = full_screen(("a", "b"), n_atoms=10)
    data = dataclasses.replace(data, candidates=[], cost=None)
    first, second = (write_figures(data, tmp_path / name) for name in ("one", "two"))
    assert [p.name for p in first] == [p.name for p in second]
    assert "scores-1.pdf" in [p.name for p in first]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_formats_that_are_not_known_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"formats holds \['doc'\]"):
        write_figures(full_screen(("a", "b")), tmp_path, ["svg", "doc"])


def test_names_of_any_kind_can_be_drawn_and_name_files():
    assert plain("a\x00b\nc") == "a b c"
    assert len(plain("x" * 500)) < 40
    assert slug("../../etc/passwd $x$") == "etc-passwd-x"
    assert slug("…") == "x"


def test_the_line_of_an_activation_energy_has_its_slope():
    energy, kelvin = 0.31, np.array([300.0, 400.0, 500.0])
    known = 1e3 * np.exp(-energy / 8.617333262e-5 / kelvin)
    rows = [
        {
            "label": f"pristine {t:g} K",
            "members": [f"c{i}"],
            "kinetics": {"rate": {"value": k, "interval": None}, "law": "linear", "unit": "Å/ps"},
        }
        for i, (t, k) in enumerate(zip(kelvin, known, strict=True))
    ]
    rows.append({"label": "other", "members": ["c9"], "kinetics": {"rate": None}})
    group = {"label": "pristine", "activation_energy_eV": energy}
    ranking = {"candidates": rows, "arrhenius": [group]}
    candidates = [Candidate(f"c{i}", "pristine", temperature_K=t) for i, t in enumerate(kelvin)]
    found = rates(ranking, candidates)
    assert [rate.kelvin for rate in found["pristine"]] == kelvin.tolist()
    (axes,) = arrhenius([group], found).figure.axes
    points, line = axes.lines
    assert np.allclose(points.get_ydata(), known)
    assert np.allclose(np.interp(points.get_xdata(), line.get_xdata(), np.log(line.get_ydata())), np.log(known))


def test_rates_of_two_laws_do_not_share_an_axis():
    parabolic, linear = {"law": "parabolic", "unit": "Å²/ps"}, {"law": "linear", "unit": "Å/ps"}
    rows = [
        {"label": label, "members": [key], "kinetics": {"rate": {"value": 2.0, "interval": [1, 3]}} | law}
        for label, key, law in (("a 300 K", "a3", parabolic), ("a 400 K", "a4", parabolic), ("b 300 K", "b3", linear))
    ]
    candidates = [Candidate(f"{name}{t}", name, temperature_K=100.0 * t) for name in "ab" for t in (3, 4)]
    groups = [{"label": label, "activation_energy_eV": None} for label in "ab"]
    figure = arrhenius(groups, rates({"candidates": rows, "arrhenius": groups}, candidates)).figure
    of = {axes.get_ylabel(): axes.get_legend_handles_labels()[1] for axes in figure.axes}
    assert of == {"linear rate constant / Å/ps": ["b"], "parabolic rate constant / Å²/ps": ["a"]}


def test_what_is_consumed_is_drawn_from_each_ones_own_start_with_all_faces_in_the_band():
    row = full_screen(("a", "b")).ranking["candidates"][0]
    candidate = full_candidate("c00", "a", 0.4)
    late = dataclasses.replace(candidate, series=candidate.series | {"time": candidate.series["time"] + 5000})
    axes = consumed("consumed", [row], [late]).figure.axes[0]
    line = axes.lines[0]
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == (0, pytest.approx(TIME_FS / 1000))
    assert line.get_ydata()[-1] == pytest.approx(0.4 * 20 / 2, rel=0.1)  # of 20 Angstrom, half of it at each face
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(0.4 * 20 * 0.75, rel=0.1)
    assert MAX_BANDS >= 3


def test_a_cell_that_ran_dry_is_marked_where_it_did():
    row = full_screen(("a", "b")).ranking["candidates"][0]
    candidate = full_candidate("c00", "a", 0.4)
    metal = np.linspace(160, -160, 200).clip(0)
    dry = dataclasses.replace(candidate, series=candidate.series | {"metal": metal, "reservoir": np.array([0.4])})
    crosses = [line for line in consumed("c", [row], [dry]).figure.axes[0].lines if line.get_marker() == "x"]
    assert [line.get_xdata()[0] for line in crosses] == pytest.approx([TIME_FS / 2000], rel=0.05)


def test_profiles_are_densities_and_empty_slabs_stay_blank():
    candidate = full_candidate("a", "a", 0.8)
    figure = depth.along_z(candidate, "z").figure
    share = depth.reacted_share(candidate.series["profile"].astype(float), 200)
    assert np.isnan(share[:, [0, -1]]).all()  # metal alone, and the slab without atoms
    assert share[0][13] < share[-1][13] == 1  # the layer, and it grows
    assert share[:, 7].max() == 0
    assert figure.axes[0].get_ylim() == (0, 20)
    right = max(path.vertices[:, 0].max() for c in figure.axes[0].collections for path in c.get_paths())
    assert right == pytest.approx(9 / 100)  # nine atoms in a slab of 100 Angstrom^3


def test_charge_that_gathers_is_drawn_and_planes_of_ions_cancel():
    candidate = full_candidate("a", "a", 0.8)
    planes = np.resize([2.0, -1.0, 0.0, -1.0, 0.0], (1, 20))
    assert np.abs(depth.smoothed(planes)).max() < 0.02 * planes.max()
    assert np.allclose(depth.smoothed(planes + 0.3), 0.3, atol=0.01)
    figure = depth.along_z(candidate, "z").figure
    drawn = next(axes for axes in figure.axes if axes.get_title(loc="left") == "formal charge").collections[0]
    last = drawn.get_array()[:, -1]
    lower, upper = last[:15].sum(), last[15:].sum()
    assert lower > 0 > upper
    older = {key: value for key, value in candidate.series.items() if key != "profile_charge"}
    without = depth.along_z(dataclasses.replace(candidate, series=older), "z")
    assert "reacted" in [axes.get_title(loc="left") for axes in without.figure.axes]
    assert "charge" not in without.caption
    assert "charge" in depth.along_z(candidate, "z").caption


def test_atoms_are_wrapped_as_ase_does():
    rng = np.random.default_rng(1)
    cell = np.array([[5.0, 0, 0], [1, 6, 0], [0.5, 0.3, 9]])
    positions = rng.normal(scale=20, size=(50, 3))
    expected = Atoms(f"Li{len(positions)}", positions, cell=cell, pbc=True).get_positions(wrap=True, eps=0)
    assert np.allclose(cells.wrapped(positions, cell), expected)
    assert np.array_equal(cells.wrapped(positions, np.zeros((3, 3))), positions)


def test_the_view_is_a_rotation_with_z_upright():
    for turn, tilt in ((0, 0), (25, 12), (200, -80)):
        seen = cells.view(turn, tilt)
        assert np.allclose(seen.T @ seen, np.eye(3))
        assert np.linalg.det(seen) == pytest.approx(1)
        assert seen[2, 0] == pytest.approx(0)  # z never leans
    assert np.allclose(cells.view(0, 0), np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]).T)


def test_large_cells_are_shown_as_a_slice_that_is_whole():
    series = full_series(0.5, n_atoms=cells.MAX_ATOMS + 500)
    shown = cells.cells(Candidate("a", "a", series=series))[0]
    assert (len(shown.positions), shown.n_hidden) == (cells.MAX_ATOMS, 500)
    every = cells.wrapped(series["snapshot_positions"][0], series["snapshot_cells"][0])
    along = every @ np.linalg.inv(shown.cell)[:, 0]
    limit = (shown.positions @ np.linalg.inv(shown.cell)[:, 0]).max()
    assert (along <= limit).sum() == cells.MAX_ATOMS


def test_maps_show_a_sample_of_each_species_and_every_class():
    data = full_screen(tuple(f"d{i}" for i in range(8)), n_atoms=10)
    figure = environments(data.candidates).figure
    points = [c for axes in figure.axes[:9] for c in axes.collections if len(c.get_offsets()) > 1]
    assert max(len(c.get_offsets()) for c in points) <= MAX_MAPPED
    told = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert {"Li2S", "Li3P", "Li6PS5Cl", "none", "c00", "others"} <= told


def test_each_lasting_event_is_one_tick_broken_below_and_formed_above():
    candidate = full_candidate("a", "a", 0.5)
    figure = timeline.trajectory(candidate, "t").figure
    (axes,) = [a for a in figure.axes if a.get_ylabel() == "bonds broken"]
    lines = [line for c in axes.collections if hasattr(c, "get_segments") for line in c.get_segments()]
    ticks = [line[0] for line in lines if len(line) == 2 and line[0][0] == line[1][0] and line[1][1] <= 1]
    formed = candidate.series["events_formed"]
    assert len(ticks) == len(formed)
    assert sum(low > 0.5 for _, low in ticks) == formed.sum()
