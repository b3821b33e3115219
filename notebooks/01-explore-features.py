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
# # Explore features
#
# What models may know, as of any instant. A spine is a table of whom and when; each row gets what was known of that deal
# then, and labels once they have matured.

# %%
import os
from datetime import timedelta

import matplotlib.pyplot as plt
import polars as pl

from features import about
from features.catalogue import FEATURES, SETS
from features.labels import LABELS
from features.offline import BadSpine, digest, historical
from service.settings import read
from training import run
from training.__main__ import connected

connection = await connected(read(os.environ))
feature_set = SETS["deal_win"]
as_of = await run.instant_of(connection)

# %% [markdown]
# ## The catalogue
# Read off the definitions: range, null policy, where a value comes from, from when on a fact counts.

# %%
catalogue = pl.DataFrame(
    [
        {"feature": one.name, "entity": one.entity, "unit": one.unit, "version": about.version(one)}
        | {"tables": ", ".join(about.lineage(one)["tables"])}
        for one in FEATURES
    ]
)
print(f"{len(catalogue)} features; deal_win has {len(feature_set.names)}, fingerprint {feature_set.fingerprint[:16]}…")
catalogue.sample(8, seed=1)

# %% [markdown]
# ## A training set of one's own
# Every deal that was open on each of twelve Mondays, half a year ago, with what came of it.

# %%
first = (as_of - timedelta(days=270)).replace(hour=0, minute=0, second=0, microsecond=0)
mondays = [first + timedelta(days=7 * week - first.weekday()) for week in range(12)]
pairs = [
    {"entity_id": str(row["id"]), "as_of": monday}
    for monday in mondays
    for row in await connection.fetch(
        "SELECT id FROM known.opportunities WHERE from_at <= $1 AND $1 < to_at AND status = 'open' AND NOT is_deleted ORDER BY id", monday
    )
]
spine = pl.DataFrame(pairs, schema={"entity_id": pl.String, "as_of": pl.Datetime("us", "UTC")})
frame = await historical(connection.fetch, feature_set, spine, labels=("won_90d", "won_at_last"), now=as_of)
print(f"{len(frame):,} rows, sha256 {digest(frame)[:16]}…")
print({name: LABELS[name].meaning for name in ("won_90d", "won_at_last")})
frame.select("entity_id", "as_of", "won_90d", "stage", "age_weeks", "activities_28d", "amount_log").head()

# %% [markdown]
# The same spine in another order, asked again later, has the same rows; what is wrong with a spine is said by row.

# %%
again = await historical(connection.fetch, feature_set, spine.reverse(), labels=("won_90d", "won_at_last"), now=as_of)
print("the same:", digest(again.reverse()) == digest(frame))
try:
    await historical(connection.fetch, feature_set, spine.head(1).vstack(spine.head(1)), now=as_of)
except BadSpine as refused:
    print("refused:", refused)

# %% [markdown]
# ## What tells wins from the others
# Means by outcome, in standard deviations: a first look, not an effect.

# %%
known = frame.filter(pl.col("won_90d").is_not_null())
numbers = [name for name in feature_set.names if name not in feature_set.categories and known[name].null_count() < len(known) / 2]
apart = pl.DataFrame(
    [
        {
            "feature": name,
            "apart": ((known.filter(pl.col("won_90d") == 1)[name].mean() or 0) - (known.filter(pl.col("won_90d") == 0)[name].mean() or 0))
            / (known[name].std() or 1),
        }
        for name in numbers
    ]
).sort(pl.col("apart").abs(), descending=True)
top = apart.head(12).reverse()
plt.figure(figsize=(6, 3.4))
plt.barh(top["feature"], top["apart"])
plt.axvline(0, color="0.7")
plt.title("won within 90 days less the others, in standard deviations")
plt.tight_layout()
plt.show()

# %%
await connection.close()
