"""The room that trains, as a process: lines are read as they come, and a failure says its last words."""

from pathlib import Path

import pytest

from service import trainer
from service.errors import Conflict
from service.settings import Settings

pytestmark = pytest.mark.anyio


async def read(module: str, *arguments: str, home: Path) -> list[dict[str, object]]:
    return [line async for line in trainer.lines(Settings(home=home), module, *arguments)]


async def test_lines_of_json_are_read_and_remarks_are_not(tmp_path: Path) -> None:
    lines = await read("json.tool", "--json-lines", "--no-indent", str(_two_lines(tmp_path)), home=tmp_path)
    assert lines == [{"row": {"period": "2026Q1"}}, {"result": {"rows": 1}}]
    assert await read("calendar", "2026", home=tmp_path) == []


def _two_lines(folder: Path) -> Path:
    path = folder / "lines.json"
    path.write_text('{"row": {"period": "2026Q1"}}\n{"result": {"rows": 1}}\n')
    return path


async def test_a_process_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="No module named training"):
        await read("training.nothing", home=tmp_path)


async def test_leaving_early_ends_the_process(tmp_path: Path) -> None:
    endless = trainer.lines(
        Settings(home=tmp_path), "json.tool", "--json-lines", "--no-indent", str(_two_lines(tmp_path))
    )
    async for line in endless:
        assert "row" in line
        break
    await endless.aclose()  # type: ignore[attr-defined]  # an async generator, typed as an iterator
