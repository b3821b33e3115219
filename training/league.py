"""`python -m training.league`: past periods forecast as known then; lines of JSON on standard output, rows last."""

import argparse
import asyncio
import json
import os
import sys
from datetime import UTC, datetime

import asyncpg

from features.catalogue import SETS
from service.settings import read
from training import backtest, ending

BEHIND = 2
"""Periods before the first one of the league."""


async def run(url: str, as_of: datetime, periods: int) -> list[dict[str, object]]:
    """The league's rows; progress goes out as it comes. Earlier periods are forecast too: bands rest on them."""
    pool = await asyncpg.create_pool(url, min_size=1, max_size=2, server_settings={"timezone": "UTC"})
    try:
        replayed = await backtest.replay(
            pool.fetch, SETS["deal_win"], as_of, periods=periods + BEHIND, tell=_tell
        )
    finally:
        await pool.close()
    wanted = sorted({look.quarter.key for look in replayed.looks})[-periods:]
    return [row for row in backtest.league(replayed) if row["period"] in wanted]


def _tell(what: str, done: int, total: int) -> None:
    _say({"progress": {"what": what, "done": done, "total": total}})


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--periods", type=int, default=6)
    options.add_argument("--as-of", type=datetime.fromisoformat, default=None)
    chosen = options.parse_args()
    ending.with_the_reader()
    url = read(os.environ).database_app_url
    for row in asyncio.run(run(url, chosen.as_of or datetime.now(UTC), chosen.periods)):
        _say({"row": row})


if __name__ == "__main__":
    main()
