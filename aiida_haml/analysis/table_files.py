"""Tidy tables as files: CSV, which everything reads, or Parquet, which keeps types and is small."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from aiida_haml.analysis.tables import Table

Parts = Sequence[tuple[str, Table]]


def write_tables(folder: Path, candidates: Iterable[tuple[str, Mapping[str, Table]]], form: str = "csv") -> list[Path]:
    """Write the tables of candidates, all candidates of one kind of table in one file.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    candidates : iterable of (key, tables)
        The key is the first column.
    form : str
        One of `FORMS`.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError
        If the form needs a package that is not installed.
    """
    check_form(form)
    folder.mkdir(parents=True, exist_ok=True)
    everything: dict[str, list[tuple[str, Table]]] = {}
    for key, own in candidates:
        for name, table in own.items():
            everything.setdefault(name, []).append((key, table))
    paths = []
    for name, parts in sorted(everything.items()):
        paths.append(folder / f"{name}.{form}")
        FORMS[form](paths[-1], parts)
    return paths


def check_form(form: str) -> None:
    """Refuse a form whose package is not installed.

    Raises
    ------
    ValueError
    """
    if form == "parquet" and find_spec("pyarrow") is None:
        raise ValueError(
            "Parquet needs pyarrow, which is not installed; pip install 'aiida-haml[tables]', or take CSV."
        )


def _columns(parts: Parts) -> list[str]:
    """Return the columns of tables under each other; one that a table lacks stays empty there."""
    return ["candidate", *dict.fromkeys(column for _, table in parts for column in table.columns)]


def _records(parts: Parts) -> Iterator[dict[str, Any]]:
    for key, table in parts:
        for row in table.rows:
            yield {"candidate": key} | dict(zip(table.columns, map(_plain, row), strict=True))


def _plain(value: Any) -> Any:
    """Return a value of Python's own, nothing for what is not known."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _write_csv(path: Path, parts: Parts) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _columns(parts), lineterminator="\n")
        writer.writeheader()
        for record in _records(parts):
            writer.writerow({name: f"{v:.8g}" if isinstance(v, float) else v for name, v in record.items()})


def _write_parquet(path: Path, parts: Parts) -> None:
    import pyarrow
    from pyarrow import parquet

    records = list(_records(parts))
    columns = {name: pyarrow.array([record.get(name) for record in records]) for name in _columns(parts)}
    parquet.write_table(pyarrow.table(columns), path)


#: Forms of files, which are their endings.
FORMS: dict[str, Callable[[Path, Parts], None]] = {"csv": _write_csv, "parquet": _write_parquet}
