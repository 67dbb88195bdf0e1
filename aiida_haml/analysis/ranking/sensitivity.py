"""How much of an order is the weights' doing, and who cannot be told apart from whom."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import networkx as nx
import numpy as np

from aiida_haml.analysis.quantity import json_number
from aiida_haml.arrays import FloatArray


def weight_sensitivity(
    labels: Sequence[str], good: FloatArray, weights: Mapping[str, float], count: int, confidence: float,
    rng: np.random.Generator,
) -> dict[str, Any]:  # fmt: skip
    """Try the order with other weights.

    Parameters
    ----------
    labels : sequence of str
        Best first; at least one.
    good : (L, M) array
        How good each label is by each metric; those without weight may be NaN.
    weights : mapping
        Metric -> declared weight, in the order of the columns; they sum to one.
    count : int
        Random sets of weights, drawn from a Dirichlet distribution that has the declared weights as its mean
        and, where they are equal, is flat.
    confidence : float
        Share of the random sets in which the best label must stay the best for a robust ranking.
    rng : numpy.random.Generator

    Returns
    -------
    dict
        ``halved`` and ``doubled``: metric -> labels, best first; ``rank_probability``: label -> probability of
        each rank over the random sets; ``robust``: whether the best stays the best there and when any one weight
        is halved or doubled; ``draws``.
    """
    counted = [i for i, weight in enumerate(weights.values()) if weight > 0]
    declared = np.array(list(weights.values()))[counted]
    parts = good[:, counted]

    def order(w: FloatArray) -> list[str]:
        scores = parts @ (w / w.sum())
        return [labels[i] for i in sorted(range(len(labels)), key=lambda i: (-scores[i], labels[i]))]

    changed: dict[str, dict[str, list[str]]] = {"halved": {}, "doubled": {}}
    names = [list(weights)[i] for i in counted]
    for how, factor in (("halved", 0.5), ("doubled", 2.0)):
        for i, name in enumerate(names):
            changed[how][name] = order(declared * np.where(np.arange(len(names)) == i, factor, 1.0))
    drawn = rng.dirichlet(declared * len(declared), count)
    places = np.argsort(np.argsort(-(drawn @ parts.T), axis=1, kind="stable"), axis=1, kind="stable")
    table = np.stack([(places == rank).mean(axis=0) for rank in range(len(labels))], axis=1)
    orders = [*changed["halved"].values(), *changed["doubled"].values()]
    stays = all(o[0] == labels[0] for o in orders)
    return {
        **changed,
        "draws": count,
        "rank_probability": {
            label: [json_number(float(p)) for p in row] for label, row in zip(labels, table, strict=True)
        },
        "robust": bool(stays and table[0, 0] >= confidence),
    }


def tied_groups(labels: Sequence[str], tied: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the largest groups of labels that cannot be told apart pair by pair.

    Being tied is not transitive: A may be tied with B and B with C where A and C differ. One group of all three
    would deny what is known of A and C, so a label may be in several groups, as in the letter displays of
    statistics: two labels share a group if and only if they are tied (H.-P. Piepho, J. Comput. Graph. Stat. 13, 456
    (2004)). They are the maximal cliques of the ties.

    Parameters
    ----------
    labels : sequence of str
        In the order in which the groups list them.
    tied : mapping
        Label -> labels tied with it.
    """
    graph = nx.Graph()
    graph.add_nodes_from(labels)
    graph.add_edges_from(pair for pair in combinations(labels, 2) if pair[1] in tied[pair[0]])
    place = {label: i for i, label in enumerate(labels)}
    groups = [sorted(group, key=place.__getitem__) for group in nx.find_cliques(graph)]
    return sorted(groups, key=lambda group: [place[label] for label in group])
