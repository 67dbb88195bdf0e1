"""Tidy tables: one row for one thing, in files that any program reads, with the numbers of the description."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner

from aiida_haml.analysis.balance.areal import balance
from aiida_haml.analysis.balance.states import ION
from aiida_haml.analysis.description import describe_batch
from aiida_haml.analysis.environments.basis import make_basis
from aiida_haml.analysis.joining import join_descriptions
from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.analysis.table_files import write_tables
from aiida_haml.analysis.tables import PROFILE_WINDOWS, tables
from aiida_haml.cli import haml
from aiida_haml.engines.description import series_arrays
from tests.planted import interface, story
from tests.report.fakes import full_series

SERIES = full_series(0.5)


def read(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_face_of_each_frame_is_a_row(tmp_path):
    write_tables(tmp_path, [("a", tables(SERIES)), ("b", tables(full_series(0.2)))])
    rows = read(tmp_path / "faces.csv")
    known = balance(SERIES)
    own = [row for row in rows if row["candidate"] == "a"]
    assert len(rows) == 2 * len(own) == 4 * len(known.time)
    for face, consumed in zip(known.faces, known.consumed.T, strict=True):
        written = [float(row["consumed_A"]) for row in own if row["face"] == face]
        assert written == pytest.approx(consumed, abs=1e-6)
    for k, name in enumerate(("host", "thiophosphate", "intermediate", "product")):
        written = [float(row[f"P_{name}_nmol_cm2"]) for row in own if row["face"] == "upper"]
        assert written == pytest.approx(known.phosphorus[:, 1, k], abs=1e-6)


def test_phases_add_up_to_what_has_reacted():
    known, found = balance(SERIES), tables(SERIES)["phases"]
    total = sum(row[-1] for row in found.rows if row[0] == known.time[-1])
    assert total == pytest.approx(known.phases[-1].sum())


def test_profiles_are_densities_of_slabs():
    found = tables(SERIES)["profiles"]
    slabs = SERIES["profile"].shape[1]
    assert len(found.rows) == PROFILE_WINDOWS * slabs
    first = np.array([row[3:9] for row in found.rows[:slabs]], dtype=float)
    count = -(-len(SERIES["time"]) // PROFILE_WINDOWS)
    assert first * 100 == pytest.approx(SERIES["profile"][:count].mean(axis=0), abs=0.1)


def test_an_elements_density_is_that_of_its_crystal():
    """Slabs begin in the middle of the metal: ten planes of bcc Li, 1.755 Angstrom apart. Li6PS5Cl has 5 S to 1 P."""
    built = interface()
    basis = make_basis(DescriptionSettings(elements=("Cl", "Li", "P", "S"), n_components=16, every_fs=0.0))
    description = describe_batch({"segment_0000": story(built, [(0, 0)] * 6)}, basis)
    table = tables(join_descriptions([series_arrays(description, basis)]))["profiles"]
    found = {name: np.array(column) for name, column in zip(table.columns, zip(*table.rows, strict=True), strict=True)}
    first = found["from_fs"] == 0
    metal = first & (found["height_A"] < 7)
    assert found["Li_per_A3"][metal].mean() == pytest.approx(2 / 3.51**3, rel=0.1)
    assert found["metal_per_A3"][metal] == pytest.approx(found["Li_per_A3"][metal])
    sulfur, phosphorus, chlorine = (found[f"{name}_per_A3"][first] for name in ("S", "P", "Cl"))
    middle = abs(found["height_A"][first] - found["height_A"][first].mean()) < 9.859 / 2
    assert sulfur[middle].mean() == pytest.approx(20 / 9.859**3, rel=0.15)
    assert sulfur.sum() == pytest.approx(5 * phosphorus.sum())
    assert sulfur + phosphorus + chlorine == pytest.approx(found["host_per_A3"][first])
    charge, ions = found["charge_e_A3"][first], found["ion_per_A3"][first]
    assert charge == pytest.approx(ions + 5 * phosphorus - 2 * sulfur - chlorine)
    assert charge[found["height_A"][first] < 7] == pytest.approx(0)
    assert abs(charge.sum()) < 0.1 * ions.sum()  # lithium of the metal at a face counts as ions where it touches anions


def test_reduced_phosphorus_is_seen_in_the_charge_along_the_normal():
    """Half of the electrolyte became an antifluorite: P of -3 there where it was +5, and metal that became ions."""
    built = interface()
    basis = make_basis(DescriptionSettings(elements=("Cl", "Li", "P", "S"), n_components=16, every_fs=0.0))
    frames = story(built, [(0, 0)] * 6 + [(2, 2)] * 6)
    series = join_descriptions([series_arrays(describe_batch({"segment_0000": frames}, basis), basis)])
    profile, elements = np.asarray(series["profile"]), np.asarray(series["profile_elements"])
    columns = [*sorted(set(basis.settings.elements) - {"Li"}), "Li"]
    others = elements[..., columns.index("Cl")] + 2 * elements[..., columns.index("S")]
    of_phosphorus = (series["profile_charge"] - profile[..., ION] + others).sum(axis=1)
    n = elements[0, :, columns.index("P")].sum()
    assert of_phosphorus[0] == 5 * n
    assert of_phosphorus[-1] < 5 * n - 4 * 8 * 0.9
    largest = series["phosphide_largest"]
    assert not largest[0].any()
    assert (largest[-1] >= 1).all()


def test_what_is_not_known_is_left_empty(tmp_path):
    nothing = SERIES | {"phosphide_connected": np.full((len(SERIES["time"]), 2), np.nan)}
    write_tables(tmp_path, [("a", tables(nothing))])
    assert {row["phosphide_connected"] for row in read(tmp_path / "faces.csv")} == {""}


def test_lasting_events_are_listed(tmp_path):
    write_tables(tmp_path, [("a", tables(SERIES))])
    rows = read(tmp_path / "events.csv")
    assert [row["pair"] for row in rows] == SERIES["events_pair"].tolist()
    assert {row["formed"] for row in rows} == {"True", "False"}


def test_parquet_holds_what_csv_holds_with_its_types(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `tables` is not installed")
    nothing = SERIES | {"phosphide_connected": np.full((len(SERIES["time"]), 2), np.nan)}
    for form in ("csv", "parquet"):
        write_tables(tmp_path, [("a", tables(nothing))], form)
    written = parquet.read_table(tmp_path / "faces.parquet").to_pydict()
    expected = read(tmp_path / "faces.csv")
    assert list(written) == list(expected[0])
    assert written["consumed_A"] == pytest.approx([float(row["consumed_A"]) for row in expected], rel=1e-7)
    assert written["phosphide_connected"] == [None] * len(expected)
    assert set(parquet.read_table(tmp_path / "events.parquet").to_pydict()["formed"]) == {True, False}


def test_without_the_package_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("aiida_haml.analysis.table_files.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"aiida-haml\[tables\]"):
        write_tables(tmp_path, [("a", tables(SERIES))], "parquet")
    result = CliRunner().invoke(haml, ["screen", "tables", "any", "-o", str(tmp_path), "--format", "parquet"])
    assert result.exit_code == 1
    assert "aiida-haml[tables]" in result.output
