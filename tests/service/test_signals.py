"""An ending signal raises once, waits for what must not be cut in two, and respects `nohup`."""

import signal
from collections.abc import Iterator

import pytest

from service import signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The handlers of the tests, put back afterwards; the tests may run under `nohup` themselves."""
    before = {number: signal.getsignal(number) for number in signals.ENDINGS}
    for number in signals.ENDINGS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", signals.ENDINGS)
def test_the_first_raises_and_those_after_it_do_nothing(number: signal.Signals) -> None:
    signals.install()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    for again in signals.ENDINGS:
        signal.raise_signal(again)


def interrupted_inside(passed: list[str]) -> None:
    with signals.held():
        with signals.held():
            signal.raise_signal(signal.SIGINT)
            passed.append("inner")
        passed.append("outer")


def test_inside_held_it_waits() -> None:
    signals.install()
    passed: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted_inside(passed)
    assert passed == ["inner", "outer"]
    with signals.held():
        pass


def test_nohup_is_respected() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals.install()
    signal.raise_signal(signal.SIGHUP)
