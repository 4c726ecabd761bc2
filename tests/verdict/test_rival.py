"""A user's own rows against the best of a table."""

import numpy as np
import pytest

from hwbench.spec import SpecError
from hwbench.verdict.pairing import Trait
from hwbench.verdict.statistics import (
    prediction,
)
from hwbench.verdict.table import compare

from .conftest import ONE, Bench, make_spec, marks, spread


def test_a_method_of_ones_own_is_set_against_the_best(tmp_path):
    rows = (
        "{at: {data: X, m: A}, published: -90.00}\n{at: {data: X, m: B}, published: -91.00}\n"
        "{at: {data: Y, m: A}, published: -70.00}"
    )
    bench = Bench(tmp_path, rows)
    bench.put("X-A", spread(-90.0, 0.1))
    bench.put("X-B", spread(-89.0, 0.1))
    bench.put("Y-A", spread(-70.0, 0.1))
    mine = Bench(tmp_path, "{at: {data: X, m: Mine}}\n{at: {data: Y, m: Mine}}", spec_id="me/mine")
    noise = np.array([0.01, -0.01, 0.0, 0.02, -0.02])
    ours = np.array(spread(-88.5, 0.1)) + noise
    mine.put("X-Mine", ours.tolist())
    found = bench.compare(against=mine.spec)
    assert [(o.row.name, marks(o)) for o in found.rows] == [
        ("X-A", []), ("X-B", []), ("Y-A", []), ("X-Mine", ["against"]),
    ]  # fmt: skip
    assert found.rows[3].verdict == "unpublished"
    on_x, on_y = found.claims
    assert on_x.claim.id == "against/X-Mine"
    measured, printed = on_x.parts
    assert measured.at == {"against": "best measured: X, B"}
    assert measured.test == "paired t test over 5 seeds"
    assert measured.effect == pytest.approx(0.5)
    assert printed.at == {"against": "best published: X, A"}
    assert printed.effect == pytest.approx(1.5)
    estimate = prediction(1.5, float(ours.std(ddof=1)), 5, None, 0.005)
    assert printed.interval is not None
    assert printed.interval.low == pytest.approx(estimate.interval().low)
    assert (measured.verdict, printed.verdict, on_x.verdict) == ("holds", "holds", "holds")
    assert on_y.verdict == "missing"


def test_failed_seeds_of_ones_own_leave_it_undecided(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put("A", spread(-90.0, 0.1))
    mine = Bench(tmp_path, "{at: {m: Mine}}", spec_id="me/mine")
    mine.put("Mine", spread(-80.0, 0.2, 4))
    assert bench.compare(against=mine.spec).claims[0].verdict == "holds"
    mine.fail("Mine", 4)
    found = bench.compare(against=mine.spec).claims[0]
    assert [part.verdict for part in found.parts] == ["undecided", "undecided"]
    assert all("seed 4 of Mine failed" in part.reason for part in found.parts)


def test_ones_own_on_other_data_is_not_compared(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put("A", spread(-90.0, 0.1))
    mine = Bench(tmp_path, "{at: {m: Mine}, data: {pixels: grey}}", spec_id="me/mine")
    mine.put("Mine", spread(-50.0, 0.1))
    (claim,) = bench.compare(against=mine.spec).claims
    assert [p.verdict for p in claim.parts] == ["missing", "missing"]
    why = "not comparable: pixels is grey here, fixed in the table"
    assert [p.reason for p in claim.parts] == [why, why]


def test_ones_own_below_full_is_not_judged_against_print(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put("A", spread(-90.0, 0.1, 3), "quick")
    mine = Bench(tmp_path, "{at: {m: Mine}}", spec_id="me/mine")
    mine.put("Mine", spread(-95.0, 0.1, 3), "quick")
    measured, printed = bench.compare(against=mine.spec).claims[0].parts
    assert (measured.verdict, measured.profile) == ("fails", "quick")
    assert (printed.verdict, printed.p) == ("undecided", None)
    assert "run at quick" in printed.reason


def test_ones_own_needs_the_metric_and_an_id_of_its_own(tmp_path):
    bench = Bench(tmp_path, ONE)
    other = make_spec(tmp_path, "{at: {m: Mine}}", spec_id="me/mine", metric="nll", better="lower")
    found = bench.compare(against=other)
    assert found.claims[0].verdict == "missing"
    assert "measures NLL" in found.claims[0].reason
    with pytest.raises(SpecError, match="give it one of its own"):
        bench.compare(against=bench.spec)


ROWS = "{at: {data: X, m: A}, published: -90.0}\n{at: {data: Y, m: A}}"


@pytest.mark.parametrize(
    ("row", "profile", "why"),
    [
        (
            "{at: {data: X, m: Mine}, data: {use: digits.Digits}}",
            "full",
            "data is digits.Digits here, mnist.MNIST in the table",
        ),
        ("{at: {data: X, m: Mine}}", "quick", "profile is quick here, full in the table"),
        ("{at: {data: Y, m: Mine}}", "full", "no results with log likelihood of Y, A"),
    ],
)
def test_what_keeps_rows_apart_is_named(tmp_path, row, profile, why):
    bench = Bench(tmp_path, ROWS)
    bench.put("X-A", spread(-90.0, 0.1))
    mine = Bench(tmp_path, row, spec_id="me/mine")
    mine.put(0, spread(-88.0, 0.1), profile)
    (claim,) = bench.compare(against=mine.spec).claims
    assert why in claim.parts[0].reason


def test_the_headline_is_what_was_found(tmp_path):
    """A missing half is shown, and neither counts nor names the verdict."""
    bench = Bench(tmp_path, "{at: {m: A}}")
    bench.put("A", spread(-90.0, 0.1))
    mine = Bench(tmp_path, "{at: {m: Mine}}", spec_id="me/mine")
    mine.put("Mine", spread(-80.0, 0.2))
    (claim,) = bench.compare(against=mine.spec).claims
    assert [(p.verdict, p.counts) for p in claim.parts] == [("holds", True), ("missing", False)]
    assert claim.verdict == "holds"
    assert claim.reason == "+10.000 nats over A"


def test_a_lead_over_a_loose_bound_says_so(tmp_path):
    """Of both comparisons: a measured rival whose bound is loose, and an own row behind print."""
    loose = {"kind": "lower bound", "diagnostics": {"pareto_k_above_0.7": 0.9}}
    bench = Bench(tmp_path, "{at: {m: A}, published: -80.0}")
    bench.put("A", spread(-90.0, 0.1), **loose)
    mine = Bench(tmp_path, "{at: {m: Mine}}", spec_id="me/mine")
    mine.put("Mine", spread(-85.0, 0.2), **loose)
    (claim,) = bench.compare(against=mine.spec).claims
    measured, printed = claim.parts
    assert (measured.verdict, printed.verdict) == ("holds", "fails")
    assert "the bound of A is loose" in measured.reason
    assert "the bound of Mine is loose" in printed.reason


def test_a_row_beside_its_rival_says_where_they_differ(tmp_path):
    """Protocols argument by argument; budgets of training that are unequal are flagged."""
    bench = Bench(tmp_path, "{at: {m: A}, published: -90.0, train: {rule: {k: 5}}}")
    mine = Bench(
        tmp_path,
        "{at: {m: Mine}, model: {latent: 9}, train: {rule: {k: 50}, batch_size: 50}}",
        spec_id="me/mine",
    )
    for own, row, steps, seconds in ((bench, "A", 100, 10.0), (mine, "Mine", 300, 15.0)):
        run = {"steps": steps, "seconds": {"train": seconds}, "machine": {"device": "CPU"}}
        own.put(row, spread(-90.0, 0.1), parameters=1000, **run)
    found = bench.compare(against=mine.spec)
    (pair,) = found.pairings
    assert (pair.spec, pair.row, pair.rival) == ("me/mine", "Mine", "A")
    assert pair.traits == (
        Trait("model: latent", "9", None),
        Trait("samples per point", 50.0, 5.0, True),
        Trait("batch size", "50", None),
        Trait("training steps", 300.0, 100.0, True),
        Trait("points presented", 15000.0, 10000.0, True),
        Trait("seconds of training", 15.0, 10.0),
    )
    warning = "Mine: unequal budgets against A: 10 times the samples per point, "
    assert f"{warning}3 times the training steps, 1.5 times the points presented" in found.warnings
    unmeasured = Bench(tmp_path / "other", "{at: {m: A}, published: -90.0}")
    (pair,) = compare(unmeasured.spec, mine.store, against=mine.spec).pairings
    assert pair.rival == "A"
    assert Trait("training steps", 300.0, None) in pair.traits
