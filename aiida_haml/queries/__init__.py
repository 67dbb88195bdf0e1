"""Questions one asks of the graph: where a number comes from, whether its chain is whole, what it cost.

Each is answered in a number of statements that does not depend on the size of the answer or of the database, and
returns plain, documented values.
"""

from aiida_haml.queries.audit import AuditReport, CutNode, UntracedFrames, audit
from aiida_haml.queries.candidates import CandidateEntry, Kin, candidates_like, find_candidates
from aiida_haml.queries.cards import ScreenCard, screen_cards
from aiida_haml.queries.catalogue import (
    LabelEntry,
    LevelEntry,
    PotentialEntry,
    find_labels,
    find_levels,
    find_potentials,
)
from aiida_haml.queries.cost import CostReport, Work, cost
from aiida_haml.queries.doubts import Doubt
from aiida_haml.queries.estimates import Estimate, Past, Spread, estimate, history
from aiida_haml.queries.failures import Failure, Outcome, cause, failures
from aiida_haml.queries.kept import Kept, kept
from aiida_haml.queries.progress import Progress, progress
from aiida_haml.queries.screens import ScreenEntry, find_screens
from aiida_haml.queries.story import LabelStory, Purpose, Score, label_story
from aiida_haml.queries.teachers import Pupil, Teacher, candidates_taught_by, labels_behind
from aiida_haml.queries.trace import trace
from aiida_haml.queries.training import TrainingStep, training_steps
from aiida_haml.queries.walks import ancestors, called_descendants

__all__ = [
    "AuditReport",
    "CandidateEntry",
    "CostReport",
    "CutNode",
    "Doubt",
    "Estimate",
    "Failure",
    "Kept",
    "Kin",
    "LabelEntry",
    "LabelStory",
    "LevelEntry",
    "Outcome",
    "Past",
    "PotentialEntry",
    "Progress",
    "Pupil",
    "Purpose",
    "Score",
    "ScreenCard",
    "ScreenEntry",
    "Spread",
    "Teacher",
    "TrainingStep",
    "UntracedFrames",
    "Work",
    "ancestors",
    "audit",
    "called_descendants",
    "candidates_like",
    "candidates_taught_by",
    "cause",
    "cost",
    "estimate",
    "failures",
    "find_candidates",
    "find_labels",
    "find_levels",
    "find_potentials",
    "find_screens",
    "history",
    "kept",
    "label_story",
    "labels_behind",
    "progress",
    "screen_cards",
    "trace",
    "training_steps",
]
