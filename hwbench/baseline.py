"""Baselines of the gate: what the rows of a spec gave, a file per spec and profile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwbench.attested import kind_of_device
from hwbench.spec import Profile, Spec, SpecError, display_path, label, variant_of
from hwbench.store import Result, Store, write_atomically
from hwbench.verdict.statistics import mean_and_sd

KEY = 16  # characters kept of a hash
Finite = Annotated[float, Field(allow_inf_nan=False)]


class BaselineRow(BaseModel):
    """One row's values by seed.

    Attributes:
        keys: the beginnings of the cases' hashes, to notice a spec that has changed.
        elsewhere: values of some of these seeds under other kernels.
    """

    model_config = ConfigDict(extra="forbid")

    keys: dict[str, Annotated[str, Field(pattern=rf"^[0-9a-f]{{{KEY},64}}$")]]
    values: dict[str, Finite]
    elsewhere: dict[str, Finite] = {}

    @model_validator(mode="after")
    def _known_seeds(self) -> BaselineRow:
        if not self.elsewhere.keys() <= self.values.keys():
            raise ValueError("elsewhere has a seed that values has not")
        return self

    @property
    def sd(self) -> float:
        """Return the standard deviation over seeds."""
        return mean_and_sd(list(self.values.values()))[1] or 0.0

    def differences(self) -> list[float]:
        """Return how far each seed moved under the other kernels."""
        return [abs(value - self.values[seed]) for seed, value in self.elsewhere.items()]


class Baseline(BaseModel):
    """What a spec's rows gave when the baseline was taken: one small file per spec and profile."""

    model_config = ConfigDict(extra="forbid")

    spec: str
    profile: Profile
    metric: str
    commit: str | None
    machine: str
    rows: Annotated[dict[str, BaselineRow], Field(min_length=1)]

    @property
    def device(self) -> str:
        """Return the kind of device that it was taken on."""
        return kind_of_device(self.machine)


def baseline_path(folder: Path, spec: Spec, profile: Profile) -> Path:
    """Return the file of a spec's baseline."""
    return folder / spec.paper / f"{spec.id.split('/')[1]}-{profile}.json"


def read_baseline(folder: Path, spec: Spec, profile: Profile) -> Baseline | None:
    """Return a spec's baseline, None where there is none.

    Raises:
        SpecError: the file is not a baseline, or that of another spec, profile or metric.
    """
    path = baseline_path(folder, spec, profile)
    try:
        base = Baseline.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise SpecError(f"{display_path(path)}: not a baseline: {why}") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{display_path(path)}: not a baseline: {error}") from None
    for name, found, wanted in (
        ("spec", base.spec, spec.id),
        ("profile", base.profile, profile),
        ("metric", base.metric, spec.metric),
    ):
        if found != wanted:
            raise SpecError(f"{display_path(path)}: its {name} is {found}, not {wanted}")
    for name, row in base.rows.items():
        if row.keys.keys() != row.values.keys():
            raise SpecError(f"{display_path(path)}: {name}: keys and values have other seeds")
    return base


def current(spec: Spec, store: Store, profile: Profile) -> dict[str, dict[int, Result]]:
    """Return the stored results that fit today's spec, by row and seed."""
    found: dict[str, dict[int, Result]] = {}
    rows = {row.name: row for row in spec.rows}
    for result in store.results(spec.id)[0]:
        case = result.case
        row = rows.get(case.row) if case.profile == profile else None
        if row is not None and variant_of(spec, row, case) is not None:
            found.setdefault(case.row, {})[case.seed] = result
    return found


def update(
    specs: Sequence[Spec],
    store: Store,
    folder: Path,
    profile: Profile,
    elsewhere: Store | None = None,
) -> list[Path]:
    """Make the stored results the new baseline; return the files written.

    Rows of the spec without a result keep what the baseline on file has of them.

    Args:
        specs: whose results to take.
        store: the results.
        folder: folder of baselines.
        profile: profile of the results.
        elsewhere: results of some of the same seeds and the same code under other kernels.

    Raises:
        SpecError: there is no result; `elsewhere` has none of a row, or one of other code; a
            result lacks the metric; or rows would be kept from a baseline of another kind of device
            or spec.
    """
    written = []
    for spec in specs:
        now = current(spec, store, profile)
        if not now:
            continue
        there = current(spec, elsewhere, profile) if elsewhere else {}
        results = [r for by_seed in now.values() for r in by_seed.values()]
        machine = str(results[0].machine.get("device", ""))
        rows = {
            name: BaselineRow(
                keys={str(seed): r.key[:KEY] for seed, r in sorted(by_seed.items())},
                values=_values(spec, by_seed),
                elsewhere=_values(spec, _again(by_seed, there.get(name, {}))) if elsewhere else {},
            )
            for name, by_seed in now.items()
        }
        kept = _kept(spec, folder, profile, set(now), machine)
        base = Baseline(
            spec=spec.id,
            profile=profile,
            metric=spec.metric,
            commit=results[0].commit,
            machine=machine,
            rows={r.name: (rows | kept)[r.name] for r in spec.rows if r.name in rows | kept},
        )
        path = baseline_path(folder, spec, profile)
        text = json.dumps(base.model_dump(exclude_defaults=True), indent=1) + "\n"
        write_atomically(path, text.encode(), overwrite=True)
        written.append(path)
    if not written:
        names = ", ".join(spec.id for spec in specs)
        raise SpecError(f"{display_path(store.folder)} has no {profile} result of {names}")
    return written


def _kept(
    spec: Spec, folder: Path, profile: Profile, measured: set[str], machine: str
) -> dict[str, BaselineRow]:
    """Return the rows of the baseline on file that were not run now.

    Raises:
        SpecError: there are such rows, but they do not go with the new ones.
    """
    missing = {row.name for row in spec.rows} - measured
    if not missing:
        return {}
    base = read_baseline(folder, spec, profile)
    kept = {name: row for name, row in base.rows.items() if name in missing} if base else {}
    if kept and base and base.device != kind_of_device(machine):
        raise SpecError(
            f"{display_path(baseline_path(folder, spec, profile))}: taken on {base.machine}, so "
            f"its {len(kept)} other rows cannot be kept beside results from {machine}; run them all"
        )
    return kept


def _values(spec: Spec, results: Mapping[int, Result]) -> dict[str, float]:
    """Return the metric by seed, to 10 digits: far below what rounding does.

    Raises:
        SpecError: a result has no such metric.
    """
    for result in results.values():
        if spec.metric not in result.metrics:
            has = ", ".join(result.metrics) or "none"
            raise SpecError(f"{result.case.label}: its result lacks {spec.metric} (it has {has})")
    return {
        str(seed): float(f"{r.metrics[spec.metric].value:.10g}")
        for seed, r in sorted(results.items())
    }


def _again(here: Mapping[int, Result], there: Mapping[int, Result]) -> dict[int, Result]:
    """Return what ran under other kernels, checked to be the same cases and code."""
    case = next(iter(here.values())).case
    where = f"under other kernels: {case.spec} {label(case.at)}"
    again = {seed: r for seed, r in there.items() if seed in here}
    if not again:
        raise SpecError(f"{where}: no result of any of its seeds")
    for seed, r in again.items():
        if (r.key, r.fingerprint) != (here[seed].key, here[seed].fingerprint):
            raise SpecError(f"{where} seed {seed}: not the code or data of the other results")
    return again
