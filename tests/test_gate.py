"""What the gate lets pass and what it catches: exact rules, false alarms, bugs in real code."""

import json
import math
import os
import statistics
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from hwbench.baseline import Baseline, BaselineRow, current, read_baseline
from hwbench.cli.main import main
from hwbench.gate import (
    BEYOND,
    LEVEL,
    ROUNDING,
    chance,
    judge_row,
    judge_spec,
    rounding_of,
    tolerance,
)
from hwbench.models.vae import VAE
from hwbench.protocols import Inferred
from hwbench.report.formats.gate import reason
from hwbench.sources import PACKAGE
from hwbench.spec import variants
from hwbench.store import Result, Store, StoredMetric

VALUES = [-5.0, -5.1, -4.9, -5.05, -4.95]


def result(spec, value, seed=0, row=0, device="CPU (here)"):
    case = variants(spec, spec.rows[row], "smoke", seed)[0]
    metrics = {"log_likelihood": StoredMetric(value=value)}
    machine = {"device": device}
    return Result(case=case, key=case.key, fingerprint="", metrics=metrics, machine=machine)


def baseline(spec, values=VALUES, elsewhere=None, device="CPU (there)"):
    """Return a baseline of the spec's first row; `elsewhere` are differences by seed."""
    keys = {str(s): variants(spec, spec.rows[0], "smoke", s)[0].key for s in range(len(values))}
    row = BaselineRow(
        keys=keys,
        values={str(s): v for s, v in enumerate(values)},
        elsewhere={str(s): values[s] + d for s, d in (elsewhere or {}).items()},
    )
    return Baseline(
        spec=spec.id,
        profile="smoke",
        metric="log_likelihood",
        commit=None,
        machine=device,
        rows={"IWAE": row},
    )


# --- by the spread of the seeds -------------------------------------------------------------------


def test_formula():
    values = [1.0, 2.0, 4.0, 7.0]
    t = stats.t.ppf(0.5 + LEVEL / 2, 3)
    expected = t * statistics.stdev(values) * math.sqrt(1 / 2 + 1 / 4)
    assert tolerance(values, 2) == pytest.approx(expected)


def test_equal_values_allow_rounding_only():
    assert tolerance([-50.0] * 5, 2) == pytest.approx(ROUNDING * 50)


@pytest.mark.statistical
def test_false_alarms_come_at_the_stated_rate():
    """Over 5000 draws of unchanged code the rate of alarms is 1 − LEVEL, within 5 sigma."""
    rng = np.random.default_rng(0)
    trials, alarms = 5_000, 0
    base, new = rng.normal(size=(trials, 6)), rng.normal(size=(trials, 2))
    for b, n in zip(base, new, strict=True):
        alarms += abs(n.mean() - b.mean()) > tolerance(list(b), 2)
    rate = 1 - LEVEL
    assert abs(alarms / trials - rate) < 5 * math.sqrt(rate * (1 - rate) / trials)


@pytest.mark.parametrize(
    ("value", "passed", "word"),
    [(-5.0, True, "within"), (-9.0, False, "worse"), (-1.0, False, "better")],
)
def test_both_sides_fail(spec, value, passed, word):
    found = judge_row(spec, "IWAE", baseline(spec), {0: result(spec, value)})
    assert found.passed is passed
    assert word in reason(found.cause)


def test_a_lower_is_better_metric_turns_the_words_round(spec):
    nll = spec.model_copy(update={"better": "lower"})
    found = judge_row(nll, "IWAE", baseline(spec, [5.0, 5.1, 4.9]), {0: result(spec, 50.0)})
    assert "worse" in reason(found.cause)
    measured = baseline(spec, [5.0, 5.1, 4.9], {0: 0.0})
    assert "worse" in reason(judge_row(nll, "IWAE", measured, {0: result(spec, 5.01)}).cause)


def test_what_cannot_be_judged_fails(spec):
    good = baseline(spec)
    new = {0: result(spec, -5.0)}
    assert "no such row" in reason(judge_row(spec, "IWAE", None, new).cause)
    assert "no such row" in reason(judge_row(spec, "VAE", good, new).cause)
    assert "no stored result" in reason(judge_row(spec, "IWAE", good, {}).cause)
    assert "at least 2 seeds" in reason(judge_row(spec, "IWAE", baseline(spec, [-5.0]), new).cause)
    good.rows["IWAE"].keys["0"] = "another"
    found = judge_row(spec, "IWAE", good, new)
    assert "spec has changed" in reason(found.cause)
    assert not found.passed


# --- seed by seed ---------------------------------------------------------------------------------


def test_rounding_is_a_multiple_of_the_largest_difference_between_its_bounds(spec):
    one, other = (baseline(spec, VALUES, {0: d, 1: 0.0}).rows["IWAE"] for d in (1e-9, -2e-4))
    wide = baseline(spec, [v * 3 for v in VALUES], {0: 0.0}).rows["IWAE"]
    assert rounding_of(one, [wide]) == pytest.approx(ROUNDING * 5)  # measured, and nothing moved
    assert rounding_of(one, [one]) == pytest.approx(ROUNDING * 5)
    assert rounding_of(one, [one, other]) == pytest.approx(BEYOND * 2e-4)
    assert rounding_of(wide, [one, other]) == pytest.approx(3 * BEYOND * 2e-4)  # its own spread
    parted = baseline(spec, VALUES, {0: 0.1}).rows["IWAE"]
    assert rounding_of(parted, [parted]) == tolerance(VALUES, 1)
    assert rounding_of(one, [baseline(spec).rows["IWAE"]]) is None


@pytest.mark.parametrize(
    ("moved", "passed", "words"),
    [
        ({0: 0.0, 1: 0.0}, True, ["within tolerance"]),
        ({0: 4e-5, 1: -4e-5}, True, ["within tolerance"]),
        (
            {0: 4e-5, 1: -6e-2},
            True,
            ["seed 1 moved by −0.06", "5e−05 that rounding explains", "did not move"],
        ),
        (
            {0: 6e-5, 1: 7e-5},
            False,
            ["better: seed 0 moved by +6e−05, seed 1 moved by +7e−05", "5e−05"],
        ),
        ({0: -6e-2, 1: -7e-2}, False, ["worse", "retake the baseline: make baselines"]),
        ({0: 0.0, 1: 2.0}, False, ["better: seed 1 moved by +2"]),
        ({1: 6e-5}, False, ["better"]),
    ],
)
def test_seeds_come_back_but_for_rounding(spec, moved, passed, words):
    """All seeds move by a bug; one alone may by a flipped draw, within the spread of the seeds."""
    base = baseline(spec, VALUES, {0: 1e-9, 1: -2e-9})
    now = {s: result(spec, VALUES[s] + d, s) for s, d in moved.items()}
    found = judge_row(spec, "IWAE", base, now)
    assert found.passed is passed
    assert all(word in reason(found.cause) for word in words), reason(found.cause)


def test_seeds_that_the_baseline_has_not_are_judged_by_its_spread(spec):
    base = baseline(spec, VALUES, {0: 0.0})
    old = {0: result(spec, VALUES[0])}
    new = {s: result(spec, -5.02, s) for s in (5, 6)}
    assert judge_row(spec, "IWAE", base, old | new).passed
    far = {s: result(spec, -6.5, s) for s in (5, 6)}
    found = judge_row(spec, "IWAE", base, old | far)
    assert not found.passed
    assert "beyond the spread of its seeds" in reason(found.cause)
    assert found.measured == -6.5


def test_another_kind_of_device_draws_others_numbers(spec):
    """On a GPU the same seed draws other numbers, so only the spread can be asked."""
    base = baseline(spec, VALUES, {0: 0.0})
    here = {s: result(spec, VALUES[s] + 0.05, s) for s in (0, 1)}
    there = {s: result(spec, VALUES[s] + 0.05, s, device="NVIDIA H200") for s in (0, 1)}
    assert not judge_row(spec, "IWAE", base, here).passed
    assert judge_row(spec, "IWAE", base, there).passed


def test_chance_counts_orders():
    """All of 3 runs above all of 5 others: one of the C(8, 3) ways to place them."""
    assert chance(3, 3, 5) == pytest.approx(1 / math.comb(8, 3))
    assert chance(0, 3, 5) == 1
    assert chance(1, 2, 6) == pytest.approx(2 / 8)


@pytest.mark.statistical
def test_chance_holds_for_the_heaviest_tails():
    """Cauchy differences, no factor: 2 of 2 exceed 14 others at the stated rate, within 5 sigma."""
    draws = np.abs(np.random.default_rng(0).standard_cauchy((40_000, 16)))
    rate, expected = (draws[:, :2].min(1) > draws[:, 2:].max(1)).mean(), chance(2, 2, 14)
    assert abs(rate - expected) < 5 * math.sqrt(expected / len(draws))


def test_many_lone_seeds_fail_together(spec):
    """In each of 12 rows one of two seeds moved: no row fails, the spec does."""
    row = baseline(spec, VALUES, {0: 0.0, 1: 0.0}).rows["IWAE"]
    base = baseline(spec).model_copy(update={"rows": {f"r{i}": row for i in range(12)}})
    moved = {0: result(spec, VALUES[0]), 1: result(spec, VALUES[1] + 0.01, 1)}
    still = {0: result(spec, VALUES[0]), 1: result(spec, VALUES[1], 1)}

    def judged(lone: int):
        return judge_spec(spec, base, {f"r{i}": moved if i < lone else still for i in range(12)})

    assert judged(0) is None
    assert judged(1) is None
    found = judged(12)
    assert found is not None
    assert not found.passed
    assert "12 of 24 seeds moved beyond what 24 did" in reason(found.cause)
    first = next(n for n in range(1, 13) if judged(n))
    assert chance(first, 24, 24) <= 1 - LEVEL < chance(first - 1, 24, 24)


def test_rows_of_the_same_content_are_kept_apart(spec, folder):
    """Two rows may be one and the same case at smoke (both on a stand-in); each is judged."""
    twin = spec.rows[0].model_copy(update={"at": {"method": "twin"}})
    both = spec.model_copy(update={"rows": [spec.rows[0], twin]})
    both.document["rows"] = [both.document["rows"][0]] * 2
    store = Store(folder / "results")
    for row in both.rows:
        case = variants(both, row, "smoke", 0)[0]
        metrics = {"log_likelihood": StoredMetric(value=-5.0)}
        store.write(Result(case=case, key=case.key, fingerprint="", metrics=metrics))
    assert set(current(both, store, "smoke")) == {"IWAE", "twin"}


# --- real code ------------------------------------------------------------------------------------

OTHER_KERNELS = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
ROW = ["--profile", "smoke", "--rows", "method=IWAE"]


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def train(results, seeds, cache, monkeypatch):
    """Run a row of the tiny spec at smoke in this process, resuming nothing."""
    monkeypatch.setenv("HWBENCH_CACHE", str(cache))
    options = [*ROW, "--executor", "inline", "--device", "cpu"]
    assert run("run", "tiny", *options, "--seeds", seeds, "--results", results) == 0


@pytest.fixture
def taken(folder, monkeypatch):
    """A baseline of three seeds, two of them also under other kernels."""
    train("here", 3, folder / "cache-here", monkeypatch)
    command = [sys.executable, "-m", "hwbench", "run", "tiny", *ROW, "--seeds", "2"]
    command += ["--results", "there", "--device", "cpu", "--executor", "inline"]
    environment = {
        **os.environ,
        **OTHER_KERNELS,
        "HWBENCH_CACHE": str(folder / "cache-there"),
        "PYTHONPATH": str(PACKAGE.parent),  # this code, not another that is installed
    }
    subprocess.run(command, env=environment, check=True, cwd=folder)
    options = ["--baseline", "base", "--update", "--results", "here", "--elsewhere", "there"]
    assert run("gate", *options) == 0
    return folder


def no_log_k(monkeypatch):
    monkeypatch.setattr(
        "hwbench.evaluators.importance.log_mean_exp", lambda x, dim=0: x.logsumexp(dim)
    )


def a_factor_in_log_q(monkeypatch):
    right = VAE.infer

    def wrong(self, *args, **options):
        h, log_q = right(self, *args, **options)
        return Inferred(h, 1.01 * log_q)

    monkeypatch.setattr(VAE, "infer", wrong)


def test_bugs_are_caught_and_other_kernels_are_not(taken, monkeypatch, capsys):
    document = json.loads((taken / "base/tiny/table-smoke.json").read_text())
    base = Baseline.model_validate(document)
    differences = [d for row in base.rows.values() for d in row.differences()]
    assert len(differences) == 2
    assert max(differences) < 1e-3
    assert all(len(key) == 16 for row in base.rows.values() for key in row.keys.values())
    assert run("gate", "--baseline", "base", "--results", "here") == 0
    assert run("gate", "--baseline", "base", "--results", "there") == 0
    if max(differences) == 0:
        pytest.skip("this processor has no other kernels")
    for bug in (no_log_k, a_factor_in_log_q):
        with monkeypatch.context() as patch:
            bug(patch)
            train(bug.__name__, 2, taken / bug.__name__, patch)
        capsys.readouterr()
        assert run("gate", "--baseline", "base", "--results", bug.__name__) == 1, bug
        assert "rounding explains" in " ".join(capsys.readouterr().out.split())
    for row in document["rows"].values():  # the spread of the seeds alone misses the factor
        del row["elsewhere"]
    (taken / "base/tiny/table-smoke.json").write_text(json.dumps(document))
    assert run("gate", "--baseline", "base", "--results", "a_factor_in_log_q") == 0
    assert run("gate", "--baseline", "base", "--results", "no_log_k") == 1


def test_what_ran_elsewhere_must_be_the_same(spec, folder, capsys):
    here, there = Store(folder / "here"), Store(folder / "there")
    for seed in range(3):
        here.write(result(spec, -5.0 - seed / 10, seed))
    update = ["gate", "--baseline", "base", "--update", "--results", "here", "--elsewhere"]
    (folder / "empty").mkdir()
    assert run(*update, "empty") == 2
    assert "tiny/table IWAE: no result of any of its seeds" in capsys.readouterr().err
    assert run(*update, "nowhere") == 2
    assert "--elsewhere nowhere: no such folder" in capsys.readouterr().err
    there.write(result(spec, -5.0, 0).model_copy(update={"fingerprint": "other"}))
    assert run("gate", "--baseline", "base", "--elsewhere", "there") == 2
    assert "only --update takes it" in capsys.readouterr().err
    assert run(*update, "there") == 2
    assert "not the code or data of the other results" in " ".join(capsys.readouterr().err.split())


# --- baselines that are none ----------------------------------------------------------------------


def on_file(folder, spec, changes=None):
    path = folder / "base/tiny/table-smoke.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = baseline(spec).model_dump(mode="json") | (changes or {})
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec": "tiny/other"}, "its spec is tiny/other, not tiny/table"),
        ({"profile": "quick"}, "its profile is quick, not smoke"),
        ({"metric": "nll"}, "its metric is nll, not log_likelihood"),
        ({"rows": {"IWAE": {"keys": {}, "values": {"0": -5.0}}}}, "keys and values"),
        ({"rows": {"IWAE": {"keys": {"0": ""}, "values": {"0": -5.0}}}}, "String should match"),
        ({"rows": {"IWAE": {"keys": {}, "values": {"0": math.nan}}}}, "finite number"),
    ],
)
def test_a_baseline_of_something_else_is_told(spec, folder, capsys, changes, message):
    """It passed: nothing was compared, or with nothing of its own."""
    on_file(folder, spec, changes)
    Store(folder / "results").write(result(spec, -5.0))
    assert run("gate", "--baseline", "base") == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_an_update_keeps_the_rows_that_were_not_run(spec, folder):
    """One result on file cut eighteen rows to one."""
    on_file(folder, spec)
    Store(folder / "results").write(result(spec, -7.0, row=1))
    assert run("gate", "--baseline", "base", "--update") == 0
    base = read_baseline(folder / "base", spec, "smoke")
    assert list(base.rows) == ["IWAE", "VAE"]
    assert base.rows["IWAE"] == baseline(spec).rows["IWAE"]
    assert base.rows["VAE"].values == {"0": -7.0}


def test_rows_of_another_kind_of_device_are_not_kept_beside_others(spec, folder, capsys):
    path = on_file(folder, spec)
    before = path.read_bytes()
    Store(folder / "results").write(result(spec, -7.0, row=1, device="NVIDIA A100"))
    assert run("gate", "--baseline", "base", "--update") == 2
    assert "run them all" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_an_update_without_the_metric_is_told(spec, folder, capsys):
    """It was a KeyError."""
    found = result(spec, -5.0)
    found.metrics = {"nll": StoredMetric(value=5.0)}
    Store(folder / "results").write(found)
    assert run("gate", "--baseline", "base", "--update") == 2
    assert "its result lacks log_likelihood (it has nll)" in capsys.readouterr().err
