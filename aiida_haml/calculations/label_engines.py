"""Label engines: the codes that make labels, each one object under an entry point of `aiida_haml.label_engines`."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from aiida.plugins import CalculationFactory

GROUP = "aiida_haml.label_engines"


@dataclass(frozen=True)
class LabelEngine:
    """What the package has to know of a code that makes labels; all else it asks of the job.

    The entry point's name is what a level of theory calls its ``engine``. The job is a CalcJob with

    - the inputs ``code``, ``level`` (Dict with ``engine``, ``name``, ``theory``), ``initial`` (frames), and ``md`` or
      ``relax`` (Dict, see `aiida_haml.calculations.molecular_dynamics`), which start from the last frame; with
      neither, every frame is evaluated and those that fail are left out;
    - optional inputs ``solver`` (Dict: one way to a converged SCF), ``basissets`` and ``pseudos`` (by element),
      ``parent_folder`` (RemoteData: where an earlier wave function lies), which are given where they are declared;
    - the outputs ``frames`` (labelled, step 0 included; its level of theory is `levels.level_key` of the level and
      of the version that the code itself reports) and ``output_parameters``: ``code_version``, ``wall_time_s``,
      ``seconds_per_step``, ``steps_done`` (0 of single points), ``kept`` (of single points: which frames);
    - the exit codes 305 (not one label), 400 (wall time), 450 (an SCF did not converge), 451 (it fell into a false
      state), each with the labels before it in ``frames``, and none of its failures a valid cache.

    Parameters
    ----------
    calculation : str
        Entry point of the job among ``aiida.calculations``.
    title : str
        What a person calls it.
    role : str
        Which of a screen's codes it runs on.
    is_rehearsal : bool
        Whether its labels only stand in for ab initio ones: whatever rests on them says so.
    """

    calculation: str
    title: str
    role: str
    is_rehearsal: bool = False

    @property
    def job(self) -> Any:
        """The CalcJob."""
        return CalculationFactory(self.calculation)

    @property
    def process_type(self) -> str:
        """What the nodes of its jobs say of themselves."""
        return f"aiida.calculations:{self.calculation}"


CP2K = LabelEngine("haml.cp2k", title="CP2K", role="cp2k")
TEACHER = LabelEngine("haml.teacher", title="TEACHER", role="engine", is_rehearsal=True)


@cache
def label_engines() -> dict[str, LabelEngine]:
    """Return the engines that are installed, by name."""
    return {point.name: point.load() for point in entry_points(group=GROUP)}


def label_engine(name: Any) -> LabelEngine:
    """Return the engine of a level of theory.

    Raises
    ------
    ValueError
        If no such engine is installed.
    """
    known = label_engines()
    if name not in known:
        raise ValueError(f"The level of theory has the engine {name!r}; known are {', '.join(sorted(known))}.")
    return known[name]


def engine_of(process_type: str | None) -> LabelEngine | None:
    """Return the engine whose job a process is, or None if it makes no labels."""
    return next((engine for engine in label_engines().values() if engine.process_type == process_type), None)


def label_process_types() -> list[str]:
    """Return the process types whose frames are ab initio labels, one MD step a frame, step 0 included."""
    return [engine.process_type for engine in label_engines().values()]
