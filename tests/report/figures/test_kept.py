"""Pictures kept in the cache, and drawn in other processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hwbench.report import figures, workers
from hwbench.report.figures.canvas import Picture
from hwbench.report.figures.kept import kept_pictures

from ..conftest import Example


def test_pictures_are_drawn_anew_only_if_the_comparison_changes(
    example: Example, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("HWBENCH_CACHE", str(tmp_path))  # another test may have drawn the example
    drawn = [Picture("name", "forest", "svg", b"\\x00<svg>", "title", "caption", "alt")]
    times = []
    monkeypatch.setattr(figures, "pictures", lambda comparison, store: times.append(1) or drawn)
    for _ in range(2):
        assert kept_pictures([example.comparison], example.store).sections == [drawn]
    assert len(times) == 1
    fewer = replace(example.comparison, rows=example.comparison.rows[:3])
    assert kept_pictures([fewer], example.store).sections == [drawn]
    assert len(times) == 2


def test_workers_draw_the_same_pictures(
    example: Example, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("HWBENCH_CACHE", str(tmp_path / "here"))
    here = kept_pictures([example.comparison], example.store)
    monkeypatch.setenv("HWBENCH_CACHE", str(tmp_path / "there"))
    monkeypatch.setattr(workers, "MANY", 2)
    monkeypatch.setattr(workers, "JOBS", 1)
    monkeypatch.setattr(figures, "pictures", lambda *_: pytest.fail("drawn in this process"))
    assert kept_pictures([example.comparison], example.store) == here
