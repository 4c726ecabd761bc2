"""One JSON file for each table: the whole comparison as plain values."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from hwbench.report.contents import Contents
from hwbench.report.formats import put
from hwbench.report.measured import standard_error
from hwbench.report.rows import facts
from hwbench.report.section import banner_text
from hwbench.report.words import anchor
from hwbench.spec import Published, Quoted, Spec
from hwbench.verdict.facts import Method, Neighbours
from hwbench.verdict.outcome import ClaimOutcome, ClaimPart, Comparison, RowOutcome
from hwbench.verdict.reasons import Reason
from hwbench.verdict.remarks import flag_text
from hwbench.verdict.statistics import Interval


def write(contents: Contents, folder: Path) -> list[Path]:
    """Write `tables/<paper>-<table>.json` for each comparison."""
    return [
        put(folder / f"tables/{anchor(c.spec.id)}.json", (_text(c) + "\n").encode())
        for c in contents.comparisons
    ]


def _text(comparison: Comparison) -> str:
    return json.dumps(to_json(comparison), indent=1, ensure_ascii=False, allow_nan=False)


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _interval_json(interval: Interval | None) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return {"low": _number(interval.low), "high": _number(interval.high), "level": interval.level}


def _published_json(published: Published | None) -> dict[str, Any] | None:
    return (
        None
        if published is None
        else {"text": published.text, "value": published.value, "error": published.error}
    )


def plain(value: Any) -> Any:
    """Return a fact of a verdict as plain values; reasons and tests include their kind."""
    if isinstance(value, float | Decimal):
        return _number(float(value))
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return {"kind": type(value).__name__, **fields} if isinstance(value, Reason) else fields


def _reasons_json(reasons: Iterable[Reason]) -> list[Any]:
    return [plain(reason) for reason in reasons]


def _row_json(outcome: RowOutcome, comparison: Comparison) -> dict[str, Any]:
    spec, row = comparison.spec, outcome.row
    return {
        "at": dict(row.at),
        "verdict": outcome.verdict,
        "reason": outcome.reason,
        "reasons": _reasons_json(outcome.reasons),
        "profile": outcome.profile,
        "seeds": len(outcome.results),
        "expected_seeds": outcome.expected_seeds,
        "mean": _number(outcome.mean),
        "sd": _number(outcome.sd),
        "se": _number(standard_error(outcome)),
        "se_points": _number(outcome.se_points),
        "published": _published_json(row.published),
        "source": _published_json(row.source),
        "judged_against": _published_json(outcome.published),
        "known": spec.known(row),
        "margin": spec.margin(row),
        "difference": _number(outcome.difference),
        "interval": _interval_json(outcome.interval),
        "smallest": _number(outcome.smallest),
        "facts": facts(outcome, spec.metric),
        "flags": [flag_text(flag) for flag in outcome.flags],
        "flagged": plain(outcome.flags),
        "notices": plain(outcome.notices),
    }


def _part_json(part: ClaimPart) -> dict[str, Any]:
    tested = isinstance(part.method, Method | Neighbours)
    return {
        "at": dict(part.at),
        "verdict": part.verdict,
        "effect": _number(part.effect),
        "interval": _interval_json(part.interval),
        "p": _number(part.p),
        "test": part.test,
        "method": plain(part.method) if tested else None,
        "profile": part.profile,
        "reason": part.reason,
        "reasons": _reasons_json(part.reasons),
        "counts": part.counts,
        "changed": list(part.changed),
        "stand_ins": plain(part.stand_ins),
    }


def _quoted_json(quoted: Quoted, spec: Spec) -> dict[str, Any]:
    return {
        "model": quoted.model,
        "at": dict(quoted.at),
        "published": _published_json(quoted.published),
        "known": spec.known(quoted),
    }


def _claim_json(outcome: ClaimOutcome) -> dict[str, Any]:
    return {
        "id": outcome.claim.id,
        "text": outcome.claim.text,
        "verdict": outcome.verdict,
        "profile": outcome.profile,
        "reason": outcome.reason,
        "reasons": _reasons_json(outcome.reasons),
        "parts": [_part_json(part) for part in outcome.parts],
    }


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain JSON values; a number that is not finite is null.

    Sentences (`reason`, `test`, `flags`, `warnings`) accompany the facts that they are made from
    (`reasons`, `method`, `flagged`, `notices`).
    """
    spec = comparison.spec
    return {
        "spec": spec.id,
        "title": spec.title,
        "source": spec.source,
        "metric": spec.metric,
        "unit": spec.unit,
        "better": spec.better,
        "profile": comparison.profile,
        "banner": banner_text(comparison)[0] or None,
        "warnings": comparison.warnings,
        "notices": plain(comparison.notices),
        "rows": [_row_json(outcome, comparison) for outcome in comparison.rows],
        "quoted": [_quoted_json(quoted, spec) for quoted in spec.quoted],
        "claims": [_claim_json(outcome) for outcome in comparison.claims],
        "pairings": plain(comparison.pairings),
    }
