"""Which model files may be loaded: what this database saw trained or built, and what a person said of a file."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from aiida import orm
from aiida.manage import get_manager

from aiida_haml.storage import among, patiently, read, tables

#: Settings of the storage, which no archive carries: what this database saw trained, and what a person said.
_TRAINED, _SAID = "haml|trusted|{sha256}", "haml|trusted|{sha256}|{email}"
#: Likewise, of the files of a committee that was built from the numbers of the package.
_START = "haml|start|{hashes}"


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
    return bool(trusted([sha256]))


def trusted(hashes: Iterable[str]) -> set[str]:
    """Return those of many model files that the person of this profile may load, in one statement."""
    hashes, email = {sha256 for sha256 in hashes if isinstance(sha256, str)}, _email()
    names = {key.format(sha256=sha256, email=email): sha256 for key in (_TRAINED, _SAID) for sha256 in hashes}
    setting = tables().setting
    found = dict(read(sa.select(setting.key, setting.val).where(among(setting.key, names))))
    return {
        sha256
        for sha256 in hashes
        if found.get(_SAID.format(sha256=sha256, email=email), found.get(_TRAINED.format(sha256=sha256)))
    }


def note_start(hashes: Sequence[str]) -> None:
    """Record that the model files with these hashes are the start potential, member by member."""
    description = "Whether model files of these hashes are the start potential"
    _write(_START.format(hashes="|".join(hashes)), True, description)


def is_known_start(hashes: Sequence[str]) -> bool:
    """Whether it was recorded that the model files with these hashes are the start potential."""
    setting = tables().setting
    key = _START.format(hashes="|".join(hashes))
    return any(row.val for row in read(sa.select(setting.val).where(setting.key == key)))


def _record(key: str, sha256: str, trusted: bool) -> None:
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise ValueError(f"sha256 is {sha256!r}; give the 64 lower-case hexadecimal digits of a model file's hash.")
    _write(key.format(sha256=sha256, email=_email()), trusted, "Whether a model file of this hash may be loaded")


def _write(key: str, value: bool, description: str) -> None:
    storage: Any = get_manager().get_profile_storage()
    patiently(storage.set_global_variable, key, value, description=description)


def _email() -> str:
    user = orm.User.collection.get_default()
    return user.email if user is not None else ""
