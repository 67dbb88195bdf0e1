"""What a screen looks for before it computes it: found without reading what the database holds besides."""

import pytest
import sqlalchemy as sa
from aiida import orm
from aiida.manage import get_manager

from aiida_haml.calculations.lattices import lattice_constant
from aiida_haml.data.frames import FramesData
from aiida_haml.queries.labels import isolated_atom, level_of_code
from aiida_haml.queries.lattices import known_constant
from tests.graphs import frames

PBE, LDA = "pbe-0123456789ab", "lda-0123456789ab"
COMPONENT = {"host": {"name": "Li6PS5Cl"}}


@pytest.fixture
def plan_of():
    """Return a function that says how SQLite went about each statement of a call, in its words."""
    session = get_manager().get_profile_storage().get_session()

    def plan(call, *args):
        seen = []

        def note(*event):
            if event[2].startswith(("SELECT", "WITH")):
                seen.append(event[2:4])

        sa.event.listen(session.get_bind(), "before_cursor_execute", note)
        try:
            call(*args)
        finally:
            sa.event.remove(session.get_bind(), "before_cursor_execute", note)
        connection = session.connection()
        return [
            row[3] for text, given in seen for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given)
        ]

    return plan


def reads_a_whole_table(line):
    return line.startswith("SCAN") and "VIRTUAL TABLE" not in line


def labelled(builder, code, level, name="frames"):
    node = frames("burst")
    node.base.attributes.set("level_of_theory", level)
    return builder.create(builder.process(orm.CalcJobNode, "haml.teacher", {"code": code}), **{name: node})


def test_the_newest_job_of_a_code_says_its_version(builder, engine_code, plan_of):
    other = orm.InstalledCode(engine_code.computer, "/bin/true", label="other").store()
    labelled(builder, engine_code, f"{PBE}@cp2k-2023.1")
    labelled(builder, engine_code, f"{PBE}@cp2k-2025.1")
    labelled(builder, engine_code, f"{LDA}@cp2k-2025.2")
    labelled(builder, engine_code, f"{PBE}@cp2k-2027.1", name="untrusted")
    labelled(builder, other, f"{PBE}@cp2k-2026.1")
    assert level_of_code(engine_code, PBE) == f"{PBE}@cp2k-2025.1"
    assert level_of_code(engine_code, LDA) == f"{LDA}@cp2k-2025.2"
    assert level_of_code(engine_code, "pbe") is None
    # From the newest link on, and no further than the first that fits: nothing is scanned, and nothing sorted.
    plan = plan_of(level_of_code, engine_code, PBE)
    assert len(plan) >= 3
    assert all(line.startswith("SEARCH") for line in plan), plan


def test_a_constant_is_found_by_its_component_its_level_and_its_pressure(builder, plan_of):
    name = lattice_constant.process_class.build_process_type()

    def constant(pressure, level="key", component=COMPONENT, process_type=name):
        made = builder.process(orm.CalcFunctionNode, "", {})
        made.process_type = process_type
        told = {"component": component, "level_of_theory": level, "pressure_GPa": pressure}
        return builder.create(made, result=orm.Dict(told))

    constant(0.0, process_type="somebody.elses.function")
    constant(0.0, level="other")
    constant(0.0, component={"metal": "Li"})
    constant(-0.3)
    foreign = constant(0.05)
    foreign.base.extras.delete("_aiida_hash")
    wanted = constant(-0.05)
    constant(0.0)
    assert known_constant("key", COMPONENT, 0.1).pk == wanted.pk, "the first one, so that caching holds"
    assert known_constant("key", COMPONENT, 0.01).pk > wanted.pk
    assert known_constant("key", {"host": {"name": "Li3PS4"}}, 0.1) is None
    plan = plan_of(known_constant, "key", {"host": {}}, 0.1)
    assert plan
    assert not any(map(reads_a_whole_table, plan)), plan


def test_an_atom_is_found_by_an_index(builder, plan_of):
    atom = FramesData(frames("isolated_atom", n=1).frames, kind="isolated_atom", level_of_theory="atoms-key")
    job = builder.process(orm.CalcJobNode, "haml.cp2k", {})
    builder.create(job, frames=atom)
    assert isolated_atom("atoms-key", "Li").pk == atom.pk
    plan = plan_of(isolated_atom, "atoms-key", "He")
    assert any("(label=?)" in line for line in plan), plan
    assert not any(map(reads_a_whole_table, plan)), plan
