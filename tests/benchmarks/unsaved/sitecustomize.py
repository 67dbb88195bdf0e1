"""A worker that finds this file on its path dies once: when the node of a child is stored, and no checkpoint of it yet.

``HAML_UNSAVED`` holds the label of the child's process, and the file that says that it happened.
"""

import contextlib
import os
import signal
import sys

if {"daemon", "worker"} <= set(sys.orig_argv):
    from aiida.engine.persistence import AiiDAPersister

    label, flag = os.environ["HAML_UNSAVED"].split(":", 1)
    save = AiiDAPersister.save_checkpoint

    def save_checkpoint(self, process, tag=None):
        """Save a process, or die in its place."""
        if process.node.process_label == label and process.node.checkpoint is None:
            with contextlib.suppress(FileExistsError), open(flag, "x"):
                os.kill(os.getpid(), signal.SIGKILL)
        return save(self, process, tag)

    AiiDAPersister.save_checkpoint = save_checkpoint
