"""hwbench gate: a shift in either direction fails."""

import json

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


def test_gate_without_anything_to_compare_is_an_error(folder, capsys):
    (folder / "base").mkdir()
    assert run("gate", "--baseline", "base") == 2
    assert "nothing to compare" in capsys.readouterr().err
