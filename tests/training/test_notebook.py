"""The notebook runs from top to bottom in a fresh kernel, on a company and an MLflow of its own."""

import os
import sys
from pathlib import Path

import asyncpg
import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "01-retrain-win-model.ipynb"


def test_both_forms_are_one_notebook():
    as_text = jupytext.read(NOTEBOOK.with_suffix(".py"))
    as_json = nbformat.read(NOTEBOOK, as_version=4)
    assert [cell.source for cell in as_text.cells] == [cell.source for cell in as_json.cells]
    assert all(not cell.get("outputs") for cell in as_json.cells)


@pytest.fixture
def mlflow_database(servers):
    name = servers.create_database(template=None)
    yield servers.owner_url(name)
    servers.drop_database(name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_it_runs(settings, database, company, mlflow_database, monkeypatch, tmp_path):
    environment = settings.environment() | {
        "SALES_MLFLOW_DATABASE": mlflow_database, "SALES_MLFLOW_ARTIFACTS": (tmp_path / "mlflow").as_uri(),
        "NOTEBOOK_ROWS": "2500", "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true", "MPLBACKEND": "Agg",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "IPYTHONDIR": str(tmp_path / "ipython"),
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    await NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    ).async_execute()
    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", ()))
    assert "win version 1 (" in printed
    assert "'runs': 1" in printed
    assert await database.fetchval("SELECT run_id IS NOT NULL FROM registry.versions WHERE model = 'win'")
    mlflow = await asyncpg.connect(mlflow_database)
    try:
        assert await mlflow.fetchval("SELECT count(*) FROM model_versions WHERE name = 'win'") == 1
        assert await mlflow.fetchval("SELECT count(*) FROM metrics WHERE key LIKE 'log_loss_%'") > 0
    finally:
        await mlflow.close()
