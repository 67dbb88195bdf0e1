"""The frames node: one segment of a trajectory, or one batch of configurations of the same atoms."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

import ase.io
import numpy as np
from aiida import orm
from ase import Atoms
from ase.formula import Formula
from pydantic import ConfigDict

from aiida_haml.data.fields import stored
from aiida_haml.frames import PER_FRAME, Frames
from aiida_haml.learning.noise import force_noise
from aiida_haml.precision import ENDS, reduced, restored

#: What a node of frames can be. A `burst` holds labels on the time line, `probes` labels off it (single points),
#: `selection` frames chosen to become probes, a `stretch` the trusted frames of MLP-MD, `untrusted` its tail.
KINDS = (
    "structure", "relaxation", "burst", "probes", "selection", "stretch", "untrusted", "isolated_atom", "imported",
)  # fmt: skip
#: Arrays that every run of frames has: which atoms lie where.
CONFIGURATION = ("numbers", "pbc", "positions", "cells")
#: What is long, and of which only the ends have to be exact: see `aiida_haml.precision`.
REDUCED = ("stretch", "untrusted")


def atom_label(element: str, level_of_theory: str) -> str:
    """Return the label of a labelled isolated atom's node: a column with an index, and no part of the node's hash."""
    return f"atom {element} {level_of_theory}"[:255]  # what the column holds


class FramesData(orm.ArrayData):
    """Frames of one system, one ``.npy`` file an array under fixed names: equal content has an equal hash.

    Parameters
    ----------
    frames : Frames
    kind : str
        One of `KINDS`.
    level_of_theory : str, optional
        Key of the level of theory that made energies and forces; None where they are not labels.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """

    class AttributesModel(orm.ArrayData.AttributesModel):
        model_config = ConfigDict(extra="allow")

        kind: str = stored("kind", "What the frames are")
        level_of_theory: str | None = stored("level_of_theory", "Key of the level of theory of the labels", None)
        n_frames: int = stored("n_frames", "Number of frames")
        n_atoms: int = stored("n_atoms", "Number of atoms")
        elements: list[str] = stored("elements", "Chemical symbols present")
        formula: str = stored("formula", "Hill formula of the cell")
        time_start: float | None = stored("time_start", "Time of the first frame, fs", None)
        time_end: float | None = stored("time_end", "Time of the last frame, fs", None)
        force_noise: float | None = stored(
            "force_noise", "Error of the forces as their sum shows it, eV / Angstrom", None
        )

    def __init__(
        self,
        frames: Frames | None = None,
        kind: str = "structure",
        level_of_theory: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if frames is None:
            return
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; it has to be one of {', '.join(KINDS)}")
        if kind == "isolated_atom" and level_of_theory is not None:
            self.label = atom_label(frames.symbols[0], level_of_theory)
        arrays = frames.arrays()
        for name, array in (reduced(arrays) if kind in REDUCED else arrays).items():
            self.set_array(name, array)
        self.base.attributes.set_many(
            {
                "kind": kind,
                "level_of_theory": level_of_theory,
                "n_frames": len(frames),
                "n_atoms": frames.n_atoms,
                "elements": frames.elements,
                "formula": Formula.from_list(frames.symbols).format("hill"),
                "time_start": None if frames.times is None else float(frames.times[0]),
                "time_end": None if frames.times is None else float(frames.times[-1]),
            }
        )
        if (noise := force_noise(frames)) is not None:  # a structure's hash stays what it was
            self.base.attributes.set("force_noise", noise)

    # -- what a query sees ---------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        return self.base.attributes.get("kind")

    @property
    def level_of_theory(self) -> str | None:
        return self.base.attributes.get("level_of_theory", None)

    @property
    def elements(self) -> list[str]:
        return self.base.attributes.get("elements")

    @property
    def n_atoms(self) -> int:
        return self.base.attributes.get("n_atoms")

    @property
    def has_velocities(self) -> bool:
        return "velocities" in self.get_arraynames()

    @property
    def has_labels(self) -> bool:
        """Whether energies and forces are there, and a level of theory vouches for them."""
        return self.level_of_theory is not None and {"energies", "forces"} <= set(self.get_arraynames())

    @property
    def force_noise(self) -> float | None:
        """Error of the forces as their sum shows it, eV / Angstrom; None of what was stored without it."""
        return self.base.attributes.get("force_noise", None)

    def __len__(self) -> int:
        return self.base.attributes.get("n_frames")

    # -- content -------------------------------------------------------------------------------------------

    @property
    def content_key(self) -> str:
        """Hash of the arrays' bytes: equal content has an equal key, whatever the node and its origin."""
        # A repository that keeps files by their SHA-256 need not be read.
        is_known = self.is_stored and self.backend.get_repository().key_format == "sha256"
        digest = hashlib.sha256()
        for name in sorted(self.get_arraynames()):
            key = self.base.repository.get_object(f"{name}.npy").key if is_known else self._hash_of(f"{name}.npy")
            digest.update(f"{name} {key}\n".encode())
        return digest.hexdigest()

    def _hash_of(self, file: str) -> str:
        with self.base.repository.open(file, "rb") as handle:
            return hashlib.sha256(handle.read()).hexdigest()

    @property
    def frames(self) -> Frames:
        """All frames. Long segments are better read in slices."""
        return self.read(slice(None))

    def read(self, index: int | slice, more: Collection[str] | None = None) -> Frames:
        """Read some frames without loading the others.

        Parameters
        ----------
        index : int or slice
            Slices are read as one contiguous block of the file and then strided.
        more : collection of str, optional
            What is wanted beside atoms, positions and cells, such as ``forces``; all there is by default.

        Raises
        ------
        IndexError
            If no frame is selected.
        """
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        start, stop, step = index.indices(len(self))
        if step < 1 or stop <= start:
            raise IndexError(f"slice {index} selects no frame of the {len(self)} in the node, or runs backwards")
        there = set(self.get_arraynames())
        wanted = {
            name for name in (there if more is None else there & {*CONFIGURATION, *more}) if not name.endswith(ENDS)
        }
        blocks = wanted & {*PER_FRAME}
        ends = {f"{name}{ENDS}" for name in blocks} & there
        found = {
            name: _read_block(handle, start, stop) if name in blocks else np.load(handle, allow_pickle=False)
            for name, handle in self._open(wanted | ends)
        }
        for name in blocks:
            found[name] = restored(found[name], found.get(f"{name}{ENDS}"), start, len(self))[::step]
        return Frames(**{name: found[name] for name in wanted})

    def _open(self, names: Collection[str]) -> Iterator[tuple[str, IO[bytes]]]:
        """Yield the files of arrays, each open until the next one; those of a stored node are found in one query.

        To open them one by one takes two queries each, which is most of what reading a burst takes.
        """
        repository = self.base.repository
        keys = {str(repository.get_object(f"{name}.npy").key): name for name in names} if self.is_stored else {}
        if keys:
            for key, stream in self.backend.get_repository().iter_object_streams(keys):
                yield keys[key], stream
        for name in sorted({*names} - {*keys.values()}):  # not stored, or of the same content as another one
            with repository.open(f"{name}.npy", "rb") as handle:
                yield name, handle

    def to_ase(self, index: int | slice = slice(None)) -> list[Atoms]:
        """Return the chosen frames as ASE atoms, with labels, velocities and time."""
        return self.read(index).to_ase()

    def to_extxyz(self, path: Path | str, index: int | slice = slice(None)) -> None:
        """Write the chosen frames as extended XYZ."""
        ase.io.write(path, self.to_ase(index), format="extxyz")

    def _prepare_extxyz(self, main_file_name: str = "") -> tuple[bytes, dict]:
        """Serve `verdi data ... export`."""
        buffer = io.StringIO()
        ase.io.write(buffer, self.to_ase(), format="extxyz")
        return buffer.getvalue().encode(), {}

    @classmethod
    def from_ase(
        cls, images: Atoms | list[Atoms], kind: str = "structure", level_of_theory: str | None = None
    ) -> FramesData:
        """Make an unstored node from ASE atoms that hold the same atoms in the same order."""
        return cls(Frames.from_ase(images), kind=kind, level_of_theory=level_of_theory)


def _header(handle: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(handle)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(handle)
    if fortran:
        raise ValueError("arrays of frames are stored in C order")
    return shape, dtype


def _read_block(handle: Any, start: int, stop: int) -> np.ndarray:
    """Read rows ``start:stop`` of an open ``.npy`` file."""
    shape, dtype = _header(handle)
    row = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
    handle.seek(start * row, io.SEEK_CUR)
    block = handle.read((stop - start) * row)
    return np.frombuffer(block, dtype=dtype).reshape(stop - start, *shape[1:]).copy()
