"""README's own method works as it stands."""

import re
import sys
from pathlib import Path

import pytest

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


def test_the_example_runs_at_smoke_and_is_compared(mine, capsys):
    assert run("run", "mine.yaml", "--plugin", "mypackage", "--profile", "smoke", *INLINE) == 0
    found, _ = Store(mine / "results").results("mine/table1")
    assert [r.case.seed for r in found] == [0, 1]
    assert all(r.steps == 50 and r.plugins == ["mypackage"] for r in found)
    capsys.readouterr()
    against = ("--against", "mine.yaml", "--plugin", "mypackage")
    assert run("compare", "iwaer/table1", *against) == 0
    assert "mine" in capsys.readouterr().out
