"""Citations of papers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hwbench.report.views import Reference
from hwbench.spec import Spec
from hwbench.typography import clean


def reference(papers: Mapping[str, Any] | None, spec: Spec) -> Reference | None:
    """Return how a spec's paper is cited; only http(s) addresses become links.

    That is the paper whose first author `source` names, else the one of the spec's folder.
    """
    known = papers or {}
    named = (key for key, entry in known.items() if _first_author(entry) in _names(spec.source))
    return document_reference(known, next(named, spec.paper))


def document_title(papers: Mapping[str, Any] | None, paper: str) -> str:
    """Return the title of a document; the name of its folder where no reference is known."""
    entry = (papers or {}).get(paper)
    return clean(entry["title"]) if isinstance(entry, Mapping) and "title" in entry else paper


def document_reference(papers: Mapping[str, Any] | None, paper: str) -> Reference | None:
    """Return how a document is cited, None where its reference is unknown."""
    entry = (papers or {}).get(paper)
    if entry is None:
        return None
    if not isinstance(entry, Mapping):
        return Reference(clean(entry))
    authors = entry.get("authors") or ""
    if not isinstance(authors, str):
        names = [clean(a) for a in authors]
        authors = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    parts = [authors, *(entry.get(key, "") for key in ("title", "venue", "year"))]
    url = str(entry.get("url") or "")
    if not url and entry.get("doi"):
        url = f"https://doi.org/{entry['doi']}"
    if not url and entry.get("arxiv"):
        url = f"https://arxiv.org/abs/{entry['arxiv']}"
    safe = re.fullmatch(r"https?://[^\s\"'<>\\]+", url) is not None
    text = ". ".join(clean(part).rstrip(".") for part in parts if part) + "."
    return Reference(text, url if safe else "")


def _first_author(entry: Any) -> str:
    """Return the surname of the first author; a space, which is no name, where there is none."""
    authors = entry.get("authors") if isinstance(entry, Mapping) else None
    words_ = str(authors[0]).split() if isinstance(authors, list) and authors else []
    return words_[-1] if words_ else " "


def _names(source: str) -> set[str]:
    return set(re.findall(r"[^\W\d_][\w-]+", source))
