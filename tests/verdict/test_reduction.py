"""What runs below full say of themselves, derived from their cases."""

import pytest

from hwbench.spec import Case
from hwbench.verdict.reduction import Departure, departures, judgeable, trained_alike
from hwbench.verdict.remarks import notice_text

from .conftest import Bench

BASE = {"use": "vae.VAE", "latent": 5}


def case(*stages, model=BASE, evaluate=({"use": "importance.LogLikelihood", "k": 50},), **data):
    return Case(
        spec="demo/table", at={"m": "A"}, profile="quick", seed=0, model=model,
        data={"use": "mnist.MNIST"} | data, train=list(stages), evaluate=list(evaluate),
    )  # fmt: skip


def test_departures_name_what_was_run_and_what_was_published():
    rule = {"use": "bounds.IWAE", "k": 5}
    ran = case(
        {"rule": rule, "optimizer": {"use": "Adam", "lr": 1e-3}, "steps": 100, "batch_size": 50},
        {"fit": {"use": "em.EM", "iterations": 2}},
        evaluate=[{"use": "importance.LogLikelihood", "k": 5, "points": 9, "draw": 1}],
        pixels="fixed",
    )
    published = case(
        {
            "rule": rule | {"k": 50}, "optimizer": {"use": "SGD", "lr": 0.1}, "epochs": 7,
            "batch_size": 20, "validate": {"use": "importance.Bound"}, "validate_every": 5,
            "stop": {"patience": 2}, "schedule": {"lr": {"anneal": 0.0}},
        },
        {"fit": {"use": "em.EM", "iterations": 200}},
        pixels="grey", model=BASE | {"latent": 50},
    )  # fmt: skip
    assert departures(ran, published) == (
        Departure("data: pixels", "fixed", "grey"),
        Departure("model: latent", "5", "50"),
        Departure("stage 1: length", "100 steps", "7 epochs", length=True),
        Departure("stage 1: rule: k", "5", "50"),
        Departure("stage 1: optimizer", "Adam(lr = 0.001)", "SGD(lr = 0.1)"),
        Departure("stage 1: batch size", "50", "20"),
        Departure("stage 1: schedule", "", "{lr: {anneal: 0.0}}"),
        Departure("stage 2: fit: iterations", "2", "200", length=True),
        Departure("evaluation: draw", "1", ""),
    )
    assert departures(published, published) == ()


def test_blocks_inside_blocks_are_compared_argument_by_argument():
    def with_rule(samples, units, width):
        kernel = {"units": units, "width": width}
        inner = {"use": "kernel.AmortisedLearning", "samples": samples, "kernel": kernel}
        return case({"rule": {"use": "process.PerFunction", "rule": inner}, "epochs": 1})

    assert departures(with_rule(5, 3, 1.0), with_rule(50, 30, 1.0)) == (
        Departure("rule: samples", "5", "50"),
        Departure("rule: kernel: units", "3", "30"),
    )


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ([{"epochs": 2}, {"epochs": 20}], [{"epochs": 10}, {"epochs": 100}], True),
        ([{"epochs": 2}, {"epochs": 20}], [{"epochs": 10}, {"epochs": 30}], False),
        # steps against epochs: the same share only if the published lengths are alike
        ([{"steps": 50, "batch_size": 20}, {"epochs": 20}],
         [{"steps": 50, "batch_size": 20}, {"epochs": 30}], True),
        ([{"steps": 50, "batch_size": 20}, {"epochs": 20}],
         [{"steps": 50, "batch_size": 20}, {"epochs": 90}], False),
        # the batch size of a stage that states none is 100
        ([{"steps": 50, "batch_size": 100}, {"steps": 500, "batch_size": 100}],
         [{"steps": 50}, {"steps": 500}], True),
        ([{"steps": 50}, {"epochs": 1}],
         [{"steps": 50, "batch_size": 100}, {"epochs": 1}], True),
        # a side that trains in full, or not at all, against one that is cut short
        ([{"epochs": 1}, {"epochs": 20}], [{"fit": {"use": "em.EM"}}, {"fit": {"use": "em.EM"}}],
         False),
        ([{"steps": 50, "batch_size": 20}, {"epochs": 20}], [{"epochs": 9}, {"epochs": 9}], False),
        ([{"fit": {"use": "em.EM", "iterations": 2}}, {"fit": {"use": "em.EM", "iterations": 20}}],
         [{"epochs": 1}, {"epochs": 10}], True),
    ],
)  # fmt: skip
def test_shares_of_the_published_training_are_compared(a, b, alike):
    assert trained_alike([(case(ran), case(full)) for ran, full in (a, b)]) is alike


ROWS = """
{at: {m: A}, train: {epochs: 100}}
{at: {m: B}, train: {epochs: 100}}
{at: {m: C}, train: {epochs: 10}, published: -90.0}
"""
CLAIMS = """
claims:
  - {id: same, text: A beats B, order: {m: [A, B]}}
  - {id: other, text: A beats C, order: {m: [A, C]}}
"""


def test_below_full_a_claim_needs_equal_shares_of_training(tmp_path):
    bench = Bench(tmp_path, ROWS, CLAIMS)
    for row, mean in (("A", -80.0), ("B", -85.0), ("C", -90.0)):
        bench.put(row, [mean + 0.1 * seed for seed in range(3)], profile="quick")
    same, other = bench.compare().claims
    assert (same.verdict, other.verdict) == ("holds", "undecided")
    assert other.parts[0].effect == pytest.approx(10.0)
    assert "at quick the sides ran different shares of their training at full" in other.reason
    for row, mean in (("A", -80.0), ("C", -90.0)):
        bench.put(row, [mean + 0.1 * seed for seed in range(3)], profile="full")
    assert bench.compare().claims[1].verdict == "holds"


@pytest.mark.parametrize(
    ("first", "second", "permitted"),
    [
        ([{"epochs": 1}, {"epochs": 20}], [{"fit": {"use": "untrained.Untrained"}}] * 2, (1, 0)),
        ([{"fit": {"use": "untrained.Untrained"}}] * 2, [{"epochs": 1}, {"epochs": 20}], (0, 1)),
        ([{"epochs": 1}, {"epochs": 20}], [{"epochs": 9}, {"epochs": 9}], (0, 0)),
        ([{"epochs": 1}, {"epochs": 20}], [{"epochs": 1}, {"epochs": 10}], (1, 1)),
    ],
)
def test_a_side_with_nothing_to_train_is_complete(first, second, permitted):
    pairs = ([(case(ran), case(full))] for ran, full in (first, second))
    assert judgeable(*pairs) == tuple(map(bool, permitted))


COMPLETE = """
{at: {m: A}, train: {epochs: 100}}
{at: {m: none}, train: null, fit: {use: untrained.Untrained}, profiles: {quick: {train: null}}}
"""
AGAINST_NONE = """
claims:
  - {id: beats, text: A beats an untrained model, order: {m: [A, none]}}
  - {id: loses, text: It beats A, order: {m: [none, A]}}
  - {id: same, text: They are as good, within: {a: {m: A}, b: {m: none}, tolerance: 1}}
"""


@pytest.mark.parametrize(
    ("mean", "verdicts"),
    [
        (-80.0, ("holds", "fails", "undecided")),  # A is better although it was cut short
        (-95.0, ("undecided", "undecided", "undecided")),  # A may win at full length
    ],
)
def test_a_side_that_was_cut_short_may_beat_a_complete_one(tmp_path, mean, verdicts):
    bench = Bench(tmp_path, COMPLETE, AGAINST_NONE)
    bench.put("A", [mean + 0.1 * seed for seed in range(3)], profile="quick")
    bench.put("none", [-90 + 0.1 * seed for seed in range(3)], profile="quick")
    claims = bench.compare().claims
    assert tuple(claim.verdict for claim in claims) == verdicts
    assert "at quick only A was cut short" in claims[0].reason


def test_an_argument_of_quick_alone_is_not_set_at_full(tmp_path):
    rows = "{at: {m: A}, published: -90.0, profiles: {quick: {data: {size: 7}}}}"
    bench = Bench(tmp_path, rows)
    bench.put("A", [-91.0, -92.0], profile="quick")
    assert "data: size 7 (full: not set)" in notice_text(bench.compare().rows[0].notices)


def test_a_reduced_row_tells_what_else_it_ran(tmp_path):
    rows = "{at: {m: A}, published: -90.0, profiles: {quick: {train: {batch_size: 7}}}}"
    bench = Bench(tmp_path, rows)
    bench.put("A", [-91.0, -92.0], profile="quick")
    (row,) = bench.compare().rows
    assert "not at full (also other: batch size)" in row.reason
    (notice,) = row.notices
    assert notice.kind == "departs"
    assert notice.words[:4] == ("quick", "length", "2 epochs", "9 epochs")
    assert "length 2 epochs (full: 9 epochs)" in notice_text([notice])
    bench.put("A", [-91.0, -92.0], profile="full")
    assert bench.compare().rows[0].notices == ()
