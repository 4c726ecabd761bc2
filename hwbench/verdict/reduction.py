"""What a case below full ran in place of the row's case at full, derived from the two cases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hwbench.spec import Block, Case, Row, Spec, argument_text, batch_size_of, block_text, variants
from hwbench.typography import words

LENGTHS = ("epochs", "steps")
FIT_LENGTHS = ("epochs", "iterations")
# Validation and early stopping go with the length; K and test points stand beside every number.
ASIDE = {*LENGTHS, "validate", "validate_every", "stop", "use", "k", "points", "curve"}
ALIKE = 2.0  # shares of the training at full within this factor count as equal
SIZES = (1e3, 1e4, 1e5)  # training points for which shares in steps and epochs are compared


@dataclass(frozen=True)
class Departure:
    """A value of a reduced case that is not that of the case at full.

    Attributes:
        name: what it is, as 'batch size' or 'stage 2: rule: k'.
        ran, full: both values as text, '' where a side has none.
        length: whether it says for how long a stage trains.
    """

    name: str
    ran: str
    full: str
    length: bool = False


def published_case(spec: Spec, row: Row, case: Case) -> Case:
    """Return the case at full that a reduced one stands for."""
    return variants(spec, row, "full", case.seed)[0]


def departures(ran: Case, published: Case) -> tuple[Departure, ...]:
    """Return where a case departs from that at full, stage by stage in reading order."""
    found = list(_of_blocks("data", ran.data, published.data))
    found += _of_blocks("model", ran.model, published.model)
    several = max(len(ran.train), len(published.train)) > 1
    none: Block = {}
    stages = itertools.zip_longest(ran.train, published.train, fillvalue=none)
    for i, (own, full) in enumerate(stages, start=1):
        found += _of_stage(f"stage {i}: " if several else "", own, full)
    for own, full in zip(ran.evaluate, published.evaluate, strict=False):
        found += _of_blocks("evaluation", own, full)
    return tuple(dict.fromkeys(found))


def _of_stage(prefix: str, own: Mapping[str, Any], full: Mapping[str, Any]) -> Iterator[Departure]:
    ran, published = _length(own), _length(full)
    if ran != published:
        yield Departure(f"{prefix}length", ran, published, length=True)
    for key in dict.fromkeys([*full, *own]):
        if key in ASIDE:
            continue
        a, b = own.get(key), full.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping) and "use" in b:
            yield from _of_blocks(prefix + words(key), a, b)
        elif a != b:
            yield Departure(prefix + words(key), _text(a), _text(b))


def _length(stage: Mapping[str, Any]) -> str:
    return ", ".join(f"{stage[key]} {key}" for key in LENGTHS if stage.get(key))


def _of_blocks(name: str, own: Mapping[str, Any], full: Mapping[str, Any]) -> Iterator[Departure]:
    """Compare two blocks: of one class argument by argument, else as a whole; so those inside."""
    if own.get("use") != full.get("use"):
        if name != "data":  # a stand-in has a flag of its own
            yield Departure(name, block_text(own), block_text(full))
        return
    aside = ASIDE if name == "evaluation" else {"use"}
    for key in dict.fromkeys([*full, *own]):
        a, b = own.get(key), full.get(key)
        if key in aside or a == b:
            continue
        inner = name if words(key) == name.rpartition(": ")[2] else f"{name}: {words(key)}"
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _of_blocks(inner, a, b)
        else:
            yield Departure(inner, _text(a), _text(b), length=key in FIT_LENGTHS)


def _text(value: Any) -> str:
    return "" if value is None else argument_text(value)


def _training(case: Case) -> tuple[float, float]:
    """Return how long a case trains, as presented points and as epochs, which add up."""
    points = epochs = 0.0
    for stage in case.train:
        fit = stage.get("fit") or {}
        points += float(stage.get("steps") or 0) * batch_size_of(stage)
        epochs += float(stage.get("epochs") or 0)
        epochs += sum(float(fit.get(k) or 0) for k in FIT_LENGTHS)
    return points, epochs


class Judgeable(NamedTuple):
    """The verdicts on a claim that a shortened training of its sides permits."""

    holds: bool
    fails: bool


def judgeable(first: Sequence[tuple[Case, Case]], second: Sequence[tuple[Case, Case]]) -> Judgeable:
    """Return what short runs may decide about the claim that the first side is the better one.

    A side that has nothing to train is complete at every profile. A side that was cut short and is
    better all the same did not win by its training; one that is worse might win at full length.

    Args:
        first: cases of the side claimed to be better, each as it ran, with the published one.
        second: those of the other side.
    """
    if trained_alike([*first, *second]):
        return Judgeable(holds=True, fails=True)
    complete = [not any(any(_training(full)) for _, full in side) for side in (first, second)]
    return Judgeable(holds=complete[1], fails=complete[0])


def trained_alike(cases: Sequence[tuple[Case, Case]]) -> bool:
    """Return whether reduced cases ran the same share of their training at full.

    That is to a factor of two, whatever the size of the training set may be; an `epochs` of early
    stopping counts in full.

    Args:
        cases: each as it ran, with the published one.
    """
    for size in SIZES:
        shares = []
        for ran, published in cases:
            points, epochs = _training(ran)
            all_points, all_epochs = _training(published)
            whole = all_points + all_epochs * size
            shares.append((points + epochs * size) / whole if whole else 1.0)
        if shares and max(shares) > ALIKE * min(shares):
            return False
    return True
