"""'vae.VAE' + arguments -> object: the only place where names become code.

Also says which source files decide a case's numbers, without importing them.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import inspect
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from hwbench.spec import (
    PROFILES,
    Block,
    Case,
    Located,
    Path_,
    Problem,
    Row,
    Spec,
    Stage,
    UserError,
    did_you_mean,
    resolve,
    runs_at,
    validation_problems,
)

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
BASES = {
    "data": "Dataset",
    "model": "Model",
    "rule": "Rule",
    "fit": "Fit",
    "evaluate": "Evaluator",
    "validate": "Evaluator",
}
CONTEXT = ("visible", "classes", "shape")  # what a constructor may ask of the runner by naming it

_plugins: set[str] = set()


class BuildError(UserError):
    """A name behind `use` is not there, or its arguments do not fit."""

    def __init__(self, message: str, path: Path_ = ("use",)) -> None:
        super().__init__(message)
        self.path = path


def allow_plugins(modules: Sequence[str]) -> None:
    """Let `use: package.module.Class` name classes of these packages, as asked for by the user.

    Raises:
        BuildError: a package cannot be imported.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise BuildError(f"plugin {module!r} cannot be imported: {error}") from None
        _plugins.add(module)


def plugins() -> list[str]:
    """Return the packages from outside that may be named."""
    return sorted(_plugins)


def _shelf_modules(kind: str) -> list[str]:
    return sorted(p.stem for p in (PACKAGE / SHELVES[kind]).glob("*.py") if p.stem != "__init__")


def _classes(module: Any, kind: str) -> list[str]:
    protocols = importlib.import_module("hwbench.protocols")
    base = getattr(protocols, BASES[kind]) if kind in BASES else object
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and issubclass(value, base)
        and not inspect.isabstract(value)
        and not name.startswith("_")
    ]


def shelf(kind: str) -> dict[str, type]:
    """Return every class of a shelf by its name for `use`, as 'vae.VAE'."""
    found: dict[str, type[Any]] = {}
    for name in _shelf_modules(kind):
        module = importlib.import_module(f"hwbench.{SHELVES[kind]}.{name}")
        found |= {f"{name}.{cls}": getattr(module, cls) for cls in _classes(module, kind)}
    return found


def find_class(kind: str, use: str) -> type:
    """Return the class that `use` names on a shelf, in torch.optim, or in an allowed plugin.

    Raises:
        BuildError: there is none; the message has the nearest name.
    """
    shelf_name = SHELVES[kind]
    module_name, _, class_name = use.rpartition(".")
    if kind == "optimizer" and not module_name:
        optim = importlib.import_module("torch.optim")
        if isinstance(getattr(optim, class_name, None), type):
            return typing.cast(type, getattr(optim, class_name))
        known = [n for n in dir(optim) if n[0].isupper()] + list(shelf(kind))
        raise BuildError(f"torch.optim has no {use!r}{did_you_mean(use, known)}")
    if not all(part.isidentifier() for part in use.split(".")):
        raise BuildError(f"{use!r} is not the name of a class, as module.Class")
    root = module_name.split(".")[0]
    if module_name in _shelf_modules(kind):
        module = importlib.import_module(f"hwbench.{shelf_name}.{module_name}")
        if class_name in _classes(module, kind):
            return typing.cast(type, getattr(module, class_name))
    elif root in {p.split(".")[0] for p in _plugins}:
        try:
            found = getattr(importlib.import_module(module_name), class_name, None)
        except ImportError as error:
            raise BuildError(f"{use!r} cannot be imported: {error}") from None
        if isinstance(found, type):
            return found
        raise BuildError(f"{module_name} has no class {class_name!r}")
    elif module_name.count(".") >= 1 or (
        module_name and importlib.util.find_spec(root) and root != "hwbench"
    ):
        raise BuildError(
            f"{use!r} is not part of hwbench; to use your own code, add --plugin {root}"
        )
    raise BuildError(f"{shelf_name} has no {use!r}{did_you_mean(use, list(shelf(kind)))}")


@functools.cache
def _parameters(cls: Any) -> dict[str, tuple[inspect.Parameter, Any]]:
    try:
        hints = typing.get_type_hints(cls.__init__, include_extras=True)
    except Exception:  # a hint of a foreign class that cannot be evaluated is not checked
        hints = {}
    signature = inspect.signature(cls.__init__)
    return {n: (p, hints.get(n, Any)) for n, p in list(signature.parameters.items())[1:]}


@functools.cache
def _adapter(cls: type, name: str) -> Any:
    return TypeAdapter(_parameters(cls)[name][1], config={"arbitrary_types_allowed": True})


def _validated(
    cls: type, arguments: Mapping[str, Any], context: Sequence[str]
) -> tuple[dict[str, Any], list[BuildError]]:
    """Return the arguments as the constructor's annotations read them, and what is wrong."""
    values: dict[str, Any] = {}
    errors = []
    parameters = _parameters(cls)
    open_ended = any(p.kind is p.VAR_KEYWORD for p, _ in parameters.values())
    own = [
        n
        for n, (p, _) in parameters.items()
        if n not in context and n != "params" and p.kind is not p.VAR_KEYWORD
    ]
    for name, value in arguments.items():
        values[name] = value
        if name not in own:
            if not open_ended:
                errors.append(
                    BuildError(
                        f"{cls.__name__} has no argument {name!r}{did_you_mean(name, own)}", (name,)
                    )
                )
            continue
        try:
            values[name] = _adapter(cls, name).validate_python(value, strict=True)
        except PydanticSchemaGenerationError:
            continue
        except ValidationError as error:
            messages = "; or ".join(
                dict.fromkeys(e["msg"].removeprefix("Value error, ") for e in error.errors())
            )
            errors.append(BuildError(f"{messages} (found {value!r})", (name,)))
    for name in own:
        parameter = parameters[name][0]
        if (
            parameter.default is parameter.empty
            and parameter.kind is not parameter.VAR_POSITIONAL
            and name not in arguments
        ):
            errors.append(BuildError(f"{cls.__name__} needs the argument {name!r}"))
    return values, errors


def check_arguments(
    cls: type, arguments: Mapping[str, Any], context: Sequence[str] = CONTEXT
) -> list[BuildError]:
    """Return what is wrong with arguments: unknown, missing, of the wrong type or out of range."""
    return _validated(cls, arguments, context)[1]


def arguments(cls: type, block: Block) -> dict[str, Any]:
    """Return a block's arguments as the constructor of `cls` takes them: 20 for a float is 20.0.

    `use` is left out. For an optimizer call this on what its constructor takes, without
    `lr_generative` and `lr_recognition`.

    Raises:
        BuildError: an argument is unknown, missing, of the wrong type or out of range.
    """
    values, errors = _validated(cls, {k: v for k, v in block.items() if k != "use"}, CONTEXT)
    if errors:
        raise errors[0]
    return values


def make(kind: str, block: Block, **context: Any) -> Any:
    """Return the object a block describes; `context` gives what the data decide.

    Raises:
        BuildError: the name or an argument is wrong.
    """
    use = block.get("use")
    if not isinstance(use, str):
        raise BuildError(f"a {kind} block needs `use`, the name of a class")
    cls = find_class(kind, use)
    own = arguments(cls, block)
    wanted = {k: v for k, v in context.items() if k in _parameters(cls)}
    try:
        return cls(**wanted, **own)
    except (ValueError, TypeError) as error:
        raise BuildError(f"{use}: {error}") from error


# --- checking a whole spec ------------------------------------------------------------------------


def _check_block(kind: str, block: Any, path: Path_) -> Iterator[tuple[Path_, str]]:
    if not isinstance(block, Mapping):
        yield path, f"expected a mapping with `use` (found {block!r})"
        return
    if not isinstance(block.get("use"), str):
        yield path, "needs `use`, the name of a class"
        return
    try:
        cls = find_class(kind, block["use"])
    except BuildError as error:
        yield (*path, *error.path), str(error)
        return
    arguments = {k: v for k, v in block.items() if k != "use"}
    if kind == "optimizer":
        arguments = {
            k: v for k, v in arguments.items() if k not in ("lr_generative", "lr_recognition")
        }
    for wrong in check_arguments(cls, arguments):
        yield (*path, *wrong.path), str(wrong)


def _check_row(spec: Spec, row: Row, blocks: Located) -> Iterator[tuple[Path_, str]]:
    plain_case = {"data": None, "model": None}
    for kind in plain_case:
        yield from _check_block(kind, blocks.get(kind, {}), (kind,))
    stages = blocks.get("train") or []
    for i, stage in enumerate(stages if isinstance(stages, list) else [stages]):
        path: Path_ = ("train", i) if isinstance(stages, list) else ("train",)
        try:
            Stage.model_validate(stage)
        except ValidationError as error:
            for problem in validation_problems(error, "", blocks, Stage):
                yield (*path, *problem.field.split(".")), problem.message
            continue
        for kind in ("rule", "optimizer", "validate"):
            if stage.get(kind):
                yield from _check_block(kind, stage[kind], (*path, kind))
    if blocks.get("fit"):
        yield from _check_block("fit", blocks["fit"], ("fit",))
    evaluate = blocks.get("evaluate") or []
    for i, block in enumerate(evaluate if isinstance(evaluate, list) else [evaluate]):
        path = ("evaluate", i) if isinstance(evaluate, list) else ("evaluate",)
        yield from _check_block("evaluate", block, path)


def _check_fit_together(blocks: Located) -> Iterator[tuple[Path_, str]]:
    """Build the row's model (on no data) and see that its rule and evaluators can work with it."""
    torch = importlib.import_module("torch")  # only here: compare and report do without it

    try:
        data = make("data", blocks["data"])
    except BuildError as error:
        yield ("data", *error.path), str(error)
        return
    try:
        with torch.device("meta"):
            model = make(
                "model",
                blocks["model"],
                visible=math.prod(data.shape),
                classes=data.classes,
                shape=data.shape,
            )
    except BuildError as error:
        yield ("model", *error.path), str(error)
        return
    stages = blocks.get("train") or []
    users: list[tuple[str, Path_, Any]] = []
    for i, stage in enumerate(stages if isinstance(stages, list) else [stages]):
        path: Path_ = ("train", i) if isinstance(stages, list) else ("train",)
        users += [
            (kind, (*path, kind), stage[kind]) for kind in ("rule", "validate") if stage.get(kind)
        ]
    if blocks.get("fit"):
        users.append(("fit", ("fit",), blocks["fit"]))
    evaluate = blocks["evaluate"]
    for i, block in enumerate(evaluate if isinstance(evaluate, list) else [evaluate]):
        users.append(
            ("evaluate", ("evaluate", i) if isinstance(evaluate, list) else ("evaluate",), block)
        )
    for kind, path, block in users:
        try:
            user = make(kind, block)
        except BuildError as error:
            yield (*path, *error.path), str(error)
            continue
        wanted = user.trains()
        if not isinstance(model, wanted):
            yield (
                (*path, "use"),
                f"{block['use']} works on a {wanted.__name__}; {blocks['model']['use']} is none",
            )
        elif kind == "rule":
            try:
                user.check(model)
            except ValueError as error:
                yield path, f"{block['use']}: {error}"


def check(spec: Spec) -> list[Problem]:
    """Return every mistake in a spec's names and arguments, at every profile; builds each model."""
    found: dict[tuple[int, str, str], Problem] = {}
    for profile in PROFILES:
        for i, row in enumerate(spec.rows):
            if not runs_at(spec, row, profile) and profile != "full":
                continue
            blocks = resolve(spec, row, profile)
            mistakes = list(_check_row(spec, row, blocks)) or list(_check_fit_together(blocks))
            for path, message in mistakes:
                line = blocks.line_at(path)
                field = ".".join(map(str, path))
                key = (line, field, message)
                where = f"row {'/'.join(map(str, row.at.values()))}, {field}"
                found.setdefault(key, Problem(spec.file, line, where, message))
            for name in {n for names in (blocks.get("stand_ins") or {}).values() for n in names}:
                try:
                    find_class("data", name)
                except BuildError as error:
                    line = blocks.line_at(("stand_ins",))
                    found.setdefault(
                        (line, name, ""), Problem(spec.file, line, "stand_ins", str(error))
                    )
            del i
    return list(found.values())


# --- sources --------------------------------------------------------------------------------------

_INTERFACES = ("hwbench", "hwbench.build", "hwbench.spec", "hwbench.store")  # no numbers of theirs
_PROTOCOLS = "hwbench.protocols"


@dataclass(frozen=True)
class _Source:
    """A source file: its digest, what it imports, and its top-level definitions with theirs.

    Attributes:
        imports: (module, name) of each import from hwbench or from the file's own package.
        definitions: by name: digest, and the other definitions of the file that it names.
    """

    digest: str
    imports: tuple[tuple[str, str], ...]
    definitions: dict[str, tuple[str, frozenset[str]]]


@functools.cache
def _read(path: Path, module: str) -> _Source:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            nodes[node.name] = node
        elif isinstance(node, ast.Assign):
            nodes |= {t.id: node for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            nodes[node.target.id] = node
    definitions = {}
    for name, node in nodes.items():
        named = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        definitions[name] = (_digest(node), frozenset(named & nodes.keys()))
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    return _Source(_digest(tree), tuple(_imports(tree, package)), definitions)


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


def _shape_of(node: Any) -> Any:
    """Return an AST as lists without positions and docstrings: the same in every Python."""
    if isinstance(node, ast.AST):
        body = getattr(node, "body", None)
        fields = dict(ast.iter_fields(node))
        if (
            isinstance(body, list)
            and body
            and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        ):
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                fields["body"] = body[1:]
        return [
            type(node).__name__,
            [[k, _shape_of(v)] for k, v in fields.items() if v not in (None, [])],
        ]
    return [_shape_of(n) for n in node] if isinstance(node, list) else repr(node)


def _digest(node: ast.AST) -> str:
    return hashlib.sha256(repr(_shape_of(node)).encode()).hexdigest()


def _file_of(module: str) -> Path | None:
    """Return a module's source file, without importing it or the packages it lies in."""
    root, *rest = module.split(".")
    if root == "hwbench":
        path = PACKAGE.joinpath(*rest)
        return next(filter(Path.is_file, (path.with_suffix(".py"), path / "__init__.py")), None)
    try:
        found = importlib.util.find_spec(root) if root else None
    except (ImportError, ValueError):
        return None
    for i in range(len(rest)):
        if found is None:
            return None
        name = ".".join([root, *rest[: i + 1]])
        found = PathFinder.find_spec(name, found.submodule_search_locations or [])
    origin = Path(found.origin) if found and found.origin else None
    return origin if origin and origin.suffix == ".py" else None


def _uses(value: Any, kind: str) -> Iterator[tuple[str, str]]:
    """Yield what every `use` names, also those within other blocks, and the key of its block."""
    if isinstance(value, Mapping):
        if isinstance(value.get("use"), str):
            yield value["use"], kind
        for key, inner in value.items():
            yield from _uses(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _uses(inner, kind)


def _modules_of(use: str, kind: str) -> list[str]:
    """Return the modules that may hold a class; a key that is no shelf's may mean any of them."""
    module, _, name = use.rpartition(".")
    shelves = [SHELVES[kind]] if kind in SHELVES else sorted(set(SHELVES.values()))
    own = []
    for candidate in (f"hwbench.{shelf}.{module}" for shelf in shelves if module):
        path = _file_of(candidate)
        if path is not None and name in _read(path, candidate).definitions:
            own.append(candidate)
    return own or [module]


def _reached(case: Case) -> tuple[dict[str, Path], set[str]]:
    """Return the sources that decide a case's numbers, by module, and the protocols they name."""
    content = case.model_dump(include={"data", "model", "train", "evaluate"})
    todo = [module for use, kind in _uses(content, "") for module in _modules_of(use, kind)]
    todo.append("hwbench.pipeline")
    found: dict[str, Path] = {}
    protocols: set[str] = set()
    while todo:
        module = todo.pop()
        path = _file_of(module)
        if path is None or module in found or module in _INTERFACES:
            continue
        found[module] = path
        for source, name in _read(path, module).imports:
            if source == _PROTOCOLS:
                protocols.add(name)
            elif f"{source}.{name}" == _PROTOCOLS:
                protocols.add("*")
            else:
                todo += [source, f"{source}.{name}"]
    return found, protocols


def sources(case: Case) -> list[Path]:
    """Return the sources that decide a case's numbers: what its blocks name and these import.

    Of the protocols only the classes that these import count; see `fingerprint`.
    """
    return sorted(_reached(case)[0].values())


def fingerprint(case: Case) -> str:
    """Return a hash of the code that decides a case's numbers, whatever its comments.

    It covers the files of `sources`, and of protocols.py the definitions that these import by name
    with those that they name in turn, so that a new protocol leaves it as it is.
    """
    found, names = _reached(case)
    parts = [f"{module}:{_read(path, module).digest}" for module, path in sorted(found.items())]
    known = _read(PACKAGE / "protocols.py", _PROTOCOLS).definitions
    todo = list(known if "*" in names else names & known.keys())
    reached: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += known[name][1]
    parts += [f"{_PROTOCOLS}.{name}:{known[name][0]}" for name in sorted(reached)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
