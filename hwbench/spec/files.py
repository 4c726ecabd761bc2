"""Spec files: find, parse and load them, and their JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hwbench.spec.checks import (
    completeness,
    reference_problems,
    salvage,
    validation_problems,
)
from hwbench.spec.document import Located, merge, read_yaml
from hwbench.spec.model import PROFILES, ProfileBlocks, Spec
from hwbench.spec.problems import Problem, SpecError, did_you_mean, display_path


def benchmarks_folder(named: Path | None = None) -> Path:
    """Return the folder of specs: the named one, ./benchmarks, or the one that is part of hwbench.

    In a wheel, the last one is inside the package; in a checkout, it is beside the package.

    Raises:
        SpecError: the named folder does not exist.
    """
    if named is not None:
        if not named.is_dir():
            raise SpecError(f"{named}: no such folder of specs")
        return named
    here = Path("benchmarks")
    return here if here.is_dir() else own_benchmarks()


def own_benchmarks() -> Path:
    """Return the folder of specs that is part of hwbench, in a wheel or in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "benchmarks"
    return inside if inside.is_dir() else package.parent / "benchmarks"


def spec_paths(names: Sequence[str] | None, folder: Path) -> list[Path]:
    """Return the files of specs by name (id, alias, table name or path), each once; all for None.

    A file with two paths has the first.

    Raises:
        SpecError: a name is unknown, or the folder holds no spec files.
    """
    paths = [locate(name, folder) for name in names] if names else list(find(folder).values())
    if not paths:
        raise SpecError(f"{display_path(folder)} holds no spec files")
    first: dict[Path, Path] = {}
    for path in paths:
        first.setdefault(path.resolve(), path)
    return list(first.values())


def load_specs(
    names: Sequence[str] | None,
    folder: Path,
    check: Callable[[Spec], list[Problem]] = lambda spec: [],
) -> list[Spec]:
    """Load specs by name (all for None), reporting every mistake of every file at once.

    Args:
        names: ids, aliases, table names or paths.
        folder: the folder of specs.
        check: further checks of each, such as `check.check`, which imports the shelves and torch.

    Raises:
        SpecError: a name is unknown or a file is wrong.
    """
    return load_files(spec_paths(names, folder), check)


def load_files(
    paths: Sequence[Path], check: Callable[[Spec], list[Problem]] = lambda spec: []
) -> list[Spec]:
    """Load spec files, reporting every mistake of every file at once; `check` as in `load_specs`.

    Raises:
        SpecError: a file is wrong.
    """
    specs: list[Spec] = []
    problems: list[Problem] = []
    files: dict[str, str] = {}
    for path in paths:
        found, document, mistakes = parse(path)
        problems += mistakes
        if found is None:
            continue
        file = display_path(path)
        if other := files.get(found.id):
            message = f"{found.id!r} is the id of {other} too; results are kept by id"
            problems.append(Problem(file, document.line_at(("id",)), "id", message))
        files.setdefault(found.id, file)
        specs.append(found)
        problems += check(found)
    if problems:
        raise SpecError(problems)
    return specs


def shared_profiles(path: Path) -> Path:
    """Return the file of the general profiles of a spec: its folder's, else hwbench's own."""
    beside = path.parent.resolve().parent / "profiles.yaml"
    return beside if beside.is_file() else own_benchmarks() / "profiles.yaml"


def id_of(path: Path) -> str:
    """Return the id that a spec file should have: its folder and its name."""
    return f"{path.parent.resolve().name}/{path.stem}"


def _shared_profiles(path: Path) -> tuple[Located, list[Problem]]:
    """Read the profiles that all specs of a folder share, without those that are wrong."""
    profiles, problems = read_yaml(path)
    file = display_path(path)
    kept = Located(line=profiles.line)
    kept.lines = profiles.lines
    for name, blocks in profiles.items():
        if name not in PROFILES:
            message = f"unknown profile{did_you_mean(name, PROFILES)}"
            problems.append(Problem(file, profiles.lines[name], name, message))
            continue
        try:
            ProfileBlocks.model_validate(blocks)
            kept[name] = blocks
        except ValidationError as error:
            problems += validation_problems(error, file, profiles, ProfileBlocks, (name,))
    return kept, problems


def parse(path: Path) -> tuple[Spec | None, Located, list[Problem]]:
    """Read one spec file; returns the Spec, the document, and every mistake.

    If there are mistakes, the Spec lacks the rejected values, so that others can be found in it; it
    is None if nothing valid remains.
    """
    document, problems = read_yaml(path)
    file = display_path(path)
    merged = Located(document, line=document.line)
    merged.lines = dict(document.lines)
    shared = shared_profiles(path)
    if shared.is_file():
        base, more = _shared_profiles(shared)
        problems += more
        own_profiles = document.get("profiles")
        if own_profiles is None or isinstance(own_profiles, Mapping):
            merged["profiles"] = merge(base, own_profiles or Located())
        expected = id_of(path) if shared.parent == path.parent.resolve().parent else None
        if expected and isinstance(document.get("id"), str) and document["id"] != expected:
            message = f"should be {expected!r}, the name of the file (found {document['id']!r})"
            problems.append(Problem(file, document.line_at(("id",)), "id", message))
    try:
        spec = Spec.from_document(merged, file)
    except ValidationError as error:
        problems += validation_problems(error, file, merged, Spec)
        rest = salvage(merged, error, file)
        if rest is None:
            return None, document, problems
        problems += reference_problems(*rest, file)
        return rest[0], document, problems
    problems += reference_problems(spec, merged, file)
    problems += completeness(spec, merged, file)
    return spec, merged, problems


def load(path: Path) -> Spec:
    """Read one spec file.

    Raises:
        SpecError: lists every mistake of the file at once, each with its line.
    """
    spec, _, problems = parse(path)
    if problems or spec is None:
        raise SpecError(problems)
    return spec


def find(folder: Path) -> dict[str, Path]:
    """Return the spec files of a benchmarks folder, by id (`<paper>/<table>`)."""
    return {f"{p.parent.name}/{p.stem}": p for p in sorted(folder.glob("*/*.yaml"))}


def locate(name: str, folder: Path) -> Path:
    """Return the file of a spec named by id, alias, table name or path.

    Raises:
        SpecError: unknown (with the nearest name) or ambiguous (with the candidates).
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise SpecError(f"{name}: no such spec file")
        return path
    known = find(folder)
    if name in known:
        return known[name]
    aliases: dict[str, list[str]] = {}
    for spec_id, path in known.items():
        aliases.setdefault(spec_id.split("/")[1], []).append(spec_id)
        try:
            document, _ = read_yaml(path)
        except SpecError:
            continue
        for alias in document.get("aliases") or []:
            if spec_id not in aliases.setdefault(str(alias), []):
                aliases[str(alias)].append(spec_id)
    found = aliases.get(name, [])
    if len(found) == 1:
        return known[found[0]]
    if found:
        raise SpecError(f"{name!r} is ambiguous: {', '.join(found)}")
    if not known:
        raise SpecError(f"no spec {name!r}: {display_path(folder)} holds no spec files")
    raise SpecError(f"no spec {name!r}{did_you_mean(name, [*known, *aliases])}")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a spec file, for editors."""
    return Spec.model_json_schema()
