"""hwbench report, after run and compare."""

import json

from hwbench.store import Store

from .conftest import run


def test_run_compare_report_and_gate(done, capsys):
    found, warnings = Store(done / "results").results()
    assert len(found) == 2
    assert not warnings
    assert run("run", "tiny", "--profile", "smoke", "--seeds", 1, "--jobs", 2) == 0
    assert "2 on file, 0 to run" in capsys.readouterr().err
    assert run("compare", "tiny", "--profile", "smoke") == 0
    assert "reduced" in capsys.readouterr().out
    assert run("compare", "tiny", "--json") == 0
    assert json.loads(capsys.readouterr().out)
    assert run("compare", "tiny", "--require", "agrees") == 1
    capsys.readouterr()
    assert run("list", "--json") == 0
    assert json.loads(capsys.readouterr().out)
    assert run("list") == 0
    line = capsys.readouterr().out.splitlines()[1].split("  ")
    words = [word.strip() for word in line if word.strip()]
    assert words == [
        "tiny/table", "A tiny table", "2", "2 smoke", "2 reduced", "1 undecided at smoke"
    ]  # fmt: skip
    assert run("report", "tiny", "--format", "html") == 0
    assert (done / "reports" / "index.html").stat().st_size > 5000
    assert (done / "reports" / "tiny-table.html").stat().st_size > 5000
    assert run("report", "tiny", "--format", "html", "--single-file", "--reports", "one") == 0
    assert [f.name for f in (done / "one").iterdir()] == ["index.html"]
