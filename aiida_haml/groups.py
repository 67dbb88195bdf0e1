"""Groups that several people share."""

from __future__ import annotations

from aiida.orm import Group


class ScreenGroup(Group):
    """The screens that were submitted under one name; survives export and import with its extras."""
