"""Cells that cannot be built: said in words, whatever went wrong."""

import pytest
from aiida import orm

from aiida_haml.calculations import building
from aiida_haml.structures.errors import StructureError


@pytest.mark.parametrize(("error", "told"), [(StructureError("layers", 0, "is too thin", "Take 3"), "layers"),
                                             (RuntimeError("no symmetry"), "RuntimeError: no symmetry")])  # fmt: skip
def test_a_cell_that_cannot_be_built_is_an_exit_code_and_no_cache(aiida_profile, monkeypatch, error, told):
    """An exception would end the WorkChain that builds the cells of all candidates."""

    def fail(_):
        raise error

    monkeypatch.setattr(building, "build", fail)
    built, node = building.build_candidate.run_get_node(orm.Dict({"planted": str(error)}))
    assert not built
    assert node.exit_status == 400
    assert node.exit_message.startswith(f"The cell cannot be built: {told}")
    assert not node.base.caching.is_valid_cache
