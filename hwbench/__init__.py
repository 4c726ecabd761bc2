"""Do published results on Helmholtz machines and their relatives hold? Is a new method better?

>>> import hwbench
>>> hwbench.load("iwaer/table1").title
'Average test log-likelihood of IWAE, IWAER and IWAER_rec'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from hwbench.spec import Spec
    from hwbench.store import Result

__version__ = "0.1.0"
__all__ = ["load", "results", "run"]


def load(name: str, benchmarks: str | Path | None = None) -> Spec:
    """Return a spec by id, alias, table name or path.

    Raises:
        hwbench.spec.SpecError: unknown, or wrong (every mistake with its line).
    """
    from hwbench import cli, spec

    return spec.load(
        spec.locate(name, cli.benchmarks_folder(Path(benchmarks) if benchmarks else None))
    )


def run(
    name: str,
    profile: str = "auto",
    rows: Sequence[Mapping[str, Any]] | None = None,
    seeds: int | None = None,
    device: str = "auto",
    jobs: int | None = None,
    results: str | Path = "results",
) -> list[Result]:
    """Run what is not on file of a spec, and return the results of all its cases.

    Args:
        name: id, alias, table name or path of a spec.
        profile: auto, smoke, quick or full.
        rows: coordinates of the rows wanted, as [{"method": "IWAER"}]; None for all.
        seeds: seeds per row, instead of the spec's.
        device: auto, cpu, cuda, …
        jobs: cases at a time.
        results: folder of results.

    Raises:
        hwbench.spec.UserError: an argument is wrong, or a folder cannot be written.
        RuntimeError: a case failed, or its data could not be had.
        KeyboardInterrupt: the run was stopped; the same call goes on from there.
    """
    from hwbench import build, cli
    from hwbench.store import Store

    if rows is not None and not rows:
        return []
    wanted = [",".join(f"{k}={v}" for k, v in row.items()) for row in rows or []]
    settings = cli.Settings(profile, wanted or None, seeds, device, jobs, results=Path(results))
    settings.plugins = build.plugins()
    settings.check()
    specs = cli.load_specs([name], cli.benchmarks_folder())
    plan = cli.make_plan(specs, settings)
    outcomes, left, stopped = cli.run_plan(plan, specs, settings)
    if stopped:
        raise KeyboardInterrupt
    store = Store(Path(results))
    bad = [f"{o.case.label}: {o.message}" for o in outcomes if o.status in ("failed", "missing")]
    bad += [f"{case.label}: failed before" for case in left]
    if bad:
        raise RuntimeError("\n".join(bad))
    return [result for case in plan.cases if (result := store.read(case)) is not None]


def results(name: str | None = None, folder: str | Path = "results") -> pd.DataFrame:
    """Return what is on file as a DataFrame: a line per case and metric, coordinates as columns."""
    from hwbench.store import Store, frame

    found, _ = Store(Path(folder)).results(load(name).id if name else None)
    return frame(found)
