"""A line that shows that work goes on, and what it is, while a person waits."""

import itertools
import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiida_haml.cli.messages import visible

#: Seconds between two looks of the line.
REFRESH = 0.2
#: The pure parts say here what takes long, such as a run of Packmol.
SPOKEN = "aiida_haml.structures"


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal's error stream what is done and for how long; files and pipes see nothing.

    Parameters
    ----------
    what : str
        What is waited for: ``building the cells``.

    Yields
    ------
    callable
        To be called with the part that is done now.
    """
    line = _Line(what)
    logger = logging.getLogger(SPOKEN)
    level, listener = logger.level, _Listener(line)
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    stop = threading.Event()
    thread = threading.Thread(target=line.draw_until, args=(stop,), daemon=True)
    if sys.stderr.isatty():
        thread.start()
    try:
        yield line.name
    finally:
        stop.set()
        if thread.is_alive():
            thread.join()
        logger.removeHandler(listener)
        logger.setLevel(level)


class _Line:
    """What stands in the line now."""

    def __init__(self, what: str):
        self.what, self.part, self.detail = what, "", ""
        self.begin = time.monotonic()

    def name(self, part: str) -> None:
        self.part, self.detail = part, ""

    def text(self) -> str:
        parts = [text for text in (self.what, self.part, self.detail) if text]
        return f"{visible(': '.join(parts))} ({time.monotonic() - self.begin:.0f} s)"

    def draw_until(self, stop: threading.Event) -> None:
        for wheel in itertools.cycle("|/-\\"):
            width = shutil.get_terminal_size().columns - 1
            _overwrite(f"{wheel} {self.text()}"[:width].ljust(width))
            if stop.wait(REFRESH):
                break
        _overwrite(" " * width + "\r")


def _overwrite(text: str) -> None:
    sys.stderr.write("\r" + text)
    sys.stderr.flush()


class _Listener(logging.Handler):
    """Puts what the pure parts say into the line."""

    def __init__(self, line: _Line):
        super().__init__(logging.INFO)
        self.line = line

    def emit(self, record: logging.LogRecord) -> None:
        self.line.detail = record.getMessage()
