"""A screen that never ran, with every kind of data that a report can show."""

import numpy as np

from aiida_haml.queries import AuditReport, CostReport, Work
from aiida_haml.report import Candidate, Cycle, Level, Reference, ReportData, Segment

EVIL = "<script>alert('x')</script> & $x$ \"'"
PHASES = np.array(["Li", "Li2S", "Li3P", "LiCl", "Li6PS5Cl"])
ROLES = np.array(["metal", "product", "product", "product", "electrolyte"])
SYMBOLS = {3: 0.45, 15: 0.1, 16: 0.35, 17: 0.1}
TIME_FS = 2000.0
HEIGHT = 30.0
GROUP = "300 K, Li6PS5Cl | Li(100), 20 Å"


def full_series(level, seed=0, n=200, n_atoms=120, n_events=12):
    """Return series under all names that a description has; `level` says how much reacts."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, TIME_FS, n)
    reacted = (level * (1 - np.exp(-time / 500)) + 0.01 * rng.standard_normal(n)).clip(0, 1)
    broken = np.sort(rng.uniform(0, TIME_FS, n_events))
    return {
        "time": time, "phases": PHASES, "roles": ROLES, "elements": np.array(["Cl", "Li", "P", "S"]),
        **planted_balance(reacted),
        "ps4_fraction": 1 - reacted, "p_chalcogen_bonds": 4 - reacted, "p_bond_order_state": 5 - 3 * reacted,
        "temperature": 300 + 15 * rng.standard_normal(n),
        "units_PS4": 1 - reacted, "units_PX3": 0.6 * reacted, "units_PX0": 0.4 * reacted,
        "broken_bonds": np.searchsorted(broken, time).astype(float),
        "events_time": broken, "events_pair": np.array((["P-S", "P-P", "P-Cl"] * n_events)[:n_events]),
        "events_formed": np.arange(n_events) % 4 == 3, "events_z": rng.uniform(0.4, 0.6, n_events),
        "li_msd_lag": np.linspace(0, TIME_FS / 2, 30), "li_msd_plane": np.linspace(0, 4 + 3 * level, 30),
        "li_msd_normal": np.linspace(0, 2 + 3 * level, 30),
        "lindemann_time": np.linspace(250, 1750, 8), "lindemann": 0.05 + 0.1 * level * np.linspace(0, 1, 8),
        "li_diffusivity_plane_cm2_s": np.array([1e-5, 0.8e-5, 1.3e-5]), "li_diffusivity_plane_reason": np.array(""),
        "li_diffusivity_normal_cm2_s": np.array([np.nan, np.nan, np.nan]),
        "li_diffusivity_normal_reason": np.array("too short to tell"),
        "fragments": np.array(["PS3"]), "fragment_counts": np.array([2]),
        **profile(reacted), **snapshots(n_atoms, rng),
    }  # fmt: skip


def planted_balance(reacted):
    """Return the balance of a cell of eight formula units and 160 lithium; the upper face takes three quarters."""
    n = len(reacted)
    share = np.array([0.25, 0.75])
    atoms = np.array([8, 8, 40])  # Cl, P, S
    ladder = np.zeros((n, 2, 3, 4))
    ladder[..., 0] = (1 - reacted)[:, None, None] * atoms / 2
    ladder[..., 3] = reacted[:, None, None] * share[:, None] * atoms
    layer = np.zeros((n, 2, len(PHASES) + 1))
    layer[..., 1], layer[..., 2], layer[..., 5] = (reacted[:, None] * share * part for part in (30, 10, 16))
    return {
        "faces": np.array(["lower", "upper"]), "area": np.array([100.0]), "normal": np.array([0.0, 0.0, 1.0]),
        "electrolyte_length": np.array([20.0]), "metal_length": np.array([30.0]), "n_framework": np.array([56]),
        "n_metal": np.array([160]), "n_units": np.array([8]), "reservoir": np.array([2.5]),
        "baseline_metal": np.array([160.0, 1.0]),
        "baseline_consumed": np.array([0.0, 0.005]), "baseline_thickness": np.array([0.3, 0.2]),
        "metal": 160 - 64 * reacted, "consumed": reacted[:, None] * share, "ladder": ladder, "layer_phases": layer,
        "electrolyte": 1 - reacted, "thickness": 25 * reacted[:, None] * share, "phosphide_connected": np.zeros((n, 2)),
    }  # fmt: skip


def profile(reacted, slabs=20):
    """Return metal on either side of the electrolyte, and products that grow between them, in slabs of an Angstrom."""
    counts = np.zeros((len(reacted), slabs, 6), dtype=np.int16)
    z = (np.arange(slabs) + 0.5) / slabs
    for t, amount in enumerate(reacted):
        layer = np.abs(z - 0.75) < 0.05 + 0.1 * amount
        counts[t, layer, 1], counts[t, layer, 5] = 5, 4
        counts[t, ~layer & ((z < 0.25) | (z > 0.75)), 0] = 8
        counts[t, ~layer & (z >= 0.25) & (z <= 0.75), 2] = 6
    counts[:, -1] = 0  # a slab without atoms
    elements = np.zeros((len(reacted), slabs, 4), dtype=np.int16)  # Cl, P, S, Li
    elements[..., 3] = counts[..., 0] + counts[..., 1]
    elements[..., 2] = counts[..., 2] + counts[..., 5]
    # A double layer where the layer is.
    charge = np.where(counts[..., 5] > 0, np.where(z < 0.75, 1.0, -1.0), 0.0)
    return {"profile": counts, "profile_elements": elements, "profile_charge": charge}


def snapshots(n_atoms, rng):
    cell = np.array([[10.0, 0, 0], [1.0, 10.0, 0], [0, 0, HEIGHT]])
    start = rng.uniform(0, 1, (n_atoms, 3))
    numbers = np.where(start[:, 2] < 0.5, 3, rng.choice(list(SYMBOLS), n_atoms, p=list(SYMBOLS.values())))
    end = start + 0.03 * rng.standard_normal((n_atoms, 3))
    before = np.where(start[:, 2] < 0.5, 0, np.where(numbers == 3, 1, 2))
    after = np.where((np.abs(start[:, 2] - 0.5) < 0.15) & (numbers != 3), rng.choice([3, 4, 5], n_atoms), before)
    return {
        "snapshot_positions": np.stack([start, end]) @ cell, "snapshot_cells": np.stack([cell, cell]),
        "snapshot_states": np.stack([before, after]), "snapshot_numbers": numbers,
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
        simulated_fs=TIME_FS, pressure_GPa=1.25, series=full_series(level, seed, n, n_atoms),
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
        "arrhenius": [{"label": "Li6PS5Cl", "activation_energy_eV": 0.31, "interval": [0.2, 0.4],
                       "status": "determined"}],
    }  # fmt: skip
    return report_of(ranking, candidates, engine, name)


def report_of(ranking, candidates, engine, name):
    """Return what a report shows of a ranking and its candidates."""
    return ReportData(
        title="Screen of dopings", ranking=ranking, level=Level(name, "abc123", engine), candidates=candidates,
        spec={"name": "demo", "dopings": [{"dopant": "O", "fraction": 0.25}]},
        cost=CostReport({"label": Work(4, 0, 120.0), "train": Work(2, 1, 60.0)}, wall_s=300, busy_s=200,
                        simulated_steps=1800, seconds_per_step=0.5),
        audit=AuditReport(n_data=50, n_training_frames=400), provenance=[Reference("ranking", "1234-uuid", 17)],
        versions={"CP2K": "2023.1"},
    )  # fmt: skip


def fake_ranking(candidates):
    """Return rows in the order of the candidates, all of one group; the law of the last of three is not known."""
    n = len(candidates)
    names = [c.label for c in candidates]
    rows = [
        {
            "label": c.label, "group": GROUP, "rank": i + 1, "score": 0.9 - i / n / 2,
            "interval": [0.85 - i / n / 2, 0.95 - i / n / 2], "verdict": "passivates", "sure": i % 2 == 0,
            "reason": "the late rate is 0.05 of the early one",
            "status": "passivates: the late rate is 0.05 of the early one",
            "metrics": {"consumed": 3.0, "instability": 0.1}, "metric_intervals": {"consumed": [2.5, 3.5]},
            "parts": {"consumed": 0.7}, "simulated_fs": TIME_FS, "replicates": 1, "seeds": 1, "reservoir": 2.5,
            "tied_with": [o.label for o in candidates if o is not c], "members": [c.key],
            "kinetics": fake_kinetics(determined=i % 3 != 2),
        }
        for i, c in enumerate(candidates)
    ]  # fmt: skip
    consumed = {"unit": "Å", "direction": "low", "weight": 1.0, "half": 10.0, "description": "What it cost."}
    shown = {"unit": "1", "direction": "high", "weight": 0.0, "half": 0.1, "description": "An explanation."}
    group = {
        "name": GROUP, "compared_fs": TIME_FS, "order": names, "tied": [names[:2], names[1:]],
        "order_probability": (0.5 + 0.4 * np.sign(np.subtract.outer(np.arange(n), np.arange(n)).T)).tolist(),
        "sensitivity": fake_sensitivity(names), "instability": {"correlation": 0.4, "p": 0.2, "labels": n},
        "sentence": f"{GROUP}: {names[0]} is first, tied with all others.", "floor": 0.1,
    }  # fmt: skip
    return {
        "candidates": rows, "groups": [group], "metrics": {"consumed": consumed, "instability": shown},
        "warnings": ["few seeds"],
    }  # fmt: skip


def fake_kinetics(determined):
    return {
        "law": "first_order" if determined else "undetermined",
        "reason": "" if determined else "no more is consumed than the noise",
        "rate": {"value": 2.0, "interval": [1.5, 2.6]} if determined else None, "unit": "1/ps" if determined else "",
        "parameters": {"c0": 0.1, "k": 2.0, "e": 3.1} if determined else {}, "leads": {"first_order": 0.0},
        "late_rate_A_per_ps": {"value": 0.01, "interval": [0, 0.02]},
        "time_to_layer_fs": {"value": 1100.0, "interval": [900.0, 1300.0]} if determined else None,
    }  # fmt: skip


def fake_differences(labels):
    """Return what sets each label apart from the first one."""
    cluster = {"id": 4, "central": "S", "nearest_phase": "Li2S", "contribution": 0.625, "shares": [0.05, 0.25]}
    return [{"labels": [labels[0], other], "distance": 0.4, "clusters": [cluster]} for other in labels[1:]]


def fake_sensitivity(labels):
    n = len(labels)
    likely = np.eye(n) * 0.7 + 0.3 / n
    return {
        "halved": {"consumed": list(labels), "instability": list(labels)},
        "doubled": {"consumed": list(labels), "instability": list(reversed(labels))},
        "draws": 500, "robust": False,
        "rank_probability": {label: line.tolist() for label, line in zip(labels, likely, strict=True)},
    }  # fmt: skip
