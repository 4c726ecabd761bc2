"""Names become classes, and arguments are checked against annotations."""

import sys

import pytest
import torch

from hwbench.build import (
    BuildError,
    allow_plugins,
    arguments,
    catalogue,
    check_arguments,
    find_class,
    make,
    shelf,
)


@pytest.mark.parametrize(
    ("kind", "use", "message"),
    [
        ("model", "vae.VEA", "models has no 'vae.VEA'; did you mean vae.VAE?"),
        ("rule", "bounds.IWEA", "rules has no 'bounds.IWEA'; did you mean bounds.IWAE?"),
        ("optimizer", "Adan", "did you mean Adam?"),
        ("optimizer", "burda.BurdaAdma", "did you mean burda.BurdaAdam?"),
        ("data", "mnist.Mnist", "did you mean mnist.MNIST?"),
        (
            "model",
            "os.path.join",
            "is not part of hwbench; to use your own code, add os to the plugins",
        ),
        ("model", "../../etc.passwd", "is not the name of a class"),
        ("evaluate", "importance.Evaluation", "evaluators has no 'importance.Evaluation'"),
    ],
)
def test_an_unknown_name_has_the_nearest_one(kind, use, message):
    with pytest.raises(BuildError, match=message.replace("?", r"\?").replace("(", r"\(")):
        find_class(kind, use)


def test_names_on_shelves_and_in_torch():
    assert find_class("model", "vae.VAE").__name__ == "VAE"
    assert find_class("optimizer", "Adam").__module__.startswith("torch")
    assert find_class("optimizer", "burda.BurdaAdam").__name__ == "BurdaAdam"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """package(path=text, …): a package in the current folder, with these files."""

    def write(name, **files):
        for path, text in {"__init__": "", **files}.items():
            file = tmp_path / name / f"{path}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return name

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("hwbench.build._plugins", set())
    known = set(sys.modules)
    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


RULE = """
from hwbench.rules.bounds import IWAE

class Mine(IWAE):
    pass
"""


def test_listing_a_plugin_imports_its_modules_and_runs_none(package):
    program = "raise SystemExit('run')"
    files = {"__main__": program, "rules": RULE, "below/__init__": "", "below/__main__": program}
    allow_plugins([package("listed_one", **files)])
    found = catalogue("rule")
    assert set(found) - set(shelf("rule")) == {"listed_one.rules.Mine"}


@pytest.mark.parametrize("raised", ["ValueError: odd", "SystemExit: odd"])
@pytest.mark.parametrize("path", ["part", "part/__init__"])
def test_a_module_of_a_plugin_that_cannot_be_imported_is_named(package, path, raised):
    error, _, text = raised.partition(": ")
    name = package("broken_part", **{path: f"raise {error}({text!r})"})
    allow_plugins([name])
    told = f"'broken_part.part' cannot be imported: {raised}"
    with pytest.raises(BuildError, match=told):
        catalogue("rule")
    with pytest.raises(BuildError, match=told.replace("part'", "part.Rule'")):
        find_class("rule", "broken_part.part.Rule")


def test_a_plugin_that_exits_is_named(package):
    with pytest.raises(BuildError, match="plugin 'gone_one' cannot be imported: SystemExit: 0"):
        allow_plugins([package("gone_one", __init__="raise SystemExit(0)")])


def test_every_shelf_lists_concrete_classes_of_its_kind():
    for kind in ("model", "rule", "evaluate", "data"):
        found = shelf(kind)
        assert found
        assert all(
            name == f"{cls.__module__.split('.')[-1]}.{cls.__name__}" for name, cls in found.items()
        )


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"use": "bounds.IWAE", "k": 0}, "greater than or equal to 1"),
        ({"use": "bounds.IWAE", "k": 2.5}, "valid integer"),
        ({"use": "bounds.IWAE", "k": "5"}, "valid integer"),
        ({"use": "bounds.IWAE", "weight_kl": 1}, "valid boolean"),
        ({"use": "bounds.IWAE", "kk": 5}, "IWAE has no argument 'kk'"),
        ({}, "needs `use`"),
    ],
)
def test_wrong_arguments(block, message):
    with pytest.raises(BuildError, match=message):
        make("rule", block)


def test_a_whole_number_is_a_float_where_one_is_asked():
    """beartype would refuse an int there."""
    from hwbench.optimizers.burda import BurdaAdam

    found = arguments(BurdaAdam, {"use": "burda.BurdaAdam", "gradient_scale": 20})
    assert found == {"gradient_scale": 20.0}
    assert isinstance(found["gradient_scale"], float)
    assert make("rule", {"use": "bounds.IWAE", "k": 3}).k == 3


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(BuildError, match="greater than 0"):
        arguments(find_class("optimizer", "burda.BurdaAdam"), {"gradient_scale": -1})


def test_context_is_given_only_to_those_who_ask():
    model = make("model", {"use": "vae.VAE", "latent": 2}, visible=9, classes=3, shape=(3, 3))
    assert model.visible == 9


def test_a_context_argument_cannot_be_set_in_a_spec():
    errors = check_arguments(find_class("model", "vae.VAE"), {"visible": 5})
    assert "has no argument 'visible'" in str(errors[0])


def test_a_missing_argument_is_named():
    class Needy:
        def __init__(self, visible: int, width: int) -> None: ...

    assert "needs the argument 'width'" in str(check_arguments(Needy, {})[0])


def test_a_constructor_s_own_error_names_the_class():
    with pytest.raises(BuildError, match=r"vae.VAE: hidden has 2 lists"):
        make("model", {"use": "vae.VAE", "latent": [2], "hidden": [[3], [3]]}, visible=4)


@pytest.mark.parametrize(
    "error", [IndexError("list"), KeyError("k"), ZeroDivisionError("by 0"), RuntimeError("shape")]
)
def test_whatever_a_constructor_raises_is_a_build_error(monkeypatch, error):
    class Broken:
        def __init__(self, k: int) -> None:
            raise error

    monkeypatch.setattr("hwbench.build.find_class", lambda kind, use: Broken)
    with pytest.raises(BuildError) as caught:
        make("rule", {"use": "broken.Broken", "k": 3})
    assert str(caught.value) == f"broken.Broken: {type(error).__name__}: {error}"


@pytest.mark.parametrize("name", [n for n in dir(torch.optim) if n[0].isupper()])
def test_every_optimizer_is_driven_or_refused(name):
    """One that `check` lets pass takes a step as the learner takes it, on a matrix and a bias."""
    try:
        cls = find_class("optimizer", name)
    except BuildError as error:
        assert "cannot be used here" in str(error)  # noqa: PT017
        return
    module = torch.nn.Linear(2, 2)
    before = [p.detach().clone() for p in module.parameters()]
    optimizer = cls(module.parameters())
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        module(torch.ones(3, 2)).square().sum().backward()
        optimizer.step()
    assert all((a != b).any() for a, b in zip(before, module.parameters(), strict=True))


def test_every_rule_that_rounds_takes_a_precision():
    """By the constructor or beside it; float32 where the block says nothing."""
    iwae = make("rule", {"use": "bounds.IWAE", "k": 2, "precision": "bfloat16"})
    assert iwae.precision == "bfloat16"
    assert make("rule", {"use": "bounds.IWAE", "k": 2}).precision == "float32"
    pcd = make("rule", {"use": "boltzmann.MeanFieldPCD", "precision": "bfloat16"})
    assert pcd.precision == "bfloat16"
    with pytest.raises(BuildError, match="found 'float16'"):
        make("rule", {"use": "bounds.IWAE", "precision": "float16"})
    with pytest.raises(BuildError, match="no argument 'precision'"):
        make("rule", {"use": "likelihood.MaximumLikelihood", "precision": "bfloat16"})
