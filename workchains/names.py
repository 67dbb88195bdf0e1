"""What a process is called in `verdi process list`, in the words of the name that queries find it by."""

from typing import Any

from aiida_haml.calculations.rounds import OF


def reading(name: str) -> str:
    """Return what a person reads of a process, from the name of the link to it.

    ``SLUG__burst_0003`` is ``burst 3 of SLUG``, and ``learn_0004`` is ``learn 4``: the number is that of the round.
    """
    slug, of, kind = name.partition(OF)
    words = " ".join(str(int(word)) if word.isdecimal() else word for word in (kind if of else name).split("_"))
    return f"{words} of {slug}" if of else words


def labelled(text: str) -> dict[str, Any]:
    """Return what gives a calcfunction a label, for its call."""
    return {"metadata": {"label": text}}
