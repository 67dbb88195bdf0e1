"""CP2K's keywords in a level of theory of one's own: that they exist, decide a label's value, and reach nothing else.

What is written here goes into an input file on the computing machine. CP2K's preprocessor includes files and sets
variables, and some keywords name files that are read or written; a specification is a mail from a colleague. So
sections and keywords have to be known ones, values are numbers, switches and short words, and files are those of CP2K's
own data.
"""

import functools
import math
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.refusals import nearest

#: What of FORCE_EVAL a level of theory may say.
TOP = ("DFT", "STRESS_TENSOR")
#: How the SCF gets to its end, which the recipes of the preset say: two ways to one value are one level of theory.
RECIPE = ("SCF_GUESS", "MAX_SCF", "DIAGONALIZATION", "MIXING", "OT", "OUTER_SCF")
#: Files of CP2K's data folder: D3's parameters, the kernels of non-local correlation.
DATA_FILES = ("PARAMETER_FILE_NAME", "KERNEL_FILE_NAME")
#: Names of sections and keywords, and ``_`` for a section's own parameter; the preprocessor's begin with an ``@``.
_KEY = re.compile(r"_|[A-Z][A-Z0-9_-]*", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9][\w.-]*")
#: What a value can be made of; a slash leads to a file, ``@`` and ``$`` to the preprocessor, ``&`` to another section.
_WORDS = re.compile(r"[\w .,+*():^=\[\]-]{1,200}", re.ASCII)
_NUMBER = re.compile(r"(\[\w+\] )?[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?")
_SWITCHES = ("ON", "OFF", "TRUE", "FALSE", "T", "F", "YES", "NO", ".TRUE.", ".FALSE.")


def check_theory(theory: Mapping[Any, Any]) -> None:
    """Refuse what is no harmless part of CP2K's FORCE_EVAL section.

    Parameters
    ----------
    theory : mapping
        Sections as mappings, keywords with their values, ``_`` for a section's own parameter.

    Raises
    ------
    StructureError
        With the path of the keyword, its value and what to do.
    """
    _check_top(theory)
    _check_section(theory, _force_eval(), "")


def check_harmless(content: Mapping[Any, Any]) -> None:
    """Refuse what reaches beyond CP2K's FORCE_EVAL section, or reads or writes files, whether CP2K knows it or not.

    For levels of theory that are in a database already, whose keywords may be another version's, and their recipes.

    Parameters
    ----------
    content : mapping
        As of `check_theory`; a section that is repeated is a list of mappings.

    Raises
    ------
    StructureError
        As of `check_theory`.
    """
    _check_top(content)
    _check_lines(content, "")


def _check_top(content: Mapping[Any, Any]) -> None:
    for key, value in content.items():
        if key not in TOP:
            raise StructureError(str(key), value, f"is no part of a level of theory; these are: {', '.join(TOP)}",
                                 "Write keywords as they stand below CP2K's FORCE_EVAL, in capitals.")  # fmt: skip


def _check_lines(content: Mapping[Any, Any], path: str) -> None:
    for key, value in content.items():
        where = f"{path}{key}"
        if not _KEY.fullmatch(str(key)):
            raise StructureError(where, key, "is no name of a section or keyword", "Leave it out.")
        _check_files(where, key, value)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                _check_lines(one, f"{where}.")
            else:
                _check_plain(where, one)


def _check_section(content: Mapping[Any, Any], section: ElementTree.Element, path: str) -> None:
    sections, keywords = _named(section, "SECTION"), _named(section, "KEYWORD")
    for key, value in content.items():
        where = f"{path}{key}"
        _check_name(where, key, value)
        if key == "_":
            _check_value(where, value, section.find("SECTION_PARAMETERS"))
        elif key in sections:
            if not isinstance(value, Mapping):
                raise StructureError(where, value, "is a section of CP2K", "Write a mapping: {KEYWORD: value}.")
            _check_section(value, sections[key], f"{where}.")
        elif key in keywords:
            _check_value(where, value, keywords[key])
        else:
            problem = f"is no section or keyword of CP2K there (as of {_version()})"
            raise StructureError(where, key, problem, nearest(str(key), (*sections, *keywords)))


def _check_name(where: str, key: Any, value: Any) -> None:
    """Refuse what the program writes itself, and what reads or writes files."""
    if key in RECIPE:
        problem = "says how the SCF converges, and not what it converges to; the preset has its recipes"
        raise StructureError(where, value, problem, "Leave it out.")
    _check_files(where, key, value)


def _check_files(where: str, key: Any, value: Any) -> None:
    if key == "PRINT" or ("FILE" in str(key) and key not in DATA_FILES):
        raise StructureError(where, value, "reads or writes files of CP2K's own choice", "Leave it out.")
    if key in DATA_FILES and not (isinstance(value, str) and _FILE.fullmatch(value) and ".." not in value):
        raise StructureError(where, value, "is no file of CP2K's data", "Give its bare name, such as dftd3.dat.")


def _check_value(where: str, value: Any, keyword: ElementTree.Element | None) -> None:
    """Refuse a value that CP2K would refuse, or that is more than a value."""
    values = value if isinstance(value, list) else [value]
    for one in values:
        _check_plain(where, one)
    if keyword is None:
        raise StructureError(where, value, "stands for a section's parameter, and this section has none", "Remove it.")
    data = keyword.find("DATA_TYPE")
    if data is None:
        return
    known = [item.text or "" for item in data.iterfind("ENUMERATION[@strict='yes']/ITEM/NAME")]
    if known and not isinstance(value, list) and str(value).upper() not in known and not isinstance(value, bool):
        raise StructureError(where, value, f"is none of {', '.join(known)}", nearest(str(value), known))
    if data.findtext("N_VAR") == "1" and (wanted := _wanted(data.get("kind"), value)):
        raise StructureError(where, value, f"is not {wanted}", f"Give {wanted}.")


def _check_plain(where: str, value: Any) -> None:
    if not _is_plain(value):
        raise StructureError(where, value, "is no number, switch or short word",
                             "Give what stands behind the keyword in CP2K's manual.")  # fmt: skip


def _is_plain(value: Any) -> bool:
    if isinstance(value, bool | int):
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str) and _WORDS.fullmatch(value) is not None


def _wanted(kind: str | None, value: Any) -> str | None:
    """Return what a keyword of a kind takes, where the value is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "logical":
        good = isinstance(value, bool) or str(value).upper() in _SWITCHES
        return None if good else "true or false"
    if kind == "integer":
        good = (is_number and value == int(value)) or (isinstance(value, str) and value.lstrip("+-").isdigit())
        return None if good else "a whole number"
    if kind == "real":
        return None if is_number or (isinstance(value, str) and _NUMBER.fullmatch(value)) else "a number"
    return None


# -- what CP2K knows -----------------------------------------------------------------------------------------


@functools.cache
def _inputs() -> ElementTree.Element:
    """Return CP2K's own description of its input, which cp2k-input-tools carries."""
    from cp2k_input_tools import DEFAULT_CP2K_INPUT_XML

    return ElementTree.parse(DEFAULT_CP2K_INPUT_XML).getroot()


def _version() -> str:
    return _inputs().findtext("CP2K_VERSION", "an unknown version")


def _force_eval() -> ElementTree.Element:
    return _named(_inputs(), "SECTION")["FORCE_EVAL"]


def _named(section: ElementTree.Element, kind: str) -> dict[str, ElementTree.Element]:
    """Return what a section holds, by its first name alone: by aliases, one level would have several keys."""
    return {child.findtext("NAME", ""): child for child in section.iterfind(kind)}
