"""What may be trusted of a run, on sequences that were seen and on those that fool a naive rule."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from aiida_haml.engines.pairs import ElementPairs, shortest_distances
from aiida_haml.engines.records import RecordWriter, read_records
from aiida_haml.engines.watch import Thresholds, breaches, check_type, loads, sentence, trust
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals

#: One element, one pair: distances are fractions of the sum of radii.
PAIRS = ElementPairs(np.array([3, 3]))
RADII = float(PAIRS.covalent[0])


def run(steps, **quantities):
    """Checks at given steps; what is not given is calm, distances are given as ratios."""
    checks = np.zeros(len(steps), dtype=check_type(1))
    checks["step"], checks["distance"] = steps, 2.5
    for name, values in quantities.items():
        checks[name] = np.reshape(values, (-1, 1)) * RADII if name == "distance" else values
    return checks


def until(thresholds, checks, timestep=1.0, **more):
    decision = trust(thresholds, checks, PAIRS, timestep, **more)
    return decision.until, decision.onset


#: Two atoms fell onto each other in a demonstration while the committee agreed; a check every 5 fs.
COLLISION = {
    "distance": [0.84, 0.83, 0.85, 0.84, 0.82, 0.76, 0.70, 0.61, 0.52, 0.50 - 1e-9],
    "deviation": [0.34, 0.35, 0.33, 0.35, 0.36, 0.35, 0.34, 0.36, 0.35, 0.35],
    "temperature": [341, 365, 352, 371, 380, 385, 396, 421, 503, 605],
}
WATCH = Thresholds(every=5, max_deviation=1.29, max_temperature_K=5000, min_distance_ratio=0.5, margin_fs=20)


def test_a_collision_that_the_committee_does_not_see_is_taken_back_to_before_it_began():
    checks = run(range(0, 50, 5), **COLLISION)
    assert breaches(WATCH, checks[-1:], PAIRS) == ["distance"]
    assert until(WATCH, checks) == (15, 35)  # beyond half its way from 0.84 to 0.50 (in load: 0.627) since step 35
    assert COLLISION["distance"][3] > 0.8, "trusted is only what was as far apart as at the start"


def test_the_hotter_end_of_a_collision_is_its_symptom_and_its_own_breach():
    hot = Thresholds(every=5, max_temperature_K=600, min_distance_ratio=0.5, margin_fs=20)
    checks = run(range(0, 50, 5), **COLLISION)
    assert breaches(hot, checks[-1:], PAIRS) == ["distance", "temperature"]
    assert until(hot, checks) == (15, 35)


@pytest.mark.parametrize(
    ("temperatures", "margin", "expected"),
    [
        ([300] * 9 + [5000], 20, (25, 45)),  # a jump gives no warning: the margin alone
        ([300] * 9 + [5000], 0, (45, 45)),
        ([300] * 9 + [5000], 1000, (0, 45)),  # a margin longer than the run leaves the start
        ([5000], 20, (0, 0)),  # broken from the start
        (np.linspace(300, 301, 10) * 1.0, 20, (45, None)),  # no breach: up to the last check
        (
            [300, 460, 440, 460, 440, 460, 440, 460, 440, 605],
            20,
            (25, 45),
        ),  # around the soft level of 450: the last dip
        ([300, 440, 460, 460, 460, 460, 460, 460, 460, 605], 0, (10, 10)),  # and above it for good
        (np.linspace(300, 601, 10), 0, (25, 25)),  # a slow drift counts from half its way
        ([580, 581, 580, 582, 580, 580, 581, 580, 580, 605], 0, (45, 45)),  # calm close to its limit is no onset
    ],
)
def test_the_trusted_part_of_temperatures(temperatures, margin, expected):
    thresholds = Thresholds(max_temperature_K=600, margin_fs=margin)
    assert until(thresholds, run(5 * np.arange(len(temperatures)), temperature=temperatures)) == expected


def test_the_margin_is_a_time():
    checks = run(range(0, 100, 10), temperature=[300] * 9 + [700])
    for timestep, expected in ((0.5, 50), (1.0, 70), (2.0, 80), (3.0, 83)):
        assert until(Thresholds(max_temperature_K=600, margin_fs=20), checks, timestep)[0] == expected


def test_a_drift_either_way_counts():
    thresholds = Thresholds(max_drift_eV_per_atom=0.01, margin_fs=0)
    down = run(range(5), drift=[0.0, -0.002, -0.004, -0.006, -0.012])
    assert until(thresholds, down) == (3, 3)
    assert until(thresholds, run(range(5), drift=-down["drift"])) == (3, 3)


def test_another_quantity_near_its_limit_is_not_the_onset_of_a_breach():
    checks = run(range(5), temperature=[300, 590, 590, 590, 590], deviation=[0.1, 0.1, 0.1, 0.1, 2.0])
    assert until(Thresholds(max_temperature_K=600, max_deviation=1.0, margin_fs=0), checks) == (4, 4)


def test_a_failure_starts_where_any_quantity_started():
    thresholds = Thresholds(max_temperature_K=600, max_deviation=1.0, margin_fs=0)
    checks = run(range(0, 50, 10), temperature=[300, 300, 500, 550, 590], deviation=[0.1] * 5)
    assert until(thresholds, checks, failed_at=47) == (20, 20)
    calm = run(range(0, 50, 10), temperature=[300] * 5)
    assert until(thresholds, calm, failed_at=47) == (47, 47)
    assert until(thresholds, calm[:0], failed_at=7) == (0, 7)


def test_a_deviation_that_was_not_measured_is_no_breach_and_no_end_of_a_run_of_them():
    thresholds = Thresholds(max_deviation=1.0, max_temperature_K=600, margin_fs=0)
    checks = run([0, 5, 10, 12, 15], deviation=[0.1, 0.8, 0.9, np.nan, 1.2], temperature=300)
    assert until(thresholds, checks) == (5, 5)
    assert breaches(thresholds, checks[3:4], PAIRS) == []


def test_each_pair_of_elements_has_its_own_limit():
    pairs = ElementPairs(np.array([16, 3, 3, 15]))
    assert pairs.names == ["Li-Li", "Li-P", "Li-S", "P-P", "P-S", "S-S"]
    thresholds = Thresholds(min_distances={"Li-S": 2.0, "Cl-Li": 3.0}, min_distance_ratio=0.5)
    limits = dict(zip(pairs.names, thresholds.distance_limits(pairs), strict=True))
    assert limits["Li-S"] == 2.0
    assert limits["P-S"] == pytest.approx(0.5 * (1.07 + 1.05))
    check = np.zeros(1, dtype=check_type(6))
    check["distance"] = [3.0, np.inf, 1.9, np.inf, 1.9, 3.0]  # P-S may be where Li-S may not
    assert breaches(thresholds, check, pairs) == ["distance"]
    assert sentence(thresholds, check, pairs, "distance") == "At step 0 Li and S come within 1.9 A (limit 2)."
    assert loads(thresholds, check, pairs)["distance"] == pytest.approx(2.0 / 1.9)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"min_distances": {"S-Li": 2.0}}, "alphabetical order"),
        ({"min_distances": {"Li-Xx": 2.0}}, "alphabetical order"),
        ({"min_distances": {"Li-S": -1.0}}, "min_distances\\['Li-S'\\] is -1.0"),
        ({"max_presure_GPa": 3.0}, "did you mean max_pressure_GPa"),
        ({"soft_fraction": 1.5}, "soft_fraction is 1.5"),
        ({"max_kinetic_energy_eV": float("nan")}, "max_kinetic_energy_eV is nan"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(values, part):
    with pytest.raises(ValueError, match=part):
        Thresholds.from_dict(values)


def test_shortest_distances_of_known_crystals():
    salt = Frames.from_ase(bulk("LiCl", "rocksalt", a=5.13, cubic=True))
    found = shortest_distances(salt, 6.0)
    assert found == pytest.approx({"Cl-Cl": 5.13 / np.sqrt(2), "Cl-Li": 5.13 / 2, "Li-Li": 5.13 / np.sqrt(2)})
    assert shortest_distances(salt, 3.0).keys() == {"Cl-Li"}
    metal = shortest_distances(Frames.from_ase(crystals.lithium()), 5.0)
    assert metal["Li-Li"] == pytest.approx(3.04, abs=0.06)
    argyrodite = shortest_distances(Frames.from_ase(crystals.argyrodite()), 4.0)
    assert argyrodite["P-S"] == pytest.approx(2.03, abs=0.06)


def test_the_shortest_distance_is_that_of_the_closest_of_all_frames():
    def pair(distance):
        return Atoms("LiS", [[0, 0, 0], [distance, 0, 0]], cell=[20, 20, 20], pbc=True)

    frames = Frames.from_ase([pair(d) for d in (2.6, 2.1, 2.4)])
    assert shortest_distances(frames, 4.0) == {"Li-S": pytest.approx(2.1)}
    image = Frames.from_ase(Atoms("Li", cell=[3.0, 20, 20], pbc=True))  # an atom and its own image
    assert shortest_distances(image, 4.0) == {"Li-Li": pytest.approx(3.0)}


@pytest.mark.parametrize("cut", [0, 1, 30, 96])
def test_a_table_that_was_cut_off_has_its_whole_rows(tmp_path, cut):
    path = tmp_path / "checks.npy"
    checks = run(range(4), temperature=[1.0, 2.0, 3.0, 4.0])
    writer = RecordWriter(path, checks.dtype)
    for k in range(4):
        writer.append(checks[k : k + 1])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - cut])
    np.testing.assert_array_equal(read_records(path), checks[: 4 if cut == 0 else 4 - -(-cut // checks.dtype.itemsize)])
