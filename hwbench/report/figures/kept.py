"""Pictures, kept until something that they rest on changes: drawing takes most of the time."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from hwbench.cache import digest, digest_of_code, digest_of_files, recall, remember
from hwbench.report import figures
from hwbench.report.figures.canvas import Picture
from hwbench.report.figures.distances import distances, distances_picture, levels
from hwbench.report.words import is_guest
from hwbench.store import Store
from hwbench.verdict.outcome import Comparison


def kept_pictures(comparison: Comparison, store: Store) -> list[Picture]:
    """Return every picture of a spec: those in the user's cache, or newly drawn ones."""
    if any(is_guest(outcome) for outcome in comparison.rows):
        return figures.pictures(comparison, store)  # rests on files of another spec, too
    folder = store.folder.absolute()
    name = digest("pictures", str(folder), comparison.spec.id, str(comparison.profile))
    files = digest_of_files(store.files(comparison.spec.id))
    results = [(r.key, r.seal) for outcome in comparison.rows for r in outcome.results]
    rows = tuple(replace(outcome, results=()) for outcome in comparison.rows)  # read from `files`
    rest = repr(replace(comparison, rows=rows))
    return _kept(name, [files, repr(results), rest], lambda: figures.pictures(comparison, store))


def kept_distances(comparisons: Sequence[Comparison]) -> Picture | None:
    """Return the picture of all judged rows; None where there are none."""
    shown = [(c.spec.id, c.spec.title, distances(c), levels([c])) for c in comparisons]
    picture = _kept("distances", [repr(shown)], lambda: _all(distances_picture(comparisons)))
    return picture[0] if picture else None


def _all(picture: Picture | None) -> list[Picture]:
    return [] if picture is None else [picture]


def _kept(name: str, inputs: Sequence[str], draw: Callable[[], list[Picture]]) -> list[Picture]:
    """Return pictures that rest on today's code and these inputs."""
    key = digest(digest_of_code(), *inputs)
    kept = recall(name, key)
    if kept is None:
        found = draw()
        remember(name, key, [_as_json(picture) for picture in found])
        return found
    return [Picture(**(entry | {"data": base64.b64decode(entry["data"])})) for entry in kept]


def _as_json(picture: Picture) -> dict[str, Any]:
    return asdict(picture) | {"data": base64.b64encode(picture.data).decode()}
