"""hwbench from Python: load, run, results."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import hwbench
from hwbench import executors
from hwbench.runner.plan import BANNER, Plan
from hwbench.spec import SpecError, UserError


@pytest.fixture
def inline(monkeypatch):
    """Cases run in this process."""
    make = executors.make
    monkeypatch.setattr(
        executors, "make", lambda name, jobs, threads: make("inline", jobs, threads)
    )


def test_load_run_and_results(folder, inline):
    assert hwbench.load("tiny").id == "tiny/table"
    found = hwbench.run("tiny", profile="smoke", rows=[{"method": "IWAE"}], seeds=2)
    assert [r.case.seed for r in found] == [0, 1]
    again = hwbench.run("tiny", profile="smoke", rows=[{"method": "IWAE"}], seeds=2)
    assert [r.started for r in again] == [r.started for r in found]
    table = hwbench.results("tiny")
    values = table[table.metric == "log_likelihood"].value
    assert list(values) == [r.metrics["log_likelihood"].value for r in found]
    assert set(table.method) == {"IWAE"}
    assert set(table.data_set) == {"synthetic.Bars"}
    assert hwbench.results().counts.all()
    path = folder / "benchmarks" / "tiny" / "table.yaml"
    path.write_text(path.read_text().replace("lr: 1e-2", "lr: 2e-2"))
    assert not hwbench.results("tiny").counts.any()
    assert not hwbench.results().counts.any()


@pytest.mark.slow
def test_run_in_a_plain_script(folder):
    """Without `if __name__ == "__main__"`: workers do not import the script again."""
    script = folder / "script.py"
    script.write_text(
        "import hwbench\n"
        "found = hwbench.run('tiny', 'smoke', [{'method': 'IWAE'}], seeds=1, device='cpu')\n"
        "print([r.case.label for r in found])\n"
    )
    package = str(Path(hwbench.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=200, cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert ended.stdout == "['tiny/table IWAE, seed 0']\n", ended.stderr


def test_no_rows_are_no_cases(folder, inline):
    assert hwbench.run("tiny", "smoke", rows=[]) == []
    assert not (folder / "results").exists()


def test_a_bar_does_not_select_two_rows(folder, inline):
    with pytest.raises(SpecError, match=r"no row has method 'IWAE\|VAE'") as refused:
        hwbench.run("tiny", "smoke", rows=[{"method": "IWAE|VAE"}])
    assert "--" not in str(refused.value)
    assert not (folder / "results").exists()


@pytest.mark.parametrize("rows", [{"method": "IWAE"}, "method=IWAE", ["method=IWAE"], [None]])
def test_rows_are_a_list_of_mappings(folder, inline, unchecked, rows):
    with pytest.raises(SpecError, match="rows: expected a list of coordinates"):
        hwbench.run("tiny", "smoke", rows=rows)


@pytest.mark.parametrize("number", [0, -1, "3", 2.5])
@pytest.mark.parametrize("name", ["seeds", "jobs"])
def test_seeds_and_jobs_are_counted_from_1(folder, inline, unchecked, name, number):
    """No seeds were the spec's."""
    with pytest.raises(SpecError, match=f"{name}: expected a whole number from 1"):
        hwbench.run("tiny", "smoke", **{name: number})


def test_a_profile_that_is_none_is_told(folder, inline, unchecked):
    with pytest.raises(SpecError, match="no profile None"):
        hwbench.run("tiny", None)


def test_the_name_of_an_override_that_is_no_text_is_told(folder, inline, unchecked):
    with pytest.raises(SpecError, match="1: no block '1'"):
        hwbench.run("tiny", "smoke", overrides={1: 2})


def test_run_outside_the_main_thread(folder, inline):
    """Where Python takes no signals."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(hwbench.run, "tiny", "smoke", [{"method": "IWAE"}], 1, "cpu")
        assert len(future.result()) == 1


def test_a_failed_case_is_an_exception(folder, inline):
    path = folder / "benchmarks" / "tiny" / "table.yaml"
    path.write_text(path.read_text().replace("use: Adam, lr: 1e-2", "use: SGD, lr: 1e30"))
    with pytest.raises(RuntimeError, match="at step"):
        hwbench.run("tiny", profile="smoke", seeds=1)
    with pytest.raises(RuntimeError, match="failed before"):
        hwbench.run("tiny", profile="smoke", seeds=1)


def test_an_unknown_spec_is_an_exception(folder):
    with pytest.raises(SpecError, match="did you mean tiny"):
        hwbench.load("tinyy")


def test_a_folder_that_is_not_there_and_an_empty_one_are_told(folder):
    """A new user has no results yet; one who names a folder means one that is there."""
    assert hwbench.compare("tiny").rows[0].verdict == "missing"
    for call in (hwbench.results, hwbench.compare):
        with pytest.raises(UserError, match="typo: no such folder of results") as refused:
            call("tiny", **{"folder" if call is hwbench.results else "results": "typo"})
        assert "--" not in str(refused.value)
    (folder / "results").mkdir()
    with pytest.warns(UserWarning, match="results has no result of tiny"):
        assert hwbench.results("tiny").empty


PLUGIN = """
from hwbench.rules.bounds import IWAE

class Mine(IWAE):
    pass
"""


def test_a_package_of_the_current_folder_is_a_plugin(folder, inline, monkeypatch):
    """With and without being asked for; no message names an option of the command line."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("hwbench.build._plugins", set())
    (folder / "ownrules").mkdir()
    (folder / "ownrules" / "bound.py").write_text(PLUGIN)
    path = folder / "benchmarks" / "tiny" / "table.yaml"
    path.write_text(path.read_text().replace("bounds.IWAE", "ownrules.bound.Mine"))
    with pytest.raises(SpecError, match="add ownrules to the plugins") as refused:
        hwbench.run("tiny", "smoke", seeds=1)
    assert "--" not in str(refused.value)
    found = hwbench.run("tiny", "smoke", [{"method": "IWAE"}], seeds=1, plugins=["ownrules"])
    assert found[0].plugins == ["ownrules"]
    row = hwbench.compare("tiny", plugins=["ownrules"]).rows[0]
    assert not row.has("changed")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(folder)])
    assert not hwbench.compare("tiny").rows[0].has("changed")  # found without an import
    with pytest.raises(UserError, match="plugin 'nowhere_at_all' cannot be imported"):
        hwbench.results("tiny", plugins=["nowhere_at_all"])


def test_compare_returns_verdicts_that_a_notebook_shows(folder, inline):
    hwbench.run("tiny", profile="smoke", rows=[{"method": "IWAE"}], seeds=2)
    spec = hwbench.load("tiny")
    by_name, by_spec = hwbench.compare("tiny"), hwbench.compare(spec, profile="smoke")
    assert by_name.rows == by_spec.rows
    row = by_name.rows[0]
    assert (row.verdict, row.profile, len(row.results)) == ("reduced", "smoke", 2)
    assert not row.has("changed")
    shown = row._repr_html_()
    assert all(text in shown for text in ("<table", "IWAE", "reduced", row.reason))
    whole = by_name._repr_html_()
    assert all(text in whole for text in (spec.title, spec.claims[0].text, row.reason))
    claim = by_name.claims[0]
    assert all(text in claim._repr_html_() for text in (claim.claim.text, claim.verdict))
    assert hwbench.compare("tiny", profile="full").rows[0].verdict == "missing"
    with pytest.raises(SpecError, match="give it one of its own"):
        hwbench.compare("tiny", against=spec)
    with pytest.raises(SpecError, match="did you mean full"):
        hwbench.compare("tiny", profile="ful")


def test_a_notebook_shows_a_spec(folder):
    spec = hwbench.load("tiny")
    shown = spec._repr_html_()
    assert all(text in shown for text in (spec.title, spec.claims[0].text, "IWAE", "published"))
    hostile = spec.model_copy(update={"title": "<script>alert()</script>"})
    assert "<script>" not in hostile._repr_html_()


def test_a_trained_model_comes_back_with_its_weights_and_data(folder, inline, monkeypatch):
    """Evaluated anew it gives the number on file, to the last bit."""
    row = {"method": "IWAE"}
    with pytest.raises(UserError, match=r"To train: hwbench.run\('tiny/table', 'full'") as refused:
        hwbench.model("tiny", row)
    assert "rerun" not in str(refused.value)
    (result,) = hwbench.run("tiny", profile="smoke", rows=[row], seeds=1)
    trained = hwbench.model("tiny", row)
    assert trained.case == result.case
    assert not trained.model.training
    assert trained.model.sample(3).shape == (3, trained.data.test.visible)
    assert trained.evaluate().metrics["log_likelihood"].value == (
        result.metrics["log_likelihood"].value
    )
    more = trained.evaluate({"use": "importance.LogLikelihood", "k": 64}).metrics["log_likelihood"]
    assert more.k == 64
    (weights,) = (folder / "cache" / "runs").rglob("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:99])
    monkeypatch.setattr("hwbench.runner.stages.machine", lambda device: {"threads": 99})
    staged = hwbench.model("tiny", row)  # from the stage that rows share, wherever it was trained
    assert all(map(torch.equal, trained.model.parameters(), staged.model.parameters()))
    shutil.rmtree(folder / "cache" / "stages")
    with pytest.raises(UserError, match=r"seeds=1, rerun=\"all\"\)"):
        hwbench.model("tiny", row, profile="smoke")
    with pytest.raises(SpecError, match="several rows have these coordinates: IWAE; VAE"):
        hwbench.model("tiny", {})
    with pytest.raises(SpecError, match="did you mean IWAE"):
        hwbench.model("tiny", {"method": "IWA"})
    for seed in (-1, "x"):
        with pytest.raises(SpecError, match="seed: expected a whole number from 0"):
            hwbench.model("tiny", row, seed=seed)


def test_a_variant_is_never_mixed_with_the_table(folder, inline):
    row = [{"method": "IWAE"}]
    (own,) = hwbench.run("tiny", "smoke", row, seeds=1)
    (variant,) = hwbench.run("tiny", "smoke", row, seeds=1, overrides={"train.steps": 3})
    assert variant.steps == 3 != own.steps
    again = hwbench.run("tiny", "smoke", row, seeds=1, overrides={"train.steps": 3})
    assert again[0].started == variant.started  # reused
    comparison = hwbench.compare("tiny")
    assert comparison.rows[0].results == (own,)
    assert comparison.warnings == []
    assert set(hwbench.results("tiny").value) == {m.value for m in own.metrics.values()}
    table = hwbench.results("tiny", variants=True)
    assert set(table.variant) == {"train.steps=3"}
    assert set(table.value) == {m.value for m in variant.metrics.values()}


def test_what_a_notebook_shows_is_escaped(folder):
    spec = hwbench.load("tiny")
    row = spec.rows[0].model_copy(update={"at": {"method": "<script>"}})
    found = hwbench.compare("tiny")
    hostile = replace(found, spec=spec.model_copy(update={"title": "<b>"}))
    assert "<b>" not in hostile._repr_html_()
    assert "<script>" not in replace(found.rows[0], row=row)._repr_html_()


def test_a_fallback_to_smoke_is_a_warning(folder, monkeypatch):
    """The API prints nothing, but a fallback must not go unnoticed."""
    plan = Plan("smoke", [], BANNER)
    monkeypatch.setattr("hwbench.runner.plan.make_plan", lambda specs, settings: plan)
    with pytest.warns(UserWarning, match="SMOKE RUN ON STAND-IN DATA"):
        assert hwbench.run("tiny") == []
