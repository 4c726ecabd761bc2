"""Verdicts on rows and claims, against closed forms, simulation and results written here."""

import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from hwbench.spec import Case, Claim, Spec, SpecError, load, variants
from hwbench.store import Failure, Result, Store, StoredMetric
from hwbench.verdict.claim import Draft, conclude, settle
from hwbench.verdict.evidence import OnFile
from hwbench.verdict.outcome import ClaimOutcome, ClaimPart, Comparison, RowOutcome
from hwbench.verdict.reasons import Stated
from hwbench.verdict.row import position
from hwbench.verdict.spread import detectable_difference
from hwbench.verdict.statistics import (
    Estimate,
    Interval,
    holm,
    mcnemar,
    prediction,
    smallest_difference,
)
from hwbench.verdict.table import compare
from hwbench.verdict.wording import flag_text

# --- building specs and results -------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch):
    """Files of a test need not outlive a power cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


STAND_INS = "stand_ins: {mnist.MNIST: [mnist.MNIST, digits.Digits]}"


def make_spec(folder: Path, rows: str, more: str = "", spec_id="demo/table", **top) -> Spec:
    """Return a spec with these rows (YAML flow mappings, one a line), claims and the like."""
    keys = {"metric": "log_likelihood", "better": "higher", **top}
    text = "\n".join(
        [
            f"id: {spec_id}",
            "title: A table",
            "source: Table 1",
            *(f"{key}: {value}" for key, value in keys.items()),
            "defaults:",
            "  data: {use: mnist.MNIST, pixels: fixed}",
            "  model: {use: vae.VAE}",
            "  train: {rule: {use: bounds.ELBO}, epochs: 9}",
            "  evaluate: {use: importance.LogLikelihood, k: 50}",
            "  seeds: 5",
            "  margin: 0.5",
            "rows:",
            *(f"  - {line.strip()}" for line in rows.strip().splitlines()),
            "profiles:",
            f"  smoke: {{train: {{epochs: 1}}, seeds: 2, {STAND_INS}}}",
            f"  quick: {{train: {{epochs: 2}}, seeds: 3, {STAND_INS}}}",
            more,
            f"show: {{index: {rows.split('at: {')[1].split(':')[0]}}}",
        ]
    )
    path = folder / f"{spec_id}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return load(path)


class Bench:
    """A spec with a results folder to write into."""

    def __init__(self, folder: Path, rows: str, more: str = "", **keys) -> None:
        self.spec = make_spec(folder, rows, more, **keys)
        self.store = Store(folder / "results")

    def case(self, row: int, seed: int, profile: str = "full", variant: int = 0) -> Case:
        return variants(self.spec, self.spec.rows[row], profile, seed)[variant]

    def put(self, row, values, profile="full", *, variant=0, seeds=None, arrays=None, **keys):
        """Store one result per value, for seeds 0, 1, …; a value may be a dict of metrics."""
        kind = keys.pop("kind", "estimate")
        for i, value in enumerate(values):
            case = self.case(row, seeds[i] if seeds is not None else i, profile, variant)
            metrics = value if isinstance(value, dict) else {self.spec.metric: value}
            stored = {k: StoredMetric(value=v, se=0.7, kind=kind) for k, v in metrics.items()}
            content = {"fingerprint": "now", "metrics": stored, **keys}
            result = Result(case=case, key=case.key, **content)
            assert self.store.write(result, {k: v[i] for k, v in (arrays or {}).items()})

    def fail(self, row, seed, kind="failed", profile="full", reason="it broke"):
        case = self.case(row, seed, profile)
        self.store.write_failure(Failure(case=case, key=case.key, kind=kind, reason=reason))

    def compare(self, **keys) -> Comparison:
        return compare(self.spec, self.store, **keys)

    def row(self, index: int = 0, **keys) -> RowOutcome:
        return self.compare(**keys).rows[index]

    def claim(self, index: int = 0, **keys) -> ClaimOutcome:
        return self.compare(**keys).claims[index]


def marks(row: RowOutcome) -> list[str]:
    """Return a row's flags in words."""
    return [flag_text(flag) for flag in row.flags]


def spread(mean: float, sd: float, n: int = 5) -> list[float]:
    """Return n values with exactly this mean and standard deviation."""
    x = np.arange(n) - (n - 1) / 2
    return list(mean + sd * x / np.std(x, ddof=1))


ONE = "{at: {m: A}, published: -90.0}"
BELOW = "0.5 nats below the published value"
ONE_DRAWN = "{at: {m: A}, published: -90.000 ± 0.010, data: {pixels: dynamic}}"
TWO = "{at: {m: A}, published: -90.00}\n{at: {m: B}, published: -91.50}"


# --- statistics -----------------------------------------------------------------------------------


def test_interval_without_a_printed_error_is_that_of_one_more_run():
    """measured − published of one run with our spread: t(n − 1) s √(1 + 1/n)."""
    estimate = prediction(0.3, sd=0.2, n=5)
    half = stats.t.ppf(0.95, 4) * 0.2 * math.sqrt(1 + 1 / 5)
    assert estimate.df == pytest.approx(4)
    interval = estimate.interval()
    assert (interval.low, interval.high) == pytest.approx((0.3 - half, 0.3 + half))
    assert smallest_difference(0.2, 5) == pytest.approx(half)


def test_interval_with_a_printed_error_combines_variances():
    """s²/n + e² + r²/3, with the degrees of freedom of Welch and Satterthwaite."""
    s, n, e, r = 0.2, 5, 0.05, 0.005
    own, total = s**2 / n, s**2 / n + e**2 + r**2 / 3
    known = prediction(0.0, s, n, e, r)
    assert known.se == pytest.approx(math.sqrt(total))
    assert known.df == pytest.approx(total**2 / (own**2 / 4))
    trials = prediction(0.0, s, n, e, r, trials=5)
    assert trials.df == pytest.approx(total**2 / (own**2 / 4 + e**4 / 4))
    assert smallest_difference(s, n, e, r) == pytest.approx(stats.t.ppf(0.95, known.df) * known.se)
    assert smallest_difference(s, n, e, r, trials=5) > smallest_difference(s, n, e, r)


def test_a_published_mean_over_trials_scatters_less():
    assert prediction(0.0, 0.2, 5, trials=4).se == pytest.approx(0.2 * math.sqrt(1 / 5 + 1 / 4))


def test_one_trial_gives_its_printed_error_no_degrees_of_freedom():
    """A printed error of a single run is over test points; it is taken as known."""
    assert prediction(0.0, 0.0, 5, 0.1, trials=1).df == math.inf


def test_a_plan_foresees_what_its_verdicts_will_tell(tmp_path):
    """Seeds on file and planned make the interval that `compare` then finds, trials included."""
    bench = Bench(tmp_path, "{at: {m: A}, published: -90.0 ± 0.1, trials: 3}")
    bench.put(0, spread(-90.2, 0.2, 3))

    def plan(seeds, profile="full"):
        cases = [bench.case(0, seed, profile) for seed in seeds]
        on_file = OnFile(bench.spec, bench.store, lambda case: "now")
        return detectable_difference(on_file, bench.spec.rows[0], cases)

    assert plan([3, 4]) == pytest.approx(smallest_difference(0.2, 5, 0.1, 0.05, trials=3))
    assert plan([3, 4]) != pytest.approx(smallest_difference(0.2, 5, 0.1, 0.05))
    assert plan([0, 1], "quick") == pytest.approx(smallest_difference(0.2, 2, 0.1, 0.05, trials=3))
    assert plan([0], "quick") is None
    bench.put(0, [-90.2], seeds=[3])
    bench.put(0, [-90.2], seeds=[4])
    found = bench.row()
    assert found.sd is not None
    expected = smallest_difference(found.sd, 5, 0.1, 0.05, trials=3)
    assert plan([4]) == pytest.approx(expected) == pytest.approx(found.smallest)


def test_a_plan_learns_nothing_from_other_code_other_data_or_an_older_spec(tmp_path):
    bench = Bench(tmp_path, ONE)

    def plan(profile="quick"):
        on_file = OnFile(bench.spec, bench.store, lambda case: "now")
        cases = [bench.case(0, seed, profile) for seed in (3, 4)]
        return detectable_difference(on_file, bench.spec.rows[0], cases)

    bench.put(0, spread(-90, 9.0, 3), fingerprint="before")
    assert plan() is None
    bench.put(0, spread(-90, 0.5, 3), "quick", variant=1)  # on the stand-in
    assert plan() is None
    bench.put(0, spread(-90, 0.5, 3), "quick")
    expected = smallest_difference(0.5, 5, rounding=0.05)
    assert plan() == pytest.approx(expected)
    older = bench.spec
    bench.spec = make_spec(tmp_path, ONE.replace("}, p", "}, train: {epochs: 7}, p"))
    assert bench.spec != older
    bench.put(0, spread(-90, 0.1, 3))
    assert plan("full") == pytest.approx(smallest_difference(0.1, 5, rounding=0.05))
    bench.spec = older
    assert plan() == pytest.approx(expected)  # those with 7 epochs are stale


def test_limits_of_the_smallest_difference():
    assert smallest_difference(0.2, 1) == math.inf
    assert smallest_difference(0.0, 5) == 0.0
    assert smallest_difference(0.0, 5, 0.1) == pytest.approx(0.1 * stats.norm.ppf(0.95))
    many = [smallest_difference(0.2, n, 0.0) for n in (2, 3, 5, 10, 100)]
    assert many == sorted(many, reverse=True)


@pytest.mark.statistical
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_coverage_against_a_single_published_run_is_exact(n):
    """The interval covers the true difference in 90 % of 200 000 repetitions (5 sigma)."""
    repeats, rng = 200_000, np.random.default_rng(n)
    ours, print_ = rng.normal(0.0, 0.3, (repeats, n)), rng.normal(0.0, 0.3, repeats)
    half = np.array([smallest_difference(1.0, n)]) * ours.std(1, ddof=1)
    covered = np.abs(ours.mean(1) - print_) <= half
    assert abs(covered.mean() - 0.9) < 5 * math.sqrt(0.9 * 0.1 / repeats)


def _covered(n: int, ratio: float, trials: int, repeats: int, rng: np.random.Generator) -> float:
    """Return how often the interval covers, where print is a mean with its own error."""
    ours = rng.normal(0.0, 1.0, (repeats, n))
    theirs = rng.normal(0.0, ratio, (repeats, trials))
    own, error = ours.var(1, ddof=1) / n, theirs.var(1, ddof=1) / trials
    df = (own + error) ** 2 / (own**2 / (n - 1) + error**2 / (trials - 1))
    half = stats.t.ppf(0.95, df) * np.sqrt(own + error)
    first = prediction(0.0, ours[0].std(ddof=1), n, math.sqrt(error[0]), trials=trials)
    assert first.half_width() == pytest.approx(half[0])  # the vectorised form is the library's
    return float((np.abs(ours.mean(1) - theirs.mean(1)) <= half).mean())


@pytest.mark.statistical
@pytest.mark.parametrize("ratio", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(("n", "at_least"), [(2, 0.85), (3, 0.88), (5, 0.89)])
def test_coverage_with_a_printed_error_is_near_nominal(n, at_least, ratio):
    """Welch's approximation is a little short for few seeds, as documented (5 sigma)."""
    repeats = 40_000
    covered = _covered(n, ratio, 5, repeats, np.random.default_rng(7))
    sigma = math.sqrt(0.9 * 0.1 / repeats)
    assert at_least - 5 * sigma < covered < 0.92 + 5 * sigma


@pytest.mark.statistical
@pytest.mark.parametrize("edge", [0.5, -0.5])
def test_at_the_margin_neither_agreement_nor_difference_is_claimed_too_often(tmp_path, edge):
    """With the true difference at the margin, each wrong word comes in 5 % at most (5 sigma)."""
    repeats, n, sd = 5_000, 5, 0.05
    spec, rng = make_spec(tmp_path, ONE), np.random.default_rng(1)
    ours, print_ = rng.normal(edge, sd, (repeats, n)), rng.normal(0.0, sd, repeats)
    unit = smallest_difference(1.0, n)
    halves = unit * ours.std(1, ddof=1)
    words = [
        position(spec, Estimate(d, h / stats.norm.ppf(0.95), math.inf), 0.5)[0]
        for d, h in zip(ours.mean(1) - print_, halves, strict=True)
    ]
    limit = 0.05 + 5 * math.sqrt(0.05 * 0.95 / repeats)
    share = {word: words.count(word) / repeats for word in ("agrees", "better", "worse")}
    assert share["agrees"] < limit
    assert share["better" if edge > 0 else "worse"] < limit
    assert share["worse" if edge > 0 else "better"] == 0
    assert share["agrees"] > 0.05 - 5 * math.sqrt(0.05 * 0.95 / repeats)  # nor is the test idle


def test_holm_by_hand():
    """0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; the last follows up."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.02]) == [0.02]
    assert holm([0.6, 0.9]) == [1.0, 1.0]


@pytest.mark.statistical
def test_holm_keeps_the_family_wise_error():
    """Of families without effect at most 5 % have a rejection, and nearly as many do (5 sigma)."""
    repeats, rng = 5_000, np.random.default_rng(2)
    wrong = np.mean([min(holm(p)) < 0.05 for p in rng.uniform(size=(repeats, 6)).tolist()])
    expected = 1 - (1 - 0.05 / 6) ** 6
    assert abs(wrong - expected) < 5 * math.sqrt(expected * (1 - expected) / repeats)
    assert expected < 0.05


def test_mcnemar_by_hand():
    """8 points only a has right and 2 only b: P(X ≥ 8), X ~ Bin(10, ½), is (45 + 10 + 1)/1024."""
    a = np.array([True] * 8 + [False] * 2 + [True] * 50 + [False] * 7)
    b = np.array([False] * 8 + [True] * 2 + [True] * 50 + [False] * 7)
    assert mcnemar(a, b) == (8, 2, pytest.approx(56 / 1024))
    assert mcnemar(b, a) == (2, 8, pytest.approx(1 - 11 / 1024))
    assert mcnemar(a, a) == (0, 0, 1.0)


def test_one_sided_p_values_are_the_ends_of_the_interval():
    estimate = Estimate(1.0, 0.4, 6.0)
    interval = estimate.interval()
    assert estimate.p_above(interval.low) == pytest.approx(0.05)
    assert estimate.p_below(interval.high) == pytest.approx(0.05)
    assert estimate.p_above(0.3) + estimate.p_below(0.3) == pytest.approx(1.0)
    exact = Estimate(1.0, 0.0, 4.0)
    assert [exact.p_above(0.9), exact.p_above(1.0)] == [0.0, 1.0]
    assert [exact.p_below(1.0), exact.p_below(1.1)] == [1.0, 0.0]
    assert exact.interval() == Interval(1.0, 1.0)


# --- rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "sd", "better", "verdict"),
    [
        (-90.1, 0.05, "higher", "agrees"),
        (-89.0, 0.05, "higher", "better"),
        (-91.0, 0.05, "higher", "worse"),
        (-91.0, 0.05, "lower", "better"),
        (-89.0, 0.05, "lower", "worse"),
        (-90.5, 0.05, "higher", "undecided"),
        (-90.0, 1.0, "higher", "undecided"),
    ],
)
def test_verdicts_of_full_rows(tmp_path, mean, sd, better, verdict):
    bench = Bench(tmp_path, ONE, better=better)
    bench.put(0, spread(mean, sd))
    row = bench.row()
    assert row.verdict == verdict
    assert row.mean == pytest.approx(mean)
    assert row.sd == pytest.approx(sd)
    assert row.difference == pytest.approx(mean + 90)
    own, rounding = sd**2 * 1.2, 0.05**2 / 3
    df = (own + rounding) ** 2 / (own**2 / 4)
    half = stats.t.ppf(0.95, df) * math.sqrt(own + rounding)
    assert row.smallest == pytest.approx(half)
    assert row.interval is not None
    assert row.interval.low == pytest.approx(mean + 90 - half)
    assert row.interval.high == pytest.approx(mean + 90 + half)
    assert row.se_points == pytest.approx(0.7)
    assert (row.profile, row.expected_seeds, len(row.results)) == ("full", 5, 5)
    assert marks(row) == []


def test_a_printed_error_and_its_trials_count(tmp_path):
    bench = Bench(tmp_path, "{at: {m: A}, published: -90.000 ± 0.100, trials: 5}")
    bench.put(0, spread(-90.0, 0.1))
    expected = prediction(0.0, 0.1, 5, 0.1, 0.0005, trials=5)
    assert bench.row().smallest == pytest.approx(expected.half_width())


def test_published_dynamic_pixels_add_the_draw(tmp_path):
    """A printed ± does not show the one draw of test pixels; our spread per image estimates it."""
    bench = Bench(tmp_path, ONE_DRAWN)
    rng = np.random.default_rng(0)
    arrays = rng.normal(-90.0, 6.0, (5, 400))
    bench.put(0, arrays.mean(1).tolist(), arrays={"log_px": arrays})
    row = bench.row()
    draw = arrays.var(axis=0, ddof=1).mean() / 400
    assert row.sd is not None
    expected = prediction(0.0, row.sd, 5, 0.01, 0.0005, draw=draw)
    assert row.smallest == pytest.approx(expected.half_width())
    assert row.smallest > smallest_difference(row.sd, 5, 0.01, 0.0005)

    on_file = OnFile(bench.spec, bench.store, lambda case: "now")
    plan = [bench.case(0, seed) for seed in range(5)]
    assert detectable_difference(on_file, bench.spec.rows[0], plan) == pytest.approx(row.smallest)
    mine = Bench(tmp_path, "{at: {m: Mine}, data: {pixels: dynamic}}", spec_id="me/mine")
    mine.put(0, arrays.mean(1).tolist(), arrays={"log_px": arrays})
    _, printed = bench.compare(against=mine.spec).claims[0].parts
    assert printed.interval is not None
    assert printed.interval.half == pytest.approx(row.smallest)


def test_without_values_per_image_the_uncounted_draw_is_said(tmp_path):
    bench = Bench(tmp_path, ONE_DRAWN)
    bench.put(0, spread(-90.0, 0.1))
    assert "draw of test pixels is not included" in bench.row().reason
    other = Bench(tmp_path / "other", ONE_DRAWN, metric="spread")  # log p(x) is not its terms
    other.put(0, spread(-90.0, 0.1), arrays={"log_px": np.zeros((5, 10))})
    assert "draw of test pixels is not included" in other.row().reason


def test_rows_without_results(tmp_path):
    bench = Bench(tmp_path, "\n".join(ONE.replace("A", name) for name in "ABCD"))
    bench.fail(1, 0, "missing", reason="t10k.gz (sha256 abc) is not here; put it into data/")
    bench.fail(2, 0, reason="diverged at step 12")
    bench.fail(2, 1, reason="diverged at step 15")
    bench.put(3, [{"nll": 3.0}])
    rows = bench.compare().rows
    assert [(r.verdict, r.mean, r.interval, r.profile) for r in rows] == [
        ("missing", None, None, None),
        ("missing", None, None, None),
        ("failed", None, None, None),
        ("missing", None, None, None),
    ]
    assert rows[0].reason == "not run yet"
    assert "sha256 abc" in rows[1].reason
    assert "diverged at step 12 (and 1 more)" in rows[2].reason
    assert "lack log_likelihood (they have nll)" in rows[3].reason
    assert rows[0].expected_seeds == 5


def test_a_number_that_is_none_is_a_failure(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put(0, [math.nan])
    row = bench.row()
    assert row.verdict == "failed"
    assert "log_likelihood is not finite" in row.reason


def test_seeds_that_failed_leave_a_selection(tmp_path):
    """Agreement of the survivors proves nothing; being worse in spite of the selection does."""
    for mean, verdict in ((-90.0, "undecided"), (-95.0, "worse")):
        bench = Bench(tmp_path / verdict, ONE)
        bench.put(0, spread(mean, 0.05, 4))
        bench.fail(0, 4)
        row = bench.row()
        assert row.verdict == verdict
        assert "1 seed failed" in marks(row)
    bench = Bench(tmp_path / "nan", ONE)
    bench.put(0, [*spread(-90.0, 0.05, 4), math.nan])
    assert bench.row().verdict == "undecided"
    assert len(bench.row().results) == 4


def test_a_failure_that_was_run_again_is_forgotten(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.fail(0, 4)
    bench.put(0, spread(-90.0, 0.05))
    assert bench.row().verdict == "agrees"
    assert marks(bench.row()) == []


def test_the_fullest_profile_counts_unless_one_is_asked_for(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put(0, spread(-100.0, 0.1, 2), "smoke")
    row = bench.row()
    assert (row.verdict, row.profile, marks(row)) == ("reduced", "smoke", ["smoke"])
    bench.put(0, spread(-95.0, 0.1, 3), "quick")
    row = bench.row()
    assert (row.verdict, row.profile, row.expected_seeds) == ("reduced", "quick", 3)
    assert row.difference == pytest.approx(-5)
    assert row.interval is not None
    bench.put(0, spread(-90.0, 0.1), "full")
    assert (bench.row().verdict, bench.row().profile) == ("agrees", "full")
    assert bench.row(profile="quick").verdict == "reduced"
    assert bench.row(profile="smoke").mean == pytest.approx(-100)
    assert bench.compare().profile == "full"
    assert bench.compare(profile="smoke").profile == "smoke"


def test_a_failure_above_the_profile_shown_is_told(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put(0, spread(-95.0, 0.1, 3), "quick")
    bench.fail(0, 0, "missing", reason="no such file")
    row = bench.row()
    assert row.verdict == "reduced"
    assert "full, seed 0: no such file" in row.reason


def test_more_seeds_than_the_spec_asks_for_count(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put(0, spread(-90.0, 0.1, 8), seeds=[0, 1, 2, 3, 4, 17, 400, 999])
    assert len(bench.row().results) == 8


def test_one_seed_decides_nothing(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put(0, [-90.0])
    row = bench.row()
    assert (row.verdict, row.sd, row.interval, row.smallest) == ("undecided", None, None, None)
    assert row.difference == pytest.approx(0.0)
    assert "only one seed" in row.reason


@pytest.mark.parametrize(
    ("numbers", "distance"),
    [
        ("published: -90.0", BELOW),
        ("published: -90.0, source: -90.0, judge_against: source", BELOW),
        ("published: -90.0, source: -80.0", BELOW),
        (
            "published: -90.0, source: -80.0, judge_against: source",
            "10.5 nats below the value in the source",
        ),
        ("published: -91.0", "0.5 nats above the published value"),
        ("published: -90.5", "equal to the published value"),
    ],
)
def test_a_distance_says_what_it_is_from(tmp_path, numbers, distance):
    bench = Bench(tmp_path, f"{{at: {{m: A}}, {numbers}}}")
    bench.put(0, [-90.5])
    assert bench.row().reason.endswith(distance)


def test_a_method_without_chance_is_judged_by_rounding(tmp_path):
    """Equal numbers at every seed: only the rounding of print is uncertain."""
    row = "{at: {m: kNN}, published: 3.09, margin: 0.05}"
    bench = Bench(tmp_path, row, better="lower", metric="error")
    bench.put(0, [3.09, 3.09])
    row = bench.row()
    assert (row.verdict, row.sd) == ("agrees", 0.0)
    assert row.smallest == pytest.approx(stats.norm.ppf(0.95) * 0.005 / math.sqrt(3))


def test_rows_that_are_not_judged(tmp_path):
    bench = Bench(
        tmp_path,
        """{at: {m: A}}
        {at: {m: B}, published: -90.0, incomparable: another split}
        {at: {m: C}, published: -90.0, known: memory, confidence: medium}
        {at: {m: D}, published: -90.0, known: memory, confidence: high}
        {at: {m: E}, published: -90.0, source: -80.0, judge_against: source}""",
    )
    for i in range(5):
        bench.put(i, spread(-90.0, 0.1))
    rows = bench.compare().rows
    assert [r.verdict for r in rows] == [
        "unpublished",
        "incomparable",
        "undecided",
        "agrees",
        "worse",
    ]
    assert rows[0].difference is None
    assert rows[1].reason == "another split"
    assert rows[1].difference == pytest.approx(0.0)
    assert "from memory (medium confidence)" in rows[2].reason
    assert [marks(r) for r in rows] == [[], [], ["from memory"], ["from memory"], []]
    assert rows[4].published is not None
    assert rows[4].published.value == -80.0


def test_stale_results_do_not_count_and_are_told(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put(0, spread(-90.0, 0.1))
    path = tmp_path / "demo" / "table.yaml"
    text = path.read_text()
    path.write_text(
        text.replace("title: A table", "title: Prose").replace("margin: 0.5", "margin: 0.4")
    )
    assert compare(load(path), bench.store).rows[0].verdict == "agrees"  # these decide no number
    path.write_text(text.replace("epochs: 9", "epochs: 10"))
    stale = compare(load(path), bench.store)
    assert stale.rows[0].verdict == "missing"
    assert stale.rows[0].reason == "stale: the spec has changed since"
    assert marks(stale.rows[0]) == ["stale"]
    assert any("A: 5 full results are stale" in w for w in stale.warnings)
    bench.spec = load(path)
    bench.put(0, spread(-90.0, 0.1))
    row = bench.row()
    assert (row.verdict, marks(row), len(row.results)) == ("agrees", ["stale"], 5)


def test_results_of_rows_that_are_gone_are_told(tmp_path):
    bench = Bench(tmp_path, TWO)
    bench.put(1, spread(-91.0, 0.1))
    smaller = make_spec(tmp_path, ONE)
    found = compare(smaller, bench.store)
    assert found.warnings == ["demo/table has no row B: 5 results are ignored"]


def test_damaged_files_are_told(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put(0, spread(-90.0, 0.1))
    path = bench.store.path(bench.case(0, 0))
    path.write_text(path.read_text()[:100])
    found = bench.compare()
    assert len(found.rows[0].results) == 4
    assert any("not a whole result" in w for w in found.warnings)


def test_stand_ins_are_flagged_and_not_mixed_with_the_real_set(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put(0, spread(-30.0, 0.1, 3), "quick", variant=1)
    row = bench.row()
    assert marks(row) == ["stand-in: digits.Digits for mnist.MNIST"]
    assert row.verdict == "reduced"
    bench.put(0, [-95.0], "quick", variant=0, seeds=[1])
    row = bench.row()
    assert row.mean == -95.0
    assert marks(row) == []


def test_a_stand_in_at_full_is_incomparable(tmp_path):
    bench = Bench(tmp_path, ONE, "  full: {stand_ins: {mnist.MNIST: [mnist.MNIST, digits.Digits]}}")
    bench.put(0, spread(-90.0, 0.1), variant=1)
    assert bench.row().verdict == "incomparable"
    assert "digits.Digits instead of mnist.MNIST" in bench.row().reason


def test_flags(tmp_path):
    bench = Bench(tmp_path, TWO)
    more = {"plugins": ["mine"], "kind": "score", "banner": "SMOKE INSTEAD"}
    bench.put(0, spread(-90.0, 0.1), fingerprint="old", **more)
    bench.put(1, spread(-91.5, 0.1))
    asked = []

    def fingerprint(case: Case) -> str:
        asked.append(case.row)
        return "now"

    found = bench.compare(fingerprint=fingerprint)
    assert marks(found.rows[0]) == ["score, not a likelihood", "plugin: mine", "code changed"]
    assert found.rows[0].verdict == "agrees"  # a warning only
    assert marks(found.rows[1]) == []
    assert asked == ["A", "B"]
    assert found.warnings == ["A: the code has changed since it ran"]
    assert found.banner == "SMOKE INSTEAD"
    assert "code changed" not in marks(bench.compare().rows[0])


def test_a_claim_tells_of_results_of_other_code_that_its_rows_do_not_show(tmp_path):
    """Without full results of B, A's row stands at full, and the claim at quick."""
    bench = Bench(tmp_path, TWO, GAP)
    bench.put(0, spread(-90.0, 0.1))
    bench.put(0, spread(-90.0, 0.1, 3), "quick", fingerprint="old")
    bench.put(1, spread(-91.5, 0.1, 3), "quick")
    found = bench.compare(fingerprint=lambda case: "now")
    (part,) = found.claims[0].parts
    assert (part.verdict, part.changed) == ("holds", ("A",))
    assert part.reason.endswith("; the code has changed since A ran")
    assert [marks(row) for row in found.rows] == [[], []]
    assert found.warnings == ["claim C: the code has changed since A ran at a lower profile"]
    assert bench.claim().parts[0].changed == ()


def annealed(gap: float) -> dict[str, float]:
    """Return diagnostics of log Z from below and from above, with a gap between their intervals."""
    ends = {"log_z_low": 99.0, "log_z_high": 100.0}
    return ends | {"log_z_reverse_low": 100.0 + gap, "log_z_reverse_high": 200.0}


@pytest.mark.parametrize(("metric", "better", "sign"), [
    ("log_likelihood", "higher", 1), ("nll", "lower", -1)
])  # fmt: skip
def test_a_number_may_be_as_much_worse_as_log_z_is_in_doubt(tmp_path, metric, better, sign):
    """Annealing from below and above leaves a gap of 3 nats: it lengthens the bad side alone."""
    rows = "\n".join(f"{{at: {{m: {m}}}, published: {-90.0 * sign}}}" for m in "ABCD")
    bench = Bench(tmp_path, rows, metric=metric, better=better)
    for i, (mean, gap) in enumerate(((-90.0, 3.0), (-90.0, -5.0), (-88.0, 3.0), (-92.0, 3.0))):
        bench.put(i, spread(sign * mean, 0.05), diagnostics=annealed(gap))
    found = bench.compare().rows
    assert [row.verdict for row in found] == ["undecided", "agrees", "undecided", "worse"]
    assert [marks(row) for row in found] == [
        ["log Z uncertain by 3.0 nats"],
        [],
        *[marks(found[0])] * 2,
    ]
    half = smallest_difference(0.05, 5, rounding=0.05)
    assert found[0].interval is not None
    ends = sorted(sign * end for end in (found[0].interval.low, found[0].interval.high))
    assert ends == pytest.approx([-3.0 - half, half])
    assert found[0].smallest == pytest.approx(half)  # more seeds would not remove the doubt


@pytest.mark.parametrize(
    ("gaps", "means", "verdict"),
    [
        ((0.0, 0.0), (-90.0, -91.5), "holds"),
        ((3.0, 0.0), (-90.0, -91.5), "undecided"),
        ((0.0, 3.0), (-90.0, -91.5), "holds"),
        ((3.0, 0.0), (-91.5, -90.0), "fails"),
        ((0.0, 3.0), (-91.5, -90.0), "undecided"),
    ],
)
def test_a_claim_counts_on_the_doubt_of_both_sides(tmp_path, gaps, means, verdict):
    bench = Bench(tmp_path, TWO, GAP)
    rng = np.random.default_rng(3)
    for i, (gap, mean) in enumerate(zip(gaps, means, strict=True)):
        values = (mean + 0.05 * rng.standard_normal(5)).tolist()
        bench.put(i, values, diagnostics=annealed(gap))
    (part,) = bench.claim().parts
    assert part.verdict == verdict
    assert ("log Z uncertain by 3.0 nats" in part.test) == any(gaps)


def test_other_metrics_do_not_depend_on_log_z(tmp_path):
    bench = Bench(tmp_path, TWO, GAP, metric="error", better="lower")
    for i, mean in enumerate((3.0, 4.0)):
        bench.put(i, spread(mean, 0.05), diagnostics=annealed(9.0))
    assert (bench.claim().verdict, marks(bench.row())) == ("holds", [])


def test_further_published_numbers_are_shown(tmp_path):
    bench = Bench(tmp_path, "{at: {m: A}, published: -90.0, also: {active_units: 19.0, other: 2}}")
    bench.put(0, [{"log_likelihood": -90.0, "active_units": u} for u in (18.0, 19.0, 23.0)])
    assert bench.row().also == {"active_units": (20.0, 19.0), "other": (None, 2.0)}


def test_margins_beyond_half_the_claimed_gap_are_told(tmp_path):
    claim = "claims: [{id: C, text: t, order: {m: [A, B]}}]"
    assert Bench(tmp_path / "a", TWO, claim).compare().warnings == []
    found = Bench(tmp_path / "b", TWO.replace("-91.50", "-90.80"), claim).compare().warnings
    assert found == [
        "A: the margin 0.5 exceeds half the gap 0.8 of claim C",
        "B: the margin 0.5 exceeds half the gap 0.8 of claim C",
    ]


# --- calibration ----------------------------------------------------------------------------------

CALIBRATED = """{at: {data: M, pixels: fixed, m: A}, published: -90.0}
{at: {data: M, pixels: grey, m: A}, published: -90.0, data: {pixels: grey}}
{at: {data: M, pixels: fixed, m: B}, published: -88.0}
{at: {data: M, pixels: grey, m: B}, published: -88.0, data: {pixels: grey}}
{at: {data: M, pixels: grey, m: C}, data: {pixels: grey}}"""
RULE = "calibrate: {coordinate: pixels, by: {m: A}, tolerance: 0.5}"


def calibrated(folder: Path, fixed: float | None, grey: float | None, more: str = "") -> Bench:
    bench = Bench(folder, CALIBRATED, f"{RULE}\n{more}")
    for i, mean in enumerate((fixed, grey, -88.0, -88.0, -80.0)):
        if mean is not None:
            bench.put(i, spread(mean, 0.05))
    return bench


def verdicts(bench: Bench) -> list[str]:
    """Return the verdicts on rows as a list of words."""
    return [row.verdict for row in bench.compare().rows]


CHOSEN = ["calibrated", "incomparable", "agrees", "incomparable", "unpublished"]


def test_the_nearest_row_chooses(tmp_path):
    bench = calibrated(tmp_path, -90.2, -90.4)
    rows = bench.compare().rows
    assert verdicts(bench) == CHOSEN
    assert "pixels fixed was chosen" in rows[0].reason
    assert "cannot agree with the value that it was fitted to" in rows[0].reason
    assert "pixels fixed was chosen" in rows[3].reason
    assert rows[1].difference == pytest.approx(-0.4)


def test_none_is_near_enough(tmp_path):
    rows = calibrated(tmp_path, -91.0, -92.0).compare().rows
    assert [row.verdict for row in rows] == ["incomparable"] * 4 + ["unpublished"]
    assert "no pixels brings A within 0.5" in rows[2].reason
    assert "nearest: fixed, 1" in rows[2].reason


def test_nothing_is_chosen_before_all_have_run(tmp_path):
    bench = calibrated(tmp_path, -90.1, None)
    assert verdicts(bench) == ["undecided", "missing", "undecided", "undecided", "unpublished"]
    assert "pixels is still open: M/grey/A has no full results" in bench.row(2).reason
    bench.put(1, spread(-90.0, 0.05, 3), "quick")
    assert verdicts(bench)[:3] == ["undecided", "reduced", "undecided"]
    bench.fail(1, 0)  # out of the race
    assert verdicts(bench) == ["calibrated", "reduced", *CHOSEN[2:]]


def test_nothing_can_be_chosen_where_all_that_choose_failed(tmp_path):
    bench = calibrated(tmp_path, None, None)
    for i in (0, 1):
        bench.fail(i, 0)
    assert verdicts(bench) == ["failed", "failed", "incomparable", "incomparable", "unpublished"]
    assert "all rows of A failed" in bench.row(2).reason


def test_each_combination_of_the_other_coordinates_chooses_for_itself(tmp_path):
    other = CALIBRATED.replace("data: M,", "data: O,")
    bench = Bench(tmp_path, f"{CALIBRATED}\n{other}", RULE)
    rest = (-88.0, -88.0, -80.0)
    for i, mean in enumerate((-90.0, -93.0, *rest, -93.0, -90.0, *rest)):
        bench.put(i, spread(mean, 0.05))
    other_way = ["incomparable", "calibrated", "incomparable", "agrees", "unpublished"]
    assert verdicts(bench) == [*CHOSEN, *other_way]


def test_claims_count_at_the_chosen_setting_only(tmp_path):
    claim = "claims: [{id: C, text: t, gap: {better: {m: B}, worse: {m: A}}}]"
    bench = Bench(tmp_path, CALIBRATED, f"{RULE}\n{claim}")
    for i, mean in enumerate((-90.0, -93.0, -88.0, -99.0)):
        bench.put(i, spread(mean, 0.05))
    found = bench.claim()
    assert [(p.at, p.verdict, p.counts) for p in found.parts] == [
        ({"data": "M", "pixels": "fixed"}, "holds", True),
        ({"data": "M", "pixels": "grey"}, "fails", False),
    ]
    assert found.verdict == "holds"
    assert "1 shown but not counted" in found.reason


def test_a_claim_about_another_setting_than_the_chosen_one_is_undecided(tmp_path):
    claim = (
        "claims: [{id: C, text: t, where: {pixels: grey}, gap: {better: {m: B}, worse: {m: A}}}]"
    )
    bench = calibrated(tmp_path, -90.2, -93.0, claim)
    found = bench.claim()
    assert [(p.verdict, p.counts) for p in found.parts] == [("holds", False)]
    assert (found.verdict, found.reason) == (
        "undecided",
        "no part has the setting that calibration chose; 1 shown but not counted",
    )


# --- claims ---------------------------------------------------------------------------------------

WITHIN = "claims: [{id: C, text: t, within: {a: {m: A}, b: {m: B}, tolerance: 0.5}}]"
GAP = "claims: [{id: C, text: t, gap: {better: {m: A}, worse: {m: B}}}]"
# Student (1908), after Cushny & Peebles: hours of sleep gained with two drugs, ten patients.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_a_known_paired_example(tmp_path):
    """Student's sleep data: difference 1.58, t = 4.0621, 9 df, two-sided p = 0.002833."""
    bench = Bench(tmp_path, TWO, GAP)
    bench.put(0, SLEEP_2)
    bench.put(1, SLEEP_1)
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
    bench.put(0, SLEEP_2)
    bench.put(1, SLEEP_1)
    (part,) = bench.claim().parts
    assert part.test == "Welch's t test over 10 and 10 seeds"
    assert part.p == pytest.approx(0.07939 / 2, rel=1e-3)
    apart = Bench(tmp_path / "apart", TWO, GAP)
    apart.put(0, SLEEP_2)
    apart.put(1, SLEEP_1, seeds=range(10, 20))
    (other,) = apart.claim().parts
    assert (other.test, other.p) == (part.test, pytest.approx(part.p))


def test_only_common_seeds_are_paired(tmp_path):
    bench = Bench(tmp_path, TWO, GAP)
    bench.put(0, SLEEP_2)
    bench.put(1, [*SLEEP_1[:6], 100.0, 100.0], seeds=[0, 1, 2, 3, 4, 5, 50, 51])
    (part,) = bench.claim().parts
    assert part.test == "paired t test over 6 seeds"
    six = stats.ttest_rel(SLEEP_2[:6], SLEEP_1[:6], alternative="greater")
    assert part.p == pytest.approx(six.pvalue)


def test_direction_follows_the_metric(tmp_path):
    for better, verdict in (("higher", "holds"), ("lower", "fails")):
        bench = Bench(tmp_path / better, TWO, GAP, better=better)
        bench.put(0, SLEEP_2)
        bench.put(1, SLEEP_1)
        assert bench.claim().verdict == verdict
    claim = GAP.replace("text: t", "text: t, metric: units, better: lower")
    bench = Bench(tmp_path / "metric", TWO, claim)
    bench.put(0, [{"log_likelihood": -90.0, "units": u} for u in (10.0, 11.0, 12.0)])
    bench.put(1, [{"log_likelihood": -90.0, "units": u} for u in (20.0, 22.0, 21.0)])
    assert bench.claim().verdict == "holds"
    assert bench.claim().parts[0].effect == pytest.approx(10.0)


def test_a_gap_of_at_least(tmp_path):
    """d = 1.58 ± 1.83 · 0.389: beyond 0.5, not telling 1.5, short of 3."""
    for at_least, verdict in ((0.5, "holds"), (1.5, "undecided"), (3.0, "fails")):
        claim = GAP.replace("{m: B}}", f"{{m: B}}, at_least: {at_least}, published: 1.6}}")
        bench = Bench(tmp_path / verdict, TWO, claim)
        bench.put(0, SLEEP_2)
        bench.put(1, SLEEP_1)
        (part,) = bench.claim().parts
        assert part.verdict == verdict
        side = -1 if verdict == "fails" else 1  # p is that of what the verdict says
        assert part.p == pytest.approx(stats.t.sf(side * (1.58 - at_least) / 0.38896, 9), rel=1e-3)
        assert "published 1.6" in part.reason
    assert f"p = {part.p:.2g} for the reverse" in part.reason


def test_what_is_undecided_tells_the_side_it_leans_to():
    part = ClaimPart({}, "undecided", -1.67, None, None, None, "quick", (Stated("2 over 1"),))
    (against,) = settle([Draft(part, 0.93, 0.07)])
    assert against.reason == "2 over 1 (p = 0.07 for the reverse; inconclusive)"
    (towards,) = settle([Draft(part, 0.07, 0.93)])
    assert towards.reason == "2 over 1 (p = 0.07; inconclusive)"
    assert (against.verdict, towards.verdict) == ("undecided", "undecided")


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
    bench.put(0, [b + e for b, e in zip(base, [noise[i] for i in (3, 0, 5, 1, 4, 2)], strict=True)])
    bench.put(1, base)
    (part,) = bench.claim().parts
    assert part.verdict == verdict
    se = sd / math.sqrt(6)
    p = max(stats.t.sf((shift + 0.5) / se, 5), stats.t.cdf((shift - 0.5) / se, 5))
    if verdict == "fails":
        p = min(stats.t.sf((shift - 0.5) / se, 5), stats.t.cdf((shift + 0.5) / se, 5))
    assert part.p == pytest.approx(p)
    assert part.interval is not None
    low, high = part.interval.low, part.interval.high
    assert (low > -0.5 and high < 0.5) == (verdict == "holds")
    assert (low > 0.5 or high < -0.5) == (verdict == "fails")
    assert "two one-sided tests" in part.test


def test_rows_that_coincide_seed_by_seed_are_equivalent(tmp_path):
    bench = Bench(tmp_path, TWO, WITHIN)
    for i in (0, 1):
        bench.put(i, SLEEP_1)
    assert bench.claim().verdict == "holds"


THREE = "\n".join(
    f"{{at: {{m: {m}}}, published: {v}}}" for m, v in (("A", -90.0), ("B", -92.0), ("C", -94.0))
)
ORDER = "claims: [{id: C, text: t, order: {m: [A, B, C]}}]"


def ordered(folder: Path, *means: float, sd: float = 0.1) -> Bench:
    bench = Bench(folder, THREE, ORDER)
    rng = np.random.default_rng(5)
    for i, mean in enumerate(means):
        bench.put(i, (mean + sd * rng.standard_normal(5)).tolist())
    return bench


def test_an_order_is_as_weak_as_its_weakest_neighbours(tmp_path):
    """Intersection-union: smallest effect, largest p; it fails where neighbours are reversed."""
    bench = ordered(tmp_path / "holds", -90.0, -92.0, -93.0)
    (part,) = bench.claim().parts
    rows = bench.compare().rows
    values = [[r.metrics["log_likelihood"].value for r in row.results] for row in rows]
    p = [stats.ttest_rel(a, b, alternative="greater").pvalue for a, b in itertools.pairwise(values)]
    assert part.verdict == "holds"
    assert part.p == pytest.approx(max(p))
    assert part.effect == pytest.approx(np.mean(values[1]) - np.mean(values[2]))
    assert "for each of 2 neighbours" in part.test
    assert part.reason.startswith("B over C")
    assert ordered(tmp_path / "fails", -90.0, -93.0, -92.0).claim().verdict == "fails"
    assert ordered(tmp_path / "undecided", -90.0, -92.0, -92.0).claim().verdict == "undecided"


def test_an_order_with_a_single_seed_is_undecided(tmp_path):
    bench = Bench(tmp_path, THREE, ORDER)
    for i, values in enumerate(([-90.0, -90.1], [-92.0, -92.2], [-94.0])):
        bench.put(i, values)
    (part,) = bench.claim().parts
    assert (part.verdict, part.p) == ("undecided", None)
    assert part.test == "paired t test over 2 seeds, for 1 of 2 neighbours"
    assert "B over C cannot be tested: fewer than 2 seeds" in part.reason
    assert part.effect == pytest.approx(2.0)  # B over C, at the seed they share


def test_reversed_neighbours_refute_an_order_whose_others_cannot_be_tested(tmp_path):
    bench = Bench(tmp_path, THREE, ORDER)
    for i, values in enumerate((spread(-93.0, 0.1), spread(-92.0, 0.1), [-94.0])):
        bench.put(i, values)
    (part,) = bench.claim().parts
    assert part.verdict == "fails"
    assert part.reason.startswith("A over B")
    assert "B over C cannot be tested" in part.reason


def test_each_pair_of_neighbours_is_judged_at_its_own_fullest_profile(tmp_path):
    """What a short run shows does not outweigh the full runs of the same two rows."""
    bench = Bench(tmp_path, THREE, ORDER)
    rng = np.random.default_rng(5)
    for i, (full, quick) in enumerate(((None, -95.0), (-97.0, -97.0), (-98.0, -96.0))):
        for profile, mean in (("full", full), ("quick", quick)):
            if mean is not None:
                bench.put(i, (mean + 0.1 * rng.standard_normal(3)).tolist(), profile)
    outcome = bench.claim()
    assert (outcome.verdict, outcome.profile) == ("holds", "quick")
    assert bench.claim(profile="quick").verdict == "fails"


def test_all_parts_of_a_table_are_one_family(tmp_path):
    """Two data sets, one claim each way: p values are Holm's over all four parts."""
    rows = "\n".join(f"{{at: {{data: {d}, m: {m}}}, published: -90.0}}" for d in "XY" for m in "AB")
    claims = (
        "claims:\n  - {id: C1, text: t, gap: {better: {m: A}, worse: {m: B}}}\n"
        "  - {id: C2, text: t, gap: {better: {m: A}, worse: {m: B}, at_least: 0.5}}"
    )
    bench = Bench(tmp_path, rows, claims)
    rng = np.random.default_rng(3)
    values = {}
    for i, mean in enumerate((1.0, 0.0, 0.6, 0.0)):
        values[i] = (mean + 0.3 * rng.standard_normal(5)).tolist()
        bench.put(i, values[i])
    raw = [
        stats.ttest_1samp(np.subtract(values[a], values[b]), at_least, alternative="greater").pvalue
        for at_least in (0.0, 0.5)
        for a, b in ((0, 1), (2, 3))
    ]
    parts = [part for claim in bench.compare().claims for part in claim.parts]
    assert [part.at for part in parts] == [{"data": "X"}, {"data": "Y"}] * 2
    assert [part.p for part in parts] == pytest.approx(holm(raw))
    assert [part.p for part in parts] != pytest.approx(raw)


def test_the_verdict_on_a_claim_sums_up_its_parts():
    claim = Claim(id="C", text="t", order={"m": ["A", "B"]})

    def outcome(*verdicts):
        parts = [ClaimPart({}, v, None, None, None, None, None, (Stated(v),)) for v in verdicts]
        return conclude(claim, parts)

    assert outcome("holds", "fails", "missing", "undecided").verdict == "fails"
    assert outcome("holds", "undecided", "missing").verdict == "undecided"
    assert outcome("holds", "missing").verdict == "missing"
    assert outcome("holds", "holds").verdict == "holds"
    assert outcome("holds", "missing").reason == "of 2 parts: missing in 1, holds in 1"


def test_profiles_are_not_mixed(tmp_path):
    """The fullest profile that all rows have; with one asked for, only that."""
    bench = Bench(tmp_path, TWO, GAP)
    bench.put(0, SLEEP_2, "full")
    bench.put(0, SLEEP_2[:3], "quick")
    bench.put(1, SLEEP_1[:3], "quick")
    (part,) = bench.claim().parts
    assert (part.profile, part.test) == ("quick", "paired t test over 3 seeds")
    assert bench.claim(profile="full").verdict == "missing"
    assert "no results with log_likelihood of B" in bench.claim(profile="full").reason
    bench.put(1, SLEEP_1[:1], "full")
    (part,) = bench.claim().parts
    assert (part.profile, part.verdict, part.p, part.interval) == ("full", "undecided", None, None)
    assert part.effect == pytest.approx(SLEEP_2[0] - SLEEP_1[0])
    assert "fewer than 2 seeds" in part.test


def test_no_common_profile_is_missing(tmp_path):
    bench = Bench(tmp_path, TWO, GAP)
    bench.put(0, SLEEP_2, "full")
    bench.put(1, SLEEP_1[:3], "quick")
    assert bench.claim().verdict == "missing"
    assert "no profile has results of all its rows" in bench.claim().reason


def test_a_stand_in_is_not_compared_with_the_real_set(tmp_path):
    bench = Bench(tmp_path, TWO, GAP)
    bench.put(0, SLEEP_2[:3], "quick", variant=0)
    bench.put(1, SLEEP_1[:3], "quick", variant=1)
    assert bench.claim().verdict == "missing"
    assert "different data, some on stand-ins" in bench.claim().reason
    bench.put(0, SLEEP_2[:3], "quick", variant=1)
    (part,) = bench.claim().parts
    assert (part.profile, part.test) == ("quick", "paired t test over 3 seeds")


def test_failed_seeds_leave_a_claim_undecided(tmp_path):
    bench = Bench(tmp_path, TWO, GAP)
    bench.put(0, SLEEP_2)
    bench.put(1, SLEEP_1)
    bench.fail(1, 20)
    (part,) = bench.claim().parts
    assert (part.verdict, part.p) == ("undecided", None)
    assert part.effect == pytest.approx(1.58)
    assert "B seed 20 failed" in part.reason


def test_held_coordinates_and_absent_rows(tmp_path):
    """Grey has A only, so it is no part; an order leaves out values that have no row there."""
    rows = (
        "{at: {pixels: fixed, m: A}}\n{at: {pixels: fixed, m: B}}\n{at: {pixels: fixed, m: C}}\n"
        "{at: {pixels: dynamic, m: A}}\n{at: {pixels: dynamic, m: C}}\n{at: {pixels: grey, m: A}}"
    )
    bench = Bench(tmp_path, rows, ORDER)
    for i, mean in enumerate((0.0, -1.0, -2.0, 0.0, -2.0, 5.0)):
        bench.put(i, spread(mean, 0.01))
    parts = bench.claim().parts
    assert [p.at for p in parts] == [{"pixels": "fixed"}, {"pixels": "dynamic"}]
    assert [p.verdict for p in parts] == ["holds", "holds"]
    assert "only A, C have rows here" in parts[1].reason
    claim = ORDER.replace("text: t", "text: t, where: {pixels: [grey, dynamic]}")
    narrow = Bench(tmp_path / "narrow", rows, claim)
    assert [p.at for p in narrow.claim().parts] == [{"pixels": "dynamic"}]
    none = Bench(tmp_path / "none", rows, claim.replace("[grey, dynamic]", "grey"))
    assert none.claim().verdict == "missing"
    assert "no rows that this claim compares" in none.claim().reason


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


# --- classifiers ----------------------------------------------------------------------------------

FITTED = "\n".join(
    f"{{at: {{m: {m}}}, published: {v}, train: null, "
    f"fit: {{use: exemplars.ChooseK, k: [{k}]}}, seeds: 1, deterministic: true}}"
    for m, v, k in (("A", 3.0, 1), ("B", 4.0, 2))
)


def classified(folder, only_a, only_b, *, rows=FITTED, seeds=1, unit=1, metric="error") -> Bench:
    """Return two classifiers of 200 points, `only_a` of them classified correctly by a alone."""
    better = "higher" if metric == "accuracy" else "lower"
    bench = Bench(folder, rows, GAP, metric=metric, better=better)
    right = np.ones((2, 200), dtype=np.uint8)
    right[1, :only_a] = 0
    right[0, only_a : only_a + only_b] = 0
    right[:, -5:] = 0
    for i in (0, 1):
        share = right[i].mean() if better == "higher" else 1 - right[i].mean()
        bench.put(i, [unit * share] * seeds, arrays={"correct": [right[i]] * seeds})
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


def test_what_defaults_declare_a_row_may_deny(tmp_path):
    bench = Bench(tmp_path, FITTED.replace(", deterministic: true", ""))
    declared = bench.spec.defaults.model_copy(update={"deterministic": True})
    spec = bench.spec.model_copy(update={"defaults": declared})
    own = spec.rows[0].model_copy(update={"deterministic": False})
    assert [spec.deterministic(row) for row in (*spec.rows, own)] == [True, True, False]


def test_a_deterministic_row_has_one_seed(tmp_path):
    with pytest.raises(SpecError, match=r"rows\[0\]\.deterministic: .* needs `seeds: 1`"):
        make_spec(tmp_path, "{at: {m: A}, published: 3.0, deterministic: true}")


def test_one_seed_of_a_fixed_model_is_judged_by_rounding_alone(tmp_path):
    """No seed moves k-NN, so its one seed has the spread 0 where a net's has none known."""
    bench = Bench(tmp_path, FITTED, metric="error", better="lower")
    bench.put(0, [3.02])
    bench.put(1, [5.5])
    near, far = bench.row(0), bench.row(1)
    half = stats.norm.ppf(0.95) * 0.05 / math.sqrt(3)
    assert near.interval is not None
    assert (near.interval.low, near.interval.high) == pytest.approx((0.02 - half, 0.02 + half))
    assert (near.verdict, far.verdict, near.sd) == ("agrees", "worse", None)
    rows = FITTED.replace(", deterministic: true", "")
    net = Bench(tmp_path / "net", rows, metric="error", better="lower")
    net.put(0, [3.02])
    assert (net.row(0).verdict, net.row(0).interval) == ("undecided", None)


def test_what_no_seed_moves_needs_values_per_point(tmp_path):
    bench = Bench(tmp_path, FITTED, GAP, metric="error", better="lower")
    bench.put(0, [3.0, 3.0])
    bench.put(1, [4.0, 4.0])
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
    row = bench.row(0)  # 5.0 where 3.0 is printed: nor is a row judged without spread
    assert (row.verdict, row.interval) == ("undecided", None)
    assert "happened to give the same value" in row.reason
    bench = Bench(tmp_path / "one", rows, GAP, metric="error", better="lower")
    bench.put(0, [5.0] * 2, arrays={"correct": list(right)}, seeds=[0, 1])
    bench.put(1, [7.0, 7.5], seeds=[2, 3])
    (part,) = bench.claim().parts
    assert (part.verdict, part.p) == ("undecided", None)
    assert "happened to give the same value" in part.test


def test_two_views_of_one_data_set_have_the_same_test_points(tmp_path):
    """k-NN on raw pictures and an SVM on what a preprocessing makes of them, as for NORB."""
    a, b = FITTED.splitlines()
    a = a.replace("at:", "data: {use: norb.RawNORB, pixels: grey, validation: 9}, at:")
    b = b.replace("at:", "data: {use: norb.SmallNORB, pixels: grey}, at:")
    (part,) = classified(tmp_path, 20, 6, rows=f"{a}\n{b}").claim().parts
    assert (part.verdict, "McNemar" in part.test) == ("holds", True)
    other = b.replace("norb.SmallNORB", "mnist.MNIST")
    (part,) = classified(tmp_path / "other", 20, 6, rows=f"{a}\n{other}").claim().parts
    assert (part.verdict, part.p) == ("undecided", None)


def test_one_seed_of_a_fixed_model_is_enough_against_seeds_of_a_net(tmp_path):
    """Its variance is zero: one-sample t of the net's errors, in either direction."""
    rows = FITTED.splitlines()[0] + "\n{at: {m: B}, published: 4.0}"
    bench = Bench(tmp_path, rows, GAP, metric="error", better="lower")
    errors = [4.0, 4.2, 4.1]
    bench.put(0, [3.0], arrays={"correct": [np.ones(200, dtype=np.uint8)]})
    bench.put(1, errors)
    (part,) = bench.claim().parts
    assert part.test == "t test over 3 seeds against a deterministic model"
    assert part.p == pytest.approx(stats.ttest_1samp(errors, 3.0, alternative="greater").pvalue)
    assert (part.verdict, part.effect) == ("holds", pytest.approx(1.1))
    swapped = Bench(tmp_path / "swapped", rows, GAP, metric="error", better="higher")
    swapped.put(0, [3.0])
    swapped.put(1, errors)
    assert swapped.claim().verdict == "fails"


def test_equal_paired_differences_are_no_certainty(tmp_path):
    """Errors are multiples of 1 / n: two seeds may differ by the same and prove nothing."""
    rows = "{at: {m: A}, published: 3.0}\n{at: {m: B}, published: 4.0}"
    bench = Bench(tmp_path, rows, GAP, metric="error", better="lower")
    bench.put(0, [3.0, 3.5])
    bench.put(1, [3.4, 3.9])
    (part,) = bench.claim().parts
    assert part.test == "Welch's t test over 2 and 2 seeds"
    expected = stats.ttest_ind([3.4, 3.9], [3.0, 3.5], equal_var=False, alternative="greater")
    assert part.p == pytest.approx(expected.pvalue)
    assert part.verdict == "undecided"


def test_no_difference_has_no_sign(tmp_path):
    (part,) = classified(tmp_path, 7, 7).claim().parts
    assert math.copysign(1, part.effect) == 1
    assert "−0" not in part.reason


# --- a method of one's own ------------------------------------------------------------------------


def test_a_method_of_ones_own_is_set_against_the_best(tmp_path):
    rows = (
        "{at: {data: X, m: A}, published: -90.00}\n{at: {data: X, m: B}, published: -91.00}\n"
        "{at: {data: Y, m: A}, published: -70.00}"
    )
    bench = Bench(tmp_path, rows)
    bench.put(0, spread(-90.0, 0.1))
    bench.put(1, spread(-89.0, 0.1))
    bench.put(2, spread(-70.0, 0.1))
    mine = Bench(tmp_path, "{at: {data: X, m: Mine}}\n{at: {data: Y, m: Mine}}", spec_id="me/mine")
    noise = np.array([0.01, -0.01, 0.0, 0.02, -0.02])
    ours = np.array(spread(-88.5, 0.1)) + noise
    mine.put(0, ours.tolist())
    found = bench.compare(against=mine.spec)
    assert [(o.row.name, marks(o)) for o in found.rows] == [
        ("X-A", []), ("X-B", []), ("Y-A", []), ("X-Mine", ["against"]),
    ]  # fmt: skip
    assert found.rows[3].verdict == "unpublished"
    on_x, on_y = found.claims
    assert on_x.claim.id == "against/X-Mine"
    measured, printed = on_x.parts
    assert measured.at == {"against": "best measured: X/B"}
    assert measured.test == "paired t test over 5 seeds"
    assert measured.effect == pytest.approx(0.5)
    assert printed.at == {"against": "best published: X/A"}
    assert printed.effect == pytest.approx(1.5)
    estimate = prediction(1.5, float(ours.std(ddof=1)), 5, None, 0.005)
    assert printed.interval is not None
    assert printed.interval.low == pytest.approx(estimate.interval().low)
    assert (measured.verdict, printed.verdict, on_x.verdict) == ("holds", "holds", "holds")
    assert on_y.verdict == "missing"


def test_failed_seeds_of_ones_own_leave_it_undecided(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put(0, spread(-90.0, 0.1))
    mine = Bench(tmp_path, "{at: {m: Mine}}", spec_id="me/mine")
    mine.put(0, spread(-80.0, 0.2, 4))
    assert bench.compare(against=mine.spec).claims[0].verdict == "holds"
    mine.fail(0, 4)
    found = bench.compare(against=mine.spec).claims[0]
    assert [part.verdict for part in found.parts] == ["undecided", "undecided"]
    assert all("Mine seed 4 failed" in part.reason for part in found.parts)


def test_ones_own_on_other_data_is_not_compared(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put(0, spread(-90.0, 0.1))
    mine = Bench(tmp_path, "{at: {m: Mine}, data: {pixels: grey}}", spec_id="me/mine")
    mine.put(0, spread(-50.0, 0.1))
    (claim,) = bench.compare(against=mine.spec).claims
    assert [p.verdict for p in claim.parts] == ["missing", "missing"]
    assert "same data" in claim.parts[0].reason


def test_ones_own_below_full_is_not_judged_against_print(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put(0, spread(-90.0, 0.1, 3), "quick")
    mine = Bench(tmp_path, "{at: {m: Mine}}", spec_id="me/mine")
    mine.put(0, spread(-95.0, 0.1, 3), "quick")
    measured, printed = bench.compare(against=mine.spec).claims[0].parts
    assert (measured.verdict, measured.profile) == ("fails", "quick")
    assert (printed.verdict, printed.p) == ("undecided", None)
    assert "run at quick" in printed.reason


def test_ones_own_needs_the_metric_and_an_id_of_its_own(tmp_path):
    bench = Bench(tmp_path, ONE)
    other = make_spec(tmp_path, "{at: {m: Mine}}", spec_id="me/mine", metric="nll", better="lower")
    found = bench.compare(against=other)
    assert found.claims[0].verdict == "missing"
    assert "measures nll" in found.claims[0].reason
    with pytest.raises(SpecError, match="give it one of its own"):
        bench.compare(against=bench.spec)


def test_an_empty_results_folder_is_all_missing(tmp_path):
    found = Bench(tmp_path, TWO, GAP).compare()
    assert [r.verdict for r in found.rows] == ["missing", "missing"]
    assert found.claims[0].verdict == "missing"
    assert (found.profile, found.banner, found.warnings) == (None, None, [])
