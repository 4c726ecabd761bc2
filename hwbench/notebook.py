"""Tables for notebooks, made from records; all text is escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence


def table_html(records: Sequence[Mapping[str, str]]) -> str:
    """Return records that have the same keys as an HTML table, one line each."""
    import pandas as pd

    with pd.option_context("display.max_colwidth", None):
        return pd.DataFrame(records).to_html(index=False, escape=True)


def section_html(title: str, text: str, *tables: str) -> str:
    """Return tables below a title and a line of text."""
    return f"<h4>{html.escape(title)}</h4><p>{html.escape(text)}</p>{''.join(tables)}"
