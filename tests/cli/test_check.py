"""hwbench check: every mistake of a spec with its file, line and field."""

import json

import pytest

from hwbench.cli import console
from hwbench.cli.console import Messages

from .conftest import edit, files, run


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "rule: {use: bounds.IWAE, k: 2}",
            "rule: {use: bounds.IWEA, k: 2}",
            "did you mean bounds.IWAE?",
        ),
        (
            "rule: {use: bounds.IWAE, k: 2}",
            "rule: {use: bounds.IWAE, k: 0}",
            "greater than or equal to 1",
        ),
        (
            "rule: {use: bounds.IWAE, k: 2}",
            "rule: {use: bounds.IWAE, kk: 2}",
            "IWAE has no argument 'kk'",
        ),
        ("use: vae.VAE", "use: vae.VEA", "did you mean vae.VAE?"),
        ("use: synthetic.Bars", "use: synthetic.Barz", "did you mean synthetic.Bars?"),
        ("pixels: fixed", "pixels: gray", "'fixed', 'dynamic', 'grey' or 'threshold'"),
        ("use: Adam", "use: Adan", "did you mean Adam?"),
        ("published: -5.0 ± 0.1", "published: about five", "is not a number"),
        ("margin: 0.5", "margn: 0.5", "unknown key; did you mean margin?"),
        ("epochs: 3", "epochs: 3\n    steps: 7", "exactly one of epochs and steps"),
        ("batch_size: 50", "batch_size: 0", "greater than or equal to 1"),
        (
            "evaluate: {use: importance.LogLikelihood, k: 16}",
            "evaluate: {use: importance.LogLikelihood, k: 0}",
            "k",
        ),
        (
            "evaluate: {use: importance.LogLikelihood, k: 16}",
            "evaluate: {use: importance.LogLikelihood, curve: []}",
            "evaluate.use: importance.LogLikelihood: IndexError",
        ),
        ("hidden: [4]", "hidden: [[4], [3]]", "hidden has 2 lists for 1 stochastic layers"),
    ],
)
def test_a_wrong_spec_names_file_line_and_field(folder, capsys, old, new, message):
    edit(folder, old, new)
    line = 1 + (folder / "benchmarks/tiny/table.yaml").read_text().split(new.split(chr(10))[0])[
        0
    ].count("\n")
    before = files(folder)
    assert run("run", "tiny") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "benchmarks/tiny/table.yaml:" in error
    numbers = {
        int(part.split(":")[1]) for part in error.splitlines() if part.startswith("benchmarks/")
    }
    assert any(line <= n for n in numbers), (line, error)
    assert files(folder) == before


def test_all_mistakes_are_reported_at_once(folder, capsys):
    edit(folder, "use: vae.VAE", "use: vae.VEA")
    edit(folder, "k: 16", "k: 0")
    edit(folder, "{use: bounds.ELBO, k: 1}", "{use: bounds.ELBU, k: 1}")
    assert run("check") == 2
    error = capsys.readouterr().err
    for name in ("vae.VAE?", "bounds.ELBO?", "greater than or equal to 1"):
        assert name in error


def test_a_message_is_one_line_where_nobody_watches(folder, capsys, monkeypatch):
    """However narrow the terminal would be: an editor or grep finds file, line and message."""
    monkeypatch.setattr(console, "err", Messages(width=40))
    edit(folder, "use: bounds.IWAE, k: 2", "use: bounds.IWAE, k: 2, samples: 5, draws: 7")
    assert run("check", "tiny") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("benchmarks/tiny/table.yaml:") for line in lines)


def test_a_plugin_that_does_not_work_is_one_message(folder, capsys, monkeypatch):
    (folder / "broken_one.py").write_text("def oops(:\n")
    monkeypatch.syspath_prepend(str(folder))
    assert run("check", "--plugin", "broken_one") == 2
    assert "plugin 'broken_one' cannot be imported: SyntaxError" in capsys.readouterr().err


def test_check_passes_a_good_spec(folder, capsys):
    assert run("check") == 0
    assert "tiny/table: 2 rows, 1 claim: OK" in capsys.readouterr().out


def test_schema_is_json_schema(folder, capsys):
    assert run("check", "--schema") == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"id", "rows", "claims", "profiles"} <= set(schema["properties"])
