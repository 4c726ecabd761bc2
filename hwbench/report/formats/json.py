"""A comparison as plain JSON values."""

from __future__ import annotations

import math
from typing import Any

from hwbench.report.numbers import standard_error
from hwbench.report.rows import facts
from hwbench.report.section import banner_text
from hwbench.spec import Published
from hwbench.verdict.outcome import Comparison
from hwbench.verdict.statistics import Interval


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


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain JSON values; what is not a number is null."""
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
        "warnings": list(comparison.warnings),
        "rows": [
            {
                "at": dict(o.row.at),
                "verdict": o.verdict,
                "reason": o.reason,
                "profile": o.profile,
                "seeds": len(o.results),
                "expected_seeds": o.expected_seeds,
                "mean": _number(o.mean),
                "sd": _number(o.sd),
                "se": _number(standard_error(o)),
                "se_points": _number(o.se_points),
                "published": _published_json(o.row.published),
                "source": _published_json(o.row.source),
                "judged_against": _published_json(o.published),
                "known": spec.known(o.row),
                "margin": spec.margin(o.row),
                "difference": _number(o.difference),
                "interval": _interval_json(o.interval),
                "smallest": _number(o.smallest),
                "facts": facts(o, spec.metric),
                "flags": list(o.flags),
            }
            for o in comparison.rows
        ],
        "claims": [
            {
                "id": c.claim.id,
                "text": c.claim.text,
                "verdict": c.verdict,
                "profile": c.profile,
                "reason": c.reason,
                "parts": [
                    {
                        "at": dict(p.at),
                        "verdict": p.verdict,
                        "effect": _number(p.effect),
                        "interval": _interval_json(p.interval),
                        "p": _number(p.p),
                        "test": p.test,
                        "profile": p.profile,
                        "reason": p.reason,
                        "counts": p.counts,
                        "changed": p.changed,
                    }
                    for p in c.parts
                ],
            }
            for c in comparison.claims
        ],
    }
