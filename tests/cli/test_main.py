"""The command line as a whole: wrong arguments, version and help, errors of our own."""

import json
import shutil

import pytest

from hwbench.cli import console

from .conftest import files, run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "tinny"], "no spec 'tinny'; did you mean tiny?"),
        (["run", "tiny", "--profile", "quik"], "no profile 'quik'; did you mean quick?"),
        (["run", "tiny", "--rows", "methd=IWAE"], "no coordinate 'methd'; did you mean method?"),
        (["run", "tiny", "--rows", "method=IWEA"], "no row has method 'IWEA'; did you mean IWAE?"),
        (["run", "tiny", "--rows", "method"], "expected KEY=VALUE"),
        (["run", "tiny", "--rows", "method=IWAE,method=VAE"], "method is given twice"),
        (["run", "tiny", "-o", "seeds=1", "-o", "seeds=2"], "--override: seeds is given twice"),
        (["run", "tiny", "benchmarks/copy.yaml"], "'tiny/table' is the id of"),
        (["gate", "--limit", "5"], "--limit: only --attest takes it"),
        (["gate", "--device", "cpu"], "--device: only --attest takes it"),
        (["gate", "--on-file"], "--on-file: only --attest takes it"),
        (["gate", "--update", "--junit", "a.xml"], "--update goes with neither"),
        (["run", "tiny", "--device", "tpu9"], "device 'tpu9' cannot be used"),
        (["run", "tiny", "--executor", "slurm"], "no executor 'slurm'"),
        (["run", "nowhere.yaml"], "no such spec file"),
        (
            ["run", "tiny", "--plugin", "no_such_package"],
            "plugin 'no_such_package' cannot be imported",
        ),
        (["run", "tiny", "--benchmarks", "nowhere"], "no such folder"),
        (["run", "tiny", "--seeds", "0"], "greater than or equal to 1"),
        (["compare", "tiny", "--require", "agree"], "no verdict 'agree'; did you mean agrees?"),
        (["report", "tiny", "--format", "docx"], "no format 'docx'"),
        (["reproduce", "tiny", "--require", "agree"], "no verdict 'agree'; did you mean agrees?"),
        (["reproduce", "tiny", "--require", ""], "no verdict ''"),
        (["reproduce", "tiny", "--format", "html,docx"], "no format 'docx'"),
        (["reproduce", "tiny", "--executor", "slurm"], "no executor 'slurm'"),
        (["gate", "--baseline", "nowhere"], "no such folder"),
        (["gate", "--update", "--baseline", "base"], "results has no smoke result of tiny/table"),
        *(
            ([*command, "--results", "nowhere"], "nowhere: no such folder of results")
            for command in (["compare", "tiny"], ["list"], ["why", "tiny"], ["report"], ["gate"])
        ),
        (["data", "verify", "mnits"], "did you mean mnist?"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_arguments(folder, capsys, monkeypatch, arguments, message):
    shutil.copy(folder / "benchmarks" / "tiny" / "table.yaml", folder / "benchmarks" / "copy.yaml")
    before = files(folder)
    monkeypatch.setattr("hwbench.runner.campaign.run_plan", lambda *a: pytest.fail("something ran"))
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
    assert files(folder) == before


def test_an_error_of_our_own_is_not_taken_for_a_verdict(folder, capsys, monkeypatch):
    monkeypatch.setattr("hwbench.cli.views.Views.get", lambda *a: 1 / 0)
    assert run("compare", "tiny") == 4
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_version_and_help():
    assert run("--version") == 0
    assert run("--help") == 0
    for command in (
        "run",
        "compare",
        "report",
        "reproduce",
        "gate",
        "why",
        "list",
        "check",
        "data",
    ):
        assert run(command, "--help") == 0


def test_quiet_leaves_out_news_and_keeps_errors(folder, capsys):
    command = ("run", "tiny", "--profile", "smoke", "--seeds", 1, "--rows", "method=IWAE")
    assert run("--quiet", *command, "--json", "--executor", "inline") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    (line,) = json.loads(printed.out)
    assert (line["status"], line["at"], line["seed"]) == ("done", {"method": "IWAE"}, 0)
    assert line["metrics"].keys() >= {"log_likelihood"}
    assert run(*command, "--json", "--executor", "inline") == 0
    printed = capsys.readouterr()
    assert "1 on file" in printed.err
    assert [line["status"] for line in json.loads(printed.out)] == ["on file"]
    assert run("-q", "run", "nowhere") == 2
    assert "no spec 'nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize("command", [("--quiet", "report"), ("report", "-q")], ids=" ".join)
def test_options_of_any_command_may_come_first_or_last(folder, capsys, command):
    assert run(*command) == 0
    assert capsys.readouterr().err == ""
    assert run("report") == 0
    assert "index.html" in capsys.readouterr().err


def test_no_color_is_an_option_and_a_variable(folder, monkeypatch):
    for arguments, variable, expected in (
        (["list"], "", False),
        (["--no-color", "list"], "", True),
        (["list"], "1", True),
    ):
        monkeypatch.setenv("NO_COLOR", variable)
        assert run(*arguments) == 0
        assert console.out.no_color is console.err.no_color is expected


def test_a_shell_completes_ids(folder, capsys, monkeypatch):
    monkeypatch.setenv("_HWBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "hwbench run ti")
    monkeypatch.setenv("COMP_CWORD", "2")
    run()
    assert capsys.readouterr().out.split() == ["tiny/table"]


def test_check_prints_json(folder, capsys):
    assert run("check", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [{"spec": "tiny/table", "rows": 2, "claims": 1}]
