"""hwbench run: what is refused before anything runs, what is shown, and how a run ends."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from hwbench import pipeline
from hwbench.record import to_json
from hwbench.store import Result, Store

from .conftest import INLINE, edit, files, run

STOPPING = """    epochs: 40
    stop: {patience: 1}
"""


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
    assert warned[0].endswith("IWAE, seed 0: the weights [all] have collapsed")
    assert warned[1].endswith("IWAE, seed 0: and more")
    assert warned[2].endswith("IWAE, seed 1: the weights [all] have collapsed")
    assert lines[-1] == warned[-1]


def test_an_unwritable_results_folder_is_told_before_anything_runs(folder, capsys):
    (folder / "results").write_text("a file, not a folder")
    assert run("run", "tiny", "--profile", "smoke") == 2
    assert "results: not a folder" in capsys.readouterr().err


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
    assert "add mine to the plugins" in capsys.readouterr().err
    assert run("run", "tiny", "--profile", "smoke", "--seeds", 1, "--plugin", "mine", *INLINE) == 0
    found, _ = Store(folder / "results").results()
    assert {tuple(r.plugins) for r in found} == {("mine",)}


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
    ("data", "rows", "message"),
    [
        ("Unscaled", ["DBM", "autoencoder"], "training points go from 0 to 255, but FineTuned"),
        ("Few", ["DBM"], "training points: 9 labels for 1297 points"),  # whatever the model
    ],
)
def test_data_that_do_not_fit_a_machine_are_refused(machine, capsys, data, rows, message):
    """The check knows it from the set's tiny instance; nothing runs."""
    machine.write_text(MACHINE.replace("digits.Digits", f"broken.{data}"))
    command = ["run", "tiny/net", "--profile", "smoke", "--seeds", 1, "--plugin", "broken"]
    assert run(*command, *INLINE) == 2
    said = [x for x in capsys.readouterr().err.splitlines() if message in x]
    assert [re.search(r"row (\w+), data: ", x)[1] for x in said] == rows
    assert all(x.startswith("benchmarks/tiny/net.yaml:") for x in said)
    assert not (machine.parents[2] / "results").exists()


def test_dry_run_prints_a_plan_and_writes_nothing(folder, capsys):
    assert run("run", "tiny", "--profile", "smoke", "--dry-run", *INLINE) == 0
    printed = capsys.readouterr()
    assert "4 cases, 0 on file, 4 to run" in printed.err
    assert "about" in printed.err
    head, *rows, total = printed.out.strip().splitlines()
    assert head.split()[:3] == ["row", "cases", "train"]
    assert {" ".join(row.split()[:2]) for row in rows} == {"tiny/table IWAE", "tiny/table VAE"}
    hours = [float(row.split()[5]) for row in rows]
    assert hours == sorted(hours, reverse=True)  # the dearest first
    assert total.split()[:3] == ["all", "rows", "4"]
    assert float(total.split()[5]) == pytest.approx(sum(hours), rel=0.1)
    assert not (folder / "results").exists()


def test_dry_run_tells_hours_at_most_where_training_may_stop_early(folder, capsys):
    """Until a seed on file tells where it stopped."""
    edit(folder, "    epochs: 3\n", STOPPING)
    command = ("run", "tiny", "--profile", "full", "--rows", "method=IWAE")
    assert run(*command, "--seeds", 2, "--dry-run", *INLINE) == 0
    printed = capsys.readouterr()
    assert "2 cases may stop early" in printed.err
    assert printed.out.count("≤") == 4  # training and total, of the row and of all
    assert run(*command, "--seeds", 1, *INLINE) == 0
    capsys.readouterr()
    assert run(*command, "--seeds", 2, "--dry-run", *INLINE) == 0
    printed = capsys.readouterr()
    assert "from where other seeds on file stopped early" in printed.err
    assert "≤" not in printed.out


def test_a_failing_row_does_not_stop_the_others(folder, capsys):
    edit(
        folder,
        "rule: {use: bounds.ELBO, k: 1}",
        "rule: {use: bounds.ELBO, k: 1}, optimizer: {use: SGD, lr: 1e30}",
    )
    assert run("run", "tiny", "--profile", "smoke", "--seeds", 1, *INLINE) == 4
    assert "failed: tiny/table VAE, seed 0" in capsys.readouterr().err
    assert len(Store(folder / "results").results()[0]) == 1
    assert run("run", "tiny", "--profile", "smoke", "--seeds", 1, *INLINE) == 4
    assert "--rerun failed" in capsys.readouterr().err


def test_results_of_other_code_are_told_and_run_again_when_asked(done, capsys, monkeypatch):
    command = ("run", "tiny", "--profile", "smoke", "--seeds", 1, *INLINE)
    assert run(*command) == 0
    assert "other code" not in capsys.readouterr().err
    for room in ("plan", "result", "job"):
        monkeypatch.setattr(f"hwbench.runner.{room}.fingerprint", lambda case: "e" * 16)
    assert run(*command) == 0
    told = capsys.readouterr().err
    assert "2 results on file from other code (IWAE; VAE). Use --rerun changed to run" in told
    assert run(*command, "--rerun", "changd") == 2
    assert "no cases 'changd' to rerun; did you mean changed?" in capsys.readouterr().err
    assert run("why", "tiny", "--profile", "smoke", "--seeds", 1) == 0
    assert "do nothing without --rerun changed" in capsys.readouterr().out
    assert run(*command, "--rerun", "failed,changed") == 0
    assert "2 cases, 0 on file, 2 to run" in capsys.readouterr().err
    assert len(list((done / "results").rglob("*-eeeeeeee.json"))) == 2
    assert run(*command) == 0
    assert "2 cases, 2 on file, 0 to run" in capsys.readouterr().err


def test_ctrl_c_leaves_everything_resumable(folder):
    """A real process, a real SIGINT: exit 3, its state saved, and no result half written."""
    edit(folder, "smoke: {train: {epochs: 1}}", "smoke: {train: {epochs: 1000000}}")
    command = [sys.executable, "-m", "hwbench", "run", "tiny", "--profile", "smoke"]
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
    assert "Run the same command to resume" in error
    assert list((folder / "cache").rglob("state.safetensors"))
    assert not list((folder / "results").rglob("*.json"))


def test_a_rerun_counts_though_the_clock_of_an_older_run_was_ahead(done, capsys, monkeypatch):
    command = ("run", "tiny", "--profile", "smoke", "--seeds", 1, "--rows", "method=IWAE", *INLINE)
    (path,) = (done / "results").rglob("IWAE/smoke-seed0-*.json")
    old = Result.model_validate_json(path.read_text())
    path.write_text(to_json(old.model_copy(update={"started": "2099-01-01T00:00:00+00:00"})))
    for room in ("plan", "result", "job"):
        monkeypatch.setattr(f"hwbench.runner.{room}.fingerprint", lambda case: "e" * 16)
    for _ in range(2):
        assert run(*command, "--rerun", "changed") == 0
    assert "1 on file, 0 to run" in capsys.readouterr().err
    assert Store(done / "results").read(old.case).fingerprint == "e" * 16


@pytest.mark.parametrize(
    ("spelled", "row"),
    [("a=(0.5, 1)", "IWAE"), ("a=(0.5, 1),b=true", "IWAE"), ("b=1e-5", "VAE")],
)
def test_a_coordinate_may_be_spelled_as_in_the_spec(folder, capsys, spelled, row):
    path = folder / "benchmarks" / "tiny" / "table.yaml"
    text = path.read_text().replace("index: method", "index: [a, b], columns: method")
    text = text.replace("method: IWAE}, pub", 'method: IWAE, a: "(0.5, 1)", b: true}, pub')
    path.write_text(text.replace("method: VAE}, train", "method: VAE, a: x, b: 1e-5}, train"))
    assert run("why", "tiny", "--rows", spelled, "--json") == 0
    found = [line["case"] for line in json.loads(capsys.readouterr().out)]
    assert len(found) == 2  # seeds
    assert all(row in case for case in found)
