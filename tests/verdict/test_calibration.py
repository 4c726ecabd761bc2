"""The choice of a setting that the document leaves open."""

from pathlib import Path

import pytest

from .conftest import Bench, spread, verdicts

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
    assert "pixels is still open: M, grey, A has no full results" in bench.row("M-fixed-B").reason
    bench.put("M-grey-A", spread(-90.0, 0.05, 3), "quick")
    assert verdicts(bench)[:3] == ["undecided", "reduced", "undecided"]
    bench.fail("M-grey-A", 0)  # out of the race
    assert verdicts(bench) == ["calibrated", "reduced", *CHOSEN[2:]]


def test_nothing_can_be_chosen_where_all_that_choose_failed(tmp_path):
    bench = calibrated(tmp_path, None, None)
    for i in (0, 1):
        bench.fail(i, 0)
    assert verdicts(bench) == ["failed", "failed", "incomparable", "incomparable", "unpublished"]
    assert "all rows of A failed" in bench.row("M-fixed-B").reason


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
