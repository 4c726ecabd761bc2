"""Numbers that line up."""

from __future__ import annotations

from hwbench.report.alignment import FIGURE_SPACE, POINT_SPACE, aligned
from hwbench.typography import NONE

PAD = FIGURE_SPACE


def test_aligned_numbers_have_their_points_in_one_column():
    column = ["−95.182 ± 0.022", "−118.77", "≈85.5", "3 ± 10", "−9.5 ± 1.25", NONE]
    out = aligned(column)
    points = {text.index(".") for text in out[:3]}
    assert len(points) == 1
    assert len({text.index("±") for text in (out[0], out[3], out[4])}) == 1
    for before, after in zip(column, out, strict=True):
        assert after.replace(PAD, "").replace(POINT_SPACE, "") == before
