"""Pictures: what is drawn where, and the same bytes each time."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from ase import Atoms
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from aiida_haml.structures.crystals import argyrodite
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.interface import SolidInterface, build_interface
from aiida_haml.structures.pictures import BANDS, METAL_COLOUR, OUTLINE, draw

HOST = argyrodite()


@pytest.fixture(scope="module")
def small():
    return build_interface(HOST, SolidInterface(layers=1))


def share_of(image, colour):
    """Return the share of pixels of a colour."""
    return float((np.abs(image[..., :3] - np.array(to_rgb(colour))).max(axis=-1) < 0.01).mean())


def test_svg_is_the_same_each_time_and_names_what_it_shows(small, tmp_path):
    atoms, report = small
    for name in ("one.svg", "two.svg"):
        draw(atoms, report.regions, tmp_path / name, title="Li6PS5Cl on Li")
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    ET.fromstring(text)
    words = set(re.findall(r"<text[^>]*>([^<]+)</text>", text))
    assert {"electrolyte", "metal", "Li (ion)", "Li (metal)", "P", "S", "Cl", "z / Å", "Li6PS5Cl on Li"} <= words
    assert not re.search(r"\d{4}-\d\d-\d\d", text)


def test_every_atom_is_drawn_in_both_views_and_large_cells_stay_light(small, tmp_path):
    atoms, report = small
    draw(atoms, report.regions, tmp_path / "small.svg")
    tree = ET.fromstring((tmp_path / "small.svg").read_text())
    space = {"svg": "http://www.w3.org/2000/svg"}
    circles = 0
    for group in tree.iterfind(".//svg:g", space):
        if group.get("id", "").startswith("EllipseCollection"):
            circles += len(group.findall(".//svg:use", space)) or len(group.findall("svg:path", space))
    assert circles == 2 * 60
    large, big = build_interface(HOST, SolidInterface(repeat=(2, 2), electrolyte_cells=3, layers=12))
    draw(large, big.regions, tmp_path / "large.svg")
    assert (tmp_path / "large.svg").stat().st_size < 1_000_000


def test_png_is_the_same_each_time(small, tmp_path):
    atoms, report = small
    for name in ("one.png", "two.png"):
        draw(atoms, report.regions, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_dopants_alone_are_outlined(small, tmp_path):
    atoms, report = small
    doped = atoms.copy()
    doped.symbols[31] = "Se"
    draw(atoms, report.regions, tmp_path / "plain.png")
    draw(doped, report.regions, tmp_path / "doped.png", outlined=[31])
    plain, marked = imread(tmp_path / "plain.png"), imread(tmp_path / "doped.png")
    assert share_of(plain, OUTLINE) == 0
    assert share_of(marked, OUTLINE) > 1e-4
    draw(doped, report.regions, tmp_path / "doped.svg", outlined=[31])
    assert "Se, dopant" in (tmp_path / "doped.svg").read_text()


def test_a_vacuum_is_white_and_takes_the_room_that_it_has(tmp_path):
    atoms, report = build_interface(HOST, SolidInterface(layers=2, vacuum_A=30.0))
    draw(atoms, report.regions, tmp_path / "open.png")
    image = imread(tmp_path / "open.png")
    bands = share_of(image, BANDS["electrolyte"]), share_of(image, BANDS["metal"])
    assert min(bands) > 0.005
    assert share_of(image, "white") > 0.6


def test_the_metal_has_a_colour_of_its_own(small, tmp_path):
    atoms, report = small
    draw(atoms, report.regions, tmp_path / "named.png")
    draw(atoms, {"electrolyte": list(range(60))}, tmp_path / "unnamed.png")
    assert share_of(imread(tmp_path / "named.png"), METAL_COLOUR) > 0.001
    assert share_of(imread(tmp_path / "unnamed.png"), METAL_COLOUR) == 0


def test_a_thousand_atoms_and_other_regions_are_drawn(tmp_path):
    atoms, report = build_interface(HOST, SolidInterface(repeat=(2, 2), electrolyte_cells=3, layers=12))
    assert len(atoms) == 1008
    regions = {"liquid": report.regions["electrolyte"], "metal": report.regions["metal"], "nothing": []}
    draw(atoms, regions, tmp_path / "large.PNG")
    image = imread(tmp_path / "large.PNG")
    assert image.shape[1] <= 2400
    assert share_of(image, BANDS["liquid"]) > 0.005


def test_a_bulk_without_regions_is_drawn(tmp_path):
    draw(HOST, {}, tmp_path / "bulk.svg")
    assert "metal" not in re.findall(r"<text[^>]*>([^<]+)</text>", (tmp_path / "bulk.svg").read_text())


@pytest.mark.parametrize(
    ("atoms", "regions", "outlined", "name", "field"),
    [
        (HOST, {}, [], "cell.pdf", "path"),
        (HOST, {}, [], "cell", "path"),
        (Atoms(), {}, [], "cell.png", "atoms"),
        (HOST, {"metal": [52]}, [], "cell.png", "regions.metal"),
        (HOST, {"metal": [-1]}, [], "cell.png", "regions.metal"),
        (HOST, {}, [99], "cell.png", "regions.outlined"),
    ],
)
def test_what_cannot_be_drawn_is_refused(atoms, regions, outlined, name, field, tmp_path):
    with pytest.raises(StructureError) as caught:
        draw(atoms, regions, tmp_path / name, outlined=outlined)
    assert caught.value.field == field
    assert not (tmp_path / name).exists()
