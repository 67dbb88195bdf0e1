"""What runs in a shell, and the record of what this person has agreed to.

Codes, computers and specifications travel: in archives, shared databases and mails. Each holds text that a shell runs
on the computing machine. Such text runs only after the person at the keyboard has seen it, or made it with
`aiida-haml setup`. What was agreed to is remembered by its content, so that a change of one letter asks again, and in
the person's own folder of AiiDA's configuration, so that neither an archive nor another user of the database agrees for
them.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida.manage.configuration import get_config

RECORD = "haml-consent.json"


@dataclass(frozen=True)
class ShellText:
    """Something that runs in a shell, whole.

    Parameters
    ----------
    name : str
        What a person calls it: ``code cp2k@localhost``.
    content : mapping
        All that decides what runs, in JSON's types. The name is not part of it.
    """

    name: str
    content: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        text = json.dumps(self.content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()

    def lines(self) -> list[str]:
        """Return the content for a person to read: one line an entry, or several for a text of several."""
        return [line for key, value in self.content.items() for line in _lines(key, value)]


def _lines(key: str, value: Any) -> list[str]:
    if value in (None, "", [], {}):
        return []
    if isinstance(value, Mapping):
        return [line for inner, v in value.items() for line in _lines(f"{key}.{inner}", v)]
    if isinstance(value, str) and "\n" in value:
        return [f"{key}:", *(f"    {line}" for line in value.splitlines())]
    return [f"{key}: {value}"]


def is_agreed(text: ShellText) -> bool:
    """Return whether this person has agreed to run exactly this."""
    return text.digest in _read()["agreed"]


def agree(text: ShellText) -> None:
    """Remember that this person agrees to run exactly this."""
    record = _read()
    record["agreed"][text.digest] = text.name
    _write(record)


def own_codes(profile: str) -> dict[str, str]:
    """Return the UUIDs of the codes that `aiida-haml setup` registered for this person, by what they do.

    Parameters
    ----------
    profile : str
        UUID of the profile.
    """
    return dict(_read()["codes"].get(profile, {}))


def keep_code(profile: str, role: str, uuid: str) -> None:
    """Remember a code as this person's own; see `own_codes`."""
    record = _read()
    record["codes"].setdefault(profile, {})[role] = uuid
    _write(record)


def _path() -> Path:
    return Path(get_config().dirpath) / RECORD


def _read() -> dict[str, dict[str, Any]]:
    try:
        record = json.loads(_path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        record = {}
    except (ValueError, OSError) as error:
        raise ValueError(f"{_path()} cannot be read ({error}); remove it, and confirm again what runs.") from error
    return {"agreed": dict(record.get("agreed", {})), "codes": dict(record.get("codes", {}))}


def _write(record: Mapping[str, Any]) -> None:
    """Replace the record at once, so that a reader never sees half of it."""
    new = _path().with_name(f"{RECORD}.{os.getpid()}")
    new.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    new.replace(_path())
