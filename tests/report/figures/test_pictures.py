"""All pictures of a comparison."""

from __future__ import annotations

from dataclasses import replace

from hwbench.report.figures import pictures
from hwbench.report.figures.canvas import Picture

from ..conftest import Example


def test_every_kind_of_picture_is_drawn(drawn: list[Picture]):
    places = [p.place for p in drawn]
    assert places.count("forest") == 1
    assert places.count("figures") == 2
    assert places.count("curves") == 1  # the validation curve is among the figures asked for
    assert places.count("k_curve") == 1
    assert places.count("samples") == 4
    assert all(p.data and p.alt for p in drawn)


def test_nothing_measured_leaves_the_published_numbers(example: Example):
    rows = [
        replace(o, results=(), profile=None, mean=None, sd=None, difference=None, interval=None)
        for o in example.comparison.rows
    ]
    found = pictures(replace(example.comparison, rows=tuple(rows), claims=()), example.store)
    assert [p.place for p in found] == ["figures", "figures"]
    assert found[0].caption == "Nothing measured yet. Open markers are published values."
