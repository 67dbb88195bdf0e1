"""How a screen looks in the graph: what its processes are called, who started whom, and for which candidate."""

from collections.abc import Container, Iterable

from aiida_haml.calculations.label_engines import label_process_types
from aiida_haml.queries.training import TRAINING
from aiida_haml.queries.walks import CALLS, links_into

SCREEN = "aiida.workflows:haml.screen"
HYBRID = "aiida.workflows:haml.hybrid"
#: What gives back time lines.
FOLLOWED = (HYBRID, "aiida.workflows:haml.production")
MD = "aiida.calculations:haml.lammps"
JUDGE = "aiida.calculations:haml.judge"
#: What a kind of CalcJob is called in accounts and reports.
KINDS = {
    **dict.fromkeys(label_process_types(), "labels"),
    TRAINING: "training",
    "aiida.calculations:haml.evaluate": "evaluation",
    MD: "MLP-MD",
    "aiida.calculations:haml.describe": "analysis",
    "aiida.calculations:haml.rank": "analysis",
}
#: Extra of a hybrid run: why trajectories ended too soon, by slug.
FAILURES = "haml_failures"
ENDED = ("finished", "excepted", "killed")
#: Between a candidate and what is its own, in names of links: ``SLUG__burst_0003``.
OF = "__"
#: How the links of a process to its candidates begin.
CANDIDATES = f"candidates{OF}"


class Calls:
    """Who started whom among some processes, and for which candidates, read in two statements.

    Parameters
    ----------
    pks : iterable of int
        Processes, with those above them up to where one wants to ask.

    Attributes
    ----------
    slugs : set of str
        Of the candidates that those at the top were given.
    """

    def __init__(self, pks: Iterable[int]) -> None:
        here = set(pks)
        self._link = {link.target: link for link in links_into(here, CALLS)}
        # What has a name of its own is not always a candidate: a screen relaxes lattices side by side too.
        self.slugs = _slugs((here | {link.source for link in self._link.values()}) - set(self._link))
        self._candidates: dict[int, str] = {}

    def candidate(self, pk: int) -> str:
        """Return the slug of the candidate that a process works for; empty for what serves all of them."""
        path = []
        while pk not in self._candidates and pk in self._link and OF not in self._link[pk].label:
            path.append(pk)
            pk = self._link[pk].source
        if pk not in self._candidates:
            slug = self._link[pk].label.partition(OF)[0] if pk in self._link else ""
            self._candidates[pk] = slug if slug in self.slugs else ""
        self._candidates.update(dict.fromkeys(path, self._candidates[pk]))
        return self._candidates[pk]

    def caller(self, pk: int) -> int | None:
        """Return the process that started this one; None for one that a person started."""
        return self._link[pk].source if pk in self._link else None

    def name(self, pk: int) -> str:
        """Return what the process is called by the one that started it."""
        return self._link[pk].label if pk in self._link else ""

    def role(self, pk: int) -> str:
        """Return what the process is for, ``SLUG__burst_0003``, as it or one above it is called; else its own name."""
        here: int | None = pk
        while here is not None and OF not in self.name(here):
            here = self.caller(here)
        return self.name(pk if here is None else here)

    def top(self, pk: int) -> int:
        """Return the process that a person started to make this one run."""
        while (above := self.caller(pk)) is not None:
            pk = above
        return pk

    def first_above(self, pk: int, among: Container[int]) -> int | None:
        """Return the first of some processes that is met on the way up."""
        here = self.caller(pk)
        while here is not None and here not in among:
            here = self.caller(here)
        return here


def _slugs(processes: Iterable[int]) -> set[str]:
    links = links_into(processes, ["input_work"], prefix=CANDIDATES)
    return {link.label.removeprefix(CANDIDATES) for link in links}
