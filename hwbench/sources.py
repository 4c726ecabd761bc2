"""The source files that decide a case's numbers, found without importing them."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from hwbench.cache import digest, recall, remember
from hwbench.spec import Case

PACKAGE = Path(__file__).parent
SHELVES = {
    "data": "datasets",
    "model": "models",
    "rule": "rules",
    "fit": "rules",
    "optimizer": "optimizers",
    "evaluate": "evaluators",
    "validate": "evaluators",
}
# These modules and their submodules decide no numbers; data files are checked by their hashes.
_INTERFACES = (
    "hwbench.build",
    "hwbench.datasets.files",
    "hwbench.spec",
    "hwbench.store",
)
_PROTOCOLS = "hwbench.protocols"
_REFUSAL = "refuse"  # a method that only `hwbench check` calls


@dataclass(frozen=True)
class _Source:
    """A source file: its digest, its imports, and its top-level definitions.

    Attributes:
        digest: digest of the whole file.
        imports: (module, name) of each import from hwbench or from the file's own package.
        definitions: by name, the digest of each and the names that it uses.
    """

    digest: str
    imports: tuple[tuple[str, str], ...]
    definitions: dict[str, tuple[str, frozenset[str]]]


@functools.cache
def read_source(path: Path, module: str) -> _Source:
    """Return a source file as digests and imports; `module` is its dotted name.

    It is parsed once and kept in the user's cache, keyed by its content, Python and this file. Of
    a file that Python cannot read, such as one being edited, only the content counts.
    """
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    try:
        return _read_python(path, package)
    except (SyntaxError, ValueError):
        return _Source(hashlib.sha256(path.read_bytes()).hexdigest(), (), {})


def _read_python(path: Path, package: str) -> _Source:
    """Return a source file as digests and imports, from the user's cache if it is there.

    Raises:
        SyntaxError, ValueError: it is not Python.
    """
    text = path.read_text(encoding="utf-8")
    name, key = f"source {path.absolute()}", digest(text, package, sys.version, _own_text())
    kept = recall(name, key)
    if kept is None:
        found = _parse(text, package)
        definitions = {
            name: (code, sorted(uses)) for name, (code, uses) in found.definitions.items()
        }
        remember(name, key, [found.digest, found.imports, definitions])
        return found
    whole, imports, definitions = kept
    return _Source(
        whole,
        tuple((module, name) for module, name in imports),
        {name: (code, frozenset(names)) for name, (code, names) in definitions.items()},
    )


@functools.cache
def _own_text() -> str:
    return Path(__file__).read_text(encoding="utf-8")


def _parse(text: str, package: str) -> _Source:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            node.body = [part for part in node.body if not _is_refusal(part)]
    nodes: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            nodes[node.name] = node
        elif isinstance(node, ast.Assign):
            nodes |= {t.id: node for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            nodes[node.target.id] = node
    texts: dict[ast.AST, str] = {node: _text(node, {}) for node in tree.body}
    definitions = {}
    for name, node in nodes.items():
        named = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        definitions[name] = (_digest(texts[node]), frozenset(named))
    return _Source(_digest(_text(tree, texts)), tuple(_imports(tree, package)), definitions)


def _is_refusal(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == _REFUSAL


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        found: list[tuple[str, str]] = []
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(above if node.level else []), *filter(None, [node.module])]
            found = [(".".join(parts), alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found = [(alias.name, "*") for alias in node.names]
        yield from (
            (module, name)
            for module, name in found
            if module.split(".")[0] in ("hwbench", package.split(".")[0])
        )


def _text(node: Any, known: Mapping[ast.AST, str]) -> str:
    """Return an AST as text without positions and docstrings: the same in every Python.

    `known` holds the texts of nodes that need not be written again.
    """
    if isinstance(node, list):
        return f"[{', '.join([_text(inner, known) for inner in node])}]"
    if not isinstance(node, ast.AST):
        return repr(repr(node))
    if node in known:
        return known[node]
    fields: list[tuple[str, Any]] = [(name, getattr(node, name, None)) for name in node._fields]
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and _has_docstring(node):
        fields = [(name, value[1:] if name == "body" else value) for name, value in fields]
    texts = [f"[{k!r}, {_text(v, known)}]" for k, v in fields if v is not None and v != []]
    return f"[{type(node).__name__!r}, [{', '.join(texts)}]]"


def _has_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def _own_file(package: Path, module: str) -> Path | None:
    """Return the source file of a module below the folder of hwbench."""
    path = package.joinpath(*module.split(".")[1:])
    return next(filter(Path.is_file, (path.with_suffix(".py"), path / "__init__.py")), None)


def find_package(name: str) -> ModuleSpec | None:
    """Return the spec of a package that is installed or lies in the current folder, or None.

    It is not imported.
    """
    try:
        found = importlib.util.find_spec(name) if name else None
    except (ImportError, ValueError):  # ValueError: a module without a spec, as __main__
        return None
    return found or (PathFinder.find_spec(name, [str(Path.cwd())]) if name else None)


def _file_of(module: str) -> Path | None:
    """Return a module's source file, without importing it or the packages it lies in."""
    root, *rest = module.split(".")
    if root == "hwbench":
        return _own_file(PACKAGE, module)
    found = find_package(root)
    for i in range(len(rest)):
        if found is None:
            return None
        name = ".".join([root, *rest[: i + 1]])
        found = PathFinder.find_spec(name, found.submodule_search_locations or [])
    origin = Path(found.origin) if found and found.origin else None
    return origin if origin and origin.suffix == ".py" else None


def _uses(value: Any, kind: str) -> Iterator[tuple[str, str]]:
    """Yield every `use` with the key of its block, also in nested blocks."""
    if isinstance(value, Mapping):
        if isinstance(value.get("use"), str):
            yield value["use"], kind
        for key, inner in value.items():
            yield from _uses(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _uses(inner, kind)


def _modules_of(use: str, kind: str) -> list[str]:
    """Return the modules that may define a class; an unknown key may mean any shelf."""
    module, _, name = use.rpartition(".")
    shelves = [SHELVES[kind]] if kind in SHELVES else sorted(set(SHELVES.values()))
    own = []
    for candidate in (f"hwbench.{shelf}.{module}" for shelf in shelves if module):
        path = _file_of(candidate)
        if path is not None and name in read_source(path, candidate).definitions:
            own.append(candidate)
    return own or [module]


def _classes(case: Case) -> frozenset[tuple[str, str]]:
    """Return every `use` of a case with the key of its block: what decides its sources."""
    content = case.model_dump(include={"data", "model", "train", "evaluate"})
    return frozenset(_uses(content, ""))


def _reached(classes: frozenset[tuple[str, str]]) -> tuple[dict[str, Path], set[str]]:
    """Return the sources that decide a case's numbers, by module, and the protocols they name."""
    todo = [module for use, kind in sorted(classes) for module in _modules_of(use, kind)]
    todo.append("hwbench.pipeline")
    found: dict[str, Path] = {}
    protocols: set[str] = set()
    while todo:
        module = todo.pop()
        path = _file_of(module)
        if path is None or module in found or _is_interface(module):
            continue
        found[module] = path
        for source, name in read_source(path, module).imports:
            if source == _PROTOCOLS:
                protocols.add(name)
            elif f"{source}.{name}" == _PROTOCOLS:
                protocols.add("*")
            else:
                todo += [source, f"{source}.{name}"]
    return found, protocols


def is_own(case: Case) -> bool:
    """Return whether every class that a case names is of hwbench or of torch.optim."""
    return _are_own(_classes(case))


@functools.cache
def _are_own(classes: frozenset[tuple[str, str]]) -> bool:
    found = {module for use, kind in classes for module in _modules_of(use, kind)}
    return all(module.split(".")[0] in ("", "hwbench") for module in found)


def _is_interface(module: str) -> bool:
    return module == "hwbench" or any(
        module == name or module.startswith(f"{name}.") for name in _INTERFACES
    )


def _protocols() -> dict[str, tuple[str, frozenset[str]]]:
    """Return the definitions of all files of the package of protocols."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for path in sorted((PACKAGE / "protocols").glob("*.py")):
        found |= read_source(path, f"{_PROTOCOLS}.{path.stem}").definitions
    return found


def sources(case: Case) -> list[Path]:
    """Return the sources that decide a case's numbers: those that its blocks name, and imports.

    Of the protocols, only the imported classes count; see `fingerprint`.
    """
    return sorted(_reached(_classes(case))[0].values())


def fingerprint(case: Case) -> str:
    """Return a hash of the code that decides a case's numbers, without comments and docstrings.

    Methods `refuse` are left out, too: only `hwbench check` calls them, before anything is run.
    It covers the files of `sources`. Of the protocols, it covers the definitions that these files
    import by name, and those that they use in turn; so it does not change when a protocol is added
    or moves to another file of the package.
    """
    return _fingerprint(_classes(case), PACKAGE)


@functools.cache
def _fingerprint(classes: frozenset[tuple[str, str]], package: Path) -> str:
    """Return the fingerprint of cases of these classes; `package` is the folder of hwbench."""
    found, names = _reached(classes)
    parts = [
        f"{module}:{read_source(path, module).digest}" for module, path in sorted(found.items())
    ]
    known = _protocols()
    todo = list(known if "*" in names else names & known.keys())
    reached: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += known[name][1] & known.keys()
    parts += [f"{_PROTOCOLS}.{name}:{known[name][0]}" for name in sorted(reached)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def forget() -> None:
    """Forget all files that were read in this process: they may have changed."""
    for kept in (read_source, _are_own, _fingerprint):
        kept.cache_clear()
