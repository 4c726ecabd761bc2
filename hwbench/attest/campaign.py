"""Two commits compared on every case whose fingerprint differs, and the outcome recorded."""

from __future__ import annotations

import datetime as dt
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hwbench import attested
from hwbench.attest import cases, judge
from hwbench.attest.checkout import commit_named, require_committed, same_code, unpack
from hwbench.attest.judge import Movement, Runs
from hwbench.attest.side import KERNELS, THREADS, Numbers, Side, SideError
from hwbench.spec import Case, Spec
from hwbench.store import Store

News = Callable[[str], None]
Code = tuple[str, str]  # content of a case, and fingerprint
Status = Literal["attested", "moved", "withheld", "unreached"]


@dataclass(frozen=True)
class Outcome:
    """What the comparison found of a row at a profile.

    Attributes:
        case: with seed 0.
        status: `attested`; `moved` beyond what rounding explains; `withheld`, since another row of
            the same code moved; `unreached`, since something could not be run.
        reason: the number that moved, or what could not be run and why.
        share: the largest movement as a share of what rounding explains.
        old: fingerprint by the old code; empty where there is none.
        new: fingerprint by the new code.
    """

    case: Case
    status: Status
    reason: str = ""
    share: float | None = None
    old: str = ""
    new: str = ""


@dataclass
class Comparison:
    """Two commits and what their comparison found.

    Attributes:
        on_file: stored results that rest on the old code of an affected case.
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


class Pair:
    """Both codes, and the old one under other kernels, each in a process of its own.

    Args:
        old: checkout of the old code.
        new: checkout of the new code.
        scratch: folder for what they compute.
        device: where cases run.
        limit: seconds that one run may take.
        news: told what runs next.
    """

    def __init__(
        self, old: Path, new: Path, scratch: Path, device: str, limit: float, news: News
    ) -> None:
        self.roots, self.news = (old, new), news
        self.machine: dict[str, Any] = {}

        def side(name: str, root: Path, extra: dict[str, str]) -> Side:
            (scratch / name).mkdir()
            return Side(root, scratch / name, device, extra, limit)

        self.old, self.new = side("run-old", old, {}), side("run-new", new, {})
        self.elsewhere = side("run-elsewhere", old, KERNELS)

    @property
    def sides(self) -> tuple[Side, Side, Side]:
        """Return all processes."""
        return self.old, self.new, self.elsewhere

    def unchanged(self, pattern: str) -> bool:
        """Return whether files of the package are the same code on both sides."""
        return same_code(*self.roots, pattern)

    def whole(self, seeds: Sequence[Case]) -> Runs:
        """Run a case at each seed by both codes in turns.

        Raises:
            SideError: one of them failed.
        """

        def run(side: Side, case: Case) -> Numbers:
            numbers, told = side.run(case)
            self.machine = told["machine"]
            return numbers

        return self._runs(seeds, run)

    def steps(self, case: Case, points: int) -> Runs:
        """Take the steps of a shortened case by both codes.

        Raises:
            SideError: one of them failed, or a fit was stopped before it left a trace.
        """

        def run(side: Side, case: Case) -> Numbers:
            numbers, told = side.steps(case, points)
            if "stopped" in told and told["idle"]:
                raise SideError("its fit changes the model only at its end")
            if told.get("stopped", len(case.train)) < len(case.train) - 1:
                raise SideError(f"stage {told['stopped'] + 2} comes after a whole fit")
            return numbers

        return self._runs([case], run)

    def _runs(self, seeds: Sequence[Case], run: Callable[[Side, Case], Numbers]) -> Runs:
        old, new = {}, {}
        for case in seeds:
            old[case.seed] = _blame("the old code", run, self.old, case)
            new[case.seed] = _blame("the new code", run, self.new, case)
        found = Runs(old, new, {})
        if found.identical:
            return found
        there = {c.seed: _blame("other kernels", run, self.elsewhere, c) for c in seeds}
        return replace(found, elsewhere=there)


def _blame(name: str, run: Callable[[Side, Case], Numbers], side: Side, case: Case) -> Numbers:
    try:
        return run(side, case)
    except SideError as error:
        raise SideError(f"{name}: {error}") from None


def attest(
    specs: Sequence[Spec],
    store: Store,
    old: str,
    new: str | None = None,
    *,
    repository: Path = Path(),
    only_on_file: bool = False,
    device: str = "cpu",
    limit: float = 600.0,
    news: News = lambda text: None,
) -> Comparison:
    """Compare two commits on the cases of specs, and store an attestation of what is equivalent.

    Args:
        specs: whose rows are compared, at all profiles.
        store: results; attestations go beside them.
        old: the commit that results rest on.
        new: the commit to compare it with; None for the one checked out, without changes.
        only_on_file: leave out cases of which no result rests on the old code.
        repository: a folder in the git repository that holds both.
        device: where both run.
        limit: seconds that one run may take.
        news: told what runs next.

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
        pair = Pair(before, after, scratch, device, limit, news)
        for side in pair.sides:
            stack.enter_context(side)
        for spec in specs:
            resting = Counter(
                (attested.content_of(r.case), r.fingerprint) for r in store.results(spec.id)[0]
            )
            wanted = resting.__contains__ if only_on_file else lambda code: True
            outcomes = _compare_spec(spec, pair, wanted)
            found.on_file += sum(resting[code] for code in {_code(o) for o in outcomes})
            found.outcomes += outcomes
        found.machine = pair.machine
    found.outcomes = _withheld(found.outcomes)
    found.path = _record(found, store)
    return found


def _code(found: Outcome | cases.Affected) -> Code:
    return attested.content_of(found.case), found.old


def _compare_spec(
    spec: Spec, pair: Pair, wanted: Callable[[Code], bool] = lambda code: True
) -> list[Outcome]:
    """Return the outcome of each affected row, profile and data set of a spec that is wanted."""
    rows = list(cases.all_cases(spec))
    everything = [case for _, case in rows]
    identities = [side.identities(everything) for side in (pair.old, pair.new)]
    found, barred = cases.affected(rows, *identities)
    found = [a for a in found if wanted(_code(a))]
    outcomes = [Outcome(case, "unreached", reason) for case, reason in barred]
    if not found:
        return outcomes
    here = {case.key: at for case, at in zip(everything, pair.new.here(everything), strict=True)}
    smoke: dict[str, Case] = {}
    for row, case in rows:
        if case.profile == "smoke" and here[case.key]:
            smoke.setdefault(row.name, case)
    names = dict.fromkeys(a.row.name for a in found)
    runs: dict[str, Runs | str] = {}
    for number, name in enumerate(names, 1):
        pair.news(f"{spec.id} {name}: smoke ({number} of {len(names)})")
        runs[name] = _smoke_runs(spec, smoke.get(name), pair)
    whole = [r for r in runs.values() if isinstance(r, Runs)]
    for number, name in enumerate(names, 1):
        pair.news(f"{spec.id} {name}: steps at full size ({number} of {len(names)})")
        own = [a for a in found if a.row.name == name]
        base = runs[name]
        if isinstance(base, str):
            outcomes += [_outcome(a, base) for a in own]
            continue
        at_smoke = judge.farthest(base, whole)
        outcomes += _compare_row(own, smoke[name], at_smoke, here, pair)
    return outcomes


def _smoke_runs(spec: Spec, case: Case | None, pair: Pair) -> Runs | str:
    """Return a row's runs at smoke, or why there are none."""
    if case is None:
        return "it has no smoke run whose data are here"
    try:
        return pair.whole(cases.smoke_cases(spec, case))
    except SideError as error:
        return f"smoke: {error}"


def _compare_row(
    own: Sequence[cases.Affected],
    smoke: Case,
    at_smoke: Movement,
    here: dict[str, bool],
    pair: Pair,
) -> Iterator[Outcome]:
    """Yield the outcome of each profile and data set of a row whose smoke runs were compared."""
    moved: dict[str, Movement | str] = {}
    for a in own:
        if at_smoke.share > 1:
            yield _outcome(a, at_smoke, place="smoke")
        elif a.profile == "smoke":
            reason = "its data are not here, and smoke ran on others"
            yield _outcome(a, at_smoke if a.case.key == smoke.key else reason)
        else:
            short = cases.shortened(a.case, smoke)
            if short.key not in moved:
                moved[short.key] = _steps(a.case, short, smoke, here[a.case.key], pair)
            step = moved[short.key]
            if isinstance(step, Movement):
                step = max(step, at_smoke, key=lambda m: m.share)
            yield _outcome(a, step, place=f"{cases.STEPS} steps at {a.profile}")


def _steps(case: Case, short: Case, smoke: Case, here: bool, pair: Pair) -> Movement | str:
    """Return how far the steps of a shortened case moved, or what could not be reached and why."""
    only_here = cases.stops_early(case) and not cases.stops_early(smoke)
    if only_here and not pair.unchanged("learner.py"):
        return "it may stop early, which smoke never does, and learner.py has changed"
    points = 0
    if not here:
        wanted = cases.synthetic_points(case)
        if wanted is None or not pair.unchanged("datasets/*.py"):
            return f"the data of {case.data.get('use')} are not here"
        points = wanted
    try:
        runs = pair.steps(short, points)
    except SideError as error:
        return f"steps at {case.profile}: {error}"
    return judge.farthest(runs, [runs])


def _outcome(a: cases.Affected, found: Movement | str, place: str = "") -> Outcome:
    if isinstance(found, str):
        return Outcome(a.case, "unreached", found, None, a.old, a.new)
    share = found.share
    if share <= 1:
        return Outcome(a.case, "attested", "", share, a.old, a.new)
    moved = "differs in shape" if math.isinf(found.moved) else f"moved {found.moved:.2g}"
    why = f"{found.name} {moved}, where rounding explains {found.tolerance:.2g} ({place})"
    return Outcome(a.case, "moved", why, share, a.old, a.new)


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
