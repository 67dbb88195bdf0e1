"""A screen that never ran, with every kind of data that a report can show."""

import numpy as np

from aiida_haml.report import (
    Audit,
    Candidate,
    Cost,
    Cycle,
    Level,
    Reference,
    ReportData,
    Segment,
    Work,
)

EVIL = "<script>alert('x')</script> & $x$ \"'"
PHASES = np.array(["Li", "Li2S", "Li3P", "LiCl", "Li6PS5Cl"])
ROLES = np.array(["metal", "product", "product", "product", "electrolyte"])
SYMBOLS = {3: 0.45, 15: 0.1, 16: 0.35, 17: 0.1}
TIME_FS = 2000.0
HEIGHT = 30.0


def full_series(level, seed=0, n=200, n_atoms=120, n_events=12):
    """Return series under all names that a description has; `level` says how much reacts."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, TIME_FS, n)
    reacted = (level * (1 - np.exp(-time / 500)) + 0.01 * rng.standard_normal(n)).clip(0, 1)
    parts = np.array([0.0, 0.4, 0.2, 0.1, 0.0, 0.3])
    shares = reacted[:, None] * parts
    shares[:, 4] = 1 - reacted
    broken = np.sort(rng.uniform(0, TIME_FS, n_events))
    return {
        "time": time, "phases": PHASES, "roles": ROLES, "elements": np.array(["Cl", "Li", "P", "S"]),
        "reacted_fraction": reacted, "product_score": reacted, "ps4_fraction": 1 - reacted,
        "p_chalcogen_bonds": 4 - reacted, "p_oxidation_state": 5 - 3 * reacted,
        "framework_fractions": shares / shares.sum(axis=1, keepdims=True),
        "framework_displacement": 0.4 * np.sqrt(time / TIME_FS) + 0.3 * reacted,
        "temperature": 300 + 15 * rng.standard_normal(n),
        "units_PS4": 1 - reacted, "units_PX3": 0.6 * reacted, "units_PX0": 0.4 * reacted,
        "broken_bonds": np.searchsorted(broken, time).astype(float),
        "events_time": broken, "events_pair": np.array((["P-S", "P-P", "P-Cl"] * n_events)[:n_events]),
        "events_formed": np.arange(n_events) % 4 == 3, "events_z": rng.uniform(0.4, 0.6, n_events),
        "li_msd_lag": np.linspace(0, TIME_FS / 2, 30), "li_msd": np.linspace(0, 4 + 3 * level, 30),
        "lindemann_time": np.linspace(250, 1750, 8), "lindemann": 0.05 + 0.1 * level * np.linspace(0, 1, 8),
        "electrolyte_li_diffusivity_cm2_s": np.array([np.nan, np.nan, np.nan]),
        "electrolyte_li_diffusivity_reason": np.array("too short to tell"),
        "fragments": np.array(["PS3"]), "fragment_counts": np.array([2]),
        "li_diffusivity_cm2_s": np.array([1e-5, 0.8e-5, 1.3e-5]), "li_diffusivity_reason": np.array(""),
        **profile(level), **snapshots(n_atoms, rng),
    }  # fmt: skip


def profile(level, bins=6, slabs=20):
    """Return lithium below, electrolyte above, and products that grow between them."""
    counts = np.zeros((bins, slabs, len(PHASES) + 1))
    z = (np.arange(slabs) + 0.5) / slabs
    for b in range(bins):
        width = 0.05 + 0.25 * level * b / bins
        layer = np.abs(z - 0.5) < width
        counts[b, layer, 1], counts[b, layer, 2], counts[b, layer, 5] = 0.5, 0.2, 0.3
        counts[b, ~layer & (z < 0.5), 0] = 1
        counts[b, ~layer & (z > 0.5), 4] = 1
    counts[:, -1] = 0  # a slab without atoms
    return {
        "profile": counts / counts.sum(axis=(1, 2), keepdims=True),
        "profile_times": np.linspace(0, TIME_FS, bins + 1),
    }


def snapshots(n_atoms, rng):
    cell = np.array([[10.0, 0, 0], [1.0, 10.0, 0], [0, 0, HEIGHT]])
    start = rng.uniform(0, 1, (n_atoms, 3))
    numbers = np.where(start[:, 2] < 0.5, 3, rng.choice(list(SYMBOLS), n_atoms, p=list(SYMBOLS.values())))
    end = start + 0.03 * rng.standard_normal((n_atoms, 3))
    before = np.where(start[:, 2] < 0.5, 0, 4)
    after = np.where(np.abs(start[:, 2] - 0.5) < 0.15, rng.choice([1, 2, -1], n_atoms), before)
    return {
        "snapshot_positions": np.stack([start, end]) @ cell, "snapshot_cells": np.stack([cell, cell]),
        "snapshot_phases": np.stack([before, after]), "snapshot_numbers": numbers,
        "snapshot_times": np.array([0.0, TIME_FS]),
    }  # fmt: skip


def sampled_environments(level, seed, n=600):
    rng = np.random.default_rng(seed)
    central = rng.choice([3, 15, 16], n)
    phase = np.where(rng.uniform(size=n) < level, rng.choice([1, 2, -1], n), 4)
    places = np.array([[0, 0], [2, 0], [1, 2], [0, 2], [3, 3], [-1, 1]])[phase]
    return {
        "projected": places + 0.3 * rng.standard_normal((n, 2)), "central": central, "phase": phase,
        "time": rng.uniform(0, TIME_FS, n),
    }  # fmt: skip


def full_candidate(key, label, level, seed=1, n=200, n_atoms=120):
    times = np.arange(200.0, 900.0, 20)
    return Candidate(
        key=key, label=label, uuid=f"uuid-{key}", formula="Li6PS5Cl", temperature_K=300.0, seed=seed,
        simulated_fs=TIME_FS, series=full_series(level, seed, n, n_atoms),
        environments=sampled_environments(level, seed),
        watch={"time": times, "deviation": 0.1 + 0.05 * np.sin(times / 50)},
        segments=[Segment("burst", 0, 200, "uuid-of-burst"), Segment("stretch", 200, 900), Segment("burst", 900, 1000),
                  Segment("stretch", 1000, 2000)],
        cycles=[Cycle(0, 200, None, 0.3, 700, 700), Cycle(1, 100, 0.12, 0.2, 1000, 900, "deviation")],
    )  # fmt: skip


def full_screen(labels=("pristine", "O-doped", EVIL), engine="cp2k", name="pbe-dzvp", n_atoms=120, n=200):
    candidates = [
        full_candidate(f"c{i:02d}", label, 0.2 + 0.6 * i / len(labels), i, n, n_atoms) for i, label in enumerate(labels)
    ]
    ranking = fake_ranking(candidates)
    rows = ranking["candidates"]
    gaps = np.abs(np.subtract.outer(np.arange(len(labels)), np.arange(len(labels)))) / len(labels)
    names = [row["label"] for row in rows]
    ranking |= {
        "distances": gaps.tolist(), "teacher": engine == "teacher", "differences": fake_differences(names),
        "sensitivity": fake_sensitivity(names), "groups": [names[:2], names[1:]],
        "arrhenius": [{"label": "Li6PS5Cl", "activation_energy_eV": 0.31, "interval": [0.2, 0.4],
                       "status": "determined"}],
    }  # fmt: skip
    return ReportData(
        title="Screen of dopings", ranking=ranking, level=Level(name, "abc123", engine), candidates=candidates,
        spec={"name": "demo", "dopings": [{"dopant": "O", "fraction": 0.25}]},
        cost=Cost({"label": Work(4, 0, 120.0), "train": Work(2, 1, 60.0)}, wall_s=300, overhead_s=30, spent_s=280,
                  aimd_alone_s=900, speed_up=3.21, seconds_per_step=0.5),
        audit=Audit(0, 0, 50, 400), provenance=[Reference("ranking", "1234-uuid", 17)],
        versions={"CP2K": "2023.1"},
    )  # fmt: skip


def fake_ranking(candidates):
    """Return rows in the order of the candidates; the last of three has no kinetics."""
    n = len(candidates)
    rows = [
        {
            "label": c.label, "rank": i + 1, "score": 2 - i / n, "interval": [1.9 - i / n, 2.1 - i / n],
            "metrics": {"formation": 0.3}, "metric_intervals": {"formation": [0.2, 0.4]}, "parts": {"formation": 1.0},
            "simulated_fs": TIME_FS, "tied_with": [o.label for o in candidates if o is not c], "status": "ranked",
            "members": [c.key], "kinetics": fake_kinetics(0.2 + 0.6 * i / n, determined=i % 3 != 2),
        }
        for i, c in enumerate(candidates)
    ]  # fmt: skip
    metric = {"unit": "1", "direction": "high", "weight": 1.0, "scale": 0.1, "description": "How fast it forms."}
    return {
        "candidates": rows, "metrics": {"formation": metric}, "compared_fs": TIME_FS, "warnings": ["few seeds"],
        "order_probability": (0.5 + 0.4 * np.sign(np.subtract.outer(np.arange(n), np.arange(n)).T)).tolist(),
    }  # fmt: skip


def fake_kinetics(level, determined):
    time = np.linspace(0, TIME_FS, 50)
    fitted = level * (1 - np.exp(-time / 500))
    return {
        "model": "exponential" if determined else None,
        "reason": "lowest information criterion" if determined else "two models fit alike",
        "rate_per_ps": {"value": 2.0, "interval": [1.5, 2.6]} if determined else None,
        "parameters": {"plateau": level}, "criterion": {"exponential": -10.0},
        "time_to_layer_fs": {"value": 1100.0, "interval": [900.0, 1300.0]} if determined else None,
        "thickness_A": {"value": 6.0, "interval": [5.0, 7.0]},
        "late_drift_per_ps": {"value": 0.01, "interval": [0, 0.02]},
        "curve": {"time_fs": time.tolist(), "fitted": fitted.tolist()} if determined else None,
    }  # fmt: skip


def fake_differences(labels):
    """Return what sets each label apart from the first one."""
    cluster = {"id": 4, "central": "S", "nearest_phase": "Li2S", "contribution": 0.625, "shares": [0.05, 0.25]}
    return [{"labels": [labels[0], other], "distance": 0.4, "clusters": [cluster]} for other in labels[1:]]


def fake_sensitivity(labels):
    n = len(labels)
    likely = np.eye(n) * 0.7 + 0.3 / n
    return {
        "halved": {"formation": list(labels), "late_drift": list(labels)},
        "doubled": {"formation": list(labels), "late_drift": list(reversed(labels))},
        "draws": 500, "robust": False,
        "rank_probability": {label: line.tolist() for label, line in zip(labels, likely, strict=True)},
    }  # fmt: skip
