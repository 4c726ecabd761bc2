"""A gate for your own project: pytest's option `--hwbench-baseline` and fixture `hwbench_gate`.

Pytest loads this plugin wherever hwbench is installed. The tolerance is that of `hwbench gate`.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; `hwbench_baseline` in pytest's configuration sets the same folder."""
    text = "folder of baselines for the fixture hwbench_gate"
    group = parser.getgroup("hwbench")
    group.addoption("--hwbench-baseline", metavar="DIR", type=Path, help=text)
    group.addoption(
        "--hwbench-update",
        action="store_true",
        help="store the values given to hwbench_gate as the new baselines",
    )
    parser.addini("hwbench_baseline", text)


@dataclass(frozen=True)
class Gate:
    """Compare a metric over seeds with its baseline, and fail the test if it has moved.

    Attributes:
        folder: folder of baselines, one file per name; None skips the test.
        update: whether to write baselines instead.
        record: stores a property of the run for JUnit XML.
    """

    folder: Path | None
    update: bool
    record: Callable[[str, object], None]

    def __call__(
        self,
        name: str,
        values: Mapping[int, float],
        *,
        better: Literal["lower", "higher"] = "lower",
        tolerance: float | None = None,
    ) -> None:
        """Fail the test if the mean of the values has moved, in either direction.

        Args:
            name: name of the baseline: letters, digits and `_.+-`.
            values: a metric by seed, such as an NLL in nats.
            better: which direction is an improvement; only the message depends on it.
            tolerance: how far the mean may move; by default, as far as the spread of the
                baseline's seeds explains at the 99.9 % level.

        Raises:
            ValueError: the name or a value is invalid, or the baseline cannot be used.
        """
        __tracebackhide__ = True
        if NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} cannot name a baseline: use letters, digits and _.+-")
        if not values or not all(math.isfinite(v) for v in values.values()):
            raise ValueError(f"{name}: expected a finite number for each seed (found {values})")
        if tolerance is not None and not (math.isfinite(tolerance) and tolerance > 0):
            raise ValueError(f"{name}: tolerance must be positive (found {tolerance})")
        if self.folder is None:
            pytest.skip("no baselines: pass --hwbench-baseline DIR")
        path = self.folder / f"{name}.json"
        if self.update:
            _write(path, values)
        elif not path.is_file():
            pytest.fail(f"{path} is missing; --hwbench-update writes it", pytrace=False)
        else:
            self._compare(name, _read(path), values, better, tolerance)

    def _compare(
        self,
        name: str,
        base: Mapping[str, float],
        values: Mapping[int, float],
        better: str,
        tolerance: float | None,
    ) -> None:
        from hwbench import gate

        __tracebackhide__ = True
        if tolerance is None and len(base) < 2:
            raise ValueError(f"{name}: its baseline has one seed: pass `tolerance` or use more")
        allowed = tolerance or gate.tolerance(list(base.values()), len(values))
        expected, measured = statistics.fmean(base.values()), statistics.fmean(values.values())
        for what, number in (
            ("baseline", expected), ("measured", measured), ("tolerance", allowed),
        ):  # fmt: skip
            self.record(f"{name} {what}", number)
        moved = measured - expected
        if abs(moved) > allowed:
            which = "better" if (moved > 0) == (better == "higher") else "worse"
            pytest.fail(
                f"{name}: {measured:.6g} is {which} than the baseline {expected:.6g} by "
                f"{abs(moved):.3g}, more than the tolerance {allowed:.3g}; if this is intended, "
                "--hwbench-update makes it the new baseline",
                pytrace=False,
            )


@pytest.fixture
def hwbench_gate(
    pytestconfig: pytest.Config, record_testsuite_property: Callable[[str, object], None]
) -> Gate:
    """Return the gate: `hwbench_gate("my-model", {0: 91.2, 1: 91.4})`, see `Gate`."""
    folder: Path | None = pytestconfig.getoption("hwbench_baseline")
    if folder is None and (text := pytestconfig.getini("hwbench_baseline")):
        folder = pytestconfig.rootpath / text
    return Gate(folder, pytestconfig.getoption("hwbench_update"), record_testsuite_property)


def _read(path: Path) -> dict[str, float]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a baseline: {error}") from None
    if not (
        isinstance(found, dict)
        and found
        and all(isinstance(v, float | int) and math.isfinite(v) for v in found.values())
    ):
        raise ValueError(f"{path}: not a baseline: expected a number for each seed")
    return {seed: float(value) for seed, value in found.items()}


def _write(path: Path, values: Mapping[int, float]) -> None:
    from hwbench.store import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({str(seed): float(v) for seed, v in sorted(values.items())}, indent=1)
    write_atomically(path, f"{text}\n".encode(), overwrite=True)
