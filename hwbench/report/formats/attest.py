"""The comparison of two commits for the terminal and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from hwbench.attest.campaign import Comparison, Outcome
from hwbench.numbers import significant
from hwbench.spec import display_path, label


def print_comparison(console: Console, found: Comparison) -> None:
    """Print what is not attested and why, then counts and the file."""

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, soft_wrap=True)

    if not found.outcomes:
        say(f"no fingerprint differs between {found.old} and {found.new}: nothing to attest")
        return
    for (spec, row, why, status), profiles in _grouped(found.outcomes).items():
        style = "red" if status == "moved" else "yellow"
        say(f"{spec} {row} ({', '.join(profiles)}): {status}: {why}", style)
    for spec in dict.fromkeys(o.case.spec for o in found.outcomes):
        mine = [o for o in found.outcomes if o.case.spec == spec]
        shares = [o.share for o in mine if o.status == "attested" and o.share is not None]
        most = f", moved at most {significant(max(shares), 2)} of the tolerance" if shares else ""
        say(f"{spec}: {len(shares)} of {len(mine)} rows and profiles attested{most}")
    say(f"{found.on_file} results on file rest on {found.old} and were not attested before")
    if found.path is not None:
        say(f"wrote {display_path(found.path)}")


def reason(outcome: Outcome) -> str:
    """Return in words why a row is not attested; empty where it is."""
    movement = outcome.movement
    if outcome.status != "moved" or movement is None:
        return outcome.reason
    infinite = math.isinf(movement.moved)
    how = "differs in shape" if infinite else f"moved {significant(movement.moved, 2)}"
    allowed = significant(movement.tolerance, 2)
    return f"{movement.name} {how}, where rounding explains {allowed} ({outcome.place})"


def _grouped(outcomes: Sequence[Outcome]) -> dict[tuple[str, str, str, str], list[str]]:
    """Return the profiles of what is not attested, by spec, row, reason and status."""
    out: dict[tuple[str, str, str, str], list[str]] = {}
    for o in outcomes:
        if o.status != "attested":
            row = label(o.case.at)
            profiles = out.setdefault((o.case.spec, row, reason(o), o.status), [])
            if o.case.profile not in profiles:
                profiles.append(o.case.profile)
    return out


def to_json(found: Comparison) -> dict[str, Any]:
    """Return the comparison as plain values for JSON; a share that is not finite is None."""
    rows: list[dict[str, Any]] = [
        {
            "spec": o.case.spec,
            "row": o.case.at,
            "profile": o.case.profile,
            "data": o.case.data.get("use"),
            "status": o.status,
            "reason": reason(o),
            "share": o.share if o.share is not None and math.isfinite(o.share) else None,
            "old": o.old,
            "new": o.new,
        }
        for o in found.outcomes
    ]
    return {
        "old": found.old,
        "new": found.new,
        "on_file": found.on_file,
        "file": None if found.path is None else str(found.path),
        "rows": rows,
    }
