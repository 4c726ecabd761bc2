"""The examples run as their readers run them."""

import os
import subprocess
import sys
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
