"""Twelve planted stories of interfaces: verdicts, order, ties and intervals against what was planted.

python -m tests.benchmarks.known_answers
    Prints one JSON object on the last line: how often the verdict is right, how many of the pairs that are told apart
    are told apart the wrong way round, how often two labels of one story are, what share of the intervals holds the
    mean over many seeds, metric by metric, and where total decomposition stands. Exit status 1 if an aim is missed.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from aiida_haml.analysis.quantity import over_replicates
from aiida_haml.analysis.ranking.metrics import METRICS, declared_metrics
from aiida_haml.analysis.ranking.order import rank
from aiida_haml.analysis.ranking.replicates import Compared, Replicate, measured
from aiida_haml.analysis.ranking.verdicts import ORDERED, PASSIVATES
from aiida_haml.analysis.settings import RankingSettings
from tests.stories import LENGTH, PROTECTIVE, STORIES, replicate

SETTINGS = RankingSettings(min_simulated_fs=1000.0, n_weight_draws=20)
COMPARED = Compared(1000 * LENGTH, PROTECTIVE, math.nan)
#: Seeds of a label, and those whose mean is taken to be the truth.
SEEDS, MANY = 3, 150
TOTAL = "total decomposition"


def label(name: str, first: int, count: int = SEEDS, called: str | None = None) -> list[Replicate]:
    """Return the replicates of one label: a story with seeds that follow on each other."""
    return [replicate(name, STORIES[name], seed, label=called) for seed in range(first, first + count)]


def rows_of(replicates: Sequence[Replicate]) -> list[dict[str, Any]]:
    """Return the ranked rows."""
    return list(rank(replicates, SETTINGS, PROTECTIVE)["candidates"])


def score(values: dict[str, float]) -> float:
    """Return the score of one replicate's metrics."""
    metrics = declared_metrics({})
    return float(sum(m.weight * float(m.good(np.array(values[n]))) for n, m in metrics.items() if m.weight))


def truths() -> tuple[dict[str, list[dict[str, float]]], dict[str, float]]:
    """Return the metrics of many replicates of each story, and the mean score of those that have one."""
    metrics = {n: [measured(r, COMPARED, SETTINGS) for r in label(n, 10_000, MANY)] for n in STORIES}
    ordered = [n for n, s in STORIES.items() if s.verdict in ORDERED]
    return metrics, {n: float(np.mean([score(v) for v in metrics[n]])) for n in ordered}


def verdicts_and_order(draws: int, scores: dict[str, float]) -> dict[str, Any]:
    """Rank all stories together, with other seeds in each draw."""
    right = apart = wrong = 0
    missed: list[str] = []
    above = []
    for draw in range(draws):
        rows = {row["label"]: row for row in rows_of([r for n in STORIES for r in label(n, SEEDS * draw)])}
        for name, story in STORIES.items():
            right += rows[name]["verdict"] == story.verdict
            if rows[name]["verdict"] != story.verdict:
                missed.append(f"{name}: {rows[name]['verdict']}")
        ranked = [n for n in scores if rows[n]["rank"] is not None]
        for a, b in combinations(ranked, 2):
            if b not in rows[a]["tied_with"]:
                apart += 1
                wrong += (rows[a]["rank"] < rows[b]["rank"]) != (scores[a] > scores[b])
        stopped = [rows[n]["rank"] for n in ranked if STORIES[n].verdict == PASSIVATES]
        above.append(rows[TOTAL]["rank"] is None or max(stopped) < rows[TOTAL]["rank"])
    pairs = draws * len(list(combinations(scores, 2)))
    return {
        "verdicts_right": right / (draws * len(STORIES)),
        "verdicts_missed": missed,
        "told_apart": apart / pairs,
        "wrong_way_round": wrong / max(apart, 1),
        "passivating_above_total_decomposition": sum(above) / draws,
    }


def false_orders(draws: int) -> dict[str, float]:
    """Return how often two labels of one story are told apart: with three seeds, and with one."""
    names = [n for n, s in STORIES.items() if s.verdict in ORDERED]
    found = {}
    for what, count in (("false_orders", SEEDS), ("one_seed_told_apart", 1)):
        told = total = 0
        for draw in range(draws):
            name = names[draw % len(names)]
            own = label(name, 500 + 10 * draw, count, "a") + label(name, 505 + 10 * draw, count, "b")
            rows = [row for row in rows_of(own) if row["rank"] is not None]
            total += len(rows) == 2
            told += len(rows) == 2 and not rows[0]["tied_with"]
        found[what] = told / max(total, 1)
    return found


def coverage(metrics: dict[str, list[dict[str, float]]]) -> Iterator[tuple[str, float]]:
    """Yield what share of the intervals of three seeds holds the mean of many, metric by metric."""
    for name in METRICS:
        inside = total = 0
        for story in STORIES:
            values = np.array([m[name] for m in metrics[story]])
            if not np.isfinite(values).all() or np.ptp(values) < 1e-9:
                continue
            for k in range(0, MANY - SEEDS + 1, SEEDS):
                interval = over_replicates(values[k : k + SEEDS], SETTINGS.confidence)
                inside += interval.low <= values.mean() <= interval.high
                total += 1
        if total:
            yield name, inside / total


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=4, help="of all stories together")
    draws = parser.parse_args().draws
    metrics, scores = truths()
    found = verdicts_and_order(draws, scores) | false_orders(10 * draws)
    covered = dict(coverage(metrics))
    aims = {
        "verdicts_right": found["verdicts_right"] == 1,
        "wrong_way_round": found["wrong_way_round"] < 0.05,
        "false_orders": found["false_orders"] <= 0.05,
        "one_seed_tells_nobody_apart": found["one_seed_told_apart"] == 0,
        "passivating_above_total_decomposition": found["passivating_above_total_decomposition"] == 1,
        "coverage": all(0.90 <= share <= 0.97 for share in covered.values()),
    }
    rounded = {name: round(value, 3) for name, value in covered.items()}
    true_scores = {name: round(value, 3) for name, value in sorted(scores.items(), key=lambda item: -item[1])}
    print(json.dumps({**found, "coverage": rounded, "scores": true_scores, "aims": aims, "met": all(aims.values())}))
    return 0 if all(aims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
