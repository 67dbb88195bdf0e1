"""Which model files may be loaded: what this database saw trained, and what a person said of a file."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.manage import get_manager

from aiida_haml.storage import patiently

#: Settings of the storage, which no archive carries: what this database saw trained, and what a person said.
_TRAINED, _SAID = "haml|trusted|{sha256}", "haml|trusted|{sha256}|{email}"


def trust(sha256: str) -> None:
    """Record that the model file with this hash may be loaded in the name of the person whose profile this is.

    A MACE model file is pickled code: whoever loads it runs it. A user calls this for a model whose origin they
    know; nobody else on the same database is bound by it.

    Parameters
    ----------
    sha256 : str
        Of the model file, 64 hexadecimal digits.

    Raises
    ------
    ValueError
        If it is no SHA-256.
    """
    _record(_SAID, sha256, True)


def trust_for_all(sha256: str) -> None:
    """Record that this database has seen the model trained: it counts for everybody who has not said otherwise.

    For the parser of trainings, and for nothing that came from elsewhere.
    """
    _record(_TRAINED, sha256, True)


def distrust(sha256: str) -> None:
    """Forbid it to the person whose profile this is, also if this database trained the model."""
    _record(_SAID, sha256, False)


def is_trusted(sha256: str) -> bool:
    """Return what the person of this profile said of a model file; else, whether this database trained it."""
    said = _recorded(_SAID, sha256)
    return bool(_recorded(_TRAINED, sha256) if said is None else said)


def _record(key: str, sha256: str, trusted: bool) -> None:
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise ValueError(f"sha256 is {sha256!r}; give the 64 lower-case hexadecimal digits of a model file's hash.")
    storage: Any = get_manager().get_profile_storage()
    name = key.format(sha256=sha256, email=_email())
    description = "Whether a model file of this hash may be loaded"
    patiently(storage.set_global_variable, name, trusted, description=description)


def _recorded(key: str, sha256: str) -> Any:
    try:
        return get_manager().get_profile_storage().get_global_variable(key.format(sha256=sha256, email=_email()))
    except KeyError:
        return None


def _email() -> str:
    user = orm.User.collection.get_default()
    return user.email if user is not None else ""
