"""Protocols: named sets of settings and the levels of theory, kept in YAML beside this file."""

import copy
import difflib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml
from aiida_cp2k.utils import merge_dict

from aiida_haml.analysis.settings import DescriptionSettings, RankingSettings
from aiida_haml.calculations.label_engines import LabelEngine, label_engine
from aiida_haml.learning.cutouts import CutoutSettings
from aiida_haml.learning.distortions import DistortionSettings
from aiida_haml.learning.learner import LearnerSettings
from aiida_haml.learning.plan import WatchSettings
from aiida_haml.learning.rounds import RoundSettings
from aiida_haml.learning.selection import ProbeSettings

#: Taken when no protocol is named.
DEFAULT_PROTOCOL = "fast"


#: Sections whose keys and defaults stand with the code that they steer.
TYPED_SECTIONS = {
    "rounds": RoundSettings,
    "watch": WatchSettings,
    "probes": ProbeSettings,
    "distortions": DistortionSettings,
    "cutouts": CutoutSettings,
    "learning": LearnerSettings,
    "analysis": DescriptionSettings,
    "ranking": RankingSettings,
}


def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


def protocol_settings(protocol: str | None = None, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the settings of a protocol, with overrides merged over them.

    Parameters
    ----------
    protocol : str, optional
        ``quick``, ``fast``, ``moderate`` or ``precise``.
    overrides : mapping, optional
        Nested like the settings.

    Returns
    -------
    dict
        By section: ``dynamics``, ``watch``, ``rounds``, ``probes``, ``distortions``, ``cutouts``, ``hybrid``,
        ``learning``, ``equilibration``, ``lattice``, ``analysis``, ``ranking``, ``options``, ``restarts``.

    Raises
    ------
    ValueError
        If the protocol or a key of the overrides is unknown.
    """
    content = _read("protocols.yaml")
    for section, cls in TYPED_SECTIONS.items():
        content["defaults"][section] = cls().to_dict()
    name = protocol or DEFAULT_PROTOCOL
    if name not in content["protocols"]:
        raise ValueError(f"There is no protocol {name!r}; it has to be one of {', '.join(content['protocols'])}.")
    chosen = {key: value for key, value in content["protocols"][name].items() if key != "description"}
    settings = merge(content["defaults"], chosen)
    return merge(settings, overrides or {})


def level_of_theory(
    name: str, theory: Mapping[str, Any] | None = None, gaussians: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a preset level of theory, with its name.

    Parameters
    ----------
    name : str
        A key of ``levels.yaml``.
    theory : mapping, optional
        Of a teacher ``calculator`` (module:Class) and ``parameters``, in place of the preset's; of CP2K keywords below
        FORCE_EVAL, merged over the preset's.
    gaussians : mapping, optional
        Of CP2K ``kinds`` (by element ``basis`` and ``pseudo``), merged over the preset's, and the groups of the
        database that hold them, ``basis_group`` and ``pseudo_group``.

    Raises
    ------
    ValueError
        If there is no such preset.
    """
    levels = _read("levels.yaml")
    if name not in levels:
        raise ValueError(f"There is no level of theory {name!r}; it has to be one of {', '.join(levels)}.")
    level = {"name": name, **levels[name]}
    if theory is not None and level["engine"] == "teacher":
        level["theory"] = dict(theory)
    elif theory is not None:
        merge_dict(level["theory"], copy.deepcopy(dict(theory)))
    if gaussians:
        merge_dict(level, copy.deepcopy(dict(gaussians)))
    return level


def bases() -> dict[str, tuple[str, ...] | None]:
    """Return the elements that each preset level of theory has a basis for; None for one without a list of them."""
    return {name: tuple(level["kinds"]) if "kinds" in level else None for name, level in _read("levels.yaml").items()}


def engine_of_level(name: str) -> LabelEngine:
    """Return the label engine of a preset."""
    return label_engine(level_of_theory(name)["engine"])


def md_settings(settings: Mapping[str, Any], steps: int, temperature: float, seed: int) -> dict[str, Any]:
    """Return the MD settings of one segment.

    Parameters
    ----------
    settings : mapping
        As `protocol_settings` returns them.
    steps : int
    temperature : float
        K.
    seed : int
        Of the thermostat, and of velocities where the start has none.
    """
    dynamics = settings["dynamics"]
    return {
        "steps": steps,
        "timestep_fs": dynamics["timestep_fs"],
        "temperature_K": temperature,
        "thermostat_time_fs": dynamics["thermostat_time_fs"],
        "seed": seed,
    }


#: Sections whose keys are free: what schedulers and metrics there are is not ours to list.
FREE_SECTIONS = ("options", "weights")


def merge(base: Mapping[str, Any], overrides: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return ``base`` with ``overrides`` merged into it, level by level.

    Raises
    ------
    ValueError
        If the overrides hold a key that the base does not know, or a value where the base has a section.
    """
    merged = copy.deepcopy(dict(base))
    for key, value in overrides.items():
        where = f"{path}{key}"
        free = any(part in FREE_SECTIONS for part in path.split("."))
        if key not in merged and not free:
            near = difflib.get_close_matches(str(key), merged, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(map(str, merged))}."
            raise ValueError(f"The override `{where}` is not a setting of the protocol; {hint}")
        known = merged.get(key)
        if isinstance(known, Mapping):
            if not isinstance(value, Mapping):
                raise ValueError(f"The override `{where}` is {value!r}; it has to be a mapping.")
            merged[key] = merge(known, value, f"{where}.")
        else:
            merged[key] = copy.deepcopy(value)
    return merged
