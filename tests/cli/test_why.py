"""hwbench why: the state of each case."""

import json

from .conftest import INLINE, edit, run


def test_why_explains_each_state(done, capsys):
    capsys.readouterr()
    assert run("why", "tiny", "--profile", "smoke", "--json") == 0
    states = [line["state"] for line in json.loads(capsys.readouterr().out)]
    assert sorted(states) == ["not run yet", "not run yet", "on file", "on file"]
    edit(done, "epochs: 1", "epochs: 2")
    assert run("why", "tiny", "--profile", "smoke", "--seeds", 1, "--json") == 0
    states = [line["state"] for line in json.loads(capsys.readouterr().out)]
    assert states == ["stale: the spec has changed (train.0.epochs 1 -> 2)"] * 2
    assert run("why", "tiny", "--profile", "smoke", "--seeds", 1) == 0
    assert "1 -> 2); a run would run it\n" in capsys.readouterr().out
    assert run("run", "tiny", "--profile", "smoke", "--seeds", 1, *INLINE) == 0
    assert run("why", "tiny", "--profile", "smoke", "--seeds", 1) == 0
    assert "on file; a run would do nothing\n" in capsys.readouterr().out
