"""Ctrl-C, SIGTERM and a closed terminal are one thing: an orderly end, begun once.

The first of them raises `KeyboardInterrupt`; those after it are ignored, so that nobody's impatience interrupts the
cleaning up. Inside `held()` the first one waits: between the birth of a process and the note of its number nothing
may intervene, or that process would outlive us.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _State:
    depth = 0
    waiting = False


def install() -> None:
    """Takes the signals over; for the main thread of a command. Under `nohup` a closed terminal ends nothing."""
    for number in ENDINGS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    for each in ENDINGS:
        signal.signal(each, _ignore)
    if _State.depth:
        _State.waiting = True
    else:
        raise KeyboardInterrupt


def _ignore(number: int, frame: FrameType | None) -> None:
    """Not `SIG_IGN`: programs started from here would inherit that and could not be stopped."""


@contextmanager
def held() -> Iterator[None]:
    """Keeps an ending signal waiting until the block is through."""
    _State.depth += 1
    try:
        yield
    finally:
        _State.depth -= 1
        if _State.waiting and not _State.depth:
            _State.waiting = False
            raise KeyboardInterrupt
