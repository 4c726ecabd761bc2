"""The test of two sides: t tests, equivalence, classifiers point by point."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hwbench.verdict.contrast import _p_outside
from hwbench.verdict.statistics import Estimate

from .conftest import FITTED, GAP, SLEEP_1, SLEEP_2, TWO, Bench, spread

WITHIN = "claims: [{id: C, text: t, within: {a: {m: A}, b: {m: B}, tolerance: 0.5}}]"


def test_a_known_paired_example(tmp_path):
    """Student's sleep data: difference 1.58, t = 4.0621, 9 df, two-sided p = 0.002833."""
    bench = Bench(tmp_path, TWO, GAP)
    bench.put("A", SLEEP_2)
    bench.put("B", SLEEP_1)
    (part,) = bench.claim().parts
    assert part.verdict == "holds"
    assert part.effect == pytest.approx(1.58)
    assert part.p == pytest.approx(0.002833 / 2, rel=1e-3)
    assert part.test == "paired t test over 10 seeds"
    assert part.profile == "full"
    low, high = stats.ttest_rel(SLEEP_2, SLEEP_1).confidence_interval(0.9)
    assert part.interval is not None
    assert (part.interval.low, part.interval.high) == pytest.approx((low, high))


def test_other_data_or_seeds_are_not_paired(tmp_path):
    """The same example unpaired: Welch's t = 1.8608, 17.776 df, two-sided p = 0.07939."""
    bench = Bench(tmp_path, TWO.replace("-91.50", "-91.50, data: {pixels: dynamic}"), GAP)
    bench.put("A", SLEEP_2)
    bench.put("B", SLEEP_1)
    (part,) = bench.claim().parts
    assert part.test == "Welch's t test over 10 and 10 seeds"
    assert part.p == pytest.approx(0.07939 / 2, rel=1e-3)
    apart = Bench(tmp_path / "apart", TWO, GAP)
    apart.put("A", SLEEP_2)
    apart.put("B", SLEEP_1, seeds=range(10, 20))
    (other,) = apart.claim().parts
    assert (other.test, other.p) == (part.test, pytest.approx(part.p))


def test_only_common_seeds_are_paired(tmp_path):
    bench = Bench(tmp_path, TWO, GAP)
    bench.put("A", SLEEP_2)
    bench.put("B", [*SLEEP_1[:6], 100.0, 100.0], seeds=[0, 1, 2, 3, 4, 5, 50, 51])
    (part,) = bench.claim().parts
    assert part.test == "paired t test over 6 seeds"
    six = stats.ttest_rel(SLEEP_2[:6], SLEEP_1[:6], alternative="greater")
    assert part.p == pytest.approx(six.pvalue)


def test_direction_follows_the_metric(tmp_path):
    for better, verdict in (("higher", "holds"), ("lower", "fails")):
        bench = Bench(tmp_path / better, TWO, GAP, better=better)
        bench.put("A", SLEEP_2)
        bench.put("B", SLEEP_1)
        assert bench.claim().verdict == verdict
    claim = GAP.replace("text: t", "text: t, metric: units, better: lower")
    bench = Bench(tmp_path / "metric", TWO, claim)
    bench.put("A", [{"log_likelihood": -90.0, "units": u} for u in (10.0, 11.0, 12.0)])
    bench.put("B", [{"log_likelihood": -90.0, "units": u} for u in (20.0, 22.0, 21.0)])
    assert bench.claim().verdict == "holds"
    assert bench.claim().parts[0].effect == pytest.approx(10.0)


def test_a_gap_of_at_least(tmp_path):
    """d = 1.58 ± 1.83 · 0.389: beyond 0.5, not telling 1.5, short of 3."""
    for at_least, verdict in ((0.5, "holds"), (1.5, "undecided"), (3.0, "fails")):
        claim = GAP.replace("{m: B}}", f"{{m: B}}, at_least: {at_least}, published: 1.6}}")
        bench = Bench(tmp_path / verdict, TWO, claim)
        bench.put("A", SLEEP_2)
        bench.put("B", SLEEP_1)
        (part,) = bench.claim().parts
        assert part.verdict == verdict
        side = -1 if verdict == "fails" else 1  # p is that of what the verdict says
        assert part.p == pytest.approx(stats.t.sf(side * (1.58 - at_least) / 0.38896, 9), rel=1e-3)
        assert "published 1.6" in part.reason
    assert f"p\u00a0=\u00a0{part.p:.2g} for the reverse" in part.reason


@pytest.mark.parametrize(
    ("shift", "sd", "verdict"),
    [
        (0.1, 0.1, "holds"),
        (0.5, 0.1, "undecided"),
        (0.1, 2.0, "undecided"),
        (1.5, 0.1, "fails"),
        (-1.5, 0.1, "fails"),
    ],
)
def test_equivalence(tmp_path, shift, sd, verdict):
    """TOST within ± 0.5: holds inside, fails beyond either side; its p is the larger of two."""
    bench = Bench(tmp_path, TWO, WITHIN)
    base = spread(-90.0, 1.0, 6)
    noise = spread(shift, sd, 6)
    bench.put(
        "A", [b + e for b, e in zip(base, [noise[i] for i in (3, 0, 5, 1, 4, 2)], strict=True)]
    )
    bench.put("B", base)
    (part,) = bench.claim().parts
    assert part.verdict == verdict
    se = sd / math.sqrt(6)
    p = max(stats.t.sf((shift + 0.5) / se, 5), stats.t.cdf((shift - 0.5) / se, 5))
    if verdict == "fails":
        p = stats.t.sf((abs(shift) - 0.5) / se, 5) + stats.t.sf((abs(shift) + 0.5) / se, 5)
    assert part.p == pytest.approx(p)
    assert part.interval is not None
    low, high = part.interval.low, part.interval.high
    assert (low > -0.5 and high < 0.5) == (verdict == "holds")
    assert (low > 0.5 or high < -0.5) == (verdict == "fails")
    assert "two one-sided tests" in part.test


@pytest.mark.statistical
@pytest.mark.parametrize("tolerance", [0.1, 0.33, 1.0, 3.0])
def test_equivalence_is_wrongly_refuted_in_5_percent(tolerance):
    """Three differences from N(tolerance, 1): p < 0.05 in at most 5 % of 4000 trials, 5 sigma."""
    trials = 4000
    values = np.random.default_rng(0).normal(tolerance, 1.0, (trials, 3))
    errors = values.std(1, ddof=1) / math.sqrt(3)
    found = [
        _p_outside(Estimate(mean, se, 2.0), tolerance)
        for mean, se in zip(values.mean(1).tolist(), errors.tolist(), strict=True)
    ]
    assert np.mean(np.less(found, 0.05)) <= 0.05 + 5 * math.sqrt(0.05 * 0.95 / trials)


def test_the_test_against_equivalence_is_two_sided_for_a_small_tolerance():
    """And one-sided for a large one; an effect of 0 never refutes, and doubt of log Z helps."""
    estimate = Estimate(1.0, 0.5, 4.0)
    assert _p_outside(estimate, 1e-12) == pytest.approx(2 * stats.t.sf(2.0, 4))
    assert _p_outside(estimate, 0.9) == pytest.approx(stats.t.sf(0.2, 4) + stats.t.sf(3.8, 4))
    assert _p_outside(replace(estimate, effect=0.0), 0.1) == 1.0
    assert _p_outside(replace(estimate, below=0.5), 0.3) > _p_outside(estimate, 0.3)
    assert _p_outside(replace(estimate, above=0.5), 0.3) == _p_outside(estimate, 0.3)


def test_rows_that_coincide_seed_by_seed_are_equivalent(tmp_path):
    bench = Bench(tmp_path, TWO, WITHIN)
    for i in (0, 1):
        bench.put(i, SLEEP_1)
    assert bench.claim().verdict == "holds"


def test_groups_of_rows_are_averaged_seed_by_seed(tmp_path):
    rows = "\n".join(f"{{at: {{m: {m}, k: {k}}}}}" for m in "AB" for k in (1, 5))
    claim = "claims: [{id: C, text: t, gap: {better: {m: A, k: 5}, worse: {m: B}}}]"
    bench = Bench(tmp_path, rows, claim)
    for i, mean in enumerate((-50.0, 3.0, 0.0, 1.0)):
        bench.put(i, spread(mean, 0.2 + 0.1 * i, 4))
    (part,) = bench.claim().parts
    assert part.at == {}
    assert part.effect == pytest.approx(3.0 - 0.5)
    assert part.verdict == "holds"


def classified(
    folder, only_a, only_b, *, rows=FITTED, seeds=1, unit=1, metric="error", files=((), ())
) -> Bench:
    """Return two classifiers of 200 points, `only_a` of them classified correctly by a alone."""
    better = "higher" if metric == "accuracy" else "lower"
    bench = Bench(folder, rows, GAP, metric=metric, better=better)
    right = np.ones((2, 200), dtype=np.uint8)
    right[1, :only_a] = 0
    right[0, only_a : only_a + only_b] = 0
    right[:, -5:] = 0
    for i in (0, 1):
        share = right[i].mean() if better == "higher" else 1 - right[i].mean()
        arrays = {"correct": [right[i]] * seeds}
        bench.put(i, [unit * share] * seeds, arrays=arrays, files=list(files[i]))
    return bench


@pytest.mark.parametrize("seeds", [1, 3])
def test_two_deterministic_classifiers_are_compared_point_by_point(tmp_path, seeds):
    """20 against 6: P(X ≥ 20), X ~ Bin(26, ½); a normal interval for the paired proportions."""
    (part,) = classified(tmp_path, 20, 6, seeds=seeds).claim().parts
    assert part.verdict == "holds"
    assert part.p == pytest.approx(stats.binomtest(20, 26, alternative="greater").pvalue)
    assert part.effect == pytest.approx(14 / 200)
    assert part.test == (
        "McNemar's exact test between two deterministic models over 200 points (20 against 6)"
    )
    se = math.sqrt(26 - 14**2 / 200) / 200
    assert part.interval is not None
    assert part.interval.low == pytest.approx(0.07 - stats.norm.ppf(0.95) * se)
    assert classified(tmp_path / "fails", 6, 20, seeds=seeds).claim().verdict == "fails"
    assert classified(tmp_path / "even", 7, 7, seeds=seeds).claim().verdict == "undecided"


def test_accuracies_are_compared_by_points_too(tmp_path):
    (part,) = classified(tmp_path, 20, 6, metric="accuracy").claim().parts
    assert (part.verdict, part.effect) == ("holds", pytest.approx(0.07))


@pytest.mark.parametrize(("metric", "unit"), [("nll", 1), ("error", 37)])
def test_a_metric_that_is_no_share_of_points_is_not_compared_by_points(tmp_path, metric, unit):
    """Whichever has more points right may have the worse likelihood."""
    (part,) = classified(tmp_path, 20, 6, metric=metric, unit=unit).claim().parts
    assert (part.verdict, part.p) == ("undecided", None)


def test_one_seed_of_a_trained_classifier_says_nothing_of_the_method(tmp_path):
    """McNemar would only tell these two nets apart, not what another seed would give."""
    rows = "{at: {m: A}, published: 3.0}\n{at: {m: B}, published: 4.0}"
    (part,) = classified(tmp_path, 40, 0, rows=rows).claim().parts
    assert (part.verdict, part.p) == ("undecided", None)
    assert "fewer than 2 seeds" in part.test


@pytest.mark.parametrize("whose", [0, 1])
def test_nor_does_one_seed_of_a_fit_that_is_not_declared_deterministic(tmp_path, whose):
    """The seed may move a fit (back-propagation), even if the spec asks for one only."""
    rows = FITTED.splitlines()
    rows[whose] = rows[whose].replace(", deterministic: true", "")
    (part,) = classified(tmp_path, 40, 0, rows="\n".join(rows)).claim().parts
    assert (part.verdict, part.p) == ("undecided", None)
    assert "fewer than 2 seeds" in part.test


def test_what_no_seed_moves_needs_values_per_point(tmp_path):
    bench = Bench(tmp_path, FITTED, GAP, metric="error", better="lower")
    bench.put("A", [3.0, 3.0])
    bench.put("B", [4.0, 4.0])
    (part,) = bench.claim().parts
    assert (part.verdict, part.p, part.effect) == ("undecided", None, 1.0)
    assert "neither side depends on the seed" in part.test


def test_nets_that_err_equally_often_by_chance_are_not_fixed(tmp_path):
    """Each seed is wrong on other points: neither McNemar nor a t test without spread."""
    rows = "{at: {m: A}, published: 3.0}\n{at: {m: B}, published: 4.0}"
    bench = Bench(tmp_path, rows, GAP, metric="error", better="lower")
    for i, wrong in enumerate((10, 40)):
        right = np.ones((2, 200), dtype=np.uint8)
        for seed in (0, 1):
            right[seed, seed : seed + wrong] = 0
        bench.put(i, [wrong / 2.0] * 2, arrays={"correct": list(right)})
    (part,) = bench.claim().parts
    assert (part.verdict, part.p, part.effect) == ("undecided", None, 15.0)
    assert "happened to give the same value" in part.test
    row = bench.row("A")  # 5.0 where 3.0 is printed: nor is a row judged without spread
    assert (row.verdict, row.interval) == ("undecided", None)
    assert "happened to give the same value" in row.reason
    bench = Bench(tmp_path / "one", rows, GAP, metric="error", better="lower")
    bench.put("A", [5.0] * 2, arrays={"correct": list(right)}, seeds=[0, 1])
    bench.put("B", [7.0, 7.5], seeds=[2, 3])
    (part,) = bench.claim().parts
    assert (part.verdict, part.p) == ("undecided", None)
    assert "happened to give the same value" in part.test


def test_two_views_of_one_data_set_have_the_same_test_points(tmp_path):
    """k-NN on raw pictures and an SVM on what a preprocessing makes of them, as for NORB."""
    a, b = FITTED.splitlines()
    a = a.replace("at:", "data: {use: norb.RawNORB, pixels: grey, validation: 9}, at:")
    b = b.replace("at:", "data: {use: norb.SmallNORB, pixels: grey}, at:")
    read = ("norb/test-dat.mat", "norb/test-cat.mat")
    same = classified(tmp_path, 20, 6, rows=f"{a}\n{b}", files=(read, read))
    (part,) = same.claim().parts
    assert (part.verdict, "McNemar" in part.test) == ("holds", True)
    other = classified(tmp_path / "other", 20, 6, rows=f"{a}\n{b}", files=(read, read[:1]))
    (part,) = other.claim().parts
    assert (part.verdict, part.p) == ("undecided", None)
    unknown = classified(tmp_path / "unknown", 20, 6, rows=f"{a}\n{b}")
    (part,) = unknown.claim().parts
    assert (part.verdict, part.p) == ("undecided", None)


def test_one_seed_of_a_fixed_model_is_enough_against_seeds_of_a_net(tmp_path):
    """Its variance is zero: one-sample t of the net's errors, in either direction."""
    rows = FITTED.splitlines()[0] + "\n{at: {m: B}, published: 4.0}"
    bench = Bench(tmp_path, rows, GAP, metric="error", better="lower")
    errors = [4.0, 4.2, 4.1]
    bench.put("A", [3.0], arrays={"correct": [np.ones(200, dtype=np.uint8)]})
    bench.put("B", errors)
    (part,) = bench.claim().parts
    assert part.test == "t test over 3 seeds against a deterministic model"
    assert part.p == pytest.approx(stats.ttest_1samp(errors, 3.0, alternative="greater").pvalue)
    assert (part.verdict, part.effect) == ("holds", pytest.approx(1.1))
    swapped = Bench(tmp_path / "swapped", rows, GAP, metric="error", better="higher")
    swapped.put("A", [3.0])
    swapped.put("B", errors)
    assert swapped.claim().verdict == "fails"


def test_equal_paired_differences_are_no_certainty(tmp_path):
    """Errors are multiples of 1 / n: two seeds may differ by the same and prove nothing."""
    rows = "{at: {m: A}, published: 3.0}\n{at: {m: B}, published: 4.0}"
    bench = Bench(tmp_path, rows, GAP, metric="error", better="lower")
    bench.put("A", [3.0, 3.5])
    bench.put("B", [3.4, 3.9])
    (part,) = bench.claim().parts
    assert part.test == "Welch's t test over 2 and 2 seeds"
    expected = stats.ttest_ind([3.4, 3.9], [3.0, 3.5], equal_var=False, alternative="greater")
    assert part.p == pytest.approx(expected.pvalue)
    assert part.verdict == "undecided"


def test_no_difference_has_no_sign(tmp_path):
    (part,) = classified(tmp_path, 7, 7).claim().parts
    assert math.copysign(1, part.effect) == 1
    assert "−0" not in part.reason
