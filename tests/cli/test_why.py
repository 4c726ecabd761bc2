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


def test_why_tells_of_a_damaged_file_and_of_a_rerun_that_failed(done, capsys, monkeypatch):
    first, second = sorted((done / "results").rglob("smoke-seed0-*.json"))
    first.write_text("half")
    for room in ("plan", "result", "job"):
        monkeypatch.setattr(f"hwbench.runner.{room}.fingerprint", lambda case: "e" * 16)
    one = ("tiny", "--profile", "smoke", "--seeds", 1)
    with monkeypatch.context() as broken:
        broken.setattr("hwbench.runner.result._evaluate", lambda *a: 1 / 0)
        assert run("run", *one, "--rows", "method=VAE", "--rerun", "changed", *INLINE) == 4
    capsys.readouterr()
    assert run("why", *one, "--json") == 0
    states = {line["case"]: line["state"] for line in json.loads(capsys.readouterr().out)}
    damaged, failed = states.values()
    assert damaged == "damaged: the file in its place is no whole result"
    again = "run again, it failed: ZeroDivisionError: division by zero"
    assert failed == f"on file, but its code has changed; {again}"
    assert second.exists()
    assert run("run", *one, "--rows", "method=IWAE", *INLINE) == 0
    assert list((done / "results").rglob("*.old-*"))
    assert run("why", *one, "--rows", "method=IWAE", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "on file"
