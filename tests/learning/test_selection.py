"""Probes: the breach, frames along the time, and what no label resembles."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from aiida_haml.frames import Frames
from aiida_haml.learning.fingerprints import fingerprints
from aiida_haml.learning.selection import ProbeSettings, choose


def crystal(n_frames: int = 40, seed: int = 0, amplitude: float = 0.05) -> Frames:
    """Rock salt whose atoms shake; 64 atoms."""
    rng = np.random.default_rng(seed)
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True).repeat(2)
    positions = atoms.positions + rng.normal(0, amplitude, (n_frames, len(atoms), 3))
    cells = np.repeat(atoms.cell.array[None], n_frames, axis=0)
    return Frames(atoms.numbers, positions, cells, np.ones(3, bool), times=np.arange(n_frames) * 10.0)


def with_event(frames: Frames, at: int, atom: int = 5) -> Frames:
    """One atom leaves its site in one frame."""
    positions = frames.positions.copy()
    positions[at, atom] += [1.3, 0.4, 0.0]
    return replace(frames, positions=positions)


def test_a_single_site_that_reacts_is_found_among_many_that_shake():
    """An average over atoms would hide it."""
    frames = with_event(crystal(), at=23)
    choices = choose(frames, None, [crystal(10, seed=1)], ProbeSettings(n_probes=2, even_share=0.0))
    assert 23 in [c.index for c in choices]
    chosen = next(c for c in choices if c.index == 23)
    assert chosen.kind == "far"
    assert chosen.novelty > 3


def test_what_is_labelled_already_is_not_asked_for_again():
    frames = with_event(crystal(), at=23)
    known = [crystal(10, seed=1), frames[23]]
    choices = choose(frames, None, known, ProbeSettings(n_probes=2, even_share=0.0))
    assert 23 not in [c.index for c in choices]


def test_a_long_event_does_not_take_all_labels_from_a_short_one():
    frames = crystal()
    for at in range(20, 32):
        frames = with_event(frames, at)
    frames = with_event(frames, 7, atom=40)  # a chlorine, elsewhere
    choices = choose(frames, None, [crystal(20, seed=1)], ProbeSettings(n_probes=2, even_share=0.0))
    assert 7 in [c.index for c in choices]
    assert set(range(20, 32)) & {c.index for c in choices}


@pytest.mark.parametrize(("fs", "n"), [(20, 3), (60, 3), (100, 5), (150, 8), (900, 8)])
def test_a_short_stretch_is_not_labelled_over_and_over(fs, n):
    frames = crystal(fs // 5 + 1)
    frames = replace(frames, times=np.arange(len(frames)) * 5.0)
    choices = choose(frames, None, [], ProbeSettings(n_probes=8, spacing_fs=20.0))
    assert len(choices) == n


def test_the_breach_comes_along_and_the_rest_is_in_order_of_time():
    frames = crystal(40)
    choices = choose(frames[:30], frames[30:], [], ProbeSettings(n_probes=7))
    assert len(choices) == 7
    assert (choices[-1].source, choices[-1].index, choices[-1].kind) == ("untrusted", 9, "breach")
    inner = [c.index for c in choices[:-1]]
    assert inner == sorted(set(inner))
    assert min(inner) > 0
    assert max(inner) < 29
    even = [c.index for c in choices if c.kind == "even"]
    assert np.ptp(np.diff([0, *even, 29])) <= 1
    assert all(c.reason for c in choices)


@pytest.mark.parametrize(("n_frames", "n"), [(1, 0), (2, 0), (3, 1), (5, 3)])
def test_short_stretches_give_what_they_have(n_frames, n):
    assert len(choose(crystal(n_frames), None, [], ProbeSettings(n_probes=8))) == n


def test_the_same_frames_give_the_same_choice():
    first, second = (choose(crystal(), None, [], ProbeSettings()) for _ in range(2))
    assert first == second


def test_fingerprints_know_elements_and_forget_rotation_translation_and_order():
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True).repeat(2)
    rng = np.random.default_rng(0)
    atoms.rattle(0.1, seed=1)
    turned = atoms.copy()
    turned.rotate(37, (1, 2, 3), rotate_cell=True)
    turned.positions += [1.0, 2.0, 3.0]
    one, two = (fingerprints(Frames.from_ase(a), ["Cl", "Li"])[0] for a in (atoms, turned))
    assert np.allclose(one, two, atol=1e-8)
    order = rng.permutation(len(atoms))
    assert np.allclose(fingerprints(Frames.from_ase(atoms[order]), ["Cl", "Li"])[0], one[order], atol=1e-8)
    swapped = atoms.copy()
    swapped.symbols = ["Cl" if s == "Li" else "Li" for s in atoms.symbols]
    assert not np.allclose(fingerprints(Frames.from_ase(swapped), ["Cl", "Li"])[0], one, atol=0.05)


@pytest.mark.parametrize(
    ("values", "message"), [({"n_probes": 0}, "n_probes is 0"), ({"even_share": 1.5}, "even_share is 1.5")]
)
def test_settings_that_make_no_sense_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ProbeSettings.from_dict(values)
