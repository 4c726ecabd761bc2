"""The examples run as their readers run them."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(folder, tmp_path, *command):
    path = os.pathsep.join(filter(None, [str(EXAMPLES.parent), os.environ.get("PYTHONPATH")]))
    surroundings = {
        **os.environ,
        "PYTHONPATH": path,
        "HWBENCH_CACHE": str(tmp_path / "cache"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=EXAMPLES / folder,
        env=surroundings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_notebook_runs_and_shows_its_tables(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="needs `make docs` once")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("HWBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    notebook = nbformat.read(EXAMPLES / "table1.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's libraries
        nbclient.NotebookClient(notebook, resources={"metadata": {"path": tmp_path}}).execute()
    shown = [str(out.get("data", "")) for c in notebook.cells for out in c.get("outputs", [])]
    assert "text/html" in shown[0]
    assert any("IWAER_rec" in text and "reduced" in text for text in shown)


@pytest.mark.slow
def test_a_model_of_ones_own_passes_its_gate(tmp_path):
    # By name, since an old installation may not have the entry point.
    plugin = ("-p", "hwbench.pytest_plugin")
    assert "3 passed" in run("own-model", tmp_path, "pytest", "-q", *plugin)


@pytest.mark.slow
def test_a_model_of_ones_own_stands_beside_a_table(tmp_path):
    table, results = ("trees.yaml", "--plugin", "treemodel"), ("--results", str(tmp_path))
    run("own-model", tmp_path, "hwbench", "run", *table, "--profile", "smoke", *results)
    beside = ("hm2012/mnist", "--against", *table, *results)
    assert "Chow-Liu tree" in run("own-model", tmp_path, "hwbench", "compare", *beside)
