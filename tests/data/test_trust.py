"""Trust in model files: by hash and person, carried by no archive, and recorded while others write."""

import sqlite3
import threading
import time
from contextlib import contextmanager

import pytest
from aiida.manage import get_manager
from sqlalchemy.exc import OperationalError

from aiida_haml.calculations.base import validate_potential
from aiida_haml.data import trust as module
from aiida_haml.data.trust import distrust, is_trusted, trust, trust_for_all
from tests.graphs import Builder

HASHES = [f"{i:064x}" for i in range(60)]


@contextmanager
def other_writer():
    """Somebody else who holds the database for most of the time, as a second worker does."""
    path = get_manager().get_profile_storage().filepath_database
    stop, holding = threading.Event(), threading.Event()

    def write():
        connection = sqlite3.connect(path, timeout=20, isolation_level=None)
        while not stop.is_set():
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE db_dbsetting SET description = description || '.' WHERE id = 1")
            holding.set()
            time.sleep(0.02)
            connection.execute("COMMIT")
            time.sleep(0.002)
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    holding.wait()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_trust_is_recorded_while_another_process_writes(aiida_profile_clean):
    with other_writer():
        for sha256 in HASHES:
            trust(sha256)
    assert all(is_trusted(sha256) for sha256 in HASHES)


def test_the_writer_of_the_test_does_lock_the_database(aiida_profile_clean):
    """Without patience some of sixty entries fail: the test above proves something."""
    storage, failed = get_manager().get_profile_storage(), 0
    with other_writer():
        for sha256 in HASHES:
            try:
                storage.set_global_variable(sha256, True)
            except OperationalError:
                failed += 1
                storage.get_session().rollback()
    assert failed > 0


def test_trust_counts_for_the_person_who_gave_it(aiida_profile_clean, monkeypatch):
    trust(HASHES[0])
    trust_for_all(HASHES[1])
    distrust(HASHES[1])
    assert (is_trusted(HASHES[0]), is_trusted(HASHES[1])) == (True, False)
    monkeypatch.setattr(module, "_email", lambda: "somebody@else")
    assert (is_trusted(HASHES[0]), is_trusted(HASHES[1])) == (False, True)


@pytest.mark.parametrize("hashes", [[], None, ["f" * 64], ["g" * 64], [""], [None], [["a"]]])
def test_a_potential_that_names_no_known_hash_is_refused_at_the_port(aiida_localhost, tmp_path, hashes):
    """An archive may bring any attributes; `all([])` must not open the door."""
    node = Builder(aiida_localhost, tmp_path).potential()
    node.trust()
    assert validate_potential(node, None) is None
    node.base.attributes.set("sha256", hashes)
    assert not node.is_trusted
    assert "not trained here" in validate_potential(node, None)
