"""Logs are JSON with a level and an instant, whoever writes them; metrics have their headings."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import REGISTRY

from service import observe
from service.settings import ROOT


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged, with the logging of the tests put back afterwards."""
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    stream = io.StringIO()
    observe.configure("info", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)


def test_our_lines_and_those_of_libraries_are_json(lines: io.StringIO) -> None:
    structlog.get_logger().info("answered", status=200, request_id="abc")
    logging.getLogger("some.library").warning("gave %s", "up")
    ours, theirs = (json.loads(line) for line in lines.getvalue().splitlines())
    assert (ours["event"], ours["level"], ours["status"], ours["request_id"]) == (
        "answered",
        "info",
        200,
        "abc",
    )
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("gave up", "warning", "some.library")
    assert ours["timestamp"].endswith("Z")


def test_an_error_keeps_its_trace_on_one_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("no good")
    except ValueError:
        structlog.get_logger().exception("crashed")
    (line,) = lines.getvalue().splitlines()
    assert json.loads(line)["exception"][0]["exc_value"] == "no good"


def test_what_an_error_had_at_hand_is_not_logged(lines: io.StringIO) -> None:
    secret = "canary-".join(["", "in a local"])
    try:
        raise ValueError(len(secret))
    except ValueError:
        structlog.get_logger().exception("crashed")
    assert "canary" not in lines.getvalue()


def test_everyday_talk_of_libraries_is_left_out(lines: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: GET")
    logging.getLogger("some.library").debug("detail")
    assert lines.getvalue() == ""


def test_each_metric_has_its_heading() -> None:
    headings = set(re.findall(r"^### (\w+)$", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    ours = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in REGISTRY.collect()
        if metric.name.startswith("sales_")
    }
    assert headings == ours
