"""MLflow's mirror of the registry: for each version a run with parameters, figures, plot, card and files, and a registered
model version; the alias `champion` stands where our registry has it.

The registry is the truth; this can be made anew from it at any time. MLflow is spoken to without its HTTP server. A run
that was ended in the middle leaves nothing behind: the next one takes away what it finds half made, and makes it again.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"  # a model is data, not code

import matplotlib  # the variables above must be set before MLflow is read

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # after its backend is chosen
import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from registry import bundle, champion
from registry.bundle import Refused
from training import cards

EXPERIMENT = "sales"
ALIAS = "champion"
MOST_TEXT = 250
"""Characters of a parameter that MLflow's tables take for certain."""
WAIT_SECONDS = 5
"""MLflow's own client tries for minutes to reach a database that is away."""
ERRORS = (MlflowException, sa.exc.SQLAlchemyError, OSError)
"""What MLflow's client raises when its database or its files go away."""


class Unreachable(Exception):
    """MLflow's database or its files cannot be reached; says why."""


def opened(tracking_uri: str) -> MlflowClient:
    """A client on MLflow's own database. Raises `Unreachable`."""
    if not tracking_uri:
        raise Unreachable("SALES_MLFLOW_DATABASE is not set")
    try:
        engine = sa.create_engine(tracking_uri, connect_args={"connect_timeout": WAIT_SECONDS})
        with engine.connect():
            pass
        engine.dispose()
        client = MlflowClient(tracking_uri, registry_uri=tracking_uri)
        client.search_experiments(max_results=1)
    except Exception as error:  # the driver's own errors come through unwrapped
        raise Unreachable(_said(error)) from error
    return client


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


async def mirror(connection: Any, tracking_uri: str, artifacts_url: str, models: Path) -> dict[str, Any]:
    """Tells MLflow of all versions that have no run yet, and sets the aliases. Idempotent. `refused`: versions whose files
    in `models` are not those that were registered. Raises `Unreachable`, also when MLflow goes away on the way."""
    client = opened(tracking_uri)
    new, refused = 0, []
    try:
        experiment = experiment_id(client, artifacts_url)
        for row in reversed(await champion.versions(connection, limit=1_000)):
            if row["run_id"]:
                continue
            try:
                bundle.read(models, row["model"], row["version"], row["sha256"])
            except Refused as error:
                refused.append(str(error))
                continue
            run_id = logged(client, experiment, row, models)
            await champion.mirrored(connection, row["model"], row["version"], run_id)
            new += 1
        named = await set_aliases(connection, client)
    except ERRORS as error:
        raise Unreachable(f"it went away after {new} runs: {_said(error)}") from error
    return {"runs": new, "champions": named, "refused": refused}


_NAMED = """
SELECT model, 'champion' AS alias, version FROM registry.champions
UNION ALL SELECT model, alias, version FROM registry.aliases ORDER BY model, alias"""


async def set_aliases(connection: Any, client: MlflowClient) -> dict[str, int]:
    """Puts `champion`, `challenger` and `shadow` where our registry has them; returns the champions."""
    found = {}
    for row in await connection.fetch(_NAMED):
        theirs = version_of(client, row["model"], row["version"])
        if theirs is not None:
            client.set_registered_model_alias(row["model"], row["alias"], theirs)
            if row["alias"] == ALIAS:
                found[row["model"]] = row["version"]
    return found


def version_of(client: MlflowClient, model: str, version: int) -> str | None:
    """MLflow's own number of one of our versions."""
    found = client.search_model_versions(f"name = '{model}' AND tag.version = '{version}'")
    return str(found[0].version) if found else None


def experiment_id(client: MlflowClient, artifacts_url: str) -> str:
    """The experiment of this installation, made when it is missing."""
    found = client.get_experiment_by_name(EXPERIMENT)
    return str(
        found.experiment_id
        if found
        else client.create_experiment(EXPERIMENT, artifact_location=artifacts_url)
    )


def logged(client: MlflowClient, experiment: str, row: Mapping[str, Any], models: Path) -> str:
    """One version as a run with its files, registered; returns the id of the run. One that a run which was ended had made
    whole is taken as it is."""
    whole = _left(client, experiment, row)
    if whole:
        return whole
    card = row["card"]
    run = client.create_run(
        experiment, run_name=f"{row['model']}-{row['version']}",
        tags={"model": row["model"], "version": str(row["version"]), "sha256": row["sha256"]},
    )  # fmt: skip
    run_id = str(run.info.run_id)
    parameters = {
        "tier": row["tier"], "feature_set": card["feature_set"], "features": len(card["features"]),
        "rows": card["data"]["rows"], "training_as_of": card["training_as_of"],
    }  # fmt: skip
    client.log_batch(
        run_id, metrics(row["metrics"]), [Param(name, str(value)[:MOST_TEXT]) for name, value in parameters.items()],
        [RunTag("data_sha256", card["data"]["sha256"])],
    )  # fmt: skip
    client.log_text(run_id, cards.markdown(card), "card.md")
    if card["reliability"]:
        with tempfile.TemporaryDirectory() as scratch:
            client.log_artifact(run_id, str(calibration_plot(card, Path(scratch))))
    folder = bundle.folder_of(models, row["model"], row["version"])
    for name in (bundle.MODEL, bundle.MANIFEST):  # these two and nothing that lies beside them
        client.log_artifact(run_id, str(folder / name), "model")
    _registered(client, row, run_id, f"{run.info.artifact_uri}/model")
    client.set_terminated(run_id)
    return run_id


def _left(client: MlflowClient, experiment: str, row: Mapping[str, Any]) -> str | None:
    """The whole run of a version of which our registry was not told any more; half made ones are taken away."""
    tags = f"tags.model = '{row['model']}' and tags.version = '{row['version']}' and tags.sha256 = '{row['sha256']}'"
    whole = None
    for run in client.search_runs([experiment], tags):
        run_id = str(run.info.run_id)
        if run.info.status == "FINISHED" and whole is None:
            whole = run_id
            continue
        for one in client.search_model_versions(f"run_id = '{run_id}'"):
            client.delete_model_version(one.name, one.version)
        client.delete_run(run_id)
    return whole


def _registered(client: MlflowClient, row: Mapping[str, Any], run_id: str, source: str) -> None:
    try:
        client.get_registered_model(row["model"])
    except MlflowException:
        client.create_registered_model(row["model"], description=row["card"]["purpose"])
    tags = {
        "version": str(row["version"]), "tier": row["tier"], "sha256": row["sha256"],
        "verdict": "publishable" if row["verdict"].get("is_publishable") else "refused",
    }  # fmt: skip
    words = "; ".join(gate["words"] for gate in row["verdict"].get("gates", []))
    client.create_model_version(row["model"], source, run_id, tags=tags, description=words[:2_000])


def metrics(found: Mapping[str, Any], prefix: str = "") -> list[Metric]:
    """Figures with the ends of their intervals, flat, as MLflow keeps them."""
    kept: list[Metric] = []
    for name, of in found.items():
        if not isinstance(of, Mapping):
            continue
        if "value" not in of:
            kept += metrics(of, f"{prefix}{name}.")
            continue
        for end in ("value", "low", "high"):
            if of.get(end) is not None:
                key = f"{prefix}{name}" if end == "value" else f"{prefix}{name}.{end}"
                kept.append(Metric(key.replace("%", ""), float(of[end]), 0, 0))
    return kept


def calibration_plot(card: Mapping[str, Any], folder: Path) -> Path:
    """What was said against what came, by tenths of the later rows."""
    lines = card["reliability"]
    figure, axes = plt.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.plot([line["said"] for line in lines], [line["came"] for line in lines], marker="o")
    for line in lines:
        axes.annotate(
            f"{line['n']}",
            (line["said"], line["came"]),
            textcoords="offset points",
            xytext=(4, -10),
            fontsize=7,
        )
    axes.set(
        xlabel="said",
        ylabel="came",
        title=f"{card['model']} {card['version']} ({card['tier']}) on later rows",
    )
    path = folder / "calibration.png"
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
    return path
