"""From 'vae.VAE' and arguments to an object: the only place where names become code."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import json
import pkgutil
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import Field, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from torch import optim

from hwbench.protocols import Dataset, Evaluator, Fit, Model, Precision, Rule
from hwbench.sources import PACKAGE, SHELVES, find_package
from hwbench.spec import Block, Path_, UserError, did_you_mean

BASES: dict[str, type] = {
    "data": Dataset,
    "model": Model,
    "rule": Rule,
    "fit": Fit,
    "optimizer": optim.Optimizer,
    "evaluate": Evaluator,
    "validate": Evaluator,
}
CONTEXT = ("visible", "classes", "shape")  # arguments that the runner fills in from the data
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Amount = Annotated[float, Field(ge=0)]
RATES = ("lr_generative", "lr_recognition")  # rates of one net, which the learner handles
_RANGES: dict[str, Any] = {  # torch.optim annotates these as `float` only
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
    """A name in `use` does not exist, or its arguments are wrong.

    Attributes:
        path: the place of the mistake within the block.
    """

    def __init__(self, message: str, path: Path_ = ("use",)) -> None:
        super().__init__(message)
        self.path = path


def allow_plugins(modules: Sequence[str]) -> None:
    """Let `use: package.module.Class` name classes of these packages, which the user has chosen.

    A package may be installed or be in the current folder, which is then added to Python's path.

    Raises:
        BuildError: a package cannot be imported.
    """
    for module in [modules] if isinstance(modules, str) else modules:
        here, root = str(Path.cwd()), module.split(".")[0]
        with _importing(f"plugin {module!r}"):
            importlib.invalidate_caches()
            if not {here, root} & {*sys.path, *sys.modules} and not importlib.util.find_spec(root):
                sys.path.append(here)  # last, so that nothing there hides an installed package
            importlib.import_module(module)
        _plugins.add(module)


@contextlib.contextmanager
def _importing(told: str) -> Iterator[None]:
    """Turn whatever the code of a package raises while it is imported into a message.

    Raises:
        BuildError: it cannot be imported; `told` names it.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        why = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise BuildError(f"{told} cannot be imported: {why}") from None


def plugins() -> list[str]:
    """Return the packages outside hwbench whose classes may be named."""
    return sorted(_plugins)


def _shelf_modules(kind: str) -> list[str]:
    return sorted(p.stem for p in (PACKAGE / SHELVES[kind]).glob("*.py") if p.stem != "__init__")


def _classes(module: Any, kind: str) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and issubclass(value, BASES[kind])
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


def catalogue(kind: str) -> dict[str, type]:
    """Return every class of a shelf and of the allowed plugins, by its name for `use`.

    Raises:
        BuildError: a module of a plugin cannot be imported.
    """
    found = shelf(kind)
    for plugin in plugins():
        for module in _modules(plugin):
            names = _classes(module, kind)
            found |= {f"{module.__name__}.{name}": getattr(module, name) for name in names}
    return found


def _modules(name: str) -> Iterator[ModuleType]:
    """Yield a module of a plugin and those below it; a `__main__` is a program, which would run.

    Raises:
        BuildError: one cannot be imported.
    """
    with _importing(repr(name)):
        module = importlib.import_module(name)
    yield module
    for below in pkgutil.iter_modules(getattr(module, "__path__", []), f"{name}."):
        if not below.name.endswith(".__main__"):
            yield from _modules(below.name)


def find_class(kind: str, use: str) -> type:
    """Return the class that `use` names on a shelf, in torch.optim, or in an allowed plugin.

    Raises:
        BuildError: there is no such class; the message gives the nearest name.
    """
    shelf_name = SHELVES[kind]
    module_name, _, class_name = use.rpartition(".")
    if kind == "optimizer" and not module_name:
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
        with _importing(repr(use)):
            found = getattr(importlib.import_module(module_name), class_name, None)
        if not isinstance(found, type):
            raise BuildError(f"{module_name} has no class {class_name!r}")
        return _of_package(found, kind, use, root)
    elif module_name.count(".") >= 1 or (module_name and root != "hwbench" and _is_package(root)):
        raise BuildError(
            f"{use!r} is not part of hwbench; to use your own code, add {root} to the plugins"
        )
    raise BuildError(f"{shelf_name} has no {use!r}{did_you_mean(use, list(shelf(kind)))}")


def _is_package(name: str) -> bool:
    return name in sys.modules or find_package(name) is not None


def _of_package(found: type, kind: str, use: str, package: str) -> type:
    """Return a plugin's class if it is the package's own and belongs on the shelf.

    Tested before anything is constructed: a module may have imported any class.

    Raises:
        BuildError: it was defined elsewhere, is of another kind, or abstract.
    """
    if found.__module__.split(".")[0] != package:
        raise BuildError(
            f"{use!r} was defined in {found.__module__}, not in {package}; name it where it is"
        )
    if not issubclass(found, BASES[kind]):
        raise BuildError(f"{use!r} is no {BASES[kind].__name__}, which a {kind} block needs")
    if inspect.isabstract(found):
        raise BuildError(f"{use!r} is abstract, so it cannot be built")
    return found


@functools.cache
def _parameters(cls: Any) -> dict[str, tuple[inspect.Parameter, Any]]:
    """Return the parameters that a block may set, by name, each with its annotation."""
    try:
        hints = typing.get_type_hints(cls.__init__, include_extras=True)
    except Exception:  # hints of a foreign class that cannot be evaluated are not checked
        hints = {}
    signature = inspect.signature(cls.__init__)
    found = {n: (p, hints.get(n, Any)) for n, p in list(signature.parameters.items())[1:]}
    if issubclass(cls, Rule) and cls.rounds and "precision" not in found:
        keyword = inspect.Parameter.KEYWORD_ONLY
        found["precision"] = (inspect.Parameter("precision", keyword, default=""), Precision)
    if issubclass(cls, optim.Optimizer):
        del found["params"]
        for name in RATES:
            found[name] = (inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=0), Rate)
        if "lr" in found:  # torch allows 0, at which nothing is learned
            found["lr"] = (found["lr"][0], Rate)
    if cls.__module__.startswith("torch."):
        for name, (parameter, hint) in list(found.items()):
            if name in _NOT_IN_A_SPEC:
                del found[name]
            elif name == "betas" or typing.get_origin(hint) is not tuple:
                found[name] = (parameter, _RANGES.get(name, hint))
    return found


@functools.cache
def _adapter(cls: type, name: str) -> Any:
    return TypeAdapter(_parameters(cls)[name][1], config={"arbitrary_types_allowed": True})


def _read_value(adapter: Any, value: Any) -> Any:
    """Return a value converted to its annotation; a tuple is a list in YAML, as in JSON."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return adapter.validate_python(value, strict=True)
    return adapter.validate_json(text, strict=True)


def _validated(
    cls: type, arguments: Mapping[str, Any], context: Sequence[str]
) -> tuple[dict[str, Any], list[BuildError]]:
    """Return the arguments converted to the constructor's annotations, and the mistakes."""
    values: dict[str, Any] = {}
    errors = []
    parameters = _parameters(cls)
    open_ended = any(p.kind is p.VAR_KEYWORD for p, _ in parameters.values())
    own = [
        n for n, (p, _) in parameters.items() if n not in context and p.kind is not p.VAR_KEYWORD
    ]
    for name, value in arguments.items():
        values[name] = value
        if name in _NOT_IN_A_SPEC and issubclass(cls, optim.Optimizer):
            message = f"{name!r} cannot be set here; allowed: {', '.join(sorted(own))}"
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
    """Return the mistakes: arguments unknown, missing, of the wrong type or out of range."""
    return _validated(cls, arguments, context)[1]


def arguments(cls: type, block: Block) -> dict[str, Any]:
    """Return a block's arguments without `use`, converted for the constructor: 20 becomes 20.0.

    Arguments of an optimizer may include `RATES`, which its constructor does not take.

    Raises:
        BuildError: an argument is unknown, missing, of the wrong type or out of range.
    """
    values, errors = _validated(cls, {k: v for k, v in block.items() if k != "use"}, CONTEXT)
    if errors:
        raise errors[0]
    return values


def construction_error(use: str, error: Exception) -> str:
    """Return the message of a constructor's error, with its type unless it is a ValueError.

    >>> construction_error("rbm.RBM", ValueError("RBM: hidden must be at least 1 (found 0)"))
    'rbm.RBM: hidden must be at least 1 (found 0)'
    """
    if not isinstance(error, ValueError):
        return f"{use}: {type(error).__name__}: {error}"
    return f"{use}: {str(error).removeprefix(use.rpartition('.')[2] + ': ')}"


def make(kind: str, block: Block, **context: Any) -> Any:
    """Return the object that a block describes; `context` holds what the data determine.

    Raises:
        BuildError: the name or an argument is wrong, or the constructor fails in any way.
    """
    use = block.get("use")
    if not isinstance(use, str):
        raise BuildError(f"a {kind} block needs `use`, the name of a class")
    cls = find_class(kind, use)
    own = arguments(cls, block)
    wanted = {k: v for k, v in context.items() if k in _parameters(cls)}
    later = {}
    if issubclass(cls, Rule) and "precision" not in inspect.signature(cls).parameters:
        later = {name: own.pop(name) for name in ("precision",) if name in own}
    try:
        made = cls(**wanted, **own)
    except Exception as error:  # of any type: the block has caused it
        raise BuildError(construction_error(use, error)) from error
    for name, value in later.items():
        setattr(made, name, value)
    return made
