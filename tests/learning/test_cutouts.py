"""Small cells cut out of wide ones: what they hold, and what of it may speak for the wide cell."""

import numpy as np
import pytest
import vesin
from ase import Atoms
from ase.build import bulk

from aiida_haml.frames import Frames
from aiida_haml.learning.cutouts import CutoutSettings, cut_out, divisions, spots, widen

REACH = 3.5


def salt(repeats=(6, 6, 2), stir=0.15, seed=0):
    """A stirred crystal in a skewed, wide cell."""
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True).repeat(repeats)
    atoms.positions += np.random.default_rng(seed).normal(scale=stir, size=atoms.positions.shape)
    skewed = np.asarray(atoms.cell) + np.array([[0, 2.5, 0], [0, 0, 0], [0, 0, 0]])
    atoms.set_cell(skewed, scale_atoms=True)
    return Frames.from_ase(atoms)


def shells(frame, reach=REACH):
    """Of each atom the sorted vectors to all within reach, with their elements."""
    found = vesin.NeighborList(cutoff=reach, full_list=True)
    i, j, vectors = found.compute(frame.positions[0], frame.cells[0], True, "ijD")
    rows = [[] for _ in range(frame.n_atoms)]
    for a, b, vector in zip(i, j, vectors, strict=True):
        rows[a].append((*np.round(vector, 6), int(frame.numbers[b])))
    return [sorted(row) for row in rows]


@pytest.mark.parametrize("atom", [0, 137, 500])
def test_inner_atoms_have_the_neighbours_that_they_have_in_the_wide_cell(atom):
    wide = salt()
    cut = cut_out(wide, atom, divisions(wide.cells[0], 9.0), REACH)
    theirs, ours = shells(wide), shells(cut.frame)
    assert cut.inner.any()
    for row in np.flatnonzero(cut.inner):
        np.testing.assert_allclose(ours[row], theirs[cut.atoms[row]], atol=1e-5)
    assert atom in cut.atoms[cut.inner]
    outer = [row for row in np.flatnonzero(~cut.inner) if ours[row] != theirs[cut.atoms[row]]]
    assert outer  # walls do change what is near them: the mask says something


def test_a_repeated_cell_is_cut_back_into_itself():
    """Where every box holds the same, the walls fit, and nothing is left out."""
    small = salt(repeats=(2, 2, 2))
    wide = widen(small, (3, 3, 1))
    assert wide.velocities is None
    cut = cut_out(wide, 70, divisions(wide.cells[0], 9.0), REACH)
    assert cut.n_left_out == 0
    np.testing.assert_allclose(cut.frame.cells[0], small.cells[0])
    assert sorted(map(str, shells(cut.frame))) == sorted(map(str, shells(small)))


def test_of_two_that_clash_across_a_wall_one_is_left_out_and_those_beside_it_do_not_count():
    """A row of lithium, 3.4 apart, two of which were pushed outwards on either side of the box to come."""
    places = np.arange(9) * 3.4
    row = np.array([[x, 5.0, 5.0] for x in places])
    row[[3, 5], 0] = 12.2, 15.0  # of the box from 8.5 to 18.7 (three of nine)
    row[[2, 6], 0] = 8.8, 18.4  # 0.6 apart, across the wall of the box around atom 4
    wide = Frames(np.full(9, 3), row[None], np.diag([30.6, 10.0, 10.0])[None], np.array([True] * 3))
    cut = cut_out(wide, 4, (3, 1, 1), REACH)
    assert cut.n_left_out == 1
    assert cut.atoms.tolist() == [3, 4, 5, 6]
    assert cut.atoms[cut.inner].tolist() == [4, 5]  # 3 is far enough from the wall, but has lost a neighbour
    found = vesin.NeighborList(cutoff=4.0, full_list=False)
    lengths = found.compute(cut.frame.positions[0], cut.frame.cells[0], True, "d")[0]
    assert lengths.min() == pytest.approx(1.4)  # of what the wide cell itself holds, however close, nothing goes


def test_a_cell_that_ab_initio_can_have_whole_is_refused():
    with pytest.raises(ValueError, match=r"12\.0 x 12\.0 Å wide .* followed by the hybrid dynamics itself"):
        divisions(np.diag([12.0, 12.0, 90.0]), 9.0)
    assert divisions(np.diag([30.0, 19.0, 90.0]), 9.0) == (3, 2, 1)


def test_a_strange_atom_is_looked_into_wherever_it_is():
    calm = salt(stir=0.02)
    rng = np.random.default_rng(1)
    steps = calm.positions + rng.normal(scale=0.02, size=(5, *calm.positions.shape[1:]))
    lithium = int(np.flatnonzero(calm.numbers == 3)[17])
    steps[4, lithium] += [1.2, 0.4, 0.0]
    run = Frames(calm.numbers, steps, np.repeat(calm.cells, 5, axis=0), calm.pbc, times=np.arange(5.0))
    chosen = spots(run, None, [], CutoutSettings(n_moments=2), seed=3)
    assert [spot.frame for spot in chosen] == [2, 2, 4, 4]
    assert {spot.kind for spot in chosen} == {"far", "drawn"}
    strange = next(spot for spot in chosen if spot.frame == 4 and spot.kind == "far")
    near = Atoms(calm.numbers, steps[4], cell=calm.cells[0], pbc=True).get_distance(strange.atom, lithium, mic=True)
    assert near < 4.0  # itself, or one that it came close to
    assert chosen == spots(run, None, [], CutoutSettings(n_moments=2), seed=3)


def test_what_was_strange_from_the_first_frame_on_is_no_less_strange():
    """No label holds the wide cell that a stretch begins with: what escaped one stretch is not hidden in the next."""
    calm, rng = salt(stir=0.02), np.random.default_rng(1)
    steps = calm.positions + rng.normal(scale=0.02, size=(5, *calm.positions.shape[1:]))
    lithium = int(np.flatnonzero(calm.numbers == 3)[17])
    steps[:, lithium] += [1.2, 0.4, 0.0]
    run = Frames(calm.numbers, steps, np.repeat(calm.cells, 5, axis=0), calm.pbc, times=np.arange(5.0))
    for spot in spots(run, None, [calm], CutoutSettings(n_moments=2), seed=3):
        if spot.kind == "far":
            cell = Atoms(calm.numbers, steps[spot.frame], cell=calm.cells[0], pbc=True)
            assert cell.get_distance(spot.atom, lithium, mic=True) < 4.0


def test_what_the_watch_ended_is_looked_into():
    calm = salt(stir=0.02)
    run = Frames(calm.numbers, np.repeat(calm.positions, 3, axis=0), np.repeat(calm.cells, 3, axis=0), calm.pbc)
    breach = Frames(calm.numbers, salt(stir=0.3, seed=5).positions, calm.cells, calm.pbc)
    assert spots(run, breach, [], CutoutSettings(n_moments=1), seed=0)[-1].kind == "breach"
    told = spots(run, breach, [], CutoutSettings(n_moments=1), seed=0, breaching=7)[-1]
    assert (told.kind, told.atom) == ("breach", 7)
