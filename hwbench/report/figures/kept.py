"""Pictures, kept until something that they rest on changes: drawing takes most of the time."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any

from hwbench.cache import digest, digest_of_code, digest_of_files, recall, remember
from hwbench.report import figures
from hwbench.report.figures.canvas import Picture
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
    key = digest(digest_of_code(), files, repr(comparison))
    kept = recall(name, key)
    if kept is None:
        found = figures.pictures(comparison, store)
        remember(name, key, [_as_json(picture) for picture in found])
        return found
    return [Picture(**(entry | {"data": base64.b64decode(entry["data"])})) for entry in kept]


def _as_json(picture: Picture) -> dict[str, Any]:
    return asdict(picture) | {"data": base64.b64encode(picture.data).decode()}
