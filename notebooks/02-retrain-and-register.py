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
# # Retrain and register the win model
#
# A challenger, from the feature store to the registry. The question: do trees, or a line, know more of the next weeks than
# the rates by stage? Everything here is known *then*: each row is a deal at an instant with what one could know at it.
#
# `make notebook` opens this with the home's own database and MLflow.

# %%
import os

import httpx
import matplotlib.pyplot as plt
import numpy as np
import polars as pl

from features.catalogue import SETS
from ml import metrics
from ml.win import WinModel
from registry import champion
from service.settings import read
from training import guard, judge, run, tracking, win
from training.__main__ import connected
from training.dataset import deal_panel

settings = read(os.environ)
connection = await connected(settings)
MOST = int(os.environ.get("NOTEBOOK_ROWS", "6000"))  # landmarks to learn from: more takes longer and tells more

api = None  # `sales token ADDRESS` prints a token; `SALES_URL` says where the product answers
if "SALES_TOKEN" in os.environ:
    api = httpx.Client(base_url=f"{os.environ['SALES_URL']}/api/v1", headers={"Authorization": f"Bearer {os.environ['SALES_TOKEN']}"})
me = api.get("/me").json() if api else {"email": "notebook", "role": "nobody's token"}
print(f"{me['email']} ({me['role']})")
if api and "train" not in me["permissions"].get("models", []):
    raise SystemExit(f"The token of {me['email']} may not train models: ask for one of a data scientist's.")

# %% [markdown]
# ## The training set
# One row for each Monday on which a deal was open and for each entry into a stage. It is named by the sha256 of its bytes:
# the same history gives the same name whenever it is asked.

# %%
feature_set = SETS["deal_win"]
as_of = await run.instant_of(connection)
deals = await deal_panel(connection.fetch, feature_set, as_of, most=MOST)
print(f"{len(deals.panel):,} of {deals.available:,} landmarks of {len(np.unique(deals.panel.deal)):,} deals")
print(f"as of {as_of:%Y-%m-%d %H:%M}, sha256 {deals.sha256[:16]}…, feature set {feature_set.fingerprint[:16]}…")
deals.frame.head(5)

# %% [markdown]
# ## A look at it
# Before any model: how often deals are won within 90 days, by stage and by month. A step in the right picture is a change of
# regime; models that only look at the average of all time are late there.

# %%
won, is_known = deals.won_within(90)
months = pl.Series(deals.panel.at * 86_400_000_000).cast(pl.Int64).cast(pl.Datetime("us")).dt.truncate("1mo")
seen = pl.DataFrame({"stage": np.array(deals.stages)[deals.panel.stage], "month": months, "won": won}).filter(pl.Series(is_known))
by_stage = seen.group_by("stage").agg(pl.col("won").mean(), pl.len()).sort("won")
by_month = seen.group_by("month").agg(pl.col("won").mean(), pl.len()).filter(pl.col("len") >= 30).sort("month")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2))
left.barh(by_stage["stage"], by_stage["won"])
left.set(xlabel="share won within 90 days", title="by stage")
right.plot(by_month["month"], by_month["won"], marker=".")
right.set(ylabel="share won within 90 days", title="by month of the look", ylim=(0, None))
figure.autofmt_xdate()
plt.show()

# %% [markdown]
# ## What may not be learned from
# Columns that get their value at the close, and features that alone tell the outcome, by value or by being missing.

# %%
refused = guard.refused(deals, feature_set)
for one in refused:
    print("-", one.reason)
deals = deals.without([one.column for one in refused])

# %% [markdown]
# ## A challenger, judged on later weeks
# It learns what was known at the cut-off and is judged on the weeks after it, beside the rate of each stage and the rate of
# the newest labels. The bootstrap draws deals, not rows.

# %%
cut = judge.origins(float(deals.panel.at.min()), deals.panel.end)[-1]
rows = win.judged_rows(deals, cut)
judged = win.judged_of(deals, rows)
ask = win.Ask(deals.panel.frame.take(rows), deals.panel.stage[rows], deals.panel.at[rows])
known = deals.panel.known_by(cut)
challenger = WinModel(deals.stages, "logistic").fit(known)
said = win.said_by(challenger, ask)
target = [name for name in ("won_30d", "won_60d", "won_90d") if judged.known[name].any()][-1]
use = judged.known[target]

then = deals.panel.at + float(target[4:-1]) <= cut
outcomes, _ = deals.won_within(float(target[4:-1]))
naive = judge.naive(deals.panel.frame.take(then), outcomes[then], deals.panel.at[then], ask.frame)
table = pl.DataFrame(
    [
        {"forecast": name, **{figure: measure.value for figure, measure in metrics.summary(chance[use], judged.outcome[target][use]).items()}}
        for name, chance in {"challenger": said[target], **naive}.items()
    ]
)
print(f"{target} on {int(use.sum())} later landmarks")
table

# %%
gap = metrics.difference(
    metrics.log_losses(said[target][use], judged.outcome[target][use]),
    metrics.log_losses(naive["trailing_rate"][use], judged.outcome[target][use]),
    judged.group[use],
)
print(f"log loss less that of the trailing rate: {gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}], {gap.groups} deals")
lines = metrics.reliability(said[target][use], judged.outcome[target][use])
plt.figure(figsize=(3.6, 3.6))
plt.plot([0, 1], [0, 1], color="0.7")
plt.plot([line.said for line in lines], [line.came for line in lines], marker="o")
plt.xlabel("said")
plt.ylabel("came")
plt.show()

# %% [markdown]
# ## Registered, and beside the champion
# The same road that `sales train win` takes: tiers, gates, a version each. Nothing serves by this: `sales promote win VERSION`
# does that, or the product's own training.

# %%
training = run.Training(connection, as_of, settings.home / "models", most=MOST, workers=1, by=me["email"])
present = await run.states.evidence(connection.fetch, as_of)
candidates = win.learn(
    deals, feature_set, as_of, evidence=run.Evidence(run.REQUIRED_DEALS, present), refusals=tuple(refused),
    champion=await training.champion("win"),
    tiers=("logistic",) if run.Evidence(run.REQUIRED_DEALS, present).is_met else ("baseline",), workers=1,
)  # fmt: skip
registered = await training.register(candidates[0], is_chosen=False)
print(f"win version {registered['version']} ({registered['tier']}), publishable: {registered['is_publishable']}")
for gate in registered["verdict"]["gates"]:
    print("  ", "passed" if gate["passed"] else "NOT PASSED", "-", gate["words"])

# %% [markdown]
# MLflow shows both: the run of the challenger, and the version behind the alias `champion`.

# %%
serving = await champion.champion(connection, "win")
print("champion:", f"version {serving['version']}" if serving else "none yet: the built-in baseline speaks")
try:
    print(await tracking.mirror(connection, settings.tracking_uri, settings.artifacts_url, settings.home / "models"))
    client = tracking.opened(settings.tracking_uri)
    shown = {"challenger": registered["version"]} | ({"champion": serving["version"]} if serving else {})
    figures = {}
    for name, number in shown.items():
        theirs = client.get_model_version("win", tracking.version_of(client, "win", number))
        figures[name] = client.get_run(theirs.run_id).data.metrics
    wanted = ["rolling_log_loss", f"log_loss_{target}", f"brier_{target}", f"ece_{target}", f"auc_{target}"]
    print(pl.DataFrame([{"figure": key} | {name: of.get(key) for name, of in figures.items()} for key in wanted]))
except tracking.Unreachable as reason:
    print("MLflow is not there:", reason)

# %% [markdown]
# ## Promoted, and rolled back
# Over the API, under a data scientist's token (`SALES_URL`, `SALES_TOKEN`): an event tells of each, all processes follow
# without a restart. A version that a gate refused needs a written reason, which its card keeps.

# %%
if api:
    before = next(one for one in api.get("/models").json()["items"] if one["name"] == "win")["version"]
    asked = {"version": registered["version"], "reason": "tried in a notebook"}
    if not registered["is_publishable"]:
        asked["override"] = "tried in a notebook; rolled back at once"
    served = api.post("/models/win/promote", json=asked, headers={"Idempotency-Key": f"notebook-{registered['sha256'][:16]}"})
    print("promoted:", served.status_code, served.json())
    if before is not None:
        once = {"Idempotency-Key": f"back-{registered['sha256'][:16]}"}
        back = api.post("/models/win/rollback", json={"reason": "the trial is over"}, headers=once)
        print("rolled back:", back.status_code, back.json())
    print("on the card:", api.get("/models/win/card", params={"version": registered["version"]}).json()["promotions"])
else:
    print("no SALES_TOKEN: `sales token ADDRESS` prints one of a data scientist's")

# %%
await connection.close()
