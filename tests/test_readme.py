"""README's own method works as it stands."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from hwbench.cli.main import app
from hwbench.store import Store

from .cli.conftest import INLINE, run

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder with README's examples in the files that they name, and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("hwbench.build._plugins", set())
    monkeypatch.setenv("HWBENCH_CACHE", str(tmp_path / "cache"))
    for name, text in FENCE.findall(README):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


COMMANDS = [
    line.split("#")[0].split("     ")[0].split("    ")[0].strip()
    for block in re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("hwbench ") and not line.startswith("hwbench/")
]


def test_there_are_commands():
    assert len(COMMANDS) >= 20


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_known_with_its_options(command, tmp_path, monkeypatch):
    (tmp_path / "build/smoke/results").mkdir(parents=True)  # as `make smoke` does
    monkeypatch.chdir(tmp_path)
    _, name, *words = shlex.split(command)
    found: Any = get_command(app).commands[name]
    if hasattr(found, "commands"):
        found = found.commands[words.pop(0)]
    found.make_context(name, words)  # raises for an unknown option, or without a needed name


def test_the_example_runs_at_smoke_and_is_compared(mine, capsys):
    assert run("run", "mine.yaml", "--plugin", "mypackage", "--profile", "smoke", *INLINE) == 0
    found, _ = Store(mine / "results").results("mine/table1")
    assert [r.case.seed for r in found] == [0, 1]
    assert all(r.steps == 50 and r.plugins == ["mypackage"] for r in found)
    capsys.readouterr()
    against = ("--against", "mine.yaml", "--plugin", "mypackage")
    assert run("compare", "iwaer/table1", *against) == 0
    assert "mine" in capsys.readouterr().out
