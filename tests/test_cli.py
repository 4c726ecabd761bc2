"""The command line: what each command prints and returns; one clear message for wrong input."""

import json
import signal
import subprocess
import sys
import time

import pytest

from hwbench import pipeline
from hwbench.cli import console
from hwbench.cli.console import Messages
from hwbench.cli.main import main
from hwbench.store import Store


def run(*arguments):
    """Run the command line in this process; returns its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    for stream in (console.out, console.err):
        monkeypatch.setattr(stream, "_width", 400)
    monkeypatch.setattr(console, "out", console.Console(highlight=False, width=400))
    monkeypatch.setattr(console, "err", Messages(width=400))


@pytest.fixture
def done(folder):
    """Both rows run at smoke, one seed, in this process."""
    assert run("run", "tiny", "--profile", "smoke", "--seeds", 1, *INLINE) == 0
    return folder


INLINE = ("--executor", "inline")


def edit(folder, old, new):
    path = folder / "benchmarks" / "tiny" / "table.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_run_ends_with_the_warnings_of_its_results(folder, monkeypatch, capsys):
    """A number that its evaluator doubts is not passed off under a bare tick."""
    evaluate = pipeline.evaluate

    def doubting(case, *rest):
        found = evaluate(case, *rest)
        found.warnings += ["the weights [all] have collapsed", "and more"][: 2 - case.seed]
        return found

    monkeypatch.setattr(pipeline, "evaluate", doubting)
    rows = ("--rows", "method=IWAE", "--seeds", 2)
    assert run("run", "tiny", "--profile", "smoke", *rows, *INLINE) == 0
    lines = capsys.readouterr().err.splitlines()
    ticks = [line for line in lines if line.startswith("✓")]
    assert ["2 warnings (" in ticks[0], "1 warning (" in ticks[1]] == [True, True]
    warned = [line for line in lines if line.startswith("warning: ")]
    assert len(warned) == 3
    assert warned[0].endswith("IWAE seed 0: the weights [all] have collapsed")
    assert warned[1].endswith("IWAE seed 0: and more")
    assert warned[2].endswith("IWAE seed 1: the weights [all] have collapsed")
    assert lines[-1] == warned[-1]


# --- wrong input: one message, exit 2, nothing written -------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "tinny"], "no spec 'tinny'; did you mean tiny?"),
        (["run", "tiny", "--profile", "quik"], "no profile 'quik'; did you mean quick?"),
        (["run", "tiny", "--rows", "methd=IWAE"], "no coordinate 'methd'; did you mean method?"),
        (["run", "tiny", "--rows", "method=IWEA"], "no row has method 'IWEA'; did you mean IWAE?"),
        (["run", "tiny", "--rows", "method"], "expected KEY=VALUE"),
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
        (["data", "verify", "mnits"], "did you mean mnist?"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_arguments(folder, capsys, monkeypatch, arguments, message):
    before = files(folder)
    monkeypatch.setattr("hwbench.runner.campaign.run_plan", lambda *a: pytest.fail("something ran"))
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
    assert files(folder) == before


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


def test_an_unwritable_results_folder_is_told_before_anything_runs(folder, capsys):
    (folder / "results").write_text("a file, not a folder")
    assert run("run", "tiny", "--profile", "smoke") == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "reproduce"])
def test_an_unwritable_cache_folder_is_told_before_anything_runs(
    folder, capsys, monkeypatch, command
):
    (folder / "taken").write_text("a file, not a folder")
    monkeypatch.setenv("HWBENCH_CACHE", str(folder / "taken"))
    before = files(folder)
    assert run(command, "tiny", "--profile", "smoke") == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith("the cache folder ($HWBENCH_CACHE)")
    assert "cannot be written" in message
    assert files(folder) == before


def test_unwritable_reports_are_told_before_anything_runs(folder, capsys):
    (folder / "reports").write_text("a file, not a folder")
    before = files(folder)
    assert run("reproduce", "tiny", "--profile", "smoke") == 2
    assert "the reports folder reports cannot be written" in capsys.readouterr().err
    assert files(folder) == before


def test_a_message_is_one_line_where_nobody_watches(folder, capsys, monkeypatch):
    """However narrow the terminal would be: an editor or grep finds file, line and message."""
    monkeypatch.setattr(console, "err", Messages(width=40))
    edit(folder, "use: bounds.IWAE, k: 2", "use: bounds.IWAE, k: 2, samples: 5, draws: 7")
    assert run("check", "tiny") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("benchmarks/tiny/table.yaml:") for line in lines)


def test_a_plan_downloads_nothing(folder, capsys, monkeypatch):
    """Neither `why` nor a dry run, nor do they fall back where the address answers."""
    edit(folder, "use: synthetic.Bars, pixels: fixed", "use: mnist.MNIST, pixels: fixed")
    monkeypatch.delenv("HWBENCH_DATA", raising=False)
    monkeypatch.setattr("hwbench.datasets.files._answers", lambda address: True)
    monkeypatch.setattr("hwbench.datasets.files._download", lambda f: pytest.fail("downloaded"))
    before = files(folder)
    assert run("why", "tiny", "--json") == 0
    lines = json.loads(capsys.readouterr().out)
    assert {line["run would"] for line in lines} == {"run it"}
    assert not any(line["profile"] == "smoke" for line in lines)
    assert run("run", "tiny", "--dry-run", "--device", "cpu", *INLINE) == 0
    printed = capsys.readouterr()
    assert "SMOKE" not in printed.err
    assert "tiny/table IWAE" in printed.out
    assert files(folder) == before


def test_code_from_outside_must_be_asked_for(folder, capsys, monkeypatch):
    package = folder / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text(
        "from hwbench.models.vae import VAE\nclass Mine(VAE):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    edit(folder, "use: vae.VAE", "use: mine.models.Mine")
    assert run("check") == 2
    assert "add --plugin mine" in capsys.readouterr().err
    assert run("run", "tiny", "--profile", "smoke", "--seeds", 1, "--plugin", "mine", *INLINE) == 0
    found, _ = Store(folder / "results").results()
    assert {tuple(r.plugins) for r in found} == {("mine",)}


def test_a_plugin_that_does_not_work_is_one_message(folder, capsys, monkeypatch):
    (folder / "broken_one.py").write_text("def oops(:\n")
    monkeypatch.syspath_prepend(str(folder))
    assert run("check", "--plugin", "broken_one") == 2
    assert "plugin 'broken_one' cannot be imported: SyntaxError" in capsys.readouterr().err


def test_an_error_of_our_own_is_not_taken_for_a_verdict(folder, capsys, monkeypatch):
    monkeypatch.setattr("hwbench.cli.compare.comparisons", lambda *a: 1 / 0)
    assert run("compare", "tiny") == 4
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_rows_that_a_profile_leaves_out_are_not_run_by_name(folder, capsys):
    edit(folder, "at: {method: IWAE},", "at: {method: IWAE}, profiles: {smoke: null},")
    arguments = ("run", "tiny", "--profile", "smoke", "--rows", "method=IWAE")
    assert run(*arguments, *INLINE) == 2
    assert "profile smoke excludes these rows" in capsys.readouterr().err
    assert not (folder / "results").exists()


MACHINE = """
id: tiny/net
title: A tiny net
source: nowhere
metric: error
better: lower
assumptions: [none worth naming]
defaults:
  data: {use: digits.Digits, pixels: grey}
  evaluate: {use: classification.ErrorRate}
rows:
  - at: {method: DBM}
    model: {use: finetuned.FineTunedDBM, layers: [4, 3]}
    train:
      - {rule: {use: pretraining.GreedyCD, layer: 1}, steps: 5}
      - {fit: {use: supervised.Backpropagation, epochs: 1}}
  - at: {method: autoencoder}
    model: {use: autoencoder.FineTunedAutoencoder, layers: [4]}
    train:
      - {rule: {use: autoassociation.GreedyReconstruction, layer: 1}, steps: 5}
      - {fit: {use: supervised.Backpropagation, epochs: 1}}
show: {index: method}
"""
GREEDY = "      - {rule: {use: pretraining.GreedyCD, layer: 1}, steps: 5}\n"
TUNE = "      - {fit: {use: supervised.Backpropagation, epochs: 1}}\n"
BROKEN = """
import dataclasses
from hwbench.datasets.digits import Digits

class Unscaled(Digits):
    def load(self, seed):
        found = super().load(seed)
        return found._replace(train=dataclasses.replace(found.train, scale=1.0))

class Few(Digits):
    def load(self, seed):
        found = super().load(seed)
        return found._replace(train=dataclasses.replace(found.train, labels=found.train.labels[:9]))

class Unlabelled(Digits):
    classes = 0
"""


@pytest.fixture
def machine(folder, monkeypatch):
    """A spec of pretrained classifiers, and a package of data sets with a mistake each."""
    (folder / "broken.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(folder))
    path = folder / "benchmarks" / "tiny" / "net.yaml"
    path.write_text(MACHINE)
    return path


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "message"),
    [
        ("layers: [4, 3]", "layers: [4]", 13, "model.use", "found layers = [4]; with one hidden"),
        (GREEDY, "", 15, "train.0.fit", "fine-tunes what earlier stages with a rule have"),
        (TUNE, "", 10, "evaluate.use", "net of finetuned.FineTunedDBM, which only a `fit`"),
        ("layer: 1", "layer: 3", 15, "train.0.rule", "no layer 3 to pretrain; the model has 2"),
        ("digits.Digits", "broken.Unlabelled", 13, "model.use", "has no labels to learn"),
    ],
)
def test_machines_that_cannot_be_are_refused_by_file_line_and_field(
    machine, capsys, old, new, line, field, message
):
    """Before anything runs: one message for each row at fault."""
    assert old in MACHINE
    machine.write_text(MACHINE.replace(old, new, 1))
    assert run("run", "tiny/net", "--profile", "smoke", "--plugin", "broken", *INLINE) == 2
    said = [x for x in capsys.readouterr().err.splitlines() if "row DBM" in x]
    assert len(said) == 1
    assert said[0].startswith(f"benchmarks/tiny/net.yaml:{line}: row DBM, {field}: ")
    assert message in said[0]
    assert not (machine.parents[2] / "results").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("Unscaled", "pixels lie between 0 and 1; found 0 to 255; scale the images"),
        ("Few", "9 labels for the 1297 points of the TrainSplit"),
    ],
)
def test_data_that_do_not_fit_a_machine_fail_before_pretraining(machine, capsys, data, message):
    """Only once they are read; every row says why, and nothing has been trained."""
    machine.write_text(MACHINE.replace("digits.Digits", f"broken.{data}"))
    command = ["run", "tiny/net", "--profile", "smoke", "--seeds", 1, "--plugin", "broken"]
    assert run(*command, *INLINE) == 4
    said = [x for x in capsys.readouterr().err.splitlines() if x.startswith("failed: ")]
    for row, text in zip(("DBM", "autoencoder"), said, strict=True):
        assert text.startswith(f"failed: tiny/net {row} seed 0: ValueError: ")
        assert message in text
        assert "epoch" not in text


# --- the commands ---------------------------------------------------------------------------------


def test_check_passes_a_good_spec(folder, capsys):
    assert run("check") == 0
    assert "tiny/table: 2 rows, 1 claim: fine" in capsys.readouterr().out


def test_schema_is_json_schema(folder, capsys):
    assert run("check", "--schema") == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"id", "rows", "claims", "profiles"} <= set(schema["properties"])


def test_dry_run_prints_a_plan_and_writes_nothing(folder, capsys):
    assert run("run", "tiny", "--profile", "smoke", "--dry-run", *INLINE) == 0
    printed = capsys.readouterr()
    assert "4 cases, 0 on file, 4 to run" in printed.err
    assert "about" in printed.err
    assert "tiny/table IWAE" in printed.out
    assert not (folder / "results").exists()


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


def test_a_failing_row_does_not_stop_the_others(folder, capsys):
    edit(
        folder,
        "rule: {use: bounds.ELBO, k: 1}",
        "rule: {use: bounds.ELBO, k: 1}, optimizer: {use: SGD, lr: 1e30}",
    )
    assert run("run", "tiny", "--profile", "smoke", "--seeds", 1, *INLINE) == 4
    assert "failed: tiny/table VAE seed 0" in capsys.readouterr().err
    assert len(Store(folder / "results").results()[0]) == 1
    assert run("run", "tiny", "--profile", "smoke", "--seeds", 1, *INLINE) == 4
    assert "--retry-failed" in capsys.readouterr().err


def test_half_a_result_file_is_skipped_with_a_warning_and_kept(done, capsys):
    path = next((done / "results").rglob("*.json"))
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(half)
    assert run("compare", "tiny", "--profile", "smoke") == 0
    assert "skipped" in "".join(capsys.readouterr())
    assert path.read_bytes() == half


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


def test_auto_falls_back_to_smoke_under_a_banner(folder, capsys, monkeypatch):
    """No data: smoke on stand-ins, under a banner, also in each result; full never falls back."""
    edit(folder, "use: synthetic.Bars, pixels: fixed", "use: mnist.MNIST, pixels: fixed")
    edit(
        folder,
        "smoke: {train: {epochs: 1}}",
        "smoke: {train: {epochs: 1}, stand_ins: {mnist.MNIST: [digits.Digits]}}",
    )
    monkeypatch.delenv("HWBENCH_DATA", raising=False)
    monkeypatch.setattr("hwbench.datasets.files._answers", lambda address: False)
    assert run("reproduce", "tiny", "--seeds", 1, "--format", "html", *INLINE) == 0
    assert "SMOKE RUN ON STAND-IN DATA" in capsys.readouterr().err
    found, _ = Store(folder / "results").results()
    assert all("SMOKE RUN" in r.banner for r in found)
    assert "SMOKE RUN" in (folder / "reports" / "index.html").read_text()
    assert run("run", "tiny", "--profile", "full", "--seeds", 1, *INLINE) == 4
    assert len(Store(folder / "results").results()[0]) == len(found)


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


def test_ctrl_c_leaves_everything_resumable(folder):
    """A real process, a real SIGINT: exit 3, its state saved, and no result half written."""
    edit(folder, "epochs: 3", "epochs: 1000000")
    command = [sys.executable, "-m", "hwbench", "run", "tiny", "--profile", "full"]
    process = subprocess.Popen(
        [*command, "--seeds", "1", "--jobs", "1"], stderr=subprocess.PIPE, text=True, cwd=folder
    )
    deadline = time.monotonic() + 120
    while not list((folder / "cache").rglob("*.lock")) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=90)[1]
    assert process.returncode == 3, error
    assert "goes on from here" in error
    assert list((folder / "cache").rglob("state.safetensors"))
    assert not list((folder / "results").rglob("*.json"))
