"""Trees from results to AIMD steps: what is new in each generation, at any depth."""

import pytest
from aiida import orm

from aiida_haml.queries import trace
from aiida_haml.queries.tree import Branch
from tests.graphs import N_STEPS, frames


def test_the_trace_of_the_ranking_ends_at_aimd_steps(graph):
    text = trace(graph["ranking"])
    for label in ("first", "second"):
        job = graph[label].creator
        assert f"steps 0 to {N_STEPS} of CP2K calculation <{job.pk}> {job.uuid}" in text
    assert f"c000__burst_0000: burst <{graph['first'].pk}> of 5 frames, 0 to 2 fs: train 0-3; valid 4" in text
    assert trace(graph["screen"]) == text


def test_the_trace_of_a_frame_names_its_step(graph):
    text = trace(graph["second"], frame=-1)
    assert f"step {N_STEPS} of CP2K calculation <{graph['second'].creator.pk}>" in text
    assert text.startswith(f"frame {N_STEPS} at 8 fs")
    with pytest.raises(ValueError, match="frames 0 to 4"):
        trace(graph["second"], frame=5)
    with pytest.raises(ValueError, match="holds no frames"):
        trace(graph["ranking"], frame=0)


def test_the_trace_of_a_stretch_frame_leads_to_its_potential(graph):
    text = trace(graph["stretch"], frame=3)
    assert text.startswith("frame 3 at 3.5 fs of stretch")
    assert f"potential: potential <{graph['potential'].pk}>" in text


def test_each_calculation_is_expanded_once(graph):
    text = trace(graph["ranking"])
    for job in ("potential", "refined", "stretch", "last"):
        assert text.count(f"made by {graph[job].creator.process_label}<{graph[job].creator.pk}>") == 1


def test_of_each_generation_only_what_is_new_is_drawn(graph):
    text = trace(graph["refined"])
    first, second = (text.index(f"c000__burst_{n:04d}:") for n in range(2))
    champion = text.index("champion: potential")
    assert second < champion < first, "labels that the champion knew stand with the champion"
    assert text.count("c000__burst_0000:") == 1
    assert "with 10 labels in sight" in text[:champion]


def test_what_no_aimd_calculation_made_is_said(builder):
    imported = frames("burst", seed=60).store()
    text = trace(builder.train(builder.gather({"a__imported": imported})))
    assert "NOT TRACED to an AIMD calculation" in text
    assert "(given by a person)" in trace(imported)
    assert "(no creator)" in trace(frames("structure", n=1, seed=3).store())


def test_a_process_without_results_says_so(builder):
    running = builder.process(orm.WorkChainNode, "haml.screen", {}, state="running")
    with pytest.raises(ValueError, match="has no results yet"):
        trace(running)


def test_trees_have_any_depth():
    root = branch = Branch("0")
    for depth in range(1, 5000):
        branch.children.append(Branch(str(depth)))
        branch = branch.children[0]
    lines = root.draw().splitlines()
    assert lines[:3] == ["0", "└─ 1", "   └─ 2"]
    assert len(lines) == 5000


def test_branches_are_drawn_with_lines_between_them():
    root = Branch("a", [Branch("b", [Branch("c")]), Branch("d")])
    assert root.draw() == "a\n├─ b\n│  └─ c\n└─ d"


def test_the_number_of_statements_does_not_grow(builder, count_statements):
    pool = potential = None
    counts = []
    for number in range(5):
        label = builder.label(frames("structure", n=1, seed=number).store(), seed=70 + number)
        pool = builder.gather({f"a__burst_{number:04d}": label}, previous=pool)
        potential = builder.train(pool, champion=potential)
        counts.append(count_statements(trace, potential))
    assert len(set(counts)) == 1, counts
    assert trace(potential).count("└─ steps") == 5
