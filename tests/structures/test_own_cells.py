"""Interface cells of a person's own: taken as they are, the metal found, too little of it refused."""

import numpy as np
import pytest
from ase.io import write

from aiida_haml.spec import SpecError, load_spec
from aiida_haml.structures.candidates import build, candidate_elements, candidate_label, reservoir
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.lattices import components
from aiida_haml.structures.own_cell import OwnCell, find_metal

THIN = "demonstration: true\n"


@pytest.fixture(scope="module")
def built():
    atoms, report = build({"host": {"lithium": "24g", "exchange": 0.0}, "interface": {}, "seed": 1})
    return atoms, report["regions"]["metal"]


@pytest.fixture
def screen(tmp_path, built):
    """Return a function that reads a screen of a cell in a file that knows nothing of metal."""

    def read(atoms, more="", name="mine.extxyz"):
        bare = atoms.copy()
        del bare.arrays["sites"]
        write(tmp_path / name, bare)
        path = tmp_path / "screen.yaml"
        path.write_text(f"name: own\ncells: [{{name: mine, file: {name}}}]\nreplicates: 3\n{more}")
        return load_spec(path)

    return read


def test_a_cell_is_followed_as_it_stands(screen, built):
    atoms, _ = built
    candidates = screen(atoms).candidates()
    assert len(candidates) == 3
    structure = next(iter(candidates.values()))["structure"]
    assert candidate_label(structure) == "mine"
    assert candidate_elements(structure) == ["Cl", "Li", "P", "S"]
    taken, report = build(structure)
    assert np.allclose(taken.positions, atoms.positions, atol=1e-6)
    assert np.allclose(taken.cell, atoms.cell, atol=1e-6)
    assert set(report["regions"]["metal"]) | set(report["regions"]["electrolyte"]) == set(range(len(atoms)))
    assert components(structure) == {}, "nothing of it is relaxed to a lattice constant"


def test_the_metal_is_told_by_labels_or_found_among_lithium(built):
    atoms, metal = built
    assert find_metal(atoms) == metal
    bare = atoms.copy()
    del bare.arrays["sites"]
    found = set(find_metal(bare))
    # The outermost planes touch anions, and what touches them may be the electrolyte's.
    assert found <= set(metal)
    assert len(found) > 0.7 * len(metal)


def test_too_little_metal_is_refused_unless_it_is_a_demonstration(screen):
    atoms, _ = build({"host": {"lithium": "24g", "exchange": 0.0}, "interface": {"layers": 4}, "seed": 1})
    with pytest.raises(SpecError, match=r"cells\[0\].*too little metal"):
        screen(atoms)
    structure = next(iter(screen(atoms, THIN).candidates().values()))["structure"]
    assert reservoir(structure).shortcomings()


def test_a_cell_that_should_not_be_simulated_is_refused(screen, built):
    overlapping = built[0].copy()
    overlapping.positions[1] = overlapping.positions[0] + 0.3
    with pytest.raises(SpecError, match=r"cells\[0\]"):
        screen(overlapping)
    open_cell = built[0].copy()
    open_cell.pbc = (True, True, False)
    with pytest.raises(SpecError, match="not periodic"):
        screen(open_cell)


def test_cells_stand_alone(screen, built):
    with pytest.raises(SpecError, match="dopings"):
        screen(built[0], "dopings: [pristine]\n")
    with pytest.raises(SpecError, match="taken as they are"):
        screen(built[0], "interface: {layers: 4}\n")


def test_metal_is_lithium():
    cell = {"name": "x", "symbols": ["Li", "S"], "positions": [[0, 0, 0], [2, 0, 0]], "cell": (9 * np.eye(3)).tolist()}
    with pytest.raises(StructureError, match="no lithium"):
        OwnCell.read({**cell, "metal": [1]})
