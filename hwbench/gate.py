"""The regression gate: has a metric left its tolerance against a committed baseline?

A likelihood that is suddenly better is most often a bug, so both directions fail. The tolerance is
not a number that somebody chose but a prediction interval: the mean of the new seeds must lie where
the mean of so many seeds would lie if nothing had changed, judged by the spread of the baseline's
seeds, at the level 99.9 %.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree as ET

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.table import Table

from hwbench.spec import Profile, Spec, SpecError, display_path, variants
from hwbench.store import Result, Store, write_atomically

LEVEL = 0.999
ROUNDING = 1e-5  # relative: float32 sums differ by so much between processors


class BaselineRow(BaseModel):
    """One row's values by seed; `keys` are the cases' hashes, to notice a spec that has changed."""

    model_config = ConfigDict(extra="forbid")

    keys: dict[str, str]
    values: dict[str, float]


class Baseline(BaseModel):
    """What a spec's rows gave when the baseline was taken: one small file per spec and profile."""

    model_config = ConfigDict(extra="forbid")

    spec: str
    profile: Profile
    metric: str
    commit: str | None
    machine: str
    rows: Annotated[dict[str, BaselineRow], Field(min_length=1)]


@dataclass(frozen=True)
class Finding:
    """One row's judgement."""

    spec: str
    row: str
    metric: str
    baseline: float | None
    measured: float | None
    tolerance: float | None
    passed: bool
    reason: str


def baseline_path(folder: Path, spec: Spec, profile: Profile) -> Path:
    """Return the file of a spec's baseline."""
    return folder / spec.paper / f"{spec.id.split('/')[1]}-{profile}.json"


def read_baseline(folder: Path, spec: Spec, profile: Profile) -> Baseline | None:
    """Return a spec's baseline, None where there is none.

    Raises:
        SpecError: the file is not a baseline.
    """
    path = baseline_path(folder, spec, profile)
    try:
        return Baseline.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise SpecError(
            f"{display_path(path)}: not a baseline: {str(error).splitlines()[0]}"
        ) from None


def current(spec: Spec, store: Store, profile: Profile) -> dict[str, dict[int, Result]]:
    """Return results on file by row and seed, only those of the spec as it is now."""
    found: dict[str, dict[int, Result]] = {}
    rows = {row.name: row for row in spec.rows}
    for result in store.results(spec.id)[0]:
        case = result.case
        if case.profile != profile or case.row not in rows:
            continue
        keys = {v.key for v in variants(spec, rows[case.row], profile, case.seed)}
        if result.key in keys:
            found.setdefault(case.row, {})[case.seed] = result
    return found


def tolerance(values: Sequence[float], n: int) -> float:
    """Return the half width of the interval in which the mean of n new seeds should lie.

    Values are the baseline's, one per seed: t · s · √(1/n + 1/m) with m − 1 degrees of freedom, no
    less than rounding.
    """
    from scipy import stats

    m = len(values)
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, m - 1)) * sd * math.sqrt(1 / n + 1 / m)
    return max(half, ROUNDING * abs(mean))


def judge_row(spec: Spec, name: str, base: BaselineRow | None, now: dict[int, Result]) -> Finding:
    """Judge one row."""

    def finding(
        reason: str,
        passed: bool = False,
        b: float | None = None,
        m: float | None = None,
        t: float | None = None,
    ) -> Finding:
        return Finding(spec.id, name, spec.metric, b, m, t, passed, reason)

    if base is None:
        return finding("the baseline has no such row: take it anew with --update")
    if len(base.values) < 2:
        return finding("a baseline needs at least 2 seeds (5 or more tell something)")
    values = [r.metrics[spec.metric].value for r in now.values() if spec.metric in r.metrics]
    if not values:
        return finding("no result on file: run the spec first")
    stale = [seed for seed, r in now.items() if base.keys.get(str(seed), r.key) != r.key]
    if stale:
        return finding(
            "the spec has changed since the baseline was taken: take it anew with --update"
        )
    expected = statistics.fmean(base.values.values())
    measured = statistics.fmean(values)
    allowed = tolerance(list(base.values.values()), len(values))
    off = measured - expected
    if abs(off) <= allowed:
        return finding("within tolerance", True, expected, measured, allowed)
    direction = "better" if (off > 0) == (spec.better == "higher") else "worse"
    return finding(
        f"{direction} than the baseline by {abs(off):.3g}", False, expected, measured, allowed
    )


def gate(specs: Sequence[Spec], store: Store, folder: Path, profile: Profile) -> list[Finding]:
    """Judge every row of the specs that has a baseline or a result."""
    findings = []
    for spec in specs:
        base = read_baseline(folder, spec, profile)
        now = current(spec, store, profile)
        rows = base.rows if base else {}
        for row in spec.rows:
            if row.name in rows or row.name in now:
                findings.append(
                    judge_row(spec, row.name, rows.get(row.name), now.get(row.name, {}))
                )
        gone = set(rows) - {row.name for row in spec.rows}
        findings += [
            Finding(
                spec.id,
                name,
                spec.metric,
                None,
                None,
                None,
                False,
                "the spec no longer has this row",
            )
            for name in sorted(gone)
        ]
    return findings


def update(specs: Sequence[Spec], store: Store, folder: Path, profile: Profile) -> list[Path]:
    """Take the results on file as the new baseline; returns the files written."""
    written = []
    for spec in specs:
        now = current(spec, store, profile)
        if not now:
            continue
        results = [r for by_seed in now.values() for r in by_seed.values()]
        base = Baseline(
            spec=spec.id,
            profile=profile,
            metric=spec.metric,
            commit=results[0].commit,
            machine=str(results[0].machine.get("device", "")),
            rows={
                name: BaselineRow(
                    keys={str(seed): r.key for seed, r in sorted(by_seed.items())},
                    values={
                        str(seed): r.metrics[spec.metric].value
                        for seed, r in sorted(by_seed.items())
                    },
                )
                for name, by_seed in now.items()
            },
        )
        path = baseline_path(folder, spec, profile)
        write_atomically(
            path, (json.dumps(base.model_dump(), indent=1) + "\n").encode(), overwrite=True
        )
        written.append(path)
    return written


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print failures in full and the rest as a count per spec."""
    table = Table(
        "spec",
        "row",
        "metric",
        "baseline",
        "measured",
        "tolerance",
        "",
        box=None,
        header_style="bold",
    )

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    for f in findings:
        if not f.passed:
            cells = [
                f.spec,
                f.row,
                f.metric,
                number(f.baseline),
                number(f.measured),
                number(f.tolerance),
                f.reason,
            ]
            table.add_row(*cells, style="red")
    if table.row_count:
        console.print(table)
    for spec in dict.fromkeys(f.spec for f in findings):
        mine = [f for f in findings if f.spec == spec]
        console.print(f"{spec}: {sum(f.passed for f in mine)} of {len(mine)} rows within tolerance")


def write_junit(findings: Sequence[Finding], path: Path) -> None:
    """Write the findings as JUnit XML, one test case per row."""
    failed = sum(not f.passed for f in findings)
    suite = ET.Element(
        "testsuite", name="hwbench gate", tests=str(len(findings)), failures=str(failed)
    )
    for f in findings:
        case = ET.SubElement(suite, "testcase", classname=f.spec, name=f"{f.row} {f.metric}")
        if not f.passed:
            detail = f"baseline {f.baseline}, measured {f.measured}, tolerance {f.tolerance}"
            ET.SubElement(case, "failure", message=f.reason).text = detail
    write_atomically(
        path, ET.tostring(suite, encoding="utf-8", xml_declaration=True), overwrite=True
    )
