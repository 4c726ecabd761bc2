"""Sizes with their units, as documents print them."""

import pytest

from hwbench.typography import MINUS
from hwbench.verdict import reasons
from hwbench.verdict.sizes import effect_text, size_text
from hwbench.verdict.statistics import Interval
from hwbench.verdict.wording import reason_text

SHARE = "share of test images"


def test_shares_are_percentages_and_other_units_stay():
    assert size_text(0.0013, SHARE) == "0.13 percentage points"
    assert size_text(0.25, "nats") == "0.25 nats"
    within = Interval(-0.0049, 0.0004)
    assert effect_text(-0.0022, within, SHARE) == f"{MINUS}0.22 percentage points"


def test_a_text_that_describes_a_metric_does_not_follow_its_numbers():
    described = "norm of the gradient", "from 0 to 1", "per pixel", "squared distance", "share"
    assert [size_text(0.25, unit) for unit in described] == ["0.25"] * 5
    assert size_text(0.25, "nats per frame") == "0.25 nats per frame"


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (
            reasons.Position("worse", Interval(0.000653, 0.000747), 0.00065, SHARE, 0.0),
            "90 % interval [+0.0653, +0.0747] lies entirely outside ±0.065 percentage points",
        ),
        (
            reasons.Distance(-0.0466, 0.001, SHARE, False),
            "4.66 percentage points below the published value",
        ),
    ],
)
def test_a_reason_gives_all_its_numbers_in_one_unit(reason, text):
    assert reason_text(reason).startswith(text.replace("90 %", "90\u202f%"))
