"""The settings of a screen: a protocol's, changed as the specification asks, checked before anything starts."""

from __future__ import annotations

from typing import Any

from aiida import orm

from aiida_haml.analysis.settings import DescriptionSettings, RankingSettings
from aiida_haml.spec import ScreenSpec
from aiida_haml.workchains.inputs import settings_complaint
from aiida_haml.workchains.lattices import lattice_complaint
from aiida_haml.workchains.protocols import protocol_settings


def screen_settings(spec: ScreenSpec) -> dict[str, Any]:
    """Return the settings that a specification asks for: protocol, overrides, elements and weights.

    Raises
    ------
    ValueError
        If a setting is unknown or refused.
    """
    settings = protocol_settings(spec.protocol, spec.overrides)
    elements = spec.elements()
    settings["learning"]["elements"] = settings["learning"]["elements"] or elements
    settings["analysis"]["elements"] = sorted({*settings["analysis"]["elements"], *elements})
    if not spec.relaxes_lattices:
        settings["lattice"]["steps"] = 0
    settings["analysis"] |= spec.own_phases
    settings["ranking"]["weights"] |= spec.weights
    if complaint := _complaint(settings):
        raise ValueError(complaint)
    return settings


def validate_screen_settings(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse settings that the dynamics, a description or a ranking would refuse hours later."""
    return None if node is None else _complaint(node.get_dict())


def _complaint(settings: dict[str, Any]) -> str | None:
    if complaint := settings_complaint(settings) or lattice_complaint(settings):
        return complaint
    try:
        DescriptionSettings.from_dict(settings.get("analysis"))
        RankingSettings.from_dict(settings.get("ranking"))
    except ValueError as error:
        return str(error)
    return None
