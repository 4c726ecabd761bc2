"""Differences in protocol between a user's row and the row of the table that it is compared to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwbench.spec import Case, argument_text, batch_size_of, block_text
from hwbench.store import Result
from hwbench.typography import words

UNEQUAL = 1.1  # ratio above which two training budgets count as unequal
SLOWER = 2.0  # the same for seconds on one kind of device, which vary with its load


@dataclass(frozen=True)
class Trait:
    """One difference between two rows.

    Attributes:
        name: what differs, such as 'model: hidden' or 'training steps'.
        mine, theirs: both values; None if unknown or absent.
        budget: whether these are unequal training budgets.
    """

    name: str
    mine: str | float | None
    theirs: str | float | None
    budget: bool = False


@dataclass(frozen=True)
class Pairing:
    """Two rows that are compared, and their differences.

    Attributes:
        spec, row: the user's spec and row.
        rival: the table's row.
        traits: differences in protocol, then in budgets.
    """

    spec: str
    row: str
    rival: str
    traits: tuple[Trait, ...]

    @property
    def unequal(self) -> tuple[Trait, ...]:
        """Return the unequal training budgets."""
        return tuple(trait for trait in self.traits if trait.budget)


def pairing(
    names: tuple[str, str, str], mine: Sequence[Result], case: Case, theirs: Sequence[Result]
) -> Pairing:
    """Compare the user's results with a row of the table.

    Args:
        names: the user's spec, its row, and the table's row.
        mine: the user's results.
        case: a case of the table's row.
        theirs: its results; none if only its published value is known.
    """
    found = [*_protocol(mine[0].case, case), *_budgets(mine, theirs)]
    return Pairing(*names, tuple(t for t in found if t.mine != t.theirs))


def _protocol(mine: Case, theirs: Case) -> Iterator[Trait]:
    """Yield what both cases declare, block by block and stage by stage."""
    yield Trait("profile", mine.profile, theirs.profile)
    yield from _blocks("data", mine.data, theirs.data)
    yield from _blocks("model", mine.model, theirs.model)
    several = max(len(mine.train), len(theirs.train)) > 1
    none: dict[str, Any] = {}
    stages = itertools.zip_longest(mine.train, theirs.train, fillvalue=none)
    for i, (own, other) in enumerate(stages, start=1):
        prefix = f"stage {i}: " if several else ""
        for key in dict.fromkeys([*own, *other]):
            a, b = own.get(key), other.get(key)
            if isinstance(a, Mapping) and isinstance(b, Mapping) and "use" in a:
                yield from _blocks(f"{prefix}{words(key)}", a, b)
            else:
                yield Trait(f"{prefix}{words(key)}", _text(a), _text(b))
    for own, other in itertools.zip_longest(mine.evaluate, theirs.evaluate, fillvalue=none):
        yield from _blocks("evaluation", own, other)


def _blocks(name: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Trait]:
    """Yield the arguments of two blocks of the same class, or both blocks if the classes differ."""
    if mine.get("use") != theirs.get("use"):
        yield Trait(name, block_text(mine), block_text(theirs))
        return
    for key in dict.fromkeys([*mine, *theirs]):
        budget = key == "k" and name.endswith("rule")
        a, b = mine.get(key), theirs.get(key)
        if budget and isinstance(a, int) and isinstance(b, int):
            unequal = _unequal(float(a), float(b), UNEQUAL)
            yield Trait("samples per point", float(a), float(b), unequal)
        else:
            yield Trait(f"{name}: {words(key)}", _text(a), _text(b))


def _text(value: Any) -> str | None:
    return None if value is None else argument_text(value)


def _budgets(mine: Sequence[Result], theirs: Sequence[Result]) -> Iterator[Trait]:
    """Yield the training budgets of both rows, as means over seeds."""
    for name, value in (
        ("parameters", lambda r: r.parameters),
        ("training steps", lambda r: r.steps or None),
        ("points presented", _presented),
    ):
        a, b = _mean(mine, value), _mean(theirs, value)
        yield Trait(name, a, b, _unequal(a, b, UNEQUAL))
    a, b = (_mean(results, lambda r: r.seconds.get("train")) for results in (mine, theirs))
    devices = {_device(r) for r in (*mine, *theirs)}
    yield Trait("seconds of training", a, b, len(devices) == 1 and _unequal(a, b, SLOWER))
    if theirs and len(devices) > 1:
        yield Trait("device", _device(mine[0]), _device(theirs[0]))


def _device(result: Result) -> str:
    """Return what decides the speed of a run: the processor, and whose products it computes."""
    products = result.machine.get("products")
    return f"{result.machine.get('device')}" + (f", products {products}" if products else "")


def _presented(result: Result) -> float | None:
    """Return the number of points presented in training, if all stages have one batch size."""
    sizes = {batch_size_of(stage) for stage in result.case.train if "rule" in stage}
    return result.steps * float(sizes.pop()) if len(sizes) == 1 and result.steps else None


def _mean(results: Sequence[Result], value: Any) -> float | None:
    found = [v for r in results if (v := value(r)) is not None]
    return float(np.mean(found)) if found else None


def _unequal(a: float | None, b: float | None, ratio: float) -> bool:
    return bool(a and b and max(a, b) > ratio * min(a, b))
