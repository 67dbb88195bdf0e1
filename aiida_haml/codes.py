"""The codes of a screen: which they are, what each runs, and whether this person may start it."""

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.exceptions import MultipleObjectsError, NotExistent
from aiida.manage import get_manager

from aiida_haml.consent import ShellText, own_codes

#: What a code does in a screen: its label where `aiida-haml setup` registers it.
ROLES = {"cp2k": "cp2k", "engine": "haml-engine", "lammps": "haml-lammps"}
#: Kinds of codes, by name: a query for the abstract one finds all data.
KINDS = (orm.InstalledCode, orm.ContainerizedCode, orm.PortableCode)
#: How often a scheduler is asked; it decides nothing of what runs, and `setup` sets it anew.
_NOT_RUN = ("minimum_scheduler_poll_interval",)


def find_code(role: str, label: str | None) -> orm.AbstractCode:
    """Return the code of a role.

    Parameters
    ----------
    role : str
        One of `ROLES`.
    label : str or None
        Full label of the code; None for the one that `aiida-haml setup` registered for this person.

    Raises
    ------
    LookupError
        If there is none, or several of that label; it says what to do.
    """
    if label is None:
        uuid = own_codes(profile_uuid()).get(role)
        try:
            return orm.load_code(uuid=uuid) if uuid else orm.load_code(f"{ROLES[role]}@localhost")
        except (NotExistent, MultipleObjectsError) as error:
            raise LookupError(f"is not set up. {_remedy()}") from error
    try:
        return orm.load_code(label)
    except MultipleObjectsError as error:
        same = orm.QueryBuilder().append(list(KINDS), filters={"label": label.split("@")[0]}).all(flat=True)
        pks = ", ".join(str(code.pk) for code in same if code.full_label == label)
        raise LookupError(f"names several codes (pk {pks}). Give all but one another label, with 'verdi code relabel'."
                          ) from error  # fmt: skip
    except NotExistent as error:
        raise LookupError(f"is no code of this profile. {_remedy()}") from error


def _remedy() -> str:
    codes = orm.QueryBuilder().append(list(KINDS)).all(flat=True)
    known = ", ".join(sorted(code.full_label for code in codes if not code.is_hidden)) or "none"
    return f"Run 'aiida-haml setup', or name one of the registered codes: {known}."


def profile_uuid() -> str:
    """Return the UUID of the profile that is loaded."""
    profile = get_manager().get_profile()
    return profile.uuid if profile is not None else ""


def not_configured(code: orm.AbstractCode) -> str | None:
    """Return why this person cannot use the code's computer, with the remedy, or None."""
    computer = getattr(code, "computer", None)
    if computer is None or computer.is_configured:
        return None
    me = orm.User.collection.get_default()
    command = f"verdi computer configure {computer.transport_type} {computer.label}"
    return (
        f"runs on the computer '{computer.label}', which is not configured for {me.email if me else 'you'}. "
        f"Run '{command}', or 'aiida-haml setup' for codes of your own on this machine."
    )


def wrong_role(role: str, code: orm.AbstractCode) -> str | None:
    """Return why a code cannot do what a role asks, with the remedy, or None; its default plugin says what it is."""
    plugin = code.default_calc_job_plugin
    if plugin is None:
        return None
    is_cp2k, is_lammps = "cp2k" in plugin, "lammps" in plugin
    if {"cp2k": is_cp2k, "lammps": is_lammps, "engine": not (is_cp2k or is_lammps)}[role]:
        return None
    return f"is a code for '{plugin}', not the {role} of a screen. Name a code of that kind, or leave it out."


def watches(lammps: orm.AbstractCode) -> bool:
    """Whether a LAMMPS looks after its stretches as they run: that of this package does, no other knows the watch."""
    return lammps.get_executable().name == ROLES["lammps"]


def what_runs(code: orm.AbstractCode) -> ShellText:
    """Return everything of a code and its computer that ends up in a job's script, or decides who starts it."""
    content: dict[str, Any] = dict(code.base.attributes.all)
    if files := code.base.repository.list_object_names():
        content["files"] = {"names": sorted(files), "hash": code.base.repository.hash()}
    if computer := getattr(code, "computer", None):
        content["computer"] = computer_content(computer)
        if computer.is_configured:
            content["computer"]["connection"] = computer.get_configuration()
    return ShellText(f"code {code.full_label} <{code.pk}>", content)


def computer_content(computer: orm.Computer) -> dict[str, Any]:
    """Return what of a computer decides where and how its jobs run; its label and description do not."""
    metadata: Mapping[str, Any] = computer.metadata
    return {
        "hostname": computer.hostname,
        "transport": computer.transport_type,
        "scheduler": computer.scheduler_type,
        **{key: value for key, value in sorted(metadata.items()) if key not in _NOT_RUN},
    }
