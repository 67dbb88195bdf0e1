"""The line that says what is waited for: on a terminal only, wiped in the end, and with what Packmol does."""

import io
import logging
import sys
import time

import pytest

from aiida_haml.cli.waiting import waiting


class Screen(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


@pytest.fixture
def shown(monkeypatch):
    def show(is_terminal):
        stream = Screen(is_terminal)
        monkeypatch.setattr(sys, "stderr", stream)
        with waiting("building the cells") as say:
            say("DME\x1b[2J")
            logging.getLogger("aiida_haml.structures.liquid.packing").info("Packmol packs %d molecules", 12)
            time.sleep(0.5)
        return stream.getvalue()

    return show


def test_a_terminal_sees_what_is_done(shown):
    text = shown(True)
    assert "building the cells: DME\\x1b[2J: Packmol packs 12 molecules (0 s)" in text
    assert "\x1b" not in text
    assert text.endswith("\r")
    assert not text.rsplit("\r", 2)[1].strip(), "the line is wiped"


def test_files_and_pipes_see_nothing(shown):
    assert shown(False) == ""


def test_nobody_listens_afterwards(shown):
    shown(False)
    assert not logging.getLogger("aiida_haml.structures").handlers
