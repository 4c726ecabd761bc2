"""What each row ran: the protocol, and where rows differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwbench.report.views import Listing
from hwbench.report.words import row_label
from hwbench.spec import Case, Spec, argument_text, block_text, variants
from hwbench.typography import NONE, words
from hwbench.verdict.outcome import Comparison, RowOutcome


def protocol_fields(case: Case) -> dict[str, Any]:
    """Return the parts of a resolved case by name: blocks and plain values, in reading order."""
    out: dict[str, Any] = {"profile": case.profile}
    out["data"] = {k: v for k, v in case.data.items() if k != "pixels"}
    if case.stands_in_for:
        out["standing in for"] = case.stands_in_for
    out["pixels"] = case.data.get("pixels", "not applicable")
    out["model"] = case.model
    for i, stage in enumerate(case.train):
        prefix = f"stage {i + 1}: " if len(case.train) > 1 else ""
        first = [
            k for k in ("fit", "rule", "optimizer", "epochs", "steps", "batch_size") if k in stage
        ]
        out |= {
            prefix + words(k): stage[k] for k in [*first, *(k for k in stage if k not in first)]
        }
    for i, block in enumerate(case.evaluate):
        out[f"evaluation {i + 1}" if len(case.evaluate) > 1 else "evaluation"] = block
    return {k: v for k, v in out.items() if v is not None}


def common_part(blocks: Sequence[Any]) -> dict[str, Any] | None:
    """Return what blocks of the same class have in common; None if they are not such blocks.

    >>> common_part([{"use": "a.A", "k": 1, "b": 2}, {"use": "a.A", "k": 5, "b": 2}])
    {'use': 'a.A', 'b': 2}
    """
    if not all(isinstance(b, Mapping) and "use" in b for b in blocks):
        return None
    if any(b["use"] != blocks[0]["use"] for b in blocks):
        return None
    return {k: v for k, v in blocks[0].items() if all(k in b and b[k] == v for b in blocks)}


def _case(spec: Spec, outcome: RowOutcome, comparison: Comparison) -> Case:
    """Return the case that ran, else the one that would run at the comparison's profile."""
    if outcome.results:
        return outcome.results[0].case
    return variants(spec, outcome.row, outcome.profile or comparison.profile or "full", 0)[0]


def protocol_listing(comparison: Comparison) -> tuple[list[tuple[str, str]], Listing]:
    """Return what all rows have in common, and a table of their differences."""
    fields = [protocol_fields(_case(comparison.spec, o, comparison)) for o in comparison.rows]
    common: list[tuple[str, str]] = []
    columns: dict[str, list[str]] = {}
    for name in dict.fromkeys(n for f in fields for n in f):
        values = [f.get(name) for f in fields]
        shared = common_part(values)
        if all(v == values[0] for v in values):
            common.append((name, argument_text(values[0])))
        elif shared is None:
            columns[name] = [NONE if v is None else argument_text(v) for v in values]
        else:
            common.append((name, block_text(shared)))
            for key in dict.fromkeys(k for v in values if v for k in v if k not in shared):
                cells = [argument_text(v[key]) if v and key in v else NONE for v in values]
                columns[f"{name}: {words(key)}"] = cells
    lines = [
        [
            row_label(o) + ("" if o.results else " (not run)"),
            *(cells[i] for cells in columns.values()),
        ]
        for i, o in enumerate(comparison.rows)
    ]
    return common, Listing(["row", *columns], lines if columns else [])
