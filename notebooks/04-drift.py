# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Drift, and what to do
#
# Are features still what they were? The newest week's open deals beside those of the weeks before, as known then; what is
# usual for a feature is learned from those weeks. The product does the same each night on what was served (`sales watch win`).

# %%
import os
from datetime import timedelta

import numpy as np
import polars as pl

from features import about
from features.catalogue import SETS
from features.offline import historical
from features.quality import broken, drift
from service.settings import read
from training import run
from training.__main__ import connected

connection = await connected(read(os.environ))
feature_set = SETS["deal_win"]
as_of = await run.instant_of(connection)


async def week(number):
    """The vectors of the deals that were open so many weeks ago."""
    at = as_of - timedelta(weeks=number)
    rows = await connection.fetch(
        "SELECT id::text FROM known.opportunities WHERE from_at <= $1 AND $1 < to_at AND status = 'open'"
        " AND NOT is_deleted ORDER BY id",
        at,
    )
    ids = [row[0] for row in rows]
    spine = pl.DataFrame({"entity_id": ids, "as_of": [at] * len(ids)}, schema={"entity_id": pl.String, "as_of": pl.Datetime("us", "UTC")})
    frame = await historical(connection.fetch, feature_set, spine, now=as_of)
    return {
        name: frame[name].fill_null("").to_numpy().astype(np.str_)
        if name in feature_set.categories
        else frame[name].fill_null(np.nan).to_numpy()
        for name in feature_set.names
    }


weeks = [await week(number) for number in range(10)]
print(f"{len(weeks[0]['stage'])} deals are open now, {len(weeks[-1]['stage'])} were nine weeks ago")


# %%
def table(found):
    return pl.DataFrame(
        [(one.name, round(one.distance, 3), round(one.threshold, 3), one.p, one.is_drifted) for one in found],
        schema={"feature": pl.String, "distance": pl.Float64, "usual": pl.Float64, "p": pl.Float64, "drifted": pl.Boolean},
        orient="row",
    ).sort(pl.col("usual") - pl.col("distance"))


table(drift(weeks, feature_set.categories)).head(8)

# %% [markdown]
# ## A planted fault
# Amounts in cents instead of units, as after a change of an integration: the alarm names the feature, and the source is
# where to look.

# %%
faulty = {**weeks[0], "amount_log": weeks[0]["amount_log"] + np.log(100)}
found = drift([faulty, *weeks[1:]], feature_set.categories)
alarms = [one.name for one in found if one.is_drifted]
print("alarms:", alarms if found else "none: too few deals are open each week to say what is usual")
print("from:", about.lineage(feature_set["amount_log"])["tables"])

# %% [markdown]
# ## Broken expectations
# A definition says what is allowed; what breaks it is a fault, not drift.

# %%
faults = {name: broken(feature_set[name], weeks[0][name]) for name in feature_set.names}
print({name: fault for name, fault in faults.items() if fault} or "all values keep to their definitions")
print(broken(feature_set["discount"], np.array([12.0, 340.0])))

# %% [markdown]
# ## What to do
# 1. Look at the source first. A fault there is mended there, and its values count again from the next write on.
# 2. If the world has changed, train anew: `sales train win` (each night's look queues that by itself when a feature drifted).
# 3. Where the model must serve meanwhile, its reasons and its calibration tell how far it can be trusted: `sales watch win`
#    shows what was said beside what came.
# 4. Roll back only if the newest version is at fault: the one before learned on older data still.

# %%
await connection.close()
