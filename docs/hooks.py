"""Generate pages of the site from files of the repository, so that nothing is written twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {  # file of the repository -> page of the site
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "format.md",
    "CHANGELOG.md": "changelog.md",
    "docs/verdicts.md": "verdicts.md",
    "docs/overview.svg": "overview.svg",
}
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")
NO_LINK = "\0"  # replaces a link to a file that is not a page
SHELVES = ("models", "rules", "datasets", "evaluators", "optimizers")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    made = {page: text(source) for source, page in PAGES.items() if (ROOT / source).suffix == ".md"}
    made.pop("verdicts.md")  # already in the folder of the site
    made |= {
        "tables.md": tables(),
        "api.md": api(),
        "shelves.md": shelves(),
        "decisions.md": decisions(),
    }
    for page, content in made.items():
        files.append(File.generated(config, page, content=content))
    for file in list(files):
        if file.src_uri.startswith("decisions/"):
            files.remove(file)  # all of them are on one page
    return files


def text(source: str) -> str:
    """Return a file with its links turned into links to pages, or removed if there is no page."""
    folder = Path(source).parent

    def linked(match: re.Match[str]) -> str:
        page = PAGES.get((folder / match[1]).as_posix())
        return f"]({page}{match[2] or ''})" if page else f"]{NO_LINK}"

    found = LINK.sub(linked, (ROOT / source).read_text(encoding="utf-8"))
    return (
        re.sub(r"(?<!!)\[([^\[\]]+)\](?![\[(:])", r"\1", found) if source == "README.md" else found
    )


def tables() -> str:
    """Return the page of all specs by document, with counts of their verdicts."""
    from collections import Counter

    import yaml

    import hwbench
    from hwbench.spec import find, load

    papers = yaml.safe_load((ROOT / "benchmarks/papers.yaml").read_text(encoding="utf-8"))
    parts, document = (
        ["# Tables", "Each table is a YAML file in `benchmarks`; the figures are in its report."],
        "",
    )
    for name, path in find(ROOT / "benchmarks").items():
        spec = load(path)
        if spec.paper != document:
            document = spec.paper
            parts.append(f"## {papers.get(document, {}).get('title', document)}")
        found = hwbench.compare(spec, results=ROOT / "results")
        rows = Counter(row.verdict for row in found.rows)
        claims = Counter(claim.verdict for claim in found.claims)
        parts.append(
            f"### {name}\n\n{spec.title}. {spec.source}.\n\n{spec.about}\n\n"
            f"Rows: {counts(rows)}. Claims: {counts(claims)}.\n\n"
            f"```\nhwbench reproduce {name}\n```"
        )
    return "\n\n".join(parts) + "\n"


def counts(found: Any) -> str:
    """Return how many rows or claims have each verdict."""
    return ", ".join(f"{n} {verdict}" for verdict, n in found.most_common()) or "none"


def api() -> str:
    """Return the page of the Python interface."""
    import hwbench

    functions = "\n\n".join(f"::: hwbench.{name}" for name in hwbench.__all__)
    return (
        "# Python\n\nA session needs no files except results. The classes of the shelves implement "
        f"the protocols below.\n\n## Functions\n\n{functions}\n\n## Protocols\n\n"
        + "\n\n".join(
            f"::: hwbench.protocols.{path.stem}\n    options: {{show_root_heading: false}}"
            for path in sorted((ROOT / "hwbench/protocols").glob("[!_]*.py"))
        )
        + "\n"
    )


def shelves() -> str:
    """Return the page of all shelves: the docstring of each module, its classes and arguments."""
    parts = ["# Shelves", "What a spec can `use`, by shelf and file."]
    for shelf in SHELVES:
        parts.append(f"## {shelf}")
        parts += [
            f"::: hwbench.{shelf}.{path.stem}\n    options: {{members_order: source}}"
            for path in sorted((ROOT / "hwbench" / shelf).glob("[!_]*.py"))
        ]
    return "\n\n".join(parts) + "\n"


def decisions() -> str:
    """Return all decisions on one page."""
    files = sorted((ROOT / "docs/decisions").glob("*.md"))
    bodies = (re.sub(r"^#", "##", f.read_text(encoding="utf-8"), flags=re.MULTILINE) for f in files)
    return "# Decisions\n\n" + "\n\n".join(bodies)
