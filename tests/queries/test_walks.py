"""Walks over the graph: linear where paths are exponential, and one statement however many starts."""

from types import SimpleNamespace

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.tools.graph.graph_traversers import traverse_graph

from aiida_haml.queries import ancestors, called_descendants, walks
from aiida_haml.queries.anatomy import Calls
from aiida_haml.queries.candidates import find_candidates
from aiida_haml.queries.screens import find_screens
from aiida_haml.queries.walks import callers, chain, links_into, links_out_of

DATA = (LinkType.CREATE, LinkType.INPUT_CALC)


def test_ancestors_are_those_of_the_slow_traversal(graph):
    for node in graph.values():
        slow = traverse_graph([node.pk], links_backward=DATA)["nodes"] - {node.pk}
        assert ancestors(node.pk) == slow


def test_ancestors_of_several_nodes_are_the_union(graph):
    first, last = graph["first"].pk, graph["last"].pk
    assert first in ancestors([first, last])  # one of them made the other
    assert last not in ancestors([first, last])
    assert ancestors([first, last]) == ancestors(first) | ancestors(last)
    assert ancestors([]) == set()


def test_called_descendants_are_all_processes_below(graph):
    below = {n.pk for n in graph["screen"].called_descendants}
    assert called_descendants(graph["screen"]) == called_descendants(graph["screen"].pk) == below
    assert callers(graph["first"].creator.pk) == {graph["hybrid"].pk, graph["screen"].pk}


def test_a_chain_leads_through_one_input_alone(graph):
    """From the pool to the one before, and not to the labels that were gathered in either."""
    assert chain(graph["grown"].pk, "previous") == {
        graph["grown"].creator.pk,
        graph["pool"].pk,
        graph["pool"].creator.pk,
    }
    steps = {graph["refined"].creator.pk, graph["potential"].pk, graph["potential"].creator.pk}
    assert chain([graph["refined"].pk], "champion") == steps


def test_links_can_be_narrowed_to_types_and_labels(graph):
    hybrid = graph["hybrid"].pk
    returned = links_out_of([hybrid], ["return"])
    assert {link.label for link in returned} == {e.link_label for e in graph["hybrid"].base.links.get_outgoing(
        link_type=LinkType.RETURN).all()}  # fmt: skip
    (pool,) = links_out_of([hybrid], ["return"], ["pool"])
    assert pool == (hybrid, graph["grown"].pk, "return", "pool")
    assert {link.type for link in links_into([hybrid])} == {"input_work", "call_work"}


def test_walks_stay_linear_where_paths_are_exponential(builder, count_statements):
    """Ten generations, each of six nodes made from all six before: 6^10 paths over some seventy nodes."""
    layer = {f"in_{i}": orm.Int(i).store() for i in range(6)}
    for _ in range(10):
        calculation = builder.process(orm.CalcFunctionNode, "haml.mix", layer)
        layer = {f"in_{i}": orm.Int(i) for i in range(6)}
        builder.create(calculation, **layer)
    assert len(ancestors(layer["in_0"].pk)) == 6 + 9 * 7 + 1
    starts = [node.pk for node in layer.values()]
    assert count_statements(ancestors, [*starts, *range(10**7, 10**7 + 5000)]) == 1


# -- links by the beginning of their labels --------------------------------------------------------------------


def test_links_can_be_narrowed_to_the_beginning_of_their_labels(builder):
    """Letter by letter: neither does an underscore stand for any, nor a small letter for a large one."""
    labels = ("candidates__a", "candidates__b_c", "candidatesxxa", "Candidates__a", "segments__candidates__a")
    screen = builder.process(orm.WorkChainNode, "haml.screen", {label: orm.Dict({}) for label in labels})
    found = links_into([screen.pk], ["input_work"], prefix="candidates__")
    assert {link.label for link in found} == {"candidates__a", "candidates__b_c"}
    assert links_into([screen.pk], ["input_work"], prefix="candidates__z") == []
    assert len(links_into([screen.pk], ["input_work"])) == len(labels)


@pytest.mark.parametrize("ask", [find_screens, find_candidates, "calls"])
def test_the_rows_that_are_read_do_not_grow_with_other_inputs(builder, monkeypatch, ask):
    """A screen that goes on from a long one has a link to each of its segments."""
    spec = orm.Dict({"label": "pristine", "temperature_K": 300.0, "seed": 1, "structure": {}})
    counted = SimpleNamespace(rows=0)
    read = walks.read

    def count(statement):
        found = read(statement)
        counted.rows += len(found)
        return found

    monkeypatch.setattr(walks, "read", count)

    def rows(n_segments):
        segments = {f"segments__a__segment_{k:04d}": orm.Dict({}) for k in range(n_segments)}
        screen = builder.process(orm.WorkChainNode, "haml.screen", {"candidates__a": spec, **segments})
        counted.rows = 0
        found = Calls([screen.pk]).slugs if ask == "calls" else ask()
        assert len(found) >= 1
        return counted.rows

    first, second, third = rows(0), rows(0), rows(30)
    assert third - second == second - first, "one more screen costs what one more screen costs"
