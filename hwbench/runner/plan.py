"""The cases of a run, and the state of each: on file, stale, failed, missing or new."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hwbench import executors, pipeline
from hwbench.attested import Equivalences
from hwbench.build import BuildError, allow_plugins
from hwbench.cache import cache_folder
from hwbench.check import check
from hwbench.datasets import files
from hwbench.runner.loggers import check_logger
from hwbench.runner.machine import pick_device
from hwbench.sources import fingerprint
from hwbench.spec import (
    PROFILES,
    Block,
    Case,
    Profile,
    Spec,
    SpecError,
    cases,
    did_you_mean,
    flat,
    is_value,
    label,
    overrides_text,
    variant_of,
    vary,
    whole_stages,
)
from hwbench.store import Failure, Result, Store, check_writable

BANNER = (
    "SMOKE RUN ON STAND-IN DATA: the data sets are unavailable, so every number here comes from "
    "8x8 digits and a few steps of training. It shows that the machinery works and says nothing "
    "about the published results."
)
Wanted = Mapping[str, Any]  # a value of each coordinate, or a list of values
RERUNS = {  # kinds of cases that may be run again, with their states
    "changed": {"changed"},
    "stale": {"replaced"},  # a new case of a changed spec runs anyway
    "failed": {"failed"},
    "all": {"done", "equivalent", "changed", "replaced", "failed"},
}


@dataclass
class Settings:
    """Options of a run; with `dry_run` nothing is written or downloaded.

    `rerun` lists kinds of cases (`RERUNS`) to run although they have a result or have failed;
    `logger` is the name of a logger of curves and final metrics (see `loggers`), '' for none.
    `budget` is the number of seconds after which running cases save their state and end.
    """

    profile: str = "auto"
    rows: Sequence[Wanted] | None = None
    seeds: int | None = None
    device: str = "auto"
    jobs: int | None = None
    threads: int = 1
    executor: str = "local"
    results: Path = field(default_factory=lambda: Path("results"))
    plugins: Sequence[str] = ()
    rerun: Collection[str] = ()
    logger: str = ""
    dry_run: bool = False
    budget: float | None = None

    def check(self) -> None:
        """Check all settings before anything runs or is written.

        Raises:
            UserError: an unknown profile, device, executor, plugin, logger or kind of rerun, no
                number of seeds or jobs, or a folder that cannot be written.
        """
        for name, number in (("seeds", self.seeds), ("jobs", self.jobs)):
            if number is not None and not (isinstance(number, int) and number >= 1):
                raise SpecError(f"{name}: expected a whole number from 1; found {number!r}")
        for kind in self.rerun:
            if kind not in RERUNS:
                raise SpecError(f"no cases {kind!r} to rerun{did_you_mean(kind, [*RERUNS])}")
        if self.profile not in ("auto", *PROFILES):
            hint = did_you_mean(str(self.profile), PROFILES)
            raise SpecError(f"no profile {self.profile!r}{hint}")
        check_logger(self.logger)
        pick_device(self.device)
        executors.make(self.executor, 1, self.threads)  # it may need a missing package
        allow_plugins(self.plugins)
        if not self.dry_run:
            Store(self.results).check_writable()
            check_writable(cache_folder(), "the cache folder ($HWBENCH_CACHE)")

    @property
    def jobs_at_once(self) -> int:
        """Return the number of cases at a time: one on a GPU, else one per core of the process."""
        if self.jobs is not None:
            return self.jobs
        if pick_device(self.device).type == "cuda":
            return 1
        if hasattr(os, "sched_getaffinity"):
            return max(1, len(os.sched_getaffinity(0)))
        return os.cpu_count() or 1


@dataclass
class Plan:
    """The cases of a run in order, their profile (None for a queue), and a fallback's banner.

    `whole` maps the key of a case below full to its stages that train as long as at full.
    """

    profile: Profile | None
    cases: list[Case]
    banner: str | None = None
    whole: dict[str, list[int]] = field(default_factory=dict)

    @property
    def timed(self) -> bool:
        """Return whether a run begins with an estimate; smoke is too short, a queue too long."""
        return self.profile not in ("smoke", None)


def check_rows(wanted: Sequence[Wanted], specs: Sequence[Spec]) -> None:
    """Check that the specs have rows with these coordinates.

    Raises:
        SpecError: `wanted` is not a list of mappings, or no row matches; the message gives the
            nearest coordinate.
    """
    if isinstance(wanted, str | Mapping) or not all(isinstance(w, Mapping) for w in wanted):
        raise SpecError(
            f"rows: expected a list of coordinates, as [{{'method': 'IWAER'}}]; found {wanted!r}"
        )
    names = {k for s in specs for row in s.rows for k in row.at}
    for asked in wanted:
        pairs = {k: v if isinstance(v, list) else [v] for k, v in asked.items()}
        text = ",".join(f"{k}={'|'.join(map(str, values))}" for k, values in pairs.items())
        for key, values in pairs.items():
            if key not in names:
                hint = did_you_mean(key, sorted(names))
                raise SpecError(f"rows {text!r}: no coordinate {key!r}{hint}")
            known = [row.at[key] for s in specs for row in s.rows if key in row.at]
            for value in values:
                if not any(is_value(k, value) for k in known):
                    hint = did_you_mean(str(value), sorted({str(k) for k in known}))
                    raise SpecError(f"rows {text!r}: no row has {key} {value!r}{hint}")
        if not any(row.matches(pairs) for s in specs for row in s.rows):
            raise SpecError(f"rows {text!r}: no row has these coordinates together")


def make_plan(specs: Sequence[Spec], settings: Settings) -> Plan:
    """Choose the profile for `auto`, and resolve rows and stand-ins into cases.

    Raises:
        SpecError: the profile excludes all rows asked for, or a row does not exist.
    """
    wanted = settings.rows
    check_rows(wanted or [], specs)
    known: dict[str, bool] = {}

    def available(block: dict[str, Any]) -> bool:
        key = json.dumps(block, sort_keys=True)
        if key not in known:
            known[key] = has_data(block, download=not settings.dry_run)
        return known[key]

    def cases_at(profile: Profile) -> list[Case]:
        found = []
        for s in specs:
            rows = wanted and [w for w in wanted if any(r.matches(w) for r in s.rows)]
            if rows != []:
                found += cases(s, profile, rows, settings.seeds, available)
        return found

    named = next((p for p in PROFILES if p == settings.profile), None)
    on_gpu = pick_device(settings.device).type == "cuda"
    profile: Profile = named or ("full" if on_gpu else "quick")
    planned = cases_at(profile)
    if wanted and not planned:
        raise SpecError(f"profile {profile} excludes these rows; choose another profile")
    _refuse_unchanged(specs, planned)
    if named is None and planned and not any(available(case.data) for case in planned):
        smoke = cases_at("smoke")
        return Plan("smoke", smoke, BANNER, _whole(specs, smoke))
    return Plan(profile, planned, whole=_whole(specs, planned))


def with_overrides(
    specs: Sequence[Spec], overrides: Mapping[str, Any], rows: Sequence[Wanted] | None
) -> list[Spec]:
    """Return specs with these values in their rows; the requested rows are checked.

    Raises:
        SpecError: a path or a value is wrong.
    """
    if not overrides:
        return list(specs)
    check_rows(rows or [], specs)
    changed = [vary(spec, overrides) for spec in specs]
    asked = [s.model_copy(update={"rows": s.select(rows)}) for s in changed if s.select(rows)]
    problems = [problem for spec in asked for problem in check(spec)]
    if problems:  # told once each, not by line: an override meets many rows and profiles
        told = dict.fromkeys(f"{problem.field}: {problem.message}" for problem in problems)
        raise SpecError("\n".join(told))
    return changed


def _refuse_unchanged(specs: Sequence[Spec], planned: Sequence[Case]) -> None:
    """Check that overrides change each case of a plan; otherwise it is a case of the table.

    Raises:
        SpecError: they change nothing in a row.
    """
    plain = {s.id: s.varied({}) for s in specs if s.overrides}
    for case in planned:
        if case.spec in plain:
            spec = plain[case.spec]
            (row,) = spec.select([case.at])
            if variant_of(spec, row, case) is not None:
                text = overrides_text(case.overrides)
                raise SpecError(f"{case.spec} {label(case.at)}: {text} changes nothing in this row")


def _whole(specs: Sequence[Spec], planned: Sequence[Case]) -> dict[str, list[int]]:
    """Return, by key, the stages of each case below full that train as long as at full."""
    rows = {(s.id, row.name): (s, row) for s in specs for row in s.rows}
    known: dict[tuple[str, str, Profile], list[int]] = {}
    found: dict[str, list[int]] = {}
    for case in planned:
        slot = (case.spec, case.row, case.profile)
        if case.profile != "full" and slot not in known:
            known[slot] = whole_stages(*rows[slot[:2]], case.profile)
        if known.get(slot):
            found[case.key] = known[slot]
    return found


@dataclass(frozen=True)
class State:
    """What is stored for a case.

    Attributes:
        kind: `done` (by today's code), `equivalent` (done by code that is attested to compute the
            same numbers), `changed` (done by other code), `replaced` (done with data files that
            have been replaced), `failed`, `missing` (its data were unavailable), `damaged` (its
            file is no whole result), `stale` (results of an earlier version of the spec) or `new`.
        detail: the reason for a failure, what has changed in the spec, or the replaced files.
        share: how far equivalent code moved, as a share of the tolerance.
        stored: file name of the result that counts.
        again: why a later run, which was to replace that result, failed.
    """

    kind: Literal[
        "done", "equivalent", "changed", "replaced", "failed", "missing", "damaged", "stale", "new"
    ]
    detail: str = ""
    share: float | None = None
    stored: str = ""
    again: str = ""

    def runs(self, rerun: Collection[str] = ()) -> bool:
        """Return whether a run would run the case, given the kinds to run again."""
        again = set().union(*(RERUNS[kind] for kind in rerun))
        return self.kind in {"missing", "damaged", "stale", "new"} | again


def state(case: Case, store: Store, earlier: Sequence[Result] = ()) -> State:
    """Return the state of a case; `earlier` are results of its row, profile and seed."""
    result, failure = store.read(case), store.read_failure(case)
    if result is not None:
        today, stored = fingerprint(case), result.path.name
        again = failure.reason if failure and _time(failure) >= _time(result) else ""
        gone = [n for n, c in files.checksums(result.checksums).items() if c != result.checksums[n]]
        if gone:
            return State("replaced", ", ".join(gone), stored=stored, again=again)
        if result.fingerprint == today:
            return State("done", stored=stored, again=again)
        share = Equivalences.read(store.folder).share(result, today)
        kind: Literal["changed", "equivalent"] = "changed" if share is None else "equivalent"
        return State(kind, share=share, stored=stored, again=again)
    if failure is not None:
        return State(failure.kind, failure.reason)
    if store.path(case).exists():
        return State("damaged")
    old = next((r.case for r in earlier if r.case.overrides == case.overrides), None)
    return State("stale", changes(old, case)) if old else State("new")


def _time(record: Result | Failure) -> dt.datetime:
    """Return when a case began to run: long ago, if that is not known."""
    try:
        time = dt.datetime.fromisoformat(record.started)
    except ValueError:
        time = dt.datetime.min
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def states(cases: Sequence[Case], store: Store) -> list[State]:
    """Return the state of each case, taking stale results of its row and seed into account."""
    earlier: defaultdict[tuple[str, str, str, int], list[Result]] = defaultdict(list)
    for name in dict.fromkeys(case.spec for case in cases):
        for result in store.results(name)[0]:
            earlier[_slot(result.case)].append(result)
    return [state(case, store, earlier[_slot(case)]) for case in cases]


def _slot(case: Case) -> tuple[str, str, str, int]:
    return case.spec, case.row, case.profile, case.seed


@dataclass(frozen=True)
class Todo:
    """The cases of a plan by what a run does with them.

    Attributes:
        run: those to run, each with the file name of the result that it replaces, or ''.
        skipped: those that failed earlier and are not run again.
        changed: those not run again although their result comes from other code.
        replaced: those not run again although their data files were replaced, with the files.
    """

    run: list[tuple[Case, str]]
    skipped: list[Case]
    changed: list[Case]
    replaced: list[tuple[Case, str]]


def todo(cases: Sequence[Case], store: Store, rerun: Collection[str] = ()) -> Todo:
    """Sort cases by what a run does with them, given the kinds to run again."""
    found = [(case, state(case, store)) for case in cases]
    left = [(case, at) for case, at in found if not at.runs(rerun)]
    return Todo(
        [(case, at.stored) for case, at in found if at.runs(rerun)],
        [case for case, at in left if at.kind == "failed"],
        [case for case, at in left if at.kind == "changed"],
        [(case, at.detail) for case, at in left if at.kind == "replaced"],
    )


def changes(old: Case, new: Case) -> str:
    """Return the differences between two cases, as 'train.0.epochs 500 -> 5'."""
    a, b = (flat(c.model_dump(include={"data", "model", "train", "evaluate"})) for c in (old, new))
    found = [
        f"{k} {a.get(k, 'absent')} -> {b.get(k, 'absent')}"
        for k in sorted(a.keys() | b.keys())
        if a.get(k) != b.get(k)
    ]
    return "; ".join(found[:4]) + (" …" if len(found) > 4 else "")


def has_data(block: Block, download: bool = True) -> bool:
    """Return whether a data block's files are available; fetches them first if `download`."""
    try:
        names = pipeline.dataset_of(block).files
    except BuildError:
        return False
    return files.available(names) if download else files.obtainable(names)


def is_here(block: Block) -> bool:
    """Return whether a data block's files are on this machine."""
    return files.available(pipeline.dataset_of(block).files, download=False)
