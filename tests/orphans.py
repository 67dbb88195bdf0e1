"""A job killed from outside, so that nothing of it can clean up: which of the processes it started live on?"""

import signal
import subprocess
import time

import psutil


def left_behind(job: subprocess.Popen, count: int) -> list[psutil.Process]:
    """Kill a job once it has so many children at work, and return those that are alive some time later, killed too."""
    children, deadline = [], time.time() + 90
    while len(children) < count and time.time() < deadline:
        time.sleep(0.2)
        children = psutil.Process(job.pid).children()
    assert len(children) == count
    time.sleep(2)
    job.send_signal(signal.SIGKILL)
    job.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    for child in alive:
        child.kill()
    return alive
