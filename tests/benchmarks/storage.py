"""How many bytes does a screen keep, a frame and a candidate, and does it grow with its rounds alone?

One candidate over ever more rounds with a teacher as level of theory (`rounds.lengths`), then what all of it keeps by
kind. A teacher leaves its frames in `retrieved` too, as the very objects of the frames node, which are kept once; the
text of CP2K is fetched for its parser alone.

    python tests/benchmarks/storage.py [--quick]

The last line is a JSON object; the exit code is 1 where an aim is missed: under 3,000 bytes a frame of a stretch (68
atoms), under 20 kB a job beside frames and potentials, and nodes, links and bytes that grow as the rounds do (exponents
of at most 1.1).
"""

import argparse
import json
import sys
from typing import Any

from _workplace import workplace
from rounds import MAX_EXPONENT, lengths

MAX_FRAME_B, MAX_JOB_B = 3000, 20_000


def main() -> int:
    """Run, weigh, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, which gives no exponents")
    chosen = parser.parse_args()
    with workplace() as folder:
        grown = lengths(folder, [2, 4] if chosen.quick else [2, 4, 8, 16])
        seen = weigh()
    exponents = grown["exponents"]
    met = seen["bytes_a_stretch_frame"] < MAX_FRAME_B and seen["bytes_a_job_beside"] < MAX_JOB_B
    met = met and not any(value > MAX_EXPONENT for value in exponents.values())
    print(json.dumps({**seen, **grown, "met": met}))
    return 0 if met else 1


def weigh() -> dict[str, Any]:
    """Return what all screens of the database keep, by kind, a frame, a candidate and a job."""
    from aiida import orm

    from aiida_haml.queries.kept import kept
    from aiida_haml.queries.screens import find_screens
    from aiida_haml.queries.stored import distinct_bytes

    screens = find_screens()
    parts = kept(entry.pk for entry in screens)
    everything = orm.QueryBuilder().append(orm.Node, project="id").all(flat=True)
    frames = {name: part for name, part in parts.items() if part.n_frames}
    own = distinct_bytes(everything)
    beside = own - sum(part.n_bytes for part in frames.values()) - parts["potential"].n_bytes
    return {
        "kinds": {name: [part.n_nodes, part.n_frames, part.n_bytes] for name, part in parts.items()},
        "bytes_a_stretch_frame": round(parts["stretch"].n_bytes / parts["stretch"].n_frames),
        "bytes_a_candidate": round(own / sum(entry.n_candidates for entry in screens)),
        "bytes_a_job_beside": round(beside / orm.QueryBuilder().append(orm.CalcJobNode).count()),
    }


if __name__ == "__main__":
    sys.exit(main())
