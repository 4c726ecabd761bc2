"""The choice of a setting that the document leaves open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwbench.spec import Calibrate, Row, Spec, label
from hwbench.verdict.evidence import Measured, StoredResults
from hwbench.verdict.reasons import Reason, SettingChosen, SettingFailed, SettingFar, SettingOpen


@dataclass(frozen=True)
class Setting:
    """What calibration found for one combination of the coordinates beside it.

    Attributes:
        chosen: the row that chose the coordinate's value; None where none was near enough, or
            while the choice is `open`.
    """

    chosen: Row | None
    open: bool
    reason: Reason


def place_of(spec: Spec, row: Row) -> tuple[str, ...]:
    """Return the combination of coordinates that a row shares with the rows that calibrate it."""
    assert spec.calibrate is not None
    named = {spec.calibrate.coordinate, *spec.calibrate.by}
    return tuple(str(v) for k, v in row.at.items() if k not in named)


def calibrations(
    stored: StoredResults, measured: Mapping[str, Measured]
) -> dict[tuple[str, ...], Setting]:
    """Choose the value of the open coordinate at each combination of the others.

    See `spec.Calibrate`. A row that failed at full cannot be chosen; one that has not run yet keeps
    the choice open.
    """
    spec, rule = stored.spec, stored.spec.calibrate
    if rule is None:
        return {}
    groups: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in spec.rows:
        if row.matches(rule.by) and spec.judged(row) is not None and row.incomparable is None:
            groups[place_of(spec, row)].append(row)
    settings = {}
    for place, rows in groups.items():
        distances: list[tuple[float, Row]] = []
        waiting = []
        for row in rows:
            found, published = measured[row.name], spec.judged(row)
            full = found.profile == "full" and not found.stand_in
            if full and found.mean is not None and published is not None:
                distances.append((abs(found.mean - published.value), row))
            elif not any(f.kind == "failed" for f in stored.evidence(row, "full").failures):
                waiting.append(label(row.at))
        nearest = min(distances, key=lambda pair: pair[0], default=None)
        settings[place] = _choose(spec, rule, nearest, waiting)
    return settings


def _choose(
    spec: Spec, rule: Calibrate, nearest: tuple[float, Row] | None, waiting: Sequence[str]
) -> Setting:
    name, by = rule.coordinate, label(rule.by)
    if waiting:
        return Setting(None, True, SettingOpen(name, tuple(waiting)))
    if nearest is None:
        return Setting(None, False, SettingFailed(name, by))
    distance, row = nearest
    value = str(row.at[name])
    if distance > rule.tolerance:
        far = SettingFar(name, by, rule.tolerance, spec.unit, value, distance)
        return Setting(None, False, far)
    return Setting(row, False, SettingChosen(name, by, value, distance, spec.unit))


def same_value(spec: Spec, a: Row, b: Row) -> bool:
    """Return whether two rows have the same value of the coordinate that is calibrated."""
    assert spec.calibrate is not None
    name = spec.calibrate.coordinate
    return str(a.at.get(name)) == str(b.at.get(name))


def is_elsewhere(spec: Spec, row: Row, settings: Mapping[tuple[str, ...], Setting]) -> bool:
    """Return whether calibration chose another value of the coordinate than the row has."""
    setting = settings.get(place_of(spec, row)) if spec.calibrate else None
    chosen = setting.chosen if setting else None
    return chosen is not None and not same_value(spec, row, chosen)
