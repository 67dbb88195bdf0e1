"""Slabs of an electrolyte: a bulk, doped and ordered in whatever way, opened at a cut of its host.

Every atom goes to the side where its site of the host goes, however far it is displaced from it.
"""

import numpy as np
from ase import Atoms

from aiida_haml.arrays import FloatArray, IntArray
from aiida_haml.structures.interface.cuts import Cut
from aiida_haml.structures.interface.facets import Facet, HostCell, bulk_facet, labels_of, nearest_site
from aiida_haml.structures.interface.surfaces import PLANE_TOLERANCE

#: A displaced atom belongs to a site of its sublattice nearer than this, Angstrom: a corner of PS4 moves by
#: up to 0.5 when it is doped, sites of one sublattice are more than 1 apart (but for pairs of Li, which stay
#: on their side by their own height).
SITE_REACH = 0.6


def open_slab(bulk: Atoms, host: HostCell, facet: Facet, cut: Cut, cells: int = 1) -> Atoms:
    """Open a bulk, doped and ordered in whatever way, at a cut of its host.

    Parameters
    ----------
    bulk : Atoms
        N atoms in ``host.repeats`` host cells.
    host : HostCell
    facet : Facet
        Of the host's cell.
    cut : Cut
    cells : int
        Repeats of the bulk along the normal.

    Returns
    -------
    Atoms
        N * cells atoms, copies of an atom one after the other, periodic in the plane; the cell's third vector
        is the normal, as long as the bulk that it holds; ``arrays['bulk_index']`` says which atom of the bulk
        each one is.
    """
    plane = bulk_facet(bulk, host, facet)
    turned = plane.oriented(bulk)
    cell = turned.cell.array
    spacing = float(cell[2, 2])
    height = cut.shift * float(facet.oriented(host.atoms).cell.array[2, 2])
    owner, offsets = _sites_of(bulk, host)
    site_heights = turned.positions[:, 2] + offsets @ plane.turn[2]
    levels = (site_heights - height + PLANE_TOLERANCE) % spacing - PLANE_TOLERANCE
    up = np.isin(owner, cut.raised) & (np.abs(levels) <= PLANE_TOLERANCE)
    steps = np.round((levels - (site_heights - height)) / spacing) + up
    copies = steps[:, None] + np.arange(cells)[None, :]
    positions = turned.positions[:, None, :] + copies[:, :, None] * cell[2]
    positions[..., 2] -= height
    index = np.repeat(np.arange(len(bulk)), cells)
    box = np.array([cell[0], cell[1], [0.0, 0.0, cells * spacing]])
    symbols = np.array(bulk.get_chemical_symbols())[index]
    slab = Atoms(symbols, positions.reshape(-1, 3), cell=box, pbc=(True, True, False))
    slab.set_array("sites", np.array(labels_of(bulk))[index])
    slab.set_array("bulk_index", index)
    slab.info = {"charges": bulk.info["charges"]} if bulk.info.get("charges") else {}
    return slab


def _sites_of(bulk: Atoms, host: HostCell) -> tuple[IntArray, FloatArray]:
    """Return which site of the host each atom has (-1: none), and the (N, 3) way there from the atom, Angstrom."""
    scaled = bulk.get_scaled_positions() * np.array(host.repeats)
    sites, cell = host.atoms.get_scaled_positions(), host.atoms.cell.array
    labels, known = labels_of(bulk), np.array(labels_of(host.atoms))
    owner, offsets = np.full(len(bulk), -1), np.zeros((len(bulk), 3))
    for i, label in enumerate(labels):
        same = np.flatnonzero(known == label)
        if not len(same):
            continue
        near, distance = nearest_site(scaled[i], sites[same], cell)
        if distance < SITE_REACH:
            difference = sites[same[near]] - scaled[i]
            owner[i], offsets[i] = same[near], (difference - np.round(difference)) @ cell
    return owner, offsets
