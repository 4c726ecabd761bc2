"""Pictures, kept until something that they rest on changes: drawing takes most of the time."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hwbench.cache import digest, digest_of_code, digest_of_files, recall, remember
from hwbench.report import figures
from hwbench.report.figures.canvas import Picture
from hwbench.report.figures.distances import Table, distances_picture, tables_of
from hwbench.report.words import is_guest
from hwbench.report.workers import mapped
from hwbench.store import Store
from hwbench.verdict.outcome import Comparison


@dataclass(frozen=True)
class Pictures:
    """The pictures of a report: all judged rows (None without any), and those of each spec."""

    distances: Picture | None
    sections: list[list[Picture]]


@dataclass(frozen=True)
class Drawing:
    """Pictures to draw: those of a comparison, or the one of all judged rows.

    Attributes:
        name: under which they are kept; '' if they are not.
        inputs: what they rest on besides today's code, as texts.
    """

    name: str
    inputs: tuple[str, ...]
    what: tuple[Comparison, Store] | tuple[Table, ...]


def kept_pictures(comparisons: Sequence[Comparison], store: Store) -> Pictures:
    """Return the pictures of a report: those in the user's cache, and the others newly drawn."""
    tables = tuple(tables_of(comparisons))
    drawings = [Drawing("distances", (repr(tables),), tables)]
    drawings += [_drawing(comparison, store) for comparison in comparisons]
    found = [_recalled(drawing) for drawing in drawings]
    missing = [i for i, pictures in enumerate(found) if pictures is None]
    drawn = mapped(draw, [drawings[i].what for i in missing])
    for i, pictures in zip(missing, drawn, strict=True):
        found[i] = pictures
        _remember(drawings[i], pictures)
    (distances, *sections) = [pictures or [] for pictures in found]
    return Pictures(distances[0] if distances else None, sections)


def draw(what: tuple[Comparison, Store] | tuple[Table, ...], *_: object) -> list[Picture]:
    """Return pictures newly drawn; `Executor.map` passes more arguments, which are not used."""
    match what:
        case (Comparison() as comparison, Store() as store):
            return figures.pictures(comparison, store)
        case tables:
            picture = distances_picture([table for table in tables if isinstance(table, Table)])
            return [] if picture is None else [picture]


def _drawing(comparison: Comparison, store: Store) -> Drawing:
    if any(is_guest(outcome) for outcome in comparison.rows):
        return Drawing("", (), (comparison, store))  # rests on files of another spec, too
    folder = store.folder.absolute()
    name = digest("pictures", str(folder), comparison.spec.id, str(comparison.profile))
    files = digest_of_files(store.files(comparison.spec.id))
    results = [(r.key, r.seal) for outcome in comparison.rows for r in outcome.results]
    rows = tuple(replace(outcome, results=()) for outcome in comparison.rows)  # read from `files`
    rest = repr(replace(comparison, rows=rows))
    return Drawing(name, (files, repr(results), rest), (comparison, store))


def _recalled(drawing: Drawing) -> list[Picture] | None:
    if not drawing.name:
        return None
    kept = recall(drawing.name, digest(digest_of_code(), *drawing.inputs))
    if kept is None:
        return None
    return [Picture(**(entry | {"data": base64.b64decode(entry["data"])})) for entry in kept]


def _remember(drawing: Drawing, pictures: Sequence[Picture]) -> None:
    if drawing.name:
        key = digest(digest_of_code(), *drawing.inputs)
        remember(drawing.name, key, [_as_json(picture) for picture in pictures])


def _as_json(picture: Picture) -> dict[str, Any]:
    return asdict(picture) | {"data": base64.b64encode(picture.data).decode()}
