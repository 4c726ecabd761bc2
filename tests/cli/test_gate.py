"""hwbench gate: a shift in either direction fails."""

import json

import pytest

from hwbench.attest.campaign import Comparison

from .conftest import INLINE, run


def test_gate_passes_on_itself_and_fails_on_a_shift_in_either_direction(folder, capsys):
    assert run("run", "tiny", "--profile", "smoke", "--seeds", 3, *INLINE) == 0
    assert run("gate", "--baseline", "base", "--update") == 0
    assert run("gate", "--baseline", "base", "--junit", "gate.xml") == 0
    assert (folder / "gate.xml").read_text().count("<testcase") == 2
    path = folder / "base" / "tiny" / "table-smoke.json"
    base = json.loads(path.read_text())
    values = base["rows"]["IWAE"]["values"]
    for shift, word in [(+50, "worse"), (-50, "better")]:
        shifted = json.loads(path.read_text())
        shifted["rows"]["IWAE"]["values"] = {k: v + shift for k, v in values.items()}
        (folder / "shifted" / "tiny").mkdir(parents=True, exist_ok=True)
        (folder / "shifted" / "tiny" / "table-smoke.json").write_text(json.dumps(shifted))
        capsys.readouterr()
        assert run("gate", "--baseline", "shifted") == 1
        assert f"{word} than the baseline" in capsys.readouterr().out


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_news_of_an_attestation_are_left_out_if_asked(folder, capsys, monkeypatch, quiet):
    def attest(*_, news, **__):
        news("2 cases to run")
        return Comparison("old", "new")

    monkeypatch.setattr("hwbench.attest.campaign.attest", attest)
    assert run("gate", "tiny", "--attest", "HEAD~1", "--json", *quiet) == 0
    told = capsys.readouterr()
    assert told.err == ("" if quiet else "2 cases to run\n")
    empty = {"on_file": 0, "file": None, "rows": []}
    assert json.loads(told.out) == {"old": "old", "new": "new", **empty}


def test_gate_without_anything_to_compare_is_an_error(folder, capsys):
    (folder / "base").mkdir()
    assert run("gate", "--baseline", "base") == 2
    assert "nothing to compare" in capsys.readouterr().err
