"""Settings that are each legal and together useless, found before anything is stored.

A screen that would fail in its first hour, or could not be ranked after days, is refused here with the field, the value
and the remedy. What may be meant is a warning.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from ase import Atoms

from aiida_haml.spec.fields import ScreenSpec
from aiida_haml.spec.problems import Problem, place

#: Longest time step, fs: a tenth of a period of the stiffest bonds without hydrogen (P-O, S-O: 30-40 fs). Our choice.
LONGEST_STEP_FS = 4.0
#: Longest time step with hydrogen, fs, whose bonds swing in 10 fs; MLPs are customarily run at half of this.
LONGEST_STEP_WITH_H_FS = 0.5
#: Least wall time of a job, s: starting Python, MACE and LAMMPS takes up to a minute of it on a busy machine.
SHORTEST_WALL_TIME_S = 120
#: Least width of a cell with metal for the Gamma point alone, Angstrom: the next ones are then 0.4 / Angstrom apart,
#: where bulk lithium is customarily sampled at 0.2 to 0.3. Our choice.
NARROW_AT_GAMMA = 15.0


def consistency_problems(
    spec: ScreenSpec, settings: Mapping[str, Any], bases: Mapping[str, Collection[str] | None]
) -> Iterator[Problem]:
    """Say which settings make the screen useless.

    Parameters
    ----------
    spec : ScreenSpec
    settings : mapping
        The protocol's settings with the overrides merged into them.
    bases : mapping
        Level of theory to the elements that it has a basis for; None where it has no list of them.
    """
    yield from _basis_problems(spec, bases)
    yield from _time_problems(settings)
    yield from _learning_problems(spec, settings)
    for kind, options in settings["options"].items():
        wall = options.get("max_wallclock_seconds") if isinstance(options, Mapping) else None
        if isinstance(wall, int) and 0 < wall < SHORTEST_WALL_TIME_S:
            yield Problem(
                f"overrides.options.{kind}.max_wallclock_seconds", str(wall), "s is over before a job has started",
                f"Give {SHORTEST_WALL_TIME_S} or more.",
            )  # fmt: skip


def _basis_problems(spec: ScreenSpec, bases: Mapping[str, Collection[str] | None]) -> Iterator[Problem]:
    from aiida_haml.structures.candidates import candidate_elements

    level = spec.level_name
    known = bases.get(level)
    if known is None:
        return
    seen: set[str] = set()
    for where, structures in spec.entries():
        for structure in structures:
            for element in sorted(set(candidate_elements(structure)) - set(known) - seen):
                seen.add(element)
                dopants = [part["dopant"] for part in structure.get("doping") or ()]
                path = where if element in dopants or "liquid" in structure else "host"
                others = [name for name, has in bases.items() if name != level and (has is None or element in has)]
                remedy = f"Levels that have one: {', '.join(others)}." if others else "Leave the element out."
                yield Problem(path, element, f"has no basis at the level of theory {level}", remedy)


def _time_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    step, thermostat = settings["dynamics"]["timestep_fs"], settings["dynamics"]["thermostat_time_fs"]
    simulated, ranked = settings["hybrid"]["simulated_fs"], settings["ranking"]["min_simulated_fs"]
    if not all(isinstance(value, int | float) for value in (step, thermostat, simulated, ranked)):
        return  # refused by those who read them
    if step > LONGEST_STEP_FS:
        yield Problem(
            "overrides.dynamics.timestep_fs", f"{step:g}", "fs is longer than the dynamics of any bond here bears",
            f"Give {LONGEST_STEP_FS:g} or less, {LONGEST_STEP_WITH_H_FS:g} with hydrogen.",
        )  # fmt: skip
    elif thermostat < step:
        yield Problem(
            "overrides.dynamics.thermostat_time_fs", f"{thermostat:g}", f"fs is less than a time step, {step:g} fs",
            "Give ten time steps or more.",
        )  # fmt: skip
    elif simulated < step:
        yield Problem("overrides.hybrid.simulated_fs", f"{simulated:g}", "fs is less than one time step",
                      "Give the time of a trajectory in fs.")  # fmt: skip
    if simulated < ranked:
        yield Problem(
            "overrides.hybrid.simulated_fs", f"{simulated:g}",
            f"fs is less than ranking.min_simulated_fs ({ranked:g}), so that nothing could be ranked",
            "Simulate longer, or set overrides.ranking.min_simulated_fs too.",
        )  # fmt: skip


def _learning_problems(spec: ScreenSpec, settings: Mapping[str, Any]) -> Iterator[Problem]:
    elements = settings["learning"].get("elements")
    if elements and (lacking := sorted(set(spec.elements()) - set(map(str, elements)))):
        yield Problem(
            "overrides.learning.elements", str(list(elements)), f"lacks {', '.join(lacking)} of the candidates",
            "Leave it out for all elements of the screen, or add them.",
        )  # fmt: skip


def consistency_warnings(
    spec: ScreenSpec, settings: Mapping[str, Any], theory: Mapping[str, Any], cells: Mapping[str, Atoms]
) -> Iterator[str]:
    """Say what may be meant, and mostly is not.

    Parameters
    ----------
    spec : ScreenSpec
    settings : mapping
        The protocol's settings with the overrides merged into them.
    theory : mapping
        Keywords of the level of theory; of CP2K, below its FORCE_EVAL.
    cells : mapping
        Label to Atoms.
    """
    yield from _narrow_at_gamma(theory, cells)
    step = settings["dynamics"]["timestep_fs"]
    if "H" in spec.elements() and step > LONGEST_STEP_WITH_H_FS:
        yield (
            f"dynamics.timestep_fs is {step:g}, and there is hydrogen, which wants {LONGEST_STEP_WITH_H_FS:g} or less: "
            f"overrides: {{dynamics: {{timestep_fs: {LONGEST_STEP_WITH_H_FS:g}}}}}"
        )


def _narrow_at_gamma(theory: Mapping[str, Any], cells: Mapping[str, Atoms]) -> Iterator[str]:
    """Warn of a metal whose bands are sampled at one point of a wide Brillouin zone."""
    from aiida_haml.structures.geometry import cell_heights

    dft = theory.get("DFT", {})
    is_sampled = "KPOINTS" in dft or dft.get("QS", {}).get("METHOD", "GPW") in ("XTB", "DFTB")
    widths = {label: round(float(cell_heights(cell)[:2].min()), 1) for label, cell in cells.items()}
    narrow = min(widths, key=lambda label: widths[label], default=None)
    if dft and not is_sampled and narrow is not None and widths[narrow] < NARROW_AT_GAMMA:
        yield (
            f"the cell of {narrow} is {widths[narrow]:g} Å wide, and its metal is sampled at the Γ point alone: give "
            "level_of_theory.theory: {DFT: {KPOINTS: {SCHEME: MONKHORST-PACK 2 2 1}}} or a wider interface.repeat, and "
            "see docs/howto/converge.md"
        )


def build_cells(
    spec: ScreenSpec, reach: float, told: Callable[[str], object]
) -> tuple[dict[str, Atoms], list[Problem]]:
    """Build the cell of every candidate as the screen will, and say what is wrong with any.

    Parameters
    ----------
    spec : ScreenSpec
    reach : float
        Cutoff of the potential, A.
    told : callable
        Called with the label of each cell before it is built.

    Returns
    -------
    cells : dict
        By label.
    problems : list of Problem
    """
    from aiida_haml.structures.candidates import build, candidate_label
    from aiida_haml.structures.checks import check_reach
    from aiida_haml.structures.errors import StructureError

    cells: dict[str, Atoms] = {}
    problems: list[Problem] = []
    for where, structures in spec.entries():
        for structure in structures:
            label = candidate_label(structure)
            told(label)
            try:
                cells[label] = build(structure)[0]
            except StructureError as error:
                problems.append(Problem(place(where, error.field), str(error.value), error.problem, error.remedy))
                continue
            finding = check_reach(cells[label], reach)
            if finding.passed is False:
                told_of = f"the cell {finding.value} of {label}"
                problems.append(Problem(where, told_of, finding.problem, finding.remedy))
    return cells, list({str(problem): problem for problem in problems}.values())
