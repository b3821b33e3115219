"""Runs end with whoever started them: what nobody reads would be promoted by nobody, and would hold its memory for ever."""

import os
import threading
import time
from multiprocessing import parent_process

READER = "SALES_READER"
"""Set by the product for the runs that it starts: the process that reads their lines."""
LOOK_SECONDS = 0.5


def with_the_reader() -> None:
    """Ends this process soon after the one that reads its lines, however that ended. A run that a person started goes on."""
    reader = os.environ.get(READER, "")
    if reader.isdecimal():
        threading.Thread(target=_watch, args=(int(reader),), daemon=True).start()


def _watch(reader: int) -> None:
    while os.getppid() == reader:
        time.sleep(LOOK_SECONDS)
    os._exit(1)  # whatever the other threads are at


def with_the_parent() -> None:
    """For processes of a pool: a parent that was killed tells them nothing, and they would wait for its next task."""
    threading.Thread(target=_join, daemon=True).start()


def _join() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
