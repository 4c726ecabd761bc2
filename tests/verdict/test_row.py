"""Verdicts on rows: margins, profiles, failures, spread."""

import math

import numpy as np
import pytest
from scipy import stats

from hwbench.spec import SpecError, load
from hwbench.verdict.evidence import StoredResults
from hwbench.verdict.row import position
from hwbench.verdict.spread import detectable_difference
from hwbench.verdict.statistics import (
    Estimate,
    prediction,
    smallest_difference,
)
from hwbench.verdict.table import compare

from .conftest import FITTED, GAP, ONE, TWO, Bench, make_spec, marks, spread

BELOW = "0.5 nats below the published value"


ONE_DRAWN = "{at: {m: A}, published: -90.000 ± 0.010, data: {pixels: dynamic}}"


def test_a_plan_foresees_what_its_verdicts_will_tell(tmp_path):
    """Seeds on file and planned make the interval that `compare` then finds, trials included."""
    bench = Bench(tmp_path, "{at: {m: A}, published: -90.0 ± 0.1, trials: 3}")
    bench.put("A", spread(-90.2, 0.2, 3))

    def plan(seeds, profile="full"):
        cases = [bench.case("A", seed, profile) for seed in seeds]
        stored = StoredResults(bench.spec, bench.store, lambda case: "now")
        return detectable_difference(stored, bench.spec.rows[0], cases)

    assert plan([3, 4]) == pytest.approx(smallest_difference(0.2, 5, 0.1, 0.05, trials=3))
    assert plan([3, 4]) != pytest.approx(smallest_difference(0.2, 5, 0.1, 0.05))
    assert plan([0, 1], "quick") == pytest.approx(smallest_difference(0.2, 2, 0.1, 0.05, trials=3))
    assert plan([0], "quick") is None
    bench.put("A", [-90.2], seeds=[3])
    bench.put("A", [-90.2], seeds=[4])
    found = bench.row()
    assert found.sd is not None
    expected = smallest_difference(found.sd, 5, 0.1, 0.05, trials=3)
    assert plan([4]) == pytest.approx(expected) == pytest.approx(found.smallest)


def test_a_plan_learns_nothing_from_other_code_other_data_or_an_older_spec(tmp_path):
    bench = Bench(tmp_path, ONE)

    def plan(profile="quick"):
        stored = StoredResults(bench.spec, bench.store, lambda case: "now")
        cases = [bench.case("A", seed, profile) for seed in (3, 4)]
        return detectable_difference(stored, bench.spec.rows[0], cases)

    bench.put("A", spread(-90, 9.0, 3), fingerprint="before")
    assert plan() is None
    bench.put("A", spread(-90, 0.5, 3), "quick", variant=1)  # on the stand-in
    assert plan() is None
    bench.put("A", spread(-90, 0.5, 3), "quick")
    expected = smallest_difference(0.5, 5, rounding=0.05)
    assert plan() == pytest.approx(expected)
    older = bench.spec
    bench.spec = make_spec(tmp_path, ONE.replace("}, p", "}, train: {epochs: 7}, p"))
    assert bench.spec != older
    bench.put("A", spread(-90, 0.1, 3))
    assert plan("full") == pytest.approx(smallest_difference(0.1, 5, rounding=0.05))
    bench.spec = older
    assert plan() == pytest.approx(expected)  # those with 7 epochs are stale


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
    bench.put("A", spread(mean, sd))
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
    bench.put("A", spread(-90.0, 0.1))
    expected = prediction(0.0, 0.1, 5, 0.1, 0.0005, trials=5)
    assert bench.row().smallest == pytest.approx(expected.half_width())


def test_published_dynamic_pixels_add_the_draw(tmp_path):
    """A printed ± does not show the one draw of test pixels; our spread per image estimates it."""
    bench = Bench(tmp_path, ONE_DRAWN)
    rng = np.random.default_rng(0)
    arrays = rng.normal(-90.0, 6.0, (5, 400))
    bench.put("A", arrays.mean(1).tolist(), arrays={"log_px": arrays})
    row = bench.row()
    draw = arrays.var(axis=0, ddof=1).mean() / 400
    assert row.sd is not None
    expected = prediction(0.0, row.sd, 5, 0.01, 0.0005, draw=draw)
    assert row.smallest == pytest.approx(expected.half_width())
    assert row.smallest > smallest_difference(row.sd, 5, 0.01, 0.0005)

    stored = StoredResults(bench.spec, bench.store, lambda case: "now")
    plan = [bench.case("A", seed) for seed in range(5)]
    assert detectable_difference(stored, bench.spec.rows[0], plan) == pytest.approx(row.smallest)
    mine = Bench(tmp_path, "{at: {m: Mine}, data: {pixels: dynamic}}", spec_id="me/mine")
    mine.put("Mine", arrays.mean(1).tolist(), arrays={"log_px": arrays})
    _, printed = bench.compare(against=mine.spec).claims[0].parts
    assert printed.interval is not None
    assert printed.interval.half == pytest.approx(row.smallest)


def test_without_values_per_image_the_uncounted_draw_is_said(tmp_path):
    bench = Bench(tmp_path, ONE_DRAWN)
    bench.put("A", spread(-90.0, 0.1))
    assert "draw of test pixels is not included" in bench.row().reason
    other = Bench(tmp_path / "other", ONE_DRAWN, metric="spread")  # log p(x) is not its terms
    other.put("A", spread(-90.0, 0.1), arrays={"log_px": np.zeros((5, 10))})
    assert "draw of test pixels is not included" in other.row().reason


def test_rows_without_results(tmp_path):
    bench = Bench(tmp_path, "\n".join(ONE.replace("A", name) for name in "ABCD"))
    bench.fail("B", 0, "missing", reason="t10k.gz (sha256 abc) is not here; put it into data/")
    bench.fail("C", 0, reason="diverged at step 12")
    bench.fail("C", 1, reason="diverged at step 15")
    bench.put("D", [{"nll": 3.0}])
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


def test_seeds_that_failed_leave_a_selection(tmp_path):
    """Agreement of the survivors proves nothing; being worse in spite of the selection does."""
    for mean, verdict in ((-90.0, "undecided"), (-95.0, "worse")):
        bench = Bench(tmp_path / verdict, ONE)
        bench.put("A", spread(mean, 0.05, 4))
        bench.fail("A", 4)
        row = bench.row()
        assert row.verdict == verdict
        assert "1 seed failed" in marks(row)


def test_a_failure_that_was_run_again_is_forgotten(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.fail("A", 4)
    bench.put("A", spread(-90.0, 0.05))
    assert bench.row().verdict == "agrees"
    assert marks(bench.row()) == []


def test_the_fullest_profile_counts_unless_one_is_asked_for(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put("A", spread(-100.0, 0.1, 2), "smoke")
    row = bench.row()
    assert (row.verdict, row.profile, marks(row)) == ("reduced", "smoke", ["smoke"])
    bench.put("A", spread(-95.0, 0.1, 3), "quick")
    row = bench.row()
    assert (row.verdict, row.profile, row.expected_seeds) == ("reduced", "quick", 3)
    assert row.difference == pytest.approx(-5)
    assert row.interval is not None
    bench.put("A", spread(-90.0, 0.1), "full")
    assert (bench.row().verdict, bench.row().profile) == ("agrees", "full")
    assert bench.row(profile="quick").verdict == "reduced"
    assert bench.row(profile="smoke").mean == pytest.approx(-100)
    assert bench.compare().profile == "full"
    assert bench.compare(profile="smoke").profile == "smoke"


def test_a_failure_above_the_profile_shown_is_told(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put("A", spread(-95.0, 0.1, 3), "quick")
    bench.fail("A", 0, "missing", reason="no such file")
    row = bench.row()
    assert row.verdict == "reduced"
    assert "full, seed 0: no such file" in row.reason


def test_more_seeds_than_the_spec_asks_for_count(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put("A", spread(-90.0, 0.1, 8), seeds=[0, 1, 2, 3, 4, 17, 400, 999])
    assert len(bench.row().results) == 8


def test_one_seed_decides_nothing(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put("A", [-90.0])
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
    bench.put("A", [-90.5])
    assert bench.row().reason.endswith(distance)


def test_a_method_without_chance_is_judged_by_rounding(tmp_path):
    """Equal numbers at every seed: only the rounding of print is uncertain."""
    row = "{at: {m: kNN}, published: 3.09, margin: 0.05}"
    bench = Bench(tmp_path, row, better="lower", metric="error")
    bench.put("kNN", [3.09, 3.09])
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
    bench.put("A", spread(-90.0, 0.1))
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
    first, *others = spread(-90.0, 0.1)
    bench.put("A", others, seeds=range(1, 5))
    row = bench.row()
    assert (row.verdict, marks(row), len(row.results)) == ("agrees", ["stale"], 4)
    bench.put("A", [first])
    row = bench.row()  # Each seed has a result that counts; the older ones are history.
    assert (row.verdict, marks(row), len(row.results)) == ("agrees", [], 5)
    assert not bench.compare().warnings


def test_a_stand_in_replaces_no_stale_result_of_the_published_data(tmp_path):
    bench = Bench(tmp_path, ONE)
    path = tmp_path / "demo" / "table.yaml"
    for variant in (0, 1):
        bench.put("A", [-90.0], "quick", variant=variant)
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 3"))
    bench.spec = load(path)
    bench.put("A", [-30.0], "quick", variant=1)
    assert any("A: 1 quick result is stale" in w for w in bench.compare().warnings)
    bench.put("A", [-90.0], "quick", variant=0)
    assert not any("stale" in w for w in bench.compare().warnings)


def test_stand_ins_are_flagged_and_not_mixed_with_the_real_set(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put("A", spread(-30.0, 0.1, 3), "quick", variant=1)
    row = bench.row()
    assert marks(row) == ["stand-in: digits.Digits for mnist.MNIST"]
    assert row.verdict == "reduced"
    bench.put("A", [-95.0], "quick", variant=0, seeds=[1])
    row = bench.row()
    assert row.mean == -95.0
    assert marks(row) == []


def test_a_stand_in_at_full_is_incomparable(tmp_path):
    bench = Bench(tmp_path, ONE, "  full: {stand_ins: {mnist.MNIST: [mnist.MNIST, digits.Digits]}}")
    bench.put("A", spread(-90.0, 0.1), variant=1)
    assert bench.row().verdict == "incomparable"
    assert "digits.Digits instead of mnist.MNIST" in bench.row().reason


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
    bench.put("A", [{"log_likelihood": -90.0, "active_units": u} for u in (18.0, 19.0, 23.0)])
    assert bench.row().also == {"active_units": (20.0, 19.0), "other": (None, 2.0)}


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
    bench.put("A", [3.02])
    bench.put("B", [5.5])
    near, far = bench.row("A"), bench.row("B")
    half = stats.norm.ppf(0.95) * 0.05 / math.sqrt(3)
    assert near.interval is not None
    assert (near.interval.low, near.interval.high) == pytest.approx((0.02 - half, 0.02 + half))
    assert (near.verdict, far.verdict, near.sd) == ("agrees", "worse", None)
    rows = FITTED.replace(", deterministic: true", "")
    net = Bench(tmp_path / "net", rows, metric="error", better="lower")
    net.put("A", [3.02])
    assert (net.row("A").verdict, net.row("A").interval) == ("undecided", None)


def test_a_worse_number_tells_that_it_is_a_loose_bound(tmp_path):
    """A better one is on the safe side."""
    for mean, share, told in ((-95.0, 0.9, True), (-95.0, 0.1, False), (-85.0, 0.9, False)):
        bench = Bench(tmp_path / f"{mean}{share}", ONE)
        run = {"kind": "lower bound", "diagnostics": {"pareto_k_above_0.7": share}}
        bench.put(0, spread(mean, 0.1), **run)
        reason = bench.row().reason
        assert ("the bound of A is loose: its model may be better than shown" in reason) == told
