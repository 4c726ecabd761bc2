"""hwbench report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwbench.cli import console
from hwbench.cli.compare import comparisons
from hwbench.cli.options import (
    REPORTS,
    RESULTS,
    AgainstOption,
    BenchmarksOption,
    FormatOption,
    FullOption,
    Names,
    ReportsOption,
    ShownProfile,
    SingleFileOption,
    StoredOption,
    formats_named,
)


def report(
    names: Names = None,
    profile: ShownProfile = None,
    formats: FormatOption = "html,pdf",
    results: StoredOption = RESULTS,
    reports: ReportsOption = REPORTS,
    benchmarks: BenchmarksOption = None,
    against: AgainstOption = None,
    single_file: SingleFileOption = False,
    full: FullOption = False,
) -> None:
    """Write the report of specs as HTML and PDF: an index, and a page for each table.

    Examples: [bold]hwbench report[/], [bold]hwbench report table1 --format html[/],
    [bold]hwbench report --format overview --reports docs[/]
    """
    from hwbench.spec.files import benchmarks_folder
    from hwbench.store import check_writable

    kinds = formats_named(formats)
    check_writable(reports, "the reports folder")
    folder = benchmarks_folder(benchmarks)
    found = comparisons(names, profile, results, folder, against)
    write_report(found, results, reports, kinds, folder, single_file=single_file, full=full)


def write_report(
    found: Sequence[Any],
    results: Path,
    reports: Path,
    formats: Sequence[str],
    folder: Path,
    **how: bool,
) -> None:
    """Write the report and tell where it is; `how` goes to `render`."""
    from hwbench.numbers import counted
    from hwbench.report import render
    from hwbench.spec import display_path, read_yaml
    from hwbench.store import Store

    papers = read_yaml(folder / "papers.yaml")[0] if (folder / "papers.yaml").is_file() else None
    alike: dict[tuple[Path, str], list[Path]] = {}
    for path in render(list(found), Store(results), reports, formats, papers, **how):
        alike.setdefault((path.parent, path.suffix), []).append(path)
    for first, *rest in alike.values():
        more = f" and {counted(len(rest), f'more {first.suffix} file')} beside it" if rest else ""
        console.news(f"wrote {display_path(first)}{more}")
