"""The parent of a host: all its sites, occupied in part or not, in the cell asked for.

Dopings are enumerated on it, under its full symmetry; :func:`aiida_haml.structures.host.order` then decides which of
its sites are taken.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from aiida_haml.structures.charges import FORMAL_CHARGES, charges_of, in_words, require_charges
from aiida_haml.structures.crystals import ARGYRODITE, Phase
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.host.crystal import SHARE_TOLERANCE
from aiida_haml.structures.host.rounding import Occupancies, deviation_in_words, rounded
from aiida_haml.structures.host.settings import KnownHost, OwnHost, read_host

#: The argyrodite with Li on 48h, in the tetrahedra of three S and one Cl at both sides of 24g; half of the sites are
#: occupied. The place is near to what refinements find, 0.307, 0.025, 0.693 in the axes of Kraft et al.: S at 2.36
#: and 2.45 (twice) Angstrom, Cl at 2.70, and 1.59 between the two sites of a pair, of which one is taken.
ARGYRODITE_48H = replace(
    ARGYRODITE,
    sites=(("Li", "48h", (0.307, 0.307, 0.975)), *(site for site in ARGYRODITE.sites if site[0] != "Li")),
    source="M. A. Kraft et al., J. Am. Chem. Soc. 139, 10909 (2017), to three decimals; Li on 48h alone",
)


@dataclass(frozen=True)
class Variants:
    """A host known by name: a phase for each place that its lithium can have, and the anions that change places."""

    phases: dict[str, tuple[Phase, Occupancies]]
    exchanged: tuple[tuple[str, str], tuple[str, str]]


#: Hosts known by name.
KNOWN = {
    ARGYRODITE.name: Variants(
        {"24g": (ARGYRODITE, {}), "48h": (ARGYRODITE_48H, {"48h": {"Li": 0.5}})},
        (("4a", "Cl"), ("4d", "S")),
    )
}


def parent(host: object) -> Atoms:
    """Return all sites of a host's high-symmetry cell.

    Parameters
    ----------
    host : str, mapping or settings
        See :mod:`aiida_haml.structures.host.settings`.

    Returns
    -------
    Atoms
        Periodic, the supercell applied; each site bears the element that is most often found on it.
        ``arrays["sites"]`` holds the labels, ``info["occupancies"]`` ``{label: {element: share}}``,
        ``info["charges"]`` the oxidation states that are not the usual ones, and ``info["notes"]`` what was assumed or
        changed, in words.

    Raises
    ------
    StructureError
        As :func:`read_host`, or if the host bears a net charge.
    """
    settings = read_host(host)
    atoms, occupancies = _own_sites(settings) if isinstance(settings, OwnHost) else _known_sites(settings)
    atoms = atoms.repeat(settings.supercell)
    own = settings.crystal if isinstance(settings, OwnHost) else None
    states = {**(own.charges if own else {}), **settings.charges}
    atoms.info["charges"] = {e: n for e, n in states.items() if FORMAL_CHARGES.get(e) != n}
    require_charges({element for shares in occupancies.values() for element in shares}, charges_of(atoms))
    notes = list(own.notes) if own else []
    if own or states:
        notes.append(_states_in_words(atoms, occupancies, settings))
    if settings.round:
        members = Counter(atoms.arrays["sites"].tolist())
        whole = rounded(occupancies, members, charges_of(atoms))
        notes.append(f"occupancies rounded to whole atoms: {deviation_in_words(occupancies, whole, members)}")
        occupancies = whole
    atoms.info |= {"occupancies": occupancies, "notes": notes}
    for label, shares in occupancies.items():
        if shares:
            atoms.symbols[atoms.arrays["sites"] == label] = _majority(shares)
    _refuse_charge(atoms, settings)
    return atoms


def _known_sites(settings: KnownHost) -> tuple[Atoms, Occupancies]:
    known = KNOWN[settings.name]
    phase, partial = known.phases[settings.lithium]
    occupancies = {label: {symbol: 1.0} for symbol, label, _ in phase.sites} | {
        label: dict(shares) for label, shares in partial.items()
    }
    x = settings.exchange
    (first, one), (second, other) = known.exchanged
    if x > 0:
        # Shares are rounded, since 1 - 0.9 is not 0.1.
        keep = round(1 - x, 8)
        mixed = {first: {one: keep, other: x}, second: {other: keep, one: x}}
        occupancies |= {label: {e: s for e, s in shares.items() if s > 0} for label, shares in mixed.items()}
    return phase.build(settings.a_A), occupancies


def _own_sites(settings: OwnHost) -> tuple[Atoms, Occupancies]:
    sites, cell = settings.crystal.sites, np.array(settings.crystal.cell)
    if settings.a_A is not None:
        cell *= settings.a_A / np.linalg.norm(cell[0])
    symbols = [_majority(site.occupancy) for site in sites]
    atoms = Atoms(symbols, scaled_positions=[site.scaled for site in sites], cell=cell, pbc=True)
    labels = np.array([site.label for site in sites])
    atoms.set_array("sites", labels, dtype=labels.dtype)
    return atoms, {site.label: dict(site.occupancy) for site in sites}


def _majority(shares: Mapping[str, float]) -> str:
    """Return the element with the largest share; the first of them where two are as large."""
    return max(shares, key=lambda element: shares[element])


# -- charge -------------------------------------------------------------------------------------------------


def _states_in_words(atoms: Atoms, occupancies: Occupancies, settings: KnownHost | OwnHost) -> str:
    """Say which oxidation states are taken and where each comes from."""
    charges = charges_of(atoms)
    origins: dict[str, list[str]] = {}
    for element in dict.fromkeys(element for shares in occupancies.values() for element in shares):
        if element in settings.charges:
            origin = "from the specification"
        elif isinstance(settings, OwnHost) and element in settings.crystal.charges:
            origin = "from the file"
        else:
            origin = "assumed"
        origins.setdefault(origin, []).append(f"{element} {in_words(charges[element])}")
    return "oxidation states: " + "; ".join(f"{', '.join(states)} {origin}" for origin, states in origins.items())


def _refuse_charge(atoms: Atoms, settings: KnownHost | OwnHost) -> None:
    """Refuse shares that leave a charge, beyond what three decimals explain."""
    occupancies: Occupancies = atoms.info["occupancies"]
    members = Counter(atoms.arrays["sites"].tolist())
    charges = charges_of(atoms)
    totals: Counter[str] = Counter()
    for label, shares in occupancies.items():
        totals.update({element: members[label] * share for element, share in shares.items()})
    charge = sum(n * charges[element] for element, n in totals.items())
    if abs(charge) <= 2 * SHARE_TOLERANCE * len(atoms):
        return
    full = all(sum(shares.values()) > 1 - SHARE_TOLERANCE for shares in occupancies.values())
    other = _other_state(charge, totals, charges)
    remedies = [f"give another oxidation state, as host: {{charges: {{{other}}}}}"] if other else []
    if not full and not settings.round:
        remedies.append(_rounding_offer(atoms))
    remedy = ", or ".join(remedies) or "correct the occupancies or the oxidation states (host.charges)"
    raise StructureError(
        "host",
        settings.name,
        f"bears {charge:+.3f} e in a cell of {len(atoms)} sites ({_states_in_words(atoms, occupancies, settings)})",
        f"{remedy[0].upper()}{remedy[1:]}.",
    )


def _other_state(charge: float, totals: Mapping[str, float], charges: Mapping[str, int]) -> str | None:
    """Return the one state of one element that would make all neutral, for which the sites are full."""
    for element, n in totals.items():
        state = charges[element] - charge / n
        if element != "Li" and abs(state - round(state)) < 1e-3 and 0 < abs(round(state)) <= 8:
            return f"{element}: {round(state)}"
    return None


def _rounding_offer(atoms: Atoms) -> str:
    """Say what rounding would make of the occupancies in this cell."""
    occupancies: Occupancies = atoms.info["occupancies"]
    members = Counter(atoms.arrays["sites"].tolist())
    try:
        whole = rounded(occupancies, members, charges_of(atoms))
    except StructureError:
        return "take a larger cell with host.supercell"
    return f"round it with host: {{round: true}}, in this cell to {deviation_in_words(occupancies, whole, members)}"


# -- whole atoms --------------------------------------------------------------------------------------------


def site_counts(parent: Atoms) -> dict[str, dict[str, int]]:
    """Return how many sites of each label each element takes.

    Parameters
    ----------
    parent : Atoms
        With ``arrays["sites"]`` and ``info["occupancies"]``, as :func:`parent` makes it.

    Raises
    ------
    StructureError
        If a share is no whole number of sites; the message says how much larger the cell must be, and what rounding
        would make of it.
    """
    occupancies: Occupancies = parent.info["occupancies"]
    members = Counter(parent.arrays["sites"].tolist())
    counts: dict[str, dict[str, int]] = {}
    for label, shares in occupancies.items():
        n_sites = members[label]
        for element, share in shares.items():
            if not is_whole(share, n_sites):
                factor = _smallest_factor(occupancies, members)
                raise StructureError(
                    "host.supercell",
                    f"{share:g} of the {n_sites} {label} sites",
                    f"is {share * n_sites:.3f} {element}, and only whole atoms can be placed",
                    f"Make the cell {factor} times as large with host.supercell, or {_rounding_offer(parent)}.",
                )
        counts[label] = {element: round(share * n_sites) for element, share in shares.items()}
    return counts


def is_whole(share: float, n_sites: int) -> bool:
    """Say whether a share, given to three decimals, is a whole number of sites."""
    return abs(share - round(share * n_sites) / n_sites) <= SHARE_TOLERANCE


def _smallest_factor(occupancies: Occupancies, members: Mapping[str, int]) -> int:
    """Return the smallest multiple of the cell in which all shares are whole; 1000 is always one."""
    return next(
        factor
        for factor in range(1, 1001)
        if all(
            is_whole(share, factor * members[label])
            for label, shares in occupancies.items()
            for share in shares.values()
        )
    )
