"""Files that commands write: names made of labels, and refusals in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from aiida_haml.cli.messages import Refusal

LONGEST_NAME = 100


def file_name(label: str) -> str:
    """Return a label as a file's name, which leads nowhere else: letters, digits and ``. - + _``."""
    name = "".join(c if (c.isascii() and c.isalnum()) or c in ".-+" else "_" for c in label)[:LONGEST_NAME]
    return name.lstrip(".-") or "_"


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Say in one line why a file cannot be written.

    Raises
    ------
    Refusal
    """
    if not path.parent.is_dir():
        raise Refusal(f"{path} cannot be written: there is no folder {path.parent}.")
    try:
        yield path
    except OSError as error:
        raise Refusal(f"{path} cannot be written: {error.strerror or error}.") from error


def making(folder: Path) -> Path:
    """Make a folder, and say in one line why it cannot be made.

    Raises
    ------
    Refusal
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal(f"{folder} cannot be made: {error.strerror or error}.") from error
    return folder


def _usable(_: click.Context, __: click.Parameter, form: str) -> str:
    from aiida_haml.analysis.table_files import check_form

    try:
        check_form(form)
    except ValueError as error:
        raise Refusal(str(error)) from error
    return form


def table_form(command: Any) -> Any:
    """Give a command the option of the form of its tables, refused ahead of any work where it cannot be written."""
    forms = click.Choice(["csv", "parquet"])
    return click.option("--format", "form", type=forms, default="csv", show_default=True, callback=_usable,
                        help="Form of the tables; Parquet needs aiida-haml[tables].")(command)  # fmt: skip
