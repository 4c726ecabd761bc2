"""Sentences for people on the flags, tests and notices of `facts`. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hwbench.numbers import counted, short, significant
from hwbench.verdict.facts import Flag, Method, Neighbours, Notice, NoticeKind
from hwbench.verdict.reasons import Untested
from hwbench.verdict.sizes import size_text
from hwbench.verdict.wording import reason_text

Ends = tuple[float, float]  # the smallest and the largest number of several notices

FLAGS = {
    "against": "against",
    "smoke": "smoke",
    "stand-in": "stand-in: {} for {}",
    "score": "score, not a likelihood",
    "memory": "from memory",
    "plugin": "plugin: {}",
    "stale": "stale",
    "changed": "code changed",
}


def doubt_text(nats: float) -> str:
    """Return the uncertainty of log Z."""
    return f"log Z uncertain by {size_text(nats, 'nats')}"


def flag_text(flag: Flag) -> str:
    """Return a flag in words."""
    if flag.kind == "log Z":
        return doubt_text(float(flag.details[0]))
    if flag.kind == "lost":
        return f"{counted(int(flag.details[0]), 'seed')} failed"
    if flag.kind == "equivalent":
        return equivalent_text(float(flag.details[0]), str(flag.details[1]))
    return FLAGS[flag.kind].format(*flag.details)


def equivalent_text(share: float, profile: str) -> str:
    """Return how far numbers move between the code of a row's results and today's.

    >>> equivalent_text(0.0213, "smoke")
    'equivalent code: moved 0.021 of the tolerance at smoke'
    """
    place = "at smoke" if profile == "smoke" else f"at smoke and at the start of {profile}"
    return f"equivalent code: moved {significant(share, 2)} of the tolerance {place}"


def _method_text(method: Method) -> str:
    seeds = method.seeds
    if method.kind == "paired":
        text = f"paired t test over {counted(seeds[0], 'seed')}"
    elif method.kind == "welch":
        text = f"Welch's t test over {seeds[0]} and {counted(seeds[1], 'seed')}"
    elif method.kind == "fixed":
        text = f"t test over {counted(seeds[0], 'seed')} against a deterministic model"
    elif method.kind == "prediction":
        text = f"prediction interval, {counted(seeds[0], 'seed')} against the published value"
    else:
        points = f"between two deterministic models over {counted(method.points, 'point')}"
        text = f"McNemar's exact test {points} ({method.only[0]} against {method.only[1]})"
    text += f", {doubt_text(method.doubt)}" if method.doubt else ""
    return f"two one-sided tests ({text})" if method.equivalence else text


def test_text(test: Method | Neighbours | Untested | None) -> str:
    """Return which test was used, with the number of units, or why there is none."""
    if test is None:
        return ""
    if isinstance(test, Untested):
        return f"not tested: {reason_text(test)}"
    if isinstance(test, Method):
        return _method_text(test)
    names = "; ".join(dict.fromkeys(map(_method_text, test.methods)))
    each = test.tested == test.pairs
    number = f"each of {test.pairs}" if each else f"{test.tested} of {test.pairs}"
    return f"{names}, for {number} neighbours"


def notice_text(alike: Sequence[Notice]) -> str:
    """Return notices of one kind and the same words as one sentence, without their rows."""
    kind, words = alike[0].kind, alike[0].words
    slots = zip(*(notice.numbers for notice in alike), strict=True)
    ends = [(min(slot), max(slot)) for slot in slots]
    if kind == "recorded":
        return _recorded(words, [_range(str(low), str(high)) for low, high in ends])
    return NOTICES[kind](words, [(float(low), float(high)) for low, high in ends])


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _number(ends: Ends, digits: int = 6) -> str:
    return _range(*(short(end, digits) for end in ends))


def _results(ends: Ends, what: str) -> str:
    return f"{_number(ends)} {what}result{' is' if ends[1] == 1 else 's are'}"


def _recorded(words: Sequence[str], numbers: Sequence[str]) -> str:
    return "".join(f"{word}{number}" for word, number in zip(words, [*numbers, ""], strict=True))


def _stale(words: Sequence[str], numbers: Sequence[Ends]) -> str:
    return f"{_results(numbers[0], f'{words[0]} ')} stale: the spec has changed since"


def _unknown_row(words: Sequence[str], numbers: Sequence[Ends]) -> str:
    return f"{words[0]} has no row {words[1]}: {_results(numbers[0], '')} ignored"


def _margin(words: Sequence[str], numbers: Sequence[Ends]) -> str:
    gap = f"half the gap {_number(numbers[1], 3)} of claim {words[0]}"
    return f"the margin {_number(numbers[0])} exceeds {gap}"


def _departs(words: Sequence[str], numbers: Sequence[Ends]) -> str:
    triples = zip(words[1::3], words[2::3], words[3::3], strict=True)
    return f"{words[0]} ran with {'; '.join(map(_departure_text, triples))}"


def _budget(words: Sequence[str], numbers: Sequence[Ends]) -> str:
    pairs = zip(numbers, words[1:], strict=True)
    ratios = ", ".join(f"{_number(ends, 2)} times the {name}" for ends, name in pairs)
    return f"unequal budgets against {words[0]}: {ratios}"


def _lower(words: Sequence[str], numbers: Sequence[Ends]) -> str:
    return f"claim {words[0]}: the code has changed since {words[1]} ran at a lower profile"


def _departure_text(departure: tuple[str, str, str]) -> str:
    name, ran, full = (text or "not set" for text in departure)
    return f"{name} {ran} (full: {full})"


NOTICES: dict[NoticeKind, Callable[[Sequence[str], Sequence[Ends]], str]] = {
    "file": lambda words, numbers: words[0],
    "unknown row": _unknown_row,
    "stale": _stale,
    "margin": _margin,
    "changed": lambda words, numbers: "the code has changed since it ran",
    "lower": _lower,
    "departs": _departs,
    "budget": _budget,
}


def warning_text(notice: Notice) -> str:
    """Return a notice as a sentence that names its row."""
    text = notice_text([notice])
    return f"{notice.row}: {text}" if notice.row else text
