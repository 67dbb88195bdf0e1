"""What a query sees of a node of ours: its attributes, declared once."""

from typing import Any

from aiida.orm.pydantic import OrmMetadataField


def stored(name: str, description: str, *default: Any) -> Any:
    """Return the field of an attribute that is kept under its own name.

    Parameters
    ----------
    name : str
    description : str
    *default
        What it is where the node has none; without one, every node has it.
    """

    def read(node: Any) -> Any:
        return node.base.attributes.get(name, *default)

    return OrmMetadataField(*default, description=description, orm_to_model=read)
