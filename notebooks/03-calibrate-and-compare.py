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
# # Calibrate and compare
#
# Two tiers learn up to an origin and are judged on the weeks after it. Is what they say true on average, in each stage too?
# And is one better than the other for certain, or only on these deals?

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import polars as pl

from features.catalogue import SETS
from ml import metrics, sequential
from ml.win import WinModel
from service.settings import read
from training import guard, judge, run, win
from training.__main__ import connected
from training.dataset import deal_panel

connection = await connected(read(os.environ))
MOST = int(os.environ.get("NOTEBOOK_ROWS", "6000"))
as_of = await run.instant_of(connection)
deals = await deal_panel(connection.fetch, SETS["deal_win"], as_of, most=MOST)
deals = deals.without([one.column for one in guard.refused(deals, SETS["deal_win"])])
cut = judge.origins(float(deals.panel.at.min()), deals.panel.end)[-1]
rows = win.judged_rows(deals, cut)
judged = win.judged_of(deals, rows)
ask = win.Ask(deals.panel.frame.take(rows), deals.panel.stage[rows], deals.panel.at[rows])
target = [name for name in ("won_30d", "won_60d", "won_90d") if judged.known[name].any()][-1]
use = judged.known[target]
came, group = judged.outcome[target][use], judged.group[use]
print(f"{target}: {int(use.sum())} later landmarks of {len(np.unique(group))} deals")

# %%
known = deals.known_by(cut)
said = {tier: win.said_by(WinModel(deals.stages, tier).fit(known), ask)[target][use] for tier in ("baseline", "logistic")}
pl.DataFrame(
    [
        {"tier": tier, **{name: round(of.value, 4) for name, of in metrics.summary(chance, came, group).items()}}
        for tier, chance in said.items()
    ]
)

# %% [markdown]
# ## Said and came
# Ten bins of equal size; on the line, what is said is true. The error has an interval by deal: noise alone makes it positive.

# %%
plt.figure(figsize=(3.8, 3.8))
plt.plot([0, 1], [0, 1], color="0.7")
for tier, chance in said.items():
    lines = metrics.reliability(chance, came)
    plt.plot([line.said for line in lines], [line.came for line in lines], marker="o", label=tier)
plt.legend()
plt.show()
for tier, chance in said.items():
    error = metrics.ece(chance, came, group)
    print(f"{tier}: calibration error {error.value:.3f} [{error.low:.3f}, {error.high:.3f}]; the gate asks for a low end of at most .05")

# %% [markdown]
# ## By stage
# A model can be right on average and wrong everywhere.

# %%
stage = np.array(deals.stages)[deals.panel.stage[rows]][use]
pl.DataFrame(
    [
        {"stage": name, "n": int((stage == name).sum()), "came": round(float(came[stage == name].mean()), 3)}
        | {tier: round(float(chance[stage == name].mean()), 3) for tier, chance in said.items()}
        for name in deals.stages
        if (stage == name).any()
    ]
)

# %% [markdown]
# ## Better for certain?
# The paired difference with its interval by deal; and what a challenger would have to show beside the champion, outcome by
# outcome: wealth above 20 (testing by betting, at most 5 % false promotions however often one looks).

# %%
losses = {tier: metrics.log_losses(chance, came) for tier, chance in said.items()}
gap = metrics.difference(losses["logistic"], losses["baseline"], group)
print(f"log loss of logistic less baseline's: {gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]")
first = np.unique(group, return_index=True)[1]  # one look for each deal
first = first[np.argsort(ask.at[use][first], kind="stable")]
brier = {tier: (chance - came) ** 2 for tier, chance in said.items()}
wealth = sequential.wealth((brier["baseline"] - brier["logistic"])[first])
print(f"wealth {wealth[-1]:.2f} after {len(wealth)} outcomes, {wealth.max():.2f} at most; the limit is {1 / sequential.ALPHA:.0f}")

# %%
await connection.close()
