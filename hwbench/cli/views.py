"""What `list` and `compare` show of each spec, cached until one of its inputs changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwbench.attested import attestations
from hwbench.cache import digest, digest_of_code, digest_of_files, recall, remember
from hwbench.cli import console
from hwbench.spec.files import id_of, load_files, shared_profiles
from hwbench.store import Store

if TYPE_CHECKING:
    from hwbench.spec import Case, Profile
    from hwbench.verdict.outcome import Comparison


class Views:
    """Views of the comparisons of specs with the results on file.

    Args:
        paths: spec files.
        results: the folder of results.
        profile: use only results of this profile; None for each row's fullest.
    """

    def __init__(self, paths: list[Path], results: Path, profile: Profile | None = None) -> None:
        self.paths, self.store, self.profile = paths, Store(results), profile

    def get(self, kind: str, make: Callable[[Comparison], Any]) -> list[Any]:
        """Return a view of each spec: the cached one, or what `make` returns.

        Args:
            kind: a name for the kind of view, with all that it depends on besides the comparison.
            make: returns plain JSON.

        Raises:
            SpecError: a file is wrong.
        """
        names = {path: self._name(kind, path) for path in self.paths}
        keys = {path: self._key(path) for path in self.paths}
        views = {path: recall(names[path], keys[path]) for path in self.paths}
        missing = [path for path, view in views.items() if view is None]
        for path, (comparison, own) in zip(missing, self._compare(missing), strict=True):
            views[path] = make(comparison)
            unchanged = self._key(path) == keys[path]  # no result was added meanwhile
            if own and unchanged and comparison.spec.id == id_of(path):
                remember(names[path], keys[path], views[path])
        return list(views.values())

    def _name(self, kind: str, path: Path) -> str:
        places = path.absolute(), self.store.folder.absolute()
        return digest(kind, *map(str, places), str(self.profile))

    def _key(self, path: Path) -> str:
        """Return the digest of all that the comparison of a spec, or its text, depends on."""
        own = self.store.files(id_of(path))
        files = [path, shared_profiles(path), *attestations(self.store.folder), *own]
        return digest(digest_of_code(), str(Path.cwd()), digest_of_files(files))

    def _compare(self, paths: list[Path]) -> list[tuple[Comparison, bool]]:
        """Return the comparison of each spec, and whether it depends on no external code."""
        if not paths:
            return []
        from hwbench.sources import fingerprint, is_own
        from hwbench.verdict.table import compare

        external: set[str] = set()

        def fingerprint_of(case: Case) -> str:
            if not is_own(case):
                external.add(case.spec)
            return fingerprint(case)

        specs = load_files(paths)
        found = [
            compare(s, self.store, profile=self.profile, fingerprint=fingerprint_of) for s in specs
        ]
        return [(c, c.spec.id not in external) for c in found]


def json_view(comparison: Comparison) -> Any:
    """Return a comparison for --json."""
    from hwbench.report.formats.json import to_json

    return to_json(comparison)


def text_view(comparison: Comparison) -> str:
    """Return a comparison as the text that standard output shows, with its colours."""
    from hwbench.report.formats.terminal import print_comparison

    with console.out.capture() as captured:
        print_comparison(console.out, comparison)
    return captured.get()


def summary_view(comparison: Comparison) -> str:
    """Return a comparison as the text of at most one screen, with its colours."""
    from hwbench.report.formats.summary import print_summary

    with console.out.capture() as captured:
        print_summary(console.out, comparison)
    return captured.get()


def terminal() -> str:
    """Return all that decides how `text_view` and `summary_view` lay out and colours a text."""
    out = console.out
    return f"{out.options} {out.color_system} {out.no_color} {out.safe_box}"
