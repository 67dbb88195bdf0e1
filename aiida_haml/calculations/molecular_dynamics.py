"""Checks of the settings of dynamics and relaxations that all engines share, made before a job starts."""

from typing import Any

from aiida import orm

from aiida_haml.data.frames import FramesData

#: Settings every MD engine takes, with the smallest value allowed.
MD_SETTINGS = {"steps": 1, "timestep_fs": 1e-3, "temperature_K": 1e-3, "thermostat_time_fs": 1e-3, "seed": 1}
#: Settings of a relaxation: at most so many steps, down to a largest force component in eV/Angstrom.
RELAX_SETTINGS = {"steps": 1, "max_force": 1e-4}
#: With this one, in GPa, the lengths of the cell are relaxed too, its angles held, until the pressure is below it.
RELAX_CELL_SETTINGS = {**RELAX_SETTINGS, "max_pressure_GPa": 1e-3}


def validate_md(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse settings that are missing, not numbers, or too small."""
    if node is None:
        return None
    md = node.get_dict()
    if complaint := _complaint("MD", md, MD_SETTINGS):
        return complaint
    if md["timestep_fs"] > 5:
        return f"The MD setting `timestep_fs` is {md['timestep_fs']} fs; above 5 fs no integrator is stable."
    return None


def validate_relax(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse settings that are missing, not numbers, or too small."""
    if node is None:
        return None
    relax = node.get_dict()
    return _complaint("relaxation", relax, RELAX_CELL_SETTINGS if relaxes_cell(relax) else RELAX_SETTINGS)


def relaxes_cell(relax: dict[str, Any]) -> bool:
    """Return whether a relaxation changes the cell."""
    return "max_pressure_GPa" in relax


def _complaint(what: str, settings: dict[str, Any], least: dict[str, float]) -> str | None:
    for name, bound in least.items():
        if name not in settings:
            return f"The {what} settings lack `{name}`."
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= bound:
            return f"The {what} setting `{name}` is {value!r}; it has to be a number of at least {bound}."
    return None


def validate_initial(node: FramesData | None, _: Any) -> str | None:
    """Refuse a start that no analysis trusts."""
    if node is not None and node.kind == "untrusted":
        return f"The frames {node.pk} are the untrusted tail of a stretch; nothing may start from them."
    return None
