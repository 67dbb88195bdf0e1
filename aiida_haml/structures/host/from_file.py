"""What a person gives as the file of a crystal, and what is kept as its content."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, ValidationInfo, model_validator

from aiida_haml.structures.host.crystal import Crystal, read_crystal
from aiida_haml.structures.settings import Settings


class FromFile(Settings):
    """A crystal from a file, whose content stands in the settings: a specification is whole without the file."""

    # A person gives the file, from which the rest is filled in.
    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(required=[]))

    name: str = Field(default="", description="What it is called; the formula, where left out.")
    file: str | None = Field(
        default=None,
        exclude=True,
        description="A CIF, or any file that ASE reads, relative to the specification; its content is kept.",
    )
    crystal: Crystal = Field(description="The content of `file`; filled in on reading.")

    @model_validator(mode="before")
    @classmethod
    def _read_file(cls, value: Any, info: ValidationInfo) -> Any:
        """Put the file's content in its place: a specification is whole without it."""
        if not isinstance(value, Mapping):
            return value
        content = dict(value)
        if isinstance(content.get("file"), str) and content.get("crystal") is None:
            content["crystal"] = read_crystal(Path((info.context or {}).get("folder", "."), content["file"]))
        crystal = content.get("crystal")
        if isinstance(crystal, Mapping):
            content["crystal"] = crystal = Crystal.read(crystal, "crystal")
        if isinstance(crystal, Crystal):
            content["name"] = content.get("name") or crystal.name
        return content
