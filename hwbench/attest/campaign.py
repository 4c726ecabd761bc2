"""Two commits compared on every case whose fingerprint differs, and the outcome recorded."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hwbench import attested
from hwbench.attest import cases, judge
from hwbench.attest.cases import Affected
from hwbench.attest.checkout import commit_named, require_committed, unpack
from hwbench.attest.judge import Changes, Movement
from hwbench.attest.memory import Question
from hwbench.attest.pace import Pace, Rates
from hwbench.attest.pair import Pair
from hwbench.attest.side import KERNELS, THREADS, SideError
from hwbench.attest.table import STEP_SEEDS, Table, table_of
from hwbench.spec import Case, Spec
from hwbench.store import Result, Store

News = Callable[[str], None]
Status = Literal["attested", "moved", "withheld", "unreached"]


@dataclass(frozen=True)
class Outcome:
    """What the comparison found of a row at a profile.

    Attributes:
        case: with seed 0.
        status: `attested`; `moved` beyond what rounding explains; `withheld`, since another row of
            the same code moved; `unreached`, since something could not be run.
        reason: what could not be run and why, or why nothing is attested; empty if it moved.
        movement: of the number that moved farthest; None where nothing was compared.
        place: the run in which it moved.
        old: fingerprint by the old code; empty where there is none.
        new: fingerprint by the new code.
    """

    case: Case
    status: Status
    reason: str = ""
    movement: Movement | None = None
    place: str = ""
    old: str = ""
    new: str = ""

    @property
    def share(self) -> float | None:
        """Return the largest movement as a share of what rounding explains."""
        return None if self.movement is None else self.movement.share


@dataclass
class Comparison:
    """Two commits and what their comparison found.

    Attributes:
        on_file: stored results that rest on the old code of an affected case, not yet on the new.
        machine: what the new code says of the machine; empty where nothing ran.
        path: the attestation, None where nothing is recorded.
    """

    old: str
    new: str
    outcomes: list[Outcome] = field(default_factory=list)
    on_file: int = 0
    machine: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

    def count(self, status: Status) -> int:
        """Return how many outcomes have a status."""
        return sum(outcome.status == status for outcome in self.outcomes)


class Resting:
    """The results of a spec by the code on which they rest, also through earlier attestations."""

    def __init__(self, results: Sequence[Result], store: Store) -> None:
        self.equivalences = attested.Equivalences.read(store.folder)
        self.results: dict[str, list[Result]] = {}
        for result in results:
            self.results.setdefault(attested.content_of(result.case), []).append(result)

    def number(self, a: Affected) -> int:
        """Return how many results of a case rest on its old code and not yet on its new code."""
        own = self.results.get(attested.content_of(a.case), [])
        return sum(self._rests(r, a.old) and not self._rests(r, a.new) for r in own)

    def _rests(self, result: Result, code: str) -> bool:
        return result.fingerprint == code or self.equivalences.share(result, code) is not None


def attest(
    specs: Sequence[Spec],
    store: Store,
    old: str,
    new: str | None = None,
    *,
    repository: Path = Path(),
    only_on_file: bool = False,
    device: str = "cpu",
    plugins: Sequence[str] = (),
    limit: float = 600.0,
    news: News = lambda text: None,
) -> Comparison:
    """Compare two commits on the cases of specs, and store an attestation of what is equivalent.

    Every answer is kept in the user's cache: the same call goes on where one was stopped.

    Args:
        specs: whose rows are compared, at all profiles.
        store: results; attestations go beside them.
        old: the commit that results rest on.
        new: the commit to compare it with; None for the one checked out, without changes.
        only_on_file: leave out cases of which no result waits for this comparison: rests on the
            old code, and not yet on the new.
        repository: a folder in the git repository that holds both.
        device: where both run.
        plugins: packages whose classes specs may name, the same for both commits.
        limit: seconds that one run may take.
        news: told how much there is to run, then what runs next.

    Raises:
        CheckoutError: a commit is unknown, or the new code is not committed.
        StoreError: the results folder cannot be written.
        SideError: a commit's package cannot be imported.
    """
    if new is None:
        require_committed(repository)
    store.check_writable()
    found = Comparison(commit_named(repository, old), commit_named(repository, new or "HEAD"))
    with tempfile.TemporaryDirectory(prefix="hwbench-attest-") as name, ExitStack() as stack:
        scratch = Path(name)
        before = unpack(repository, found.old, scratch / "old")
        after = unpack(repository, found.new, scratch / "new")
        pair = Pair(before, after, scratch, device, limit, plugins)
        for side in pair.sides:
            stack.enter_context(side)
        tables, rates = [], Rates()
        for spec in specs:
            results = store.results(spec.id)[0]
            table, number = _affected(spec, pair, Resting(results, store), only_on_file)
            tables.append(table)
            found.on_file += number
            rates.learn(results)
        pace = Pace([q for t in tables for q in t.questions() if not pair.known(q)], rates)
        news(pace.start(sum(len(t.rows) for t in tables)))
        for table in tables:
            found.outcomes += _compare(table, pair, lambda text, q: news(pace.next(text, q)))
        found.machine = pair.machine
    found.outcomes = _withheld(found.outcomes)
    found.path = _record(found, store)
    return found


def _affected(spec: Spec, pair: Pair, resting: Resting, only_on_file: bool) -> tuple[Table, int]:
    """Return the cases of a spec whose code differs, and how many results wait for this."""
    table = table_of(spec, pair, resting.number) if only_on_file else table_of(spec, pair)
    each = {(attested.content_of(a.case), a.old, a.new): a for a in table.affected}
    return table, sum(resting.number(a) for a in each.values())


def _compare(
    table: Table, pair: Pair, news: Callable[[str, Question], None] = lambda text, question: None
) -> list[Outcome]:
    """Return the outcome of each affected row, profile and data set of a table."""
    outcomes = [Outcome(case, "unreached", reason) for case, reason in table.barred]
    at_smoke = {row: _ask(table.smoke_question(row), "smoke", pair, news) for row in table.rows}
    whole = [changes for changes in at_smoke.values() if not isinstance(changes, str)]
    for row in table.rows:
        own = at_smoke[row]
        if isinstance(own, str):
            outcomes += [_outcome(a, own) for a in table.cases_of(row)]
        else:
            outcomes += _compare_row(table, row, judge.farthest(own, whole), pair, news)
    return outcomes


def _ask(
    question: Question | str, kind: str, pair: Pair, news: Callable[[str, Question], None]
) -> Changes | str:
    """Return how far numbers moved, or why that is not known."""
    if isinstance(question, str):
        return question
    if not pair.known(question):
        news(f"{question.case.spec} {question.case.row}: {kind}", question)
    try:
        return pair.ask(question)
    except SideError as error:
        return f"{kind}: {error}"


def _ask_steps(
    table: Table,
    a: Affected,
    kind: str,
    pair: Pair,
    news: Callable[[str, Question], None],
) -> Changes | str:
    """Return how far numbers moved in the steps of one seed; if too far, in those of several.

    Rounding rarely turns a discrete sample, and one seed does not show how far that moves.
    """
    found = _ask(table.steps_question(a), kind, pair, news)
    if isinstance(found, str) or judge.farthest(found, [found]).share <= 1:
        return found
    return _ask(table.steps_question(a, STEP_SEEDS), f"{kind}, {STEP_SEEDS} seeds", pair, news)


def _compare_row(
    table: Table,
    row: str,
    at_smoke: Movement,
    pair: Pair,
    news: Callable[[str, Question], None],
) -> Iterator[Outcome]:
    """Yield the outcome of each profile and data set of a row whose smoke runs were compared."""
    for a in table.cases_of(row):
        if at_smoke.share > 1:
            yield _outcome(a, at_smoke, place="smoke")
        elif a.profile == "smoke":
            reason = "its data are not here, and smoke ran on others"
            yield _outcome(a, at_smoke if a.case.key == table.smoke[row].key else reason)
        else:
            kind = f"steps at {a.profile}"
            found = [_ask_steps(table, a, kind, pair, news)]
            if (stop := table.stop_question(a)) is not None:
                found.append(_ask(stop, "early stopping", pair, news))
            changes = [f for f in found if not isinstance(f, str)]
            if len(changes) < len(found):
                yield _outcome(a, next(f for f in found if isinstance(f, str)))
            else:
                moved = [at_smoke, *(judge.farthest(c, [c]) for c in changes)]
                farther = max(moved, key=lambda m: m.share)
                yield _outcome(a, farther, place=f"{cases.STEPS} {kind}")


def _outcome(a: Affected, found: Movement | str, place: str = "") -> Outcome:
    if isinstance(found, str):
        return Outcome(a.case, "unreached", found, old=a.old, new=a.new)
    status: Status = "attested" if found.share <= 1 else "moved"
    return Outcome(a.case, status, "", found, place, a.old, a.new)


def _withheld(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes with nothing attested of code in which some row moved."""
    moved = {(o.old, o.new) for o in outcomes if o.status == "moved"}
    return [
        replace(o, status="withheld", reason="another row of the same code moved")
        if o.status == "attested" and (o.old, o.new) in moved
        else o
        for o in outcomes
    ]


def _record(found: Comparison, store: Store) -> Path | None:
    """Store what is attested; returns the file, None where nothing is."""
    pairs: dict[tuple[str, str], list[attested.Covered]] = {}
    for o in found.outcomes:
        if o.status == "attested" and o.share is not None:
            row = attested.Covered(
                spec=o.case.spec,
                row=o.case.row,
                profile=o.case.profile,
                content=attested.content_of(o.case),
                share=o.share,
            )
            pairs.setdefault((o.old, o.new), []).append(row)
    if not pairs:
        return None
    record = attested.Attestation(
        old=found.old,
        new=found.new,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        machine=str(found.machine["device"]),
        torch=str(found.machine["torch"]),
        threads=THREADS,
        kernels=KERNELS,
        equivalent=[
            attested.Equivalent(old=old, new=new, rows=rows) for (old, new), rows in pairs.items()
        ],
    )
    return attested.write(store.folder, record)
