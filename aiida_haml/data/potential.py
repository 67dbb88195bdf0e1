"""The potential node: a committee of trained MACE models."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_haml.data.fields import stored
from aiida_haml.data.trust import distrust, is_known_start, is_trusted, trust, trust_for_all
from aiida_haml.engines import quietly
from aiida_haml.engines.start_numbers import digest, facts
from aiida_haml.learning.errors import DRIVER

#: Precisions a model's parameters can have.
PRECISIONS = ("float64", "float32")


class PotentialData(orm.Data):
    """A committee of models, stored as ``member_0.model``, ``member_1.model``, ...

    Make one with `from_files`. The file names are fixed, so the same models give the same hash.
    """

    class AttributesModel(orm.Data.AttributesModel):
        n_members: int = stored("n_members", "Number of models")
        sha256: list[str] = stored("sha256", "Hash of each model file")
        elements: list[str] = stored("elements", "Chemical symbols the models know")
        cutoff: float = stored("cutoff", "Cutoff radius of one interaction, Angstrom")
        precision: str = stored("precision", "float64 or float32")
        level_of_theory: str | None = stored(
            "level_of_theory", "Key of the level of theory of the labels it was trained on", None
        )
        errors: dict[str, Any] | None = stored(
            "errors", "Errors of the committee's mean on train, valid and held_out frames", None
        )
        pool: str | None = stored("pool", "Content key of the pool of labels that it learned from", None)

    @classmethod
    def from_files(
        cls,
        paths: Sequence[Path | str],
        elements: Sequence[str],
        cutoff: float,
        precision: str,
        level_of_theory: str | None = None,
        errors: Mapping[str, Any] | None = None,
        pool: str | None = None,
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
        pool : str, optional
            Content key of the pool of labels that it learned from.

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
                "pool": pool,
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
    def members(self) -> dict[str, str]:
        """Name and SHA-256 of each model file, in order."""
        return {f"member_{i}.model": sha256 for i, sha256 in enumerate(self.sha256)}

    @property
    def driver(self) -> str:
        """Name of the model file whose forces drive the dynamics, and which tests score."""
        return f"member_{DRIVER}.model"

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
    def pool(self) -> str | None:
        """Content key of the pool of labels that it learned from; None for a potential from elsewhere."""
        return self.base.attributes.get("pool", None)

    @property
    def errors(self) -> dict[str, Any] | None:
        return self.base.attributes.get("errors")

    # -- content -------------------------------------------------------------------------------------------

    @property
    def is_trusted(self) -> bool:
        """Whether the person of this profile may load every model of the committee; see `trust`.

        Of a node that names no hash, as an archive may bring one, nothing is known and nothing is trusted.
        """
        return bool(self.sha256) and all(is_trusted(sha256) for sha256 in self.sha256)

    @property
    def is_start(self) -> bool:
        """Whether it holds the models that come with the package, number by number, whatever it says of itself.

        No model is read where this database built the files, nor where the level of theory is another one.
        """
        if is_known_start(self._stored_hashes()):
            return True
        if self.level_of_theory != facts()["level_of_theory"]:
            return False
        with quietly():
            from aiida_haml.engines.mace_start import digests  # torch loads for seconds

            return tuple(digest(self.read_member(i)) for i in range(self.n_members)) == digests()

    def _stored_hashes(self) -> list[str]:
        """Return the SHA-256 of the members, under which the repository keeps them, whatever the attributes say."""
        files = self.base.repository.metadata.get("o", {})
        return [files.get(f"member_{i}.model", {}).get("k", "") for i in range(len(files))]

    def trust(self) -> None:
        """Load the models in one's own name from now on. Loading one runs it: know where it comes from."""
        for sha256 in self.sha256:
            trust(sha256)

    def trust_for_all(self) -> None:
        """Note that this database has seen these models trained."""
        for sha256 in self.sha256:
            trust_for_all(sha256)

    def distrust(self) -> None:
        """Take one's trust back, or refuse what this database trained."""
        for sha256 in self.sha256:
            distrust(sha256)

    def read_member(self, index: int) -> bytes:
        """Return the bytes of one model file."""
        return self.base.repository.get_object_content(f"member_{index}.model", mode="rb")
