"""Environments of frames, described a few at a time as a description job does, in one process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from aiida_haml.analysis.environments.basis import Basis
from aiida_haml.analysis.environments.stream import Environments, VarianceCheck, check_elements, chunks, describe_frames
from aiida_haml.frames import Frames


def stream_environments(frames: Frames, basis: Basis, check: VarianceCheck | None = None) -> Iterator[Environments]:
    """Yield the environments of whole frames; ``check`` takes in what the projection keeps."""
    check_elements(frames, basis)
    for part in chunks(len(frames), frames.n_atoms, basis.settings.chunk):
        found = describe_frames(frames[part], basis)
        if check is not None:
            check.merge(found.check)
        yield replace(found.environments, frame=found.environments.frame + np.int32(part.start))
