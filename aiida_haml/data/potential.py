"""The potential node: a committee of trained MACE models."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.exceptions import ValidationError
from aiida.manage import get_manager
from aiida.orm.pydantic import OrmMetadataField

#: Precisions a model's parameters can have.
PRECISIONS = ("float64", "float32")

_TRUST_KEY = "haml|trusted|{sha256}"


def trust(sha256: str) -> None:
    """Record in this profile's storage that the model file with this hash may be loaded.

    A MACE model file is pickled code: whoever loads it runs it. The training parser calls this for what this
    database trained; a user calls it for an imported model whose origin they know. The record lives beside
    the nodes and not on them, so an archive never carries it.

    Parameters
    ----------
    sha256 : str
        Of the model file, 64 hexadecimal digits.

    Raises
    ------
    ValueError
        If it is no SHA-256.
    """
    _record(sha256, trusted=True)


def distrust(sha256: str) -> None:
    """Take back what `trust` said.

    Raises
    ------
    ValueError
        If it is no SHA-256.
    """
    _record(sha256, trusted=False)


def _record(sha256: str, *, trusted: bool) -> None:
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise ValueError(f"sha256 is {sha256!r}; give the 64 lower-case hexadecimal digits of a model file's hash.")
    get_manager().get_profile_storage().set_global_variable(
        _TRUST_KEY.format(sha256=sha256), trusted, description="Whether this profile may load a model file"
    )


def is_trusted(sha256: str) -> bool:
    """Return whether `trust` was called for this hash in the current profile."""
    try:
        return bool(get_manager().get_profile_storage().get_global_variable(_TRUST_KEY.format(sha256=sha256)))
    except KeyError:
        return False


class PotentialData(orm.Data):
    """A committee of models, stored as ``member_0.model``, ``member_1.model``, ...

    Make one with `from_files`. The file names are fixed, so the same models give the same hash.
    """

    class AttributesModel(orm.Data.AttributesModel):
        n_members: int = OrmMetadataField(
            description="Number of models", orm_to_model=lambda node: node.base.attributes.get("n_members")
        )
        sha256: list[str] = OrmMetadataField(
            description="Hash of each model file",
            orm_to_model=lambda node: node.base.attributes.get("sha256"),
        )
        elements: list[str] = OrmMetadataField(
            description="Chemical symbols the models know",
            orm_to_model=lambda node: node.base.attributes.get("elements"),
        )
        cutoff: float = OrmMetadataField(
            description="Cutoff radius of one interaction, Angstrom",
            orm_to_model=lambda node: node.base.attributes.get("cutoff"),
        )
        precision: str = OrmMetadataField(
            description="float64 or float32", orm_to_model=lambda node: node.base.attributes.get("precision")
        )
        level_of_theory: str | None = OrmMetadataField(
            None,
            description="Key of the level of theory of the labels it was trained on",
            orm_to_model=lambda node: node.base.attributes.get("level_of_theory"),
        )
        errors: dict[str, Any] | None = OrmMetadataField(
            None,
            description="Errors of the committee's mean on train, valid and held_out frames",
            orm_to_model=lambda node: node.base.attributes.get("errors"),
        )

    @classmethod
    def from_files(
        cls,
        paths: Sequence[Path | str],
        elements: Sequence[str],
        cutoff: float,
        precision: str,
        level_of_theory: str | None = None,
        errors: Mapping[str, Any] | None = None,
    ) -> PotentialData:
        """Make an unstored node from model files.

        Parameters
        ----------
        paths : sequence of path
            One MACE model file a member of the committee. The files are read, never loaded.
        elements : sequence of str
            Chemical symbols the models know.
        cutoff : float
            Cutoff radius, Angstrom.
        precision : str
            One of `PRECISIONS`.
        level_of_theory : str, optional
            Key of the level of theory of the labels; None for a model of unknown origin.
        errors : mapping, optional
            ``{part: {energy_rmse_per_atom, force_rmse, ...}}``; eV and Angstrom.

        Raises
        ------
        ValueError
            If there is no file, or a value makes no sense.
        """
        if not paths:
            raise ValueError("paths is empty; a potential needs at least one model file.")
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; it has to be one of {', '.join(PRECISIONS)}.")
        if not elements or cutoff <= 0:
            raise ValueError(
                f"elements is {list(elements)} and cutoff is {cutoff}; name the elements that the model "
                "knows and its cutoff radius in Angstrom."
            )
        node = cls()
        for i, path in enumerate(paths):
            node.base.repository.put_object_from_file(str(Path(path).absolute()), f"member_{i}.model")
        node.base.attributes.set_many(
            {
                "n_members": len(paths),
                "sha256": [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths],
                "elements": sorted(elements),
                "cutoff": float(cutoff),
                "precision": precision,
                "level_of_theory": level_of_theory,
                "errors": None if errors is None else dict(errors),
            }
        )
        return node

    def _validate(self) -> bool:
        """Refuse to store files that are not those whose hashes the attributes name."""
        super()._validate()
        hashes = self.base.attributes.get("sha256", None)
        if not hashes:
            raise ValidationError("A potential without models cannot be stored; make it with PotentialData.from_files.")
        found = [hashlib.sha256(self.read_member(i)).hexdigest() for i in range(len(hashes))]
        if found != hashes:
            raise ValidationError(f"The model files have the hashes {found}, the attributes say {hashes}.")
        return True

    # -- what a query sees ---------------------------------------------------------------------------------

    @property
    def n_members(self) -> int:
        return self.base.attributes.get("n_members")

    @property
    def sha256(self) -> list[str]:
        return self.base.attributes.get("sha256")

    @property
    def elements(self) -> list[str]:
        return self.base.attributes.get("elements")

    @property
    def cutoff(self) -> float:
        return self.base.attributes.get("cutoff")

    @property
    def precision(self) -> str:
        return self.base.attributes.get("precision")

    @property
    def level_of_theory(self) -> str | None:
        return self.base.attributes.get("level_of_theory")

    @property
    def errors(self) -> dict[str, Any] | None:
        return self.base.attributes.get("errors")

    # -- content -------------------------------------------------------------------------------------------

    @property
    def is_trusted(self) -> bool:
        """Whether this profile may load every model of the committee; see `trust`."""
        return all(is_trusted(sha256) for sha256 in self.sha256)

    def trust(self) -> None:
        """Let this profile load the models. Loading one runs what is in it: know where it comes from."""
        for sha256 in self.sha256:
            trust(sha256)

    def read_member(self, index: int) -> bytes:
        """Return the bytes of one model file."""
        return self.base.repository.get_object_content(f"member_{index}.model", mode="rb")
