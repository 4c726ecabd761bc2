"""Sentences for people: each reason of a verdict in words. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch

from hwbench.numbers import (
    counted,
    interval_text,
    p_text,
    percent,
    rounded,
    shifted,
)
from hwbench.typography import minus, words
from hwbench.verdict import reasons
from hwbench.verdict.reasons import Reason, Sides
from hwbench.verdict.sizes import difference_in, effect_text, scaled, short_size, size_text

UNTESTED = {
    "fixed": "neither side depends on the seed",
    "few": "fewer than 2 seeds",
    "single": "only one seed",
    "equal": "all seeds happened to give the same value",
    "reduced": "run at {profile}",
    "apart": "no seed is common to all rows of a side",
}


def sides_text(sides: Sides) -> str:
    """Return "A over B", or "A and B"."""
    return f"{sides.first} {'and' if sides.alike else 'over'} {sides.second}"


def reasons_text(found: Iterable[Reason]) -> str:
    """Return reasons as one sentence; a p value stands in parentheses."""
    text = ""
    for reason in found:
        mark = " " if isinstance(reason, reasons.PValue) else "; "
        text += f"{mark if text else ''}{reason_text(reason)}"
    return text


@singledispatch
def reason_text(reason: Reason) -> str:
    """Return a reason in words."""
    raise TypeError(f"no words for a reason {type(reason).__name__}")


@reason_text.register
def _(reason: reasons.Untested) -> str:
    return UNTESTED[reason.why].format(profile=reason.profile)


@reason_text.register
def _(reason: reasons.NotRun) -> str:
    return "not run yet"


@reason_text.register
def _(reason: reasons.OutOfDate) -> str:
    return "stale: the spec has changed since"


@reason_text.register
def _(reason: reasons.Ended) -> str:
    more = f" (and {reason.more} more)" if reason.more else ""
    return f"{reason.profile}, seed {reason.seed}: {reason.message}{more}"


@reason_text.register
def _(reason: reasons.NotMeasured) -> str:
    known = ", ".join(reason.measured) or "nothing"
    return f"the {reason.profile} results lack {reason.metric} (they have {known})"


@reason_text.register
def _(reason: reasons.NothingPublished) -> str:
    return "no published value to compare with"


@reason_text.register
def _(reason: reasons.Stated) -> str:
    return reason.text


@reason_text.register
def _(reason: reasons.Distance) -> str:
    value = "the value in the source" if reason.source else "the published value"
    if reason.value == 0:
        return f"equal to {value}"
    digits, unit = difference_in(reason.unit)
    scale = None if reason.scale is None else reason.scale * 10**digits
    size = f"{rounded(abs(reason.value) * 10**digits, scale)} {unit}".strip()
    return f"{size} {'above' if reason.value > 0 else 'below'} {value}"


@reason_text.register
def _(reason: reasons.Reduced) -> str:
    if reason.stand_in:
        data = " for ".join(reason.stand_in)
        return f"run at {reason.profile} on other data ({data}), so no distance is shown"
    others = f" (also other: {', '.join(reason.others)})" if reason.others else ""
    return f"run at {reason.profile}, not at full{others}"


@reason_text.register
def _(reason: reasons.OtherData) -> str:
    return f"run on {reason.used} instead of {reason.published}"


@reason_text.register
def _(reason: reasons.FromMemory) -> str:
    return f"published value from memory ({reason.confidence} confidence), so not judged"


@reason_text.register
def _(reason: reasons.NoSpread) -> str:
    return f"{reason_text(reason.why)}, so the spread over seeds is unknown"


@reason_text.register
def _(reason: reasons.NoMargin) -> str:
    return "the spec states no margin"


@reason_text.register
def _(reason: reasons.Position) -> str:
    interval = scaled(reason.interval, difference_in(reason.unit)[0])
    where = f"{percent(interval.level)} interval {interval_text(interval)}"
    margin = f"±{short_size(reason.margin, 6, reason.unit)}"
    if reason.where == "across":
        least = size_text(reason.detectable, reason.unit)
        return f"{where} overlaps the margin of {margin}; detectable difference {least}"
    if reason.where == "inside":
        return f"{where} lies inside {margin}"
    return f"{where} lies entirely outside {margin}, on the {reason.where} side"


@reason_text.register
def _(reason: reasons.Selection) -> str:
    return f"{counted(reason.failed, 'seed')} failed, so the remaining ones are a biased sample"


@reason_text.register
def _(reason: reasons.DrawNotCounted) -> str:
    return "the draw of test pixels is not included: no values per image are stored"


@reason_text.register
def _(reason: reasons.SettingOpen) -> str:
    rows, have = "; ".join(reason.rows), "has" if len(reason.rows) == 1 else "have"
    return f"{reason.coordinate} is still open: {rows} {have} no full results"


@reason_text.register
def _(reason: reasons.SettingFailed) -> str:
    return f"{reason.coordinate} cannot be chosen: all rows of {reason.by} failed"


@reason_text.register
def _(reason: reasons.SettingFar) -> str:
    tolerance = short_size(reason.tolerance, 6, reason.unit)
    within = f"{reason.by} within {tolerance} of the published value"
    away = f"{short_size(reason.distance, 3, reason.unit)} away"
    return f"no {reason.coordinate} brings {within} (nearest: {reason.nearest}, {away})"


@reason_text.register
def _(reason: reasons.SettingChosen) -> str:
    away = f"{short_size(reason.distance, 3, reason.unit)} away"
    chosen = f"{reason.coordinate} {reason.value} was chosen"
    return f"{chosen}: it brings {reason.by} closest to the published value ({away})"


@reason_text.register
def _(reason: reasons.Fitted) -> str:
    return "this row cannot agree with the value that it was fitted to"


@reason_text.register
def _(reason: reasons.DifferentData) -> str:
    return f"at {reason.profile} the rows were measured on different data, some on stand-ins"


@reason_text.register
def _(reason: reasons.NoResults) -> str:
    what = f"results with {words(reason.metric)}" if reason.metric else "results"
    return f"no {what} of {'; '.join(reason.rows)}"


@reason_text.register
def _(reason: reasons.NoCommonProfile) -> str:
    return "no profile has results of all its rows"


@reason_text.register
def _(reason: reasons.NoRows) -> str:
    return "the spec has no rows that this claim compares"


@reason_text.register
def _(reason: reasons.Differs) -> str:
    theirs = " or ".join(reason.theirs) or "nothing"
    return f"not comparable: {reason.key} is {reason.mine} here, {theirs} in the table"


@reason_text.register
def _(reason: reasons.OtherMetric) -> str:
    own = f"{words(reason.metric)} ({reason.better} is better)"
    return f"{reason.spec} measures {own}, not {words(reason.wanted)}"


def size_of(reason: reasons.Effect | reasons.Lead) -> str:
    """Return a difference with its unit, its metric if it is not the table's, and what is asked.

    >>> size_of(reasons.Effect(Sides("A", "B"), 0.3, None, "", metric="mse", at_least=0.4))
    '+0.3 in MSE, at least 0.4 claimed'
    """
    text = effect_text(reason.value, reason.interval, reason.unit)
    if isinstance(reason, reasons.Lead):
        return text
    text += f" in {words(reason.metric)}" if reason.metric else ""
    for word, asked in (("at least", reason.at_least), ("within", reason.within)):
        if asked is not None:
            text += f", {word} {short_size(asked, 6, reason.unit)} claimed"
    return text


@reason_text.register
def _(reason: reasons.Effect) -> str:
    told = minus(shifted(reason.published, difference_in(reason.unit)[0]))
    published = f", published {told}" if told else ""
    return f"{sides_text(reason.sides)}: {size_of(reason)}{published}"


@reason_text.register
def _(reason: reasons.Lead) -> str:
    return f"{size_of(reason)} over {minus(reason.rival)}"


@reason_text.register
def _(reason: reasons.OnlySides) -> str:
    return f"only {', '.join(reason.names)} have rows here"


@reason_text.register
def _(reason: reasons.UntestedSides) -> str:
    return f"{sides_text(reason.sides)} cannot be tested: {reason_text(reason.why)}"


@reason_text.register
def _(reason: reasons.LostSeeds) -> str:
    seeds = "; ".join(f"seed {seed} of {row}" for row, seed in reason.seeds)
    return f"{seeds} failed, so the remaining seeds are a biased sample"


@reason_text.register
def _(reason: reasons.UnequalTraining) -> str:
    if reason.short:
        return f"at {reason.profile} only {reason.short} was cut short"
    return f"at {reason.profile} the sides ran different shares of their training at full"


@reason_text.register
def _(reason: reasons.OtherSetting) -> str:
    return "not the setting that calibration chose"


@reason_text.register
def _(reason: reasons.PValue) -> str:
    inconclusive = "; inconclusive" if reason.inconclusive else ""
    return f"({p_text(reason.p, reverse=reason.opposite)}{inconclusive})"


@reason_text.register
def _(reason: reasons.CodeChanged) -> str:
    return f"the code has changed since {'; '.join(reason.rows)} ran"


@reason_text.register
def _(reason: reasons.LooseBounds) -> str:
    *others, last = reason.sides
    if not others:
        return f"the bound of {last} is loose: its model may be better than shown"
    names = f"{', '.join(others)} and {last}"
    return f"the bounds of {names} are loose: their models may be better than shown"


@reason_text.register
def _(reason: reasons.NoPartCounts) -> str:
    return "no part has the setting that calibration chose"


@reason_text.register
def _(reason: reasons.Tally) -> str:
    words = ", ".join(f"{verdict} in {n}" for verdict, n in reason.counts if n)
    return f"of {reason.parts} parts: {words}"


@reason_text.register
def _(reason: reasons.NotCounted) -> str:
    return f"{reason.parts} shown but not counted"
