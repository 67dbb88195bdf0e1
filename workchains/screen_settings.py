"""The settings and starts of a screen: as the specification asks for them, checked before anything runs."""

from collections.abc import Mapping
from typing import Any

from aiida import orm

from aiida_haml.analysis.settings import DescriptionSettings, RankingSettings
from aiida_haml.queries.labels import level_of_code
from aiida_haml.spec import ScreenSpec
from aiida_haml.starts import foundation_from, labels_from, start_from
from aiida_haml.workchains.inputs import settings_complaint, start_complaint
from aiida_haml.workchains.job import require_restarts
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
    require_restarts(settings["restarts"])
    if complaint := _complaint(settings):
        raise ValueError(complaint)
    return settings


def screen_starts(
    spec: ScreenSpec, settings: Mapping[str, Any], theory: str, code: orm.AbstractCode
) -> dict[str, orm.Data]:
    """Return the inputs ``potential``, ``foundation`` and ``pool`` that a specification asks for.

    Parameters
    ----------
    spec : ScreenSpec
    settings : mapping
        Of the screen; ``learning.elements`` names all that is learned.
    theory : str
        As `aiida_haml.calculations.levels.theory_key` gives it.
    code : AbstractCode
        Of the labels.

    Raises
    ------
    ValueError
        If there is no such node, or the first stretch or training would refuse it.
    """
    level = level_of_code(code, theory) or theory
    elements = settings["learning"]["elements"]
    given: dict[str, orm.Data] = {}
    if spec.potential is not None:
        given |= start_from(spec.potential, level, elements)
    if spec.foundation is not None:
        given |= foundation_from(spec.foundation)
    if spec.labels is not None:
        given |= labels_from(spec.labels, level, elements)
    if complaint := start_complaint({**given, "settings": settings}):
        raise ValueError(complaint)
    return given


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
