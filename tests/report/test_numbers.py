"""Numbers as text."""

from __future__ import annotations

import pytest

from hwbench.numbers import interval_text, p_text, with_error
from hwbench.typography import NO_BREAK, NONE
from hwbench.verdict.statistics import Interval


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-95.18234, 0.0218, "−95.182 ± 0.022"),
        (-95.18234, 0.0996, "−95.18 ± 0.10"),  # rounding the error up costs a digit
        (12.345, 1.349, "12.3 ± 1.3"),
        (1234.5, 27.4, "1234 ± 27"),
        (-95.18234, None, "−95.182"),
        (-95.18234, 0.0, "−95.182 ± 0.000"),  # equal seeds: their error is zero, and said
        (float("nan"), 0.1, NONE),
        (None, None, NONE),
    ],
)
def test_numbers_stop_at_the_second_digit_of_their_error(value, error, text):
    assert with_error(value, error) == text


def test_interval_shows_two_digits_of_its_half_width():
    assert interval_text(Interval(-0.4321, 0.0123)) == "[−0.43, +0.01]"
    assert interval_text(Interval(float("-inf"), float("inf"))) == "[−∞, ∞]"
    assert interval_text(None) == ""


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (None, ""),
        (0.0004, "adjusted p < 0.001"),
        (0.0123, "adjusted p = 0.012"),
        (0.5, "adjusted p = 0.50"),
        (1.0, "adjusted p = 1.00"),
    ],
)
def test_p_values(p, text):
    assert p_text(p).replace(NO_BREAK, " ") == text


def test_a_p_value_stays_on_one_line():
    assert p_text(0.5) == f"adjusted p{NO_BREAK}={NO_BREAK}0.50"
