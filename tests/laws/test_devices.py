"""The laws on a pretend device, in a process of their own.

Torch's autograd engine counts the devices once, at the first backward pass of a process.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_models_rules_and_optimizers_stay_on_their_device():
    file = Path(__file__).with_name("devices.py")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--no-header", str(file)]
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, cwd=root, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
