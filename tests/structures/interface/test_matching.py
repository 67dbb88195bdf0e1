"""Matches against pymatgen's, exact maps, shares of the misfit, and refusals that say what there would be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.interfaces.zsl import ZSLGenerator

from aiida_haml.structures.crystals import argyrodite
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.interface import SolidInterface, list_matches, make_layout
from aiida_haml.structures.interface.layout import metal_slab
from aiida_haml.structures.interface.match import Limits
from aiida_haml.structures.interface.matching import choose_match, find_matches, smallest_match

HOST = argyrodite()
A = 9.859
SQUARE = np.diag([A, A])
SURFACES = {
    "100": SQUARE,
    "110": np.diag([A, A * np.sqrt(2)]),
    "111": A * np.sqrt(2) * np.array([[1, 0], [-0.5, np.sqrt(3) / 2]]),
}
METAL_FACETS = [(1, 0, 0), (1, 1, 0), (1, 1, 1)]


def face(**wanted):
    """Return settings with two layers of metal where nothing else is asked for."""
    return SolidInterface.read({"layers": 2, **wanted}, "interface")


def metal_surface(facet, a=None):
    return metal_slab(face(facet=facet, metal_a_A=a)).cell.array[:2, :2]


def zsl_matches(electrolyte, metal, max_area, tolerance):
    """Return pymatgen's matches: cells of either side -> least of the largest principal strains."""
    generator = ZSLGenerator(
        max_area_ratio_tol=0.3, max_area=max_area, max_length_tol=tolerance, max_angle_tol=tolerance
    )
    embed = [np.pad(v, ((0, 0), (0, 1))) for v in (metal, electrolyte)]
    best = {}
    for match in generator(*embed):
        film, substrate = np.array(match.film_sl_vectors)[:, :2], np.array(match.substrate_sl_vectors)[:, :2]
        strain = np.abs(np.linalg.svd(np.linalg.solve(film, substrate), compute_uv=False) - 1).max()
        cells = tuple(
            round(abs(np.linalg.det(a) / np.linalg.det(b))) for a, b in ((substrate, electrolyte), (film, metal))
        )
        best[cells] = min(strain, best.get(cells, np.inf))
    return best


def own_matches(electrolyte, metal, max_area, max_strain):
    best = {}
    for match in find_matches(electrolyte, metal, Limits(max_strain, max_area)):
        cells = match.n_electrolyte_cells, match.n_metal_cells
        best[cells] = min(match.largest_strain, best.get(cells, np.inf))
    return best


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("facet", METAL_FACETS)
def test_least_strain_of_each_pair_of_supercells_is_pymatgens(surface, facet):
    metal = metal_surface(facet)
    area = 700.0 if facet == (1, 1, 1) else 420.0
    # A pair of supercells has one area, so that each of pymatgen's areas is held against the same of ours.
    theirs = {
        cells: strain for cells, strain in zsl_matches(SURFACES[surface], metal, area, 0.08).items() if strain < 0.07
    }
    ours = own_matches(SURFACES[surface], metal, area, 0.08)
    assert len(theirs) >= 3
    for cells, strain in theirs.items():
        assert ours[cells] == pytest.approx(strain, abs=1e-3)


@pytest.mark.parametrize("facet", METAL_FACETS)
def test_a_match_maps_one_supercell_onto_the_other_exactly(facet):
    metal = metal_surface(facet)
    found = find_matches(SURFACES["111"], metal, Limits(0.05, 600.0))
    assert found
    for match in found:
        target = match.electrolyte @ SURFACES["111"]
        np.testing.assert_allclose(match.metal @ metal @ match.deformation.T, target, atol=1e-9)
        np.testing.assert_allclose(match.strain, match.strain.T, atol=1e-12)
        assert np.linalg.det(target) == pytest.approx(match.area)
        assert match.largest_strain <= 0.05 + 1e-12
        assert np.linalg.det(match.metal) > 0
    assert [m.area for m in found] == sorted(m.area for m in found)


@given(share=st.floats(0, 1), strain=st.floats(0.01, 0.1), skew=st.floats(-1.0, 1.0), scale=st.floats(0.97, 1.03))
@settings(max_examples=30, deadline=None)
def test_both_sides_meet_in_one_cell_whoever_takes_the_misfit(share, strain, skew, scale):
    metal = scale * np.array([[3.1, 0.0], [skew, 2.9]])
    for match in find_matches(SQUARE, metal, Limits(strain, 200.0, share)):
        ours = match.electrolyte @ SQUARE @ match.electrolyte_deformation.T
        theirs = match.metal @ metal @ match.metal_deformation.T
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
        for tensor in (match.strain, match.electrolyte_strain):
            assert np.abs(np.linalg.eigvalsh(tensor)).max() <= strain + 1e-9
        # The electrolyte is not turned: its map is a pure stretch.
        np.testing.assert_allclose(match.electrolyte_deformation, match.electrolyte_deformation.T, atol=1e-12)


def test_sharing_lets_in_what_neither_side_could_take_alone():
    metal = SQUARE * 1.05
    assert not find_matches(SQUARE, metal, Limits(0.03, 100.0))
    shared = find_matches(SQUARE, metal, Limits(0.03, 100.0, 0.5))[0]
    assert shared.largest_strain == pytest.approx(np.sqrt(1.05) - 1, abs=2e-4)
    alone = find_matches(SQUARE, metal, Limits(0.06, 100.0, 0.0))[0]
    np.testing.assert_allclose(alone.electrolyte_strain, 0.05 * np.eye(2), atol=1e-9)
    np.testing.assert_allclose(alone.strain, 0, atol=1e-12)


@given(turn=st.floats(-180, 180))
@settings(max_examples=25, deadline=None)
def test_equal_lattices_match_without_strain_however_they_are_turned(turn):
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    match = smallest_match(SURFACES["110"], SURFACES["110"] @ np.array([[c, s], [-s, c]]), Limits(0.01, 150.0))
    assert match.largest_strain == pytest.approx(0, abs=1e-9)
    assert match.area == pytest.approx(A**2 * np.sqrt(2))
    assert abs(match.rotation_degrees) <= 90 + 1e-6  # a turn by half a circle is none


@pytest.mark.parametrize(("a", "strain"), [(3.51, -0.0069), (3.44, +0.0133)])
def test_turned_lithium_on_the_argyrodite_has_the_known_strain(a, strain):
    match = make_layout(HOST, face(metal_a_A=a)).match
    assert match.n_metal_cells == 8
    assert abs(match.rotation_degrees) == pytest.approx(45)
    np.testing.assert_allclose(match.strain, np.eye(2) * strain, atol=1e-4)
    assert A / (2 * np.sqrt(2) * a) - 1 == pytest.approx(match.strain[0, 0])


@pytest.mark.parametrize(("facet", "least", "area"), [((1, 1, 0), 0.0637, 388.8), ((1, 1, 1), 0.1118, 583.2)])
def test_a_refusal_names_the_least_strain_and_the_area_that_would_do(facet, least, area):
    wanted = face(facet=facet)
    with pytest.raises(StructureError, match=rf"{least}.*{area}.*max_area_A2") as caught:
        make_layout(HOST, wanted)
    assert caught.value.field == "interface.max_strain"
    wider = face(facet=facet, max_area_A2=area + 0.1)
    assert make_layout(HOST, wider).match.largest_strain <= 0.03
    with pytest.raises(StructureError):
        make_layout(HOST, face(facet=facet, max_area_A2=area - 1))
    assert make_layout(HOST, face(facet=facet, max_strain=least + 1e-3)).match.area < 200.0


def test_one_cell_of_the_electrolyte_is_tried_however_large():
    match = make_layout(HOST.repeat((2, 2, 1)), face()).match
    assert match.area == pytest.approx(4 * A**2)
    assert match.largest_strain == pytest.approx(0.00693, abs=1e-5)


def test_matches_are_chosen_by_their_index_in_the_list():
    wanted = face(max_area_A2=420.0, layers=3)
    rows = list_matches(HOST, wanted)
    assert [row["match"] for row in rows] == list(range(len(rows)))
    assert rows[0]["atoms"] == 52 + 24
    for row in rows[:6]:
        match = make_layout(HOST, face(max_area_A2=420.0, match=row["match"])).match
        assert match.area == pytest.approx(row["area"], abs=1e-3)
        assert match.rotation_degrees == pytest.approx(row["rotation_degrees"], abs=1e-3)
    assert list_matches(HOST, wanted, limit=2) == rows[:2]
    with pytest.raises(StructureError, match=f"there are {len(rows)}"):
        make_layout(HOST, face(max_area_A2=420.0, match=len(rows)))


def test_a_long_search_tells_how_far_it_is():
    seen = []
    find_matches(SQUARE, metal_surface((1, 0, 0)), Limits(0.03, 500.0), lambda done, total: seen.append((done, total)))
    # Superlattices of index 1 to 5: the divisors' sums 1, 3, 4, 7, 6.
    assert seen == [(k + 1, 21) for k in range(21)]
    choose_match(SQUARE, metal_surface((1, 0, 0)), Limits(0.03, 500.0), 1, lambda done, total: seen.append(total))
    assert seen[-1] == 21
