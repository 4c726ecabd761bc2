"""hwbench new."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated, Literal

import typer

from hwbench.cli import console

Kind = Literal["table", "rule", "model", "evaluator", "dataset"]
DIGITS = "{use: digits.Digits, pixels: fixed}"
VAE = "{use: vae.VAE, latent: 5, hidden: [20]}"
NADE = "{use: nade.NADE, hidden: 16}"
LIKELIHOOD = "{use: likelihood.MaximumLikelihood}"
EXACT = "{use: exact.ExactLogLikelihood}"
SAMPLED = "{use: importance.LogLikelihood, k: 50}"
SMALLER = ("NADE-16", "NADE-4", "model: {hidden: 4}")
BLOCKS: dict[str, tuple[str, str, str, str, tuple[str, str, str]]] = {
    # data, model, rule, evaluate, and (first row, second row, what the second changes)
    "table": (
        DIGITS,
        VAE,
        "{use: bounds.IWAE, k: 5}",
        SAMPLED,
        ("IWAE", "ELBO", "train: {rule: {use: bounds.ELBO, k: 5}}"),
    ),
    "rule": (
        DIGITS,
        VAE,
        "{use: $package.rules.$cls, k: 5}",
        SAMPLED,
        ("$cls", "IWAE", "train: {rule: {use: bounds.IWAE, k: 5}}"),
    ),
    "model": (
        DIGITS,
        "{use: $package.models.$cls}",
        LIKELIHOOD,
        EXACT,
        ("$cls", "NADE", f"model: {NADE}"),
    ),
    "evaluator": (DIGITS, NADE, LIKELIHOOD, "{use: $package.evaluators.$cls}", SMALLER),
    "dataset": ("{use: $package.datasets.$cls}", NADE, LIKELIHOOD, EXACT, SMALLER),
}
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


def new(
    kind: Annotated[Kind, typer.Argument(help="What to create.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, e.g. my-bound.")],
) -> None:
    """Create a small working package of your own, with a table and a test, in this folder.

    Examples: [bold]hwbench new rule my-bound[/], [bold]hwbench new table my-table[/]
    """
    from hwbench.spec import UserError
    from hwbench.store import write_atomically

    texts = package_files(kind, name)
    taken = [path for path in texts if Path(path).exists()]
    if taken:
        raise UserError(f"{', '.join(taken)}: already here; choose another name")
    for path, text in texts.items():
        write_atomically(Path(path), text.encode())
        console.news(f"wrote {path}")
    table = next(path for path in texts if path.endswith(".yaml"))
    test = next(path for path in texts if path.startswith("tests/"))
    option = "" if kind == "table" else f" --plugin {Path(table).stem}"
    console.news(f"Run: hwbench run {table}{option} --profile smoke; test: python -m pytest {test}")


def package_files(kind: Kind, name: str) -> dict[str, str]:
    """Return the text of each file of a new package, by path.

    Raises:
        UserError: the name is not valid for a package, or an installed package has it.
    """
    from hwbench.sources import find_package
    from hwbench.spec import UserError, read_value

    package = name.replace("-", "_")
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r}: a name has small letters, digits and dashes, like my-bound")
    cls, own_id = "".join(map(str.capitalize, package.split("_"))), package.replace("_", "-")
    if kind != "table" and find_package(package) is not None:
        raise UserError(f"{name}: a package {package} exists already; choose another name")
    if {package, cls} & {*keyword.kwlist, *_imported(kind)}:
        raise UserError(f"{name}: Python or the package's own code uses it; choose another name")
    if (read_value(cls), read_value(own_id)) != (cls, own_id):
        raise UserError(f"{name}: YAML reads it as {read_value(own_id)}; choose another name")
    words = {
        "package": package,
        "cls": cls,
        "id": own_id,
        "option": "" if kind == "table" else f" --plugin {package}",
        "plugins": "" if kind == "table" else f'"{package}"',
        "metric": "bits_per_unit" if kind == "evaluator" else "log_likelihood",
        "better": "lower" if kind == "evaluator" else "higher",
        "unit": "bits" if kind == "evaluator" else "nats",
    }
    *blocks, rows = BLOCKS[kind]
    named = dict(zip(("data", "model", "rule", "evaluate"), blocks, strict=True))
    named |= dict(zip(("first", "second", "change"), rows, strict=True))
    words |= {key: Template(text).substitute(words) for key, text in named.items()}
    words |= {part: _text(f"{kind}.{part}.txt", words) for part in ("imports", "test")}
    found = {f"{package}.yaml": _text("table.yaml.txt", words)}
    found[f"tests/test_{package}.py"] = _text("test.py.txt", words).rstrip() + "\n"
    if kind != "table":
        found[f"{package}/__init__.py"] = f'"""{words["cls"]}, for hwbench."""\n'
        found[f"{package}/{kind}s.py"] = _text(f"{kind}.py.txt", words)
    return found


def _imported(kind: Kind) -> set[str]:
    """Return the words of the import statements of a package's code."""
    parts = (f"{kind}.{part}.txt" for part in ("py", "imports"))
    folder = files("hwbench.cli").joinpath("templates")
    lines = [
        line
        for part in parts
        if (file := folder.joinpath(part)).is_file()
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    return {word for line in imports for word in re.findall(r"\w+", line)}


def _text(name: str, words: dict[str, str]) -> str:
    """Return a template with its words filled in."""
    text = files("hwbench.cli").joinpath("templates", name).read_text(encoding="utf-8")
    return Template(text).substitute(words)
