"""The notebooks run from top to bottom in a fresh kernel, on a company and an MLflow of their own."""

import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import asyncpg
import httpx
import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from service.system import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PATIENCE = 120.0


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_both_forms_are_one_notebook(notebook):
    as_text = jupytext.read(notebook.with_suffix(".py"))
    as_json = nbformat.read(notebook, as_version=4)
    assert [cell.source for cell in as_text.cells] == [cell.source for cell in as_json.cells]
    assert all(not cell.get("outputs") for cell in as_json.cells)


def test_there_are_four():
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]


@pytest.fixture(scope="module")
def mlflow_database(servers):
    name = servers.create_database(template=None)
    yield servers.owner_url(name)
    servers.drop_database(name)


@pytest.fixture
def variables(settings, database, company, mlflow_database, monkeypatch, tmp_path):
    """What a kernel finds in its environment."""
    found = settings.environment() | {
        "SALES_MLFLOW_DATABASE": mlflow_database, "SALES_MLFLOW_ARTIFACTS": (tmp_path / "mlflow").as_uri(),
        "NOTEBOOK_ROWS": "2500", "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true", "MPLBACKEND": "Agg",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "IPYTHONDIR": str(tmp_path / "ipython"),
    }  # fmt: skip
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def api(variables, people, monkeypatch):
    """The product's API as a process, and the token of somebody who studies data."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "serve"], cwd=ROOT, stdout=subprocess.DEVNULL,
        env={**os.environ, **variables, "PORT": str(port)},
    )  # fmt: skip
    monkeypatch.setenv("SALES_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("SALES_TOKEN", people.data.token)
    try:
        until = time.monotonic() + PATIENCE
        while not _answers(port):
            assert process.poll() is None
            assert time.monotonic() < until, "the API did not come up"
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _answers(port):
    try:
        return urlopen(f"http://127.0.0.1:{port}/health/live", timeout=2).status == 200
    except OSError:
        return False


async def printed(name):
    """All that a notebook prints."""
    (path,) = (ROOT / "notebooks").glob(f"{name}-*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    await NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    ).async_execute()
    return "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", ()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_features_are_explored(variables):
    said = await printed("01")
    assert "the same: True" in said
    assert "refused: the same entity_id at the same as_of stands twice, in row 1, 2" in said


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_model_is_trained_registered_promoted_and_rolled_back_under_a_token(
    api, database, people, mlflow_database
):
    said = await printed("02")
    assert "win version 1 (" in said
    assert "'runs': 1" in said
    assert "promoted: 200 {'model': 'win', 'version': 1, 'previous_version': None}" in said
    assert "'reason': 'tried in a notebook'" in said
    assert await database.fetchval("SELECT run_id IS NOT NULL FROM registry.versions WHERE model = 'win'")
    mlflow = await asyncpg.connect(mlflow_database)
    try:
        assert await mlflow.fetchval("SELECT count(*) FROM model_versions WHERE name = 'win'") == 1
        assert await mlflow.fetchval("SELECT count(*) FROM metrics WHERE key LIKE 'log_loss_%'") > 0
    finally:
        await mlflow.close()
    again = await printed("02")
    assert "rolled back: 200 {'model': 'win', 'version': 1, 'previous_version': 2}" in again
    assert "beside the champion's on the same" in again or "no champion with later rows" in again, "compared"
    told = await database.fetch(
        "SELECT actor_id, door, data ->> 'version' AS version FROM ledger.events WHERE kind = 'model.promoted' ORDER BY position"
    )
    assert [(row["actor_id"], row["version"]) for row in told] == [
        (people.data.id, one) for one in ("1", "2", "1")
    ]
    rows = await database.fetch(
        "SELECT version, created_by, card FROM registry.versions WHERE model = 'win' ORDER BY version"
    )
    assert [(row["version"], row["created_by"]) for row in rows] == [
        (1, people.data.email),
        (2, people.data.email),
    ]
    assert {one["by"] for row in rows for one in row["card"]["promotions"]} == {str(people.data.id)}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api}/api/v1/models/win", timeout=30) as client:
        for person in (people.rep, people.ops):  # the rights are the token's: others' may not
            for verb, body in (("promote", {"version": 2}), ("rollback", {}), ("train", {})):
                refused = await client.post(f"/{verb}", json=body, headers=person.headers)
                assert refused.status_code == 403, (person.role, verb)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_tiers_are_calibrated_and_compared(variables):
    said = await printed("03")
    assert "log loss of logistic less baseline's:" in said
    assert "the limit is 20" in said


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_drift_is_looked_for(variables):
    said = await printed("04")
    assert "deals are open now" in said
    assert "1 values lie above 100" in said
