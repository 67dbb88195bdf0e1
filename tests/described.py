"""Environments of frames, described a few at a time as a description job does, in one process."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from aiida_haml.analysis.environments.basis import Basis
from aiida_haml.analysis.environments.stream import Environments, check_elements, chunks, describe_frames
from aiida_haml.frames import Frames


def stream_environments(frames: Frames, basis: Basis) -> Iterator[Environments]:
    """Yield the environments of whole frames."""
    check_elements(frames, basis)
    for part in chunks(len(frames), frames.n_atoms, basis.settings.chunk):
        found = describe_frames(frames[part], basis).environments
        yield replace(found, frame=found.frame + np.int32(part.start))
