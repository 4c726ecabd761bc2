"""A queue of cases from many specs, the most valuable first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from hwbench.runner.plan import Plan, Settings, make_plan
from hwbench.spec import (
    Case,
    Profile,
    Scalar,
    Spec,
    SpecError,
    display_path,
    plain,
    read_yaml,
    validation_problems,
)
from hwbench.spec.published import Strict


class Entry(Strict):
    """Cases of one spec.

    Attributes:
        spec: its id, alias, table name or path.
        rows: coordinates of the rows, each a value or a list of values; all rows by default.
        seeds: seeds per row, instead of the spec's.
        profile: how much of the protocol.
        about: why it has this place, for people.
    """

    spec: str
    rows: list[dict[str, Scalar | list[Scalar]]] | None = None
    seeds: Annotated[int, Field(ge=1)] | None = None
    profile: Profile = "full"
    about: str = ""


class Queue(Strict):
    """A file of entries, the most valuable first."""

    queue: Annotated[list[Entry], Field(min_length=1)]


def read_queue(path: Path) -> list[Entry]:
    """Read a queue file.

    Raises:
        SpecError: it cannot be read, or an entry is wrong (every mistake with its line).
    """
    if not path.is_file():
        raise SpecError(f"{display_path(path)}: no such queue file")
    document, problems = read_yaml(path)
    try:
        queue = Queue.model_validate(plain(document))
    except ValidationError as error:
        problems += validation_problems(error, display_path(path), document, Queue)
    if problems:
        raise SpecError(problems)
    return queue.queue


def queue_plan(entries: Sequence[Entry], specs: Sequence[Spec], settings: Settings) -> Plan:
    """Return the cases of all entries in their order, each once.

    Args:
        entries: what to run.
        specs: the spec of each entry.
        settings: those of the run; profile, rows and seeds come from the entries.

    Raises:
        SpecError: an entry names rows that its spec or profile does not have.
    """
    cases: dict[Path, Case] = {}
    whole: dict[str, list[int]] = {}
    for entry, spec in zip(entries, specs, strict=True):
        own = replace(settings, profile=entry.profile, rows=entry.rows, seeds=entry.seeds)
        plan = make_plan([spec], own)
        whole |= plan.whole
        for case in plan.cases:
            cases.setdefault(case.path, case)  # equal cases of two rows have a result each
    return Plan(None, list(cases.values()), whole=whole)
