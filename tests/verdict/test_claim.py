"""Verdicts on claims over all their parts."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from hwbench.spec import Claim
from hwbench.typography import NO_BREAK
from hwbench.verdict.claim import Draft, conclude, settle
from hwbench.verdict.outcome import ClaimPart
from hwbench.verdict.reasons import Stated
from hwbench.verdict.statistics import (
    holm,
)

from .conftest import GAP, SLEEP_1, SLEEP_2, TWO, Bench, spread


def test_what_is_undecided_tells_the_side_it_leans_to():
    part = ClaimPart({}, "undecided", -1.67, None, None, None, "quick", (Stated("2 over 1"),))
    (against,) = settle([Draft(part, 0.93, 0.07)])
    said = against.reason.replace(NO_BREAK, " ")
    assert said == "2 over 1 (adjusted p = 0.07 for the reverse; inconclusive)"
    (towards,) = settle([Draft(part, 0.07, 0.93)])
    said = towards.reason.replace(NO_BREAK, " ")
    assert said == "2 over 1 (adjusted p = 0.07; inconclusive)"
    assert [part.nearest.p for part in (against, towards)] == [0.07, 0.07]
    assert against.p == 0.93  # that of the claim itself
    assert (against.verdict, towards.verdict) == ("undecided", "undecided")


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
    bench.put("A", SLEEP_2, "full")
    bench.put("A", SLEEP_2[:3], "quick")
    bench.put("B", SLEEP_1[:3], "quick")
    (part,) = bench.claim().parts
    assert (part.profile, part.test) == ("quick", "paired t test over 3 seeds")
    assert bench.claim(profile="full").verdict == "missing"
    assert "no results with log likelihood of B" in bench.claim(profile="full").reason
    bench.put("B", SLEEP_1[:1], "full")
    (part,) = bench.claim().parts
    assert (part.profile, part.verdict, part.p, part.interval) == ("full", "undecided", None, None)
    assert part.effect == pytest.approx(SLEEP_2[0] - SLEEP_1[0])
    assert "fewer than 2 seeds" in part.test


def test_no_common_profile_is_missing(tmp_path):
    bench = Bench(tmp_path, TWO, GAP)
    bench.put("A", SLEEP_2, "full")
    bench.put("B", SLEEP_1[:3], "quick")
    assert bench.claim().verdict == "missing"
    assert "no profile has results of all its rows" in bench.claim().reason


def test_a_stand_in_is_not_compared_with_the_real_set(tmp_path):
    bench = Bench(tmp_path, TWO, GAP)
    bench.put("A", SLEEP_2[:3], "quick", variant=0)
    bench.put("B", SLEEP_1[:3], "quick", variant=1)
    assert bench.claim().verdict == "missing"
    assert "different data, some on stand-ins" in bench.claim().reason
    bench.put("A", SLEEP_2[:3], "quick", variant=1)
    (part,) = bench.claim().parts
    assert (part.profile, part.test) == ("quick", "paired t test over 3 seeds")
    assert part.stand_ins == (("digits.Digits", "mnist.MNIST"),)
    bench.put("A", SLEEP_2[:3])
    bench.put("B", SLEEP_1[:3])
    assert bench.claim().parts[0].stand_ins == ()


def test_an_effect_names_another_metric_and_what_the_claim_asks(tmp_path):
    asked = "gap: {better: {m: A}, worse: {m: B}, at_least: -0.4, published: -0.2}"
    claims = f"claims: [{{id: C, text: t, metric: lenet_fid, better: higher, {asked}}}]"
    bench = Bench(tmp_path, TWO, claims)
    for name, value in (("A", 3.5), ("B", 3.0)):
        bench.put(name, [{"log_likelihood": -90.0, "lenet_fid": value + x} for x in SLEEP_1[:3]])
    said = bench.claim().parts[0].reason
    assert "A over B: +0.5 in LeNet FID, at least −0.4 claimed, published −0.2" in said


def test_an_effect_on_likelihoods_has_its_unit_on_every_metric(tmp_path):
    claims = (
        "claims: [{id: C, text: t, metric: elbo, within: {a: {m: A}, b: {m: B}, tolerance: 1}}]"
    )
    bench = Bench(tmp_path, TWO, claims)
    for name, value in (("A", 3.5), ("B", 3.0)):
        bench.put(name, [{"log_likelihood": -90.0, "elbo": value}])
    assert "+0.5 nats in ELBO, within 1 nats claimed" in bench.claim().parts[0].reason


def test_failed_seeds_leave_a_claim_undecided(tmp_path):
    bench = Bench(tmp_path, TWO, GAP)
    bench.put("A", SLEEP_2)
    bench.put("B", SLEEP_1)
    bench.fail("B", 20)
    (part,) = bench.claim().parts
    assert (part.verdict, part.p) == ("undecided", None)
    assert part.effect == pytest.approx(1.58)
    assert "seed 20 of B failed" in part.reason


LOOSE = {"kind": "lower bound", "diagnostics": {"pareto_k_above_0.7": 0.51}}
TIGHT = {"kind": "lower bound", "diagnostics": {"pareto_k_above_0.7": 0.5}}


@pytest.mark.parametrize(
    ("means", "loose", "verdict", "named"),
    [
        ((-90.0, -92.0, -94.0), "A", "holds", None),  # the better side can only be better still
        ((-90.0, -92.0, -94.0), "C", "holds", "bound of C is loose: its model"),
        ((-90.0, -92.0, -94.0), "ABC", "holds", "bounds of B and C are loose: their models"),
        ((-94.0, -92.0, -90.0), "ABC", "fails", "bounds of A and B are loose: their models"),
        ((-94.0, -92.0, -90.0), "C", "fails", None),
        ((-90.0, -92.0, -92.0), "ABC", "undecided", None),
        ((-90.0, -92.0, -94.0), "", "holds", None),
    ],
)
def test_a_verdict_tells_that_the_side_behind_is_a_loose_bound(
    tmp_path, means, loose, verdict, named
):
    bench = Bench(tmp_path, THREE, ORDER)
    rng = np.random.default_rng(5)
    for row, mean in zip("ABC", means, strict=True):
        values = (mean + 0.1 * rng.standard_normal(5)).tolist()
        bench.put(row, values, **(LOOSE if row in loose else TIGHT))
    claim = bench.claim()
    assert claim.verdict == verdict
    told = [part for part in claim.reason.split("; ") if "loose" in part]
    assert told == ([] if named is None else [f"the {named} may be better than shown"])


def test_a_bound_that_is_claimed_about_is_no_loose_likelihood(tmp_path):
    """Of the same nets, the claim on the ELBO is about bounds, and that on log p(x) is not."""
    gap = "gap: {better: {m: A}, worse: {m: B}}"
    claims = "claims:\n" + "\n".join(
        f"  - {{id: {metric}, text: t, metric: {metric}, {gap}}}"
        for metric in ("elbo", "log_likelihood")
    )
    bench = Bench(tmp_path, TWO, claims)
    for row, mean in (("A", -90.0), ("B", -92.0)):
        values = spread(mean, 0.1)
        bench.put(row, [{"log_likelihood": v, "elbo": v - 5.0} for v in values], **LOOSE)
    told = ["loose" in claim.reason for claim in bench.compare().claims]
    assert [claim.verdict for claim in bench.compare().claims] == ["holds", "holds"]
    assert told == [False, True]


def test_of_sides_that_are_alike_each_loose_bound_counts(tmp_path):
    alike = "claims: [{id: C, text: t, within: {a: {m: A}, b: {m: B}, tolerance: 1.0}}]"
    for loose, other in ("AB", "BA"):
        bench = Bench(tmp_path / loose, TWO, alike)
        bench.put(loose, spread(-90.0, 0.1), **LOOSE)
        bench.put(other, spread(-90.1, 0.1))
        assert bench.claim().verdict == "holds"
        assert f"the bound of {loose} is loose" in bench.claim().reason.replace("m=", "")


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
