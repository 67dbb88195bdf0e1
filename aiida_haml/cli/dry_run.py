"""What `screen submit --dry-run` says: the candidates, and what they will take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aiida_haml.cli.messages import echo, visible

if TYPE_CHECKING:
    from aiida_haml.cli.submission import Checked
    from aiida_haml.queries.estimates import Spread

#: History that is this many times shorter than what is asked for tells little of it.
FAR = 3.0


def print_candidates(checked: Checked) -> None:
    """Print what a specification expands to, what it will take, and what will be asked about at its submission."""
    from aiida_haml.consent import is_agreed

    spec, sizes = checked.spec, _sizes(checked)
    for slug, candidate in spec.candidates().items():
        run = f"{candidate['temperature_K']:g} K, seed {candidate['seed']}"
        echo(f"{slug}  {visible(candidate['label'])}, {sizes[slug]} atoms, {run}")
    for line in _price(checked, list(sizes.values())):
        echo(line)
    for text in checked.shell_texts:
        if not is_agreed(text):
            echo(f"! {text.name} is new to you; what it runs will be shown, and asked about, at submission")
    echo(f"{len(sizes)} candidates at {spec.level_name}, protocol {spec.protocol}; nothing was stored")


def _sizes(checked: Checked) -> dict[str, int]:
    """Return the atoms of each candidate's cell, by slug."""
    from aiida_haml.structures.candidates import candidate_label

    found = checked.spec.candidates().items()
    return {slug: checked.n_atoms[candidate_label(candidate["structure"])] for slug, candidate in found}


def _price(checked: Checked, sizes: list[int]) -> Iterator[str]:
    """Say what the screen will take, or that nothing is known of it."""
    from aiida_haml.queries.estimates import estimate, history
    from aiida_haml.workchains.protocols import level_of_theory

    spec, settings = checked.spec, checked.settings
    simulated_fs = settings["hybrid"]["simulated_fs"]
    past = history(level_of_theory(spec.level_name, spec.theory, spec.gaussians))
    cores = {kind: _cores(options) for kind, options in settings["options"].items()}
    guess = estimate(past, sizes, simulated_fs, spec.max_in_flight, cores)
    if guess is None:
        yield "no screen at this level of theory has run in this database, so nothing is known of what this one takes"
        return
    screens = "1 screen" if guess.n_screens == 1 else f"{guess.n_screens} screens"
    yield f"to be expected from {screens} at this level, in proportion to atoms and time (median, least to largest):"
    figures = {
        "labels": guess.labels, "jobs": guess.jobs, "core hours": guess.core_hours, "hours of wall time":
        guess.wall_hours, "MB": guess.megabytes,
    }  # fmt: skip
    for name, spread in figures.items():
        yield f"    {_number(spread.middle):>10}  {name}  ({_spread(spread)})"
    if simulated_fs > FAR * guess.past_fs or simulated_fs * FAR < guess.past_fs:
        yield (
            f"! these screens followed a candidate for {guess.past_fs:g} fs, this one will for {simulated_fs:g} fs: "
            "stretches grow and labels thin out with time, so a long run takes less than in proportion"
        )
    if guess.n_screens == 1:
        yield "! one screen has no spread; take the figures for an order of magnitude"


def _cores(options: Mapping[str, Any]) -> int:
    """Return the cores that a job asks its scheduler for."""
    asked = options.get("resources") or {}
    processes = asked.get("tot_num_mpiprocs") or asked.get("num_machines", 1) * asked.get("num_mpiprocs_per_machine", 1)
    return int(processes) * int(asked.get("num_cores_per_mpiproc") or 1)


def _spread(spread: Spread) -> str:
    return f"{_number(spread.low)} to {_number(spread.high)}"


def _number(value: float) -> str:
    """Return two digits of a number, as an estimate has no more."""
    return f"{float(f'{value:.2g}'):,g}"
