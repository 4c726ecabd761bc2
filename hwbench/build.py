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
import json
import math
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from hwbench.spec import (
    PROFILES,
    UNKNOWN,
    Block,
    Case,
    FitStage,
    Located,
    Path_,
    Problem,
    Row,
    Spec,
    Stage,
    UserError,
    did_you_mean,
    dotted,
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

Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Amount = Annotated[float, Field(ge=0)]
RATES = ("lr_generative", "lr_recognition")  # of one net each; the learner's, not the optimizer's
_RANGES: dict[str, Any] = {  # torch.optim says no more than `float`
    "betas": tuple[Share, Share],
    "momentum": Share,
    "alpha": Share,
    "rho": Share,
    "dampening": Share,
    "weight_decay": Amount,
    "lr_decay": Amount,
    "momentum_decay": Amount,
    "initial_accumulator_value": Amount,
    "eps": Amount,
}
_NOT_IN_A_SPEC = ("foreach", "capturable", "differentiable", "maximize")
_NOT_DRIVEN = {
    "LBFGS": "it evaluates the loss again and again within a step",
    "SparseAdam": "it takes sparse gradients only",
    "Muon": "it takes matrices only, and models have biases",
    "Optimizer": "it is the base of the others",
}

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
        except Exception as error:  # whatever its code raises
            raise BuildError(f"plugin {module!r} cannot be imported: {_told(error)}") from None
        _plugins.add(module)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"


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
        known = [n for n in dir(optim) if n[0].isupper() and n not in _NOT_DRIVEN]
        if class_name in known:
            return typing.cast(type, getattr(optim, class_name))
        known += shelf(kind)
        if class_name in _NOT_DRIVEN:
            raise BuildError(
                f"{use} cannot be used here: {_NOT_DRIVEN[use]}; allowed: {', '.join(known)}"
            )
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
        except Exception as error:
            raise BuildError(f"{use!r} cannot be imported: {_told(error)}") from None
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
    """Return what a block may say of a class, by name, each with its annotation."""
    try:
        hints = typing.get_type_hints(cls.__init__, include_extras=True)
    except Exception:  # a hint of a foreign class that cannot be evaluated is not checked
        hints = {}
    signature = inspect.signature(cls.__init__)
    found = {n: (p, hints.get(n, Any)) for n, p in list(signature.parameters.items())[1:]}
    if _is_optimizer(cls):
        del found["params"]
        for name in RATES:
            found[name] = (inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=0), Rate)
        if "lr" in found:  # whatever it says itself: at rate 0 nothing is learned
            found["lr"] = (found["lr"][0], Rate)
    if cls.__module__.startswith("torch."):
        for name, (parameter, hint) in list(found.items()):
            if name in _NOT_IN_A_SPEC:
                del found[name]
            elif name == "betas" or typing.get_origin(hint) is not tuple:
                found[name] = (parameter, _RANGES.get(name, hint))
    return found


def _is_optimizer(cls: type) -> bool:
    return any(
        f"{c.__module__}.{c.__name__}" == "torch.optim.optimizer.Optimizer" for c in cls.__mro__
    )


@functools.cache
def _adapter(cls: type, name: str) -> Any:
    return TypeAdapter(_parameters(cls)[name][1], config={"arbitrary_types_allowed": True})


def _read_value(adapter: Any, value: Any) -> Any:
    """Return a value as its annotation reads it; a tuple is a list in YAML, as in JSON."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return adapter.validate_python(value, strict=True)
    return adapter.validate_json(text, strict=True)


def _validated(
    cls: type, arguments: Mapping[str, Any], context: Sequence[str]
) -> tuple[dict[str, Any], list[BuildError]]:
    """Return the arguments as the constructor's annotations read them, and what is wrong."""
    values: dict[str, Any] = {}
    errors = []
    parameters = _parameters(cls)
    open_ended = any(p.kind is p.VAR_KEYWORD for p, _ in parameters.values())
    own = [
        n for n, (p, _) in parameters.items() if n not in context and p.kind is not p.VAR_KEYWORD
    ]
    for name, value in arguments.items():
        values[name] = value
        if name in _NOT_IN_A_SPEC and _is_optimizer(cls):
            message = f"{name!r} makes no sense here; allowed: {', '.join(sorted(own))}"
            errors.append(BuildError(message, (name,)))
            continue
        if name not in own:
            if not open_ended:
                errors.append(
                    BuildError(
                        f"{cls.__name__} has no argument {name!r}{did_you_mean(name, own)}", (name,)
                    )
                )
            continue
        try:
            values[name] = _read_value(_adapter(cls, name), value)
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

    `use` is left out. Those of an optimizer may hold `RATES`, which its constructor does not take.

    Raises:
        BuildError: an argument is unknown, missing, of the wrong type or out of range.
    """
    values, errors = _validated(cls, {k: v for k, v in block.items() if k != "use"}, CONTEXT)
    if errors:
        raise errors[0]
    return values


def _said(use: str, error: Exception) -> str:
    """Return what a class says is wrong, with the error's kind where it was not meant for people.

    >>> _said("rbm.RBM", ValueError("RBM: hidden must be at least 1 (found 0)"))
    'rbm.RBM: hidden must be at least 1 (found 0)'
    """
    if not isinstance(error, ValueError):
        return f"{use}: {type(error).__name__}: {error}"
    return f"{use}: {str(error).removeprefix(use.rpartition('.')[2] + ': ')}"


def make(kind: str, block: Block, **context: Any) -> Any:
    """Return the object a block describes; `context` gives what the data decide.

    Raises:
        BuildError: the name or an argument is wrong, or the constructor fails in any way.
    """
    use = block.get("use")
    if not isinstance(use, str):
        raise BuildError(f"a {kind} block needs `use`, the name of a class")
    cls = find_class(kind, use)
    own = arguments(cls, block)
    wanted = {k: v for k, v in context.items() if k in _parameters(cls)}
    try:
        return cls(**wanted, **own)
    except Exception as error:  # whatever it is, the block is what made it happen
        raise BuildError(_said(use, error)) from error


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
    for wrong in check_arguments(cls, arguments):
        yield (*path, *wrong.path), str(wrong)


def _listed(blocks: Located, key: str) -> list[tuple[Path_, Any]]:
    """Return what stands under a key, which may be one thing or a list, each with its place."""
    value = blocks.get(key) or []
    return (
        [((key, i), v) for i, v in enumerate(value)]
        if isinstance(value, list)
        else [((key,), value)]
    )


def _parts(blocks: Located) -> Iterator[tuple[str, Path_, Any]]:
    """Yield each block of a row with its kind and place; what the row lacks is left out."""
    for kind in ("data", "model", "fit"):
        if blocks.get(kind):
            yield kind, (kind,), blocks[kind]
    for path, stage in _listed(blocks, "train"):
        for kind in ("rule", "fit", "optimizer", "validate"):
            if isinstance(stage, Mapping) and isinstance(stage.get(kind), Mapping):
                yield kind, (*path, kind), stage[kind]
    for path, block in _listed(blocks, "evaluate"):
        yield "evaluate", path, block


@dataclass
class _Checked:
    """A row at a profile: its mistakes, and the names its numbers will have (None: not known)."""

    row: Row
    mistakes: list[tuple[Path_, str]]
    metrics: set[str] | None = None
    curves: set[str] | None = None
    images: set[str] | None = None


def _check_row(row: Row, blocks: Located) -> _Checked:
    """Check each block by itself, then build what can be built and see that it fits together."""
    out = _Checked(row, [])
    for path, stage in _listed(blocks, "train"):
        kind_of_stage = FitStage if isinstance(stage, Mapping) and "fit" in stage else Stage
        try:
            kind_of_stage.model_validate(stage)
        except ValidationError as error:
            for problem in validation_problems(error, "", blocks, kind_of_stage):
                out.mistakes.append(((*path, *problem.field.split(".")), problem.message))
    sound = []
    for kind, path, block in _parts(blocks):
        mistakes = list(_check_block(kind, block, path))
        out.mistakes += mistakes
        if not mistakes and kind != "optimizer":
            sound.append((kind, path, block))
    made: dict[Path_, tuple[str, Any]] = {}
    context: dict[str, Any] = {}
    torch = importlib.import_module("torch")  # only here: compare and report do without it
    for kind, path, block in sound:  # the data come first, then the model
        if kind == "model" and not context:
            continue
        try:
            with torch.device("meta" if kind == "model" else "cpu"):
                made[path] = (kind, make(kind, block, **context))
        except BuildError as error:
            out.mistakes.append(((*path, *error.path), str(error)))
            continue
        if kind == "data":
            data = made[path][1]
            visible = math.prod(data.shape)
            context = {"visible": visible, "classes": data.classes, "shape": data.shape}
    if ("model",) in made:
        out.mistakes += _check_together(made, blocks)
    if len(made) == sum(kind != "optimizer" for kind, _, _ in _parts(blocks)):
        out.metrics, out.curves = _names(made.values())
        out.images = {name for _, user in made.values() for name in getattr(user, "images", ())}
    return out


def _check_together(
    made: Mapping[Path_, tuple[str, Any]], blocks: Located
) -> Iterator[tuple[Path_, str]]:
    """Yield which rules, fits and evaluators cannot work with the model."""
    model = made[("model",)][1]
    pretrained = getattr(model, "pretrained", False)
    no_validation = getattr(made[("data",)][1], "validation", None) == 0
    rules_seen = 0
    last = ""  # stage
    for path, (kind, user) in made.items():
        if kind in ("data", "model"):
            continue
        wanted = user.trains()
        block = functools.reduce(lambda here, step: here[step], path, typing.cast(Any, blocks))
        use = block["use"]
        if not isinstance(model, wanted):
            message = f"{use} works on a {wanted.__name__}; {blocks['model']['use']} is none"
            yield (*path, "use"), message
        elif kind == "rule":
            try:
                user.check(model)
            except Exception as error:
                yield path, _said(use, error)
        elif kind == "fit" and pretrained and rules_seen == 0:
            message = (
                f"{use} fine-tunes what stages with a rule have learned; none stands before it"
            )
            yield path, message
        elif kind == "fit" and pretrained and last == "fit":
            message = (
                f"{use} starts from what stages with a rule have learned: the fit before it would "
                "be lost"
            )
            yield path, message
        elif kind == "evaluate" and pretrained and hasattr(wanted, "pretrained") and last == "rule":
            message = (
                f"{use} measures the net of {blocks['model']['use']}, which only a `fit` after the "
                "last stage with a rule puts in its place; the last stage is no fit"
            )
            yield (*path, "use"), message
        if kind == "fit" and block.get("patience") and no_validation:
            message = f"{use} waits for validation points, of which the data set keeps none"
            yield (*path, "patience"), message
        rules_seen += kind == "rule"
        last = kind if kind in ("rule", "fit") else last


def _names(made: Iterable[tuple[str, Any]]) -> tuple[set[str] | None, set[str] | None]:
    """Return patterns of the metrics and curves of a result; None where a class declares none."""
    metrics: set[str] = set()
    curves: set[str] = set()
    open_metrics = open_curves = False
    for kind, user in made:
        if kind == "rule":
            curves.add("train/objective")
        elif kind == "fit":
            curves |= set(user.curves)
            open_curves |= not user.curves
        elif kind == "validate":
            curves |= {f"validation/{name}" for name in user.metrics[:1]}
            open_curves |= not user.metrics
        elif kind == "evaluate":
            metrics |= set(user.metrics)
            curves |= set(user.curves)
            open_metrics |= not user.metrics
            open_curves |= not user.metrics
    return None if open_metrics else metrics, None if open_curves else curves


def check(spec: Spec) -> list[Problem]:
    """Return every mistake in a spec's names and arguments, at every profile; builds each model."""
    found: dict[tuple[int, str, str], Problem] = {}

    def note(line: int, field: str, message: str, where: str = "") -> None:
        found.setdefault((line, field, message), Problem(spec.file, line, where + field, message))

    for profile in PROFILES:
        rows = []
        for row in spec.rows:
            if not runs_at(spec, row, profile) and profile != "full":
                continue
            blocks = resolve(spec, row, profile)
            rows.append(_check_row(row, blocks))
            where = f"row {'/'.join(map(str, row.at.values()))}, "
            for path, message in rows[-1].mistakes:
                note(blocks.line_at(path), ".".join(map(str, path)), message, where)
            for name in {n for names in (blocks.get("stand_ins") or {}).values() for n in names}:
                try:
                    find_class("data", name)
                except BuildError as error:
                    note(blocks.line_at(("stand_ins",)), "stand_ins", str(error))
        for path, message in _check_names(spec, rows):
            note(spec.document.line_at(path), dotted(path), message)
    return list(found.values())


def _check_names(spec: Spec, rows: Sequence[_Checked]) -> Iterator[tuple[Path_, str]]:
    """Yield metrics, curves and images asked for that no evaluator of the rows concerned gives."""

    def ask(
        path: Path_, name: str | None, what: str, concerned: Sequence[_Checked]
    ) -> Iterator[tuple[Path_, str]]:
        given = [getattr(row, f"{what}s") for row in concerned]
        known = sorted(set().union(*(names for names in given if names is not None)))
        if not name or name == UNKNOWN or not given or None in given:
            return
        if not any(fnmatchcase(name, pattern) for pattern in known):
            yield path, f"no {what} {name!r}{did_you_mean(name, known)}"

    for row in rows:
        yield from ask(("metric",), spec.metric, "metric", [row])
        for name in row.row.also or {}:
            yield from ask(("rows", spec.rows.index(row.row), "also", name), name, "metric", [row])
    for i, claim in enumerate(spec.claims):
        concerned = [r for r in rows if r.row.matches(claim.where)]
        yield from ask(("claims", i, "metric"), claim.metric, "metric", concerned)
    for i, figure in enumerate(spec.figures):
        concerned = [r for r in rows if r.row.matches(figure.where)]
        yield from ask(("figures", i, "metric"), figure.metric, "metric", concerned)
        yield from ask(("figures", i, "curve"), figure.curve, "curve", concerned)
        for j, name in enumerate(figure.images or []):
            yield from ask(("figures", i, "images", j), name, "image", concerned)


# --- sources --------------------------------------------------------------------------------------

_INTERFACES = (  # they decide no numbers; the contents of data files are checked by their hashes
    "hwbench",
    "hwbench.build",
    "hwbench.datasets.files",
    "hwbench.spec",
    "hwbench.store",
)
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
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    return _parse(path.read_text(encoding="utf-8"), package)


@functools.cache
def _parse(text: str, package: str) -> _Source:
    tree = ast.parse(text)
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
