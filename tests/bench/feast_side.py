"""Runs under Feast's own Python, never under ours: an online store of three views, asked as its users ask.

    python feast_side.py FOLDER REDIS      FOLDER holds deal.parquet, account.parquet, user.parquet

Writes FOLDER/feature_store.yaml, fills the store, then answers each line `SIZE` on its input with milliseconds.
"""

import sys
import time
from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64
from feast.value_type import ValueType

VIEWS = ("deal", "account", "user")
CONFIG = """project: bench
registry: {folder}/registry.db
provider: local
entity_key_serialization_version: 3
online_store:
  type: redis
  connection_string: "{redis}"
offline_store:
  type: file
"""


def main(folder: Path, redis: str) -> None:
    """Fills the store, then answers until its input ends."""
    (folder / "feature_store.yaml").write_text(CONFIG.format(folder=folder, redis=redis))
    store = FeatureStore(repo_path=str(folder))
    references, frames = [], {}
    for name in VIEWS:
        path = folder / f"{name}.parquet"
        frames[name] = frame = pd.read_parquet(path)
        columns = [one for one in frame.columns if one not in ("id", "account", "user", "event_timestamp")]
        entity = Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING)
        source = FileSource(path=str(path), timestamp_field="event_timestamp")
        view = FeatureView(
            name=f"{name}_view", entities=[entity], ttl=timedelta(days=1), source=source,
            schema=[Field(name=one, dtype=Float64) for one in columns],
        )  # fmt: skip
        store.apply([entity, view])
        written = frame[["id", *columns, "event_timestamp"]].rename(columns={"id": f"{name}_id"})
        store.write_to_online_store(f"{name}_view", written)
        references += [f"{name}_view:{one}" for one in columns]
    deals = frames["deal"]
    asked = [
        {"deal_id": row.id, "account_id": row.account, "user_id": row.user}
        for row in deals.itertuples(index=False)
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        began = time.perf_counter()
        found = store.get_online_features(features=references, entity_rows=asked[: int(line)]).to_dict()
        taken = 1000 * (time.perf_counter() - began)
        known = sum(
            value is not None
            for name, column in found.items()
            if not name.endswith("_id")
            for value in column
        )
        sys.stdout.write(f"{taken} {known}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
