"""The tolerance of the gate is a prediction interval: formula, false alarms, what it catches."""

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from hwbench.gate import LEVEL, ROUNDING, BaselineRow, judge_row, tolerance
from hwbench.spec import variants
from hwbench.store import Result, StoredMetric


def test_formula():
    values = [1.0, 2.0, 4.0, 7.0]
    t = stats.t.ppf(0.5 + LEVEL / 2, 3)
    expected = t * statistics.stdev(values) * math.sqrt(1 / 2 + 1 / 4)
    assert tolerance(values, 2) == pytest.approx(expected)


def test_equal_values_allow_rounding_only():
    assert tolerance([-50.0] * 5, 2) == pytest.approx(ROUNDING * 50)


@pytest.mark.statistical
def test_false_alarms_come_at_the_stated_rate():
    """Over 20 000 draws of unchanged code the rate of alarms is 1 − LEVEL, within 5 sigma."""
    rng = np.random.default_rng(0)
    trials, alarms = 20_000, 0
    base, new = rng.normal(size=(trials, 6)), rng.normal(size=(trials, 2))
    for b, n in zip(base, new, strict=True):
        alarms += abs(n.mean() - b.mean()) > tolerance(list(b), 2)
    rate = 1 - LEVEL
    assert abs(alarms / trials - rate) < 5 * math.sqrt(rate * (1 - rate) / trials)


def result(spec, value, seed=0):
    case = variants(spec, spec.rows[0], "smoke", seed)[0]
    metrics = {"log_likelihood": StoredMetric(value=value)}
    return Result(case=case, key=case.key, fingerprint="", metrics=metrics)


def baseline(spec, values):
    keys = {str(s): variants(spec, spec.rows[0], "smoke", s)[0].key for s in range(len(values))}
    return BaselineRow(keys=keys, values={str(s): v for s, v in enumerate(values)})


@pytest.mark.parametrize(
    ("value", "passed", "word"),
    [(-5.0, True, "within"), (-9.0, False, "worse"), (-1.0, False, "better")],
)
def test_both_sides_fail(spec, value, passed, word):
    found = judge_row(
        spec, "IWAE", baseline(spec, [-5.0, -5.1, -4.9, -5.05, -4.95]), {0: result(spec, value)}
    )
    assert found.passed is passed
    assert word in found.reason


def test_a_lower_is_better_metric_turns_the_words_round(spec):
    nll = spec.model_copy(update={"better": "lower"})
    found = judge_row(nll, "IWAE", baseline(spec, [5.0, 5.1, 4.9]), {0: result(spec, 50.0)})
    assert "worse" in found.reason


def test_what_cannot_be_judged_fails(spec):
    good = baseline(spec, [-5.0, -5.1, -4.9])
    assert "no such row" in judge_row(spec, "IWAE", None, {0: result(spec, -5.0)}).reason
    assert "no result" in judge_row(spec, "IWAE", good, {}).reason
    assert (
        "at least 2 seeds"
        in judge_row(spec, "IWAE", baseline(spec, [-5.0]), {0: result(spec, -5.0)}).reason
    )
    changed = good.model_copy(update={"keys": dict.fromkeys(good.keys, "another")})
    found = judge_row(spec, "IWAE", changed, {0: result(spec, -5.0)})
    assert "spec has changed" in found.reason
    assert not found.passed


def test_rows_of_the_same_content_are_kept_apart(spec, folder):
    """Two rows may be one and the same case at smoke (both on a stand-in); each is judged."""
    from hwbench.gate import current
    from hwbench.store import Store

    twin = spec.rows[0].model_copy(update={"at": {"method": "twin"}})
    both = spec.model_copy(update={"rows": [spec.rows[0], twin]})
    both.document["rows"] = [both.document["rows"][0]] * 2
    store = Store(folder / "results")
    for row in both.rows:
        case = variants(both, row, "smoke", 0)[0]
        metrics = {"log_likelihood": StoredMetric(value=-5.0)}
        store.write(Result(case=case, key=case.key, fingerprint="", metrics=metrics))
    assert set(current(both, store, "smoke")) == {"IWAE", "twin"}
