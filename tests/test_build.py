"""Names become classes, arguments are checked against annotations, sources have a fingerprint."""

import shutil

import pytest
import torch
import yaml

from hwbench.build import RATES, BuildError, arguments, check_arguments, find_class, make, shelf
from hwbench.check import check
from hwbench.sources import PACKAGE, fingerprint, read_source, sources
from hwbench.spec import SpecError, cases
from hwbench.spec.files import load_specs


@pytest.mark.parametrize(
    ("kind", "use", "message"),
    [
        ("model", "vae.VEA", "models has no 'vae.VEA'; did you mean vae.VAE?"),
        ("rule", "bounds.IWEA", "rules has no 'bounds.IWEA'; did you mean bounds.IWAE?"),
        ("optimizer", "Adan", "did you mean Adam?"),
        ("optimizer", "burda.BurdaAdma", "did you mean burda.BurdaAdam?"),
        ("data", "mnist.Mnist", "did you mean mnist.MNIST?"),
        ("model", "os.path.join", "is not part of hwbench; to use your own code, add --plugin os"),
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


def test_whatever_a_constructor_raises_is_a_problem_with_its_line(folder):
    """`LogLikelihood` looks at the last entry of a curve that has none."""
    from hwbench.spec import load

    path = folder / "benchmarks" / "tiny" / "table.yaml"
    path.write_text(path.read_text().replace("LogLikelihood, k: 16", "LogLikelihood, curve: []"))
    found = check(load(path))
    assert {problem.field for problem in found} == {"row IWAE, evaluate.use"}
    (problem,) = found
    assert problem.message.startswith("importance.LogLikelihood: IndexError: ")
    assert "curve: []" in (folder / problem.file).read_text().splitlines()[problem.line - 1]


def test_whatever_a_rule_s_check_raises_is_a_problem_with_its_line(folder, monkeypatch):
    from hwbench.rules.bounds import ELBO
    from hwbench.spec import load

    def broken(self, model):
        raise AttributeError("no such thing")

    monkeypatch.setattr(ELBO, "check", broken)
    (problem,) = check(load(folder / "benchmarks" / "tiny" / "table.yaml"))
    assert problem.message == "bounds.ELBO: AttributeError: no such thing"
    assert problem.field == "row VAE, train.rule"


def test_sources_are_those_of_the_blocks_and_their_imports(spec):
    names = {p.name for p in sources(cases(spec, "full")[0])}
    assert {
        "vae.py",
        "bounds.py",
        "importance.py",
        "synthetic.py",
        "pipeline.py",
        "learner.py",
        "numerics.py",
    } <= names
    assert not {"build.py", "case.py", "store.py", "rbm.py"} & names


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of hwbench that a test may edit: `edit(file, old, new)` returns nothing."""
    copy = tmp_path / "hwbench"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("hwbench.sources.PACKAGE", copy)

    def edit(file, old, new):
        path = copy / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        read_source.cache_clear()

    yield edit
    read_source.cache_clear()


def test_a_fingerprint_follows_code_but_not_comments(spec, package):
    case = cases(spec, "full")[0]
    before = fingerprint(case)
    package("rules/bounds.py", "Return −L_k", "Another docstring")
    package("rules/bounds.py", "class IWAE", "# a comment\nclass IWAE")
    package("models/rbm.py", "torch", "no_longer_python(")  # no part of the case: never read
    assert fingerprint(case) == before
    package("rules/bounds.py", "k: Samples = 5", "k: Samples = 6")
    assert fingerprint(case) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("data", "x = x / self.scale", "x = x * self.scale"),  # Split, by way of TrainSplit
        ("rules", "loss: Tensor = self(model, x)", "loss: Tensor = 2 * self(model, x)"),  # Rule
        ("data", "HeldOut = ValidationSplit | TestSplit", "HeldOut = TestSplit"),  # of evaluators
    ],
)
def test_a_fingerprint_follows_the_protocols_that_the_case_uses(spec, package, file, old, new):
    case = cases(spec, "full")[0]
    before = fingerprint(case)
    package(f"protocols/{file}.py", old, new)
    assert fingerprint(case) != before


def test_a_fingerprint_is_the_same_beside_other_protocols(spec, package):
    case = cases(spec, "full")[0]
    before = fingerprint(case)
    package(
        "protocols/models.py",
        "class Mixture(",
        "class Novel(Model):\n    a = 1\n\n\nclass Mixture(",
    )
    package(
        "protocols/boltzmann.py", "difference.backward()", "(2 * difference).backward()"
    )  # of an RBM
    package("protocols/data.py", "Points to learn from.", "Another docstring.")
    assert fingerprint(case) == before


@pytest.mark.parametrize("file", ["pipeline.py", "learner.py", "numerics.py"])
def test_a_fingerprint_follows_the_machinery(spec, package, file):
    case = cases(spec, "full")[0]
    before = fingerprint(case)
    package(file, "import torch\n", "import torch\n\nNEW = 1\n")
    assert fingerprint(case) != before


def test_a_rule_within_an_evaluator_is_a_source(spec, package):
    case = cases(spec, "full")[0]
    measured = {"use": "variance.GradientVariance", "rule": {"use": "reinforce.REINFORCE"}}
    case = case.model_copy(update={"evaluate": [measured]})
    assert {"variance.py", "reinforce.py"} <= {p.name for p in sources(case)}
    before = fingerprint(case)
    package("rules/reinforce.py", "class REINFORCE", "DECAY = 0.5\n\n\nclass REINFORCE")
    assert fingerprint(case) != before


def test_a_class_under_a_key_of_its_own_is_found_by_its_name(spec):
    case = cases(spec, "full")[0]
    nested = {"use": "importance.Bound", "others": [{"use": "temporal.FrameLogLikelihood"}]}
    case = case.model_copy(update={"evaluate": [nested]})
    found = {str(p.relative_to(PACKAGE)) for p in sources(case)}
    assert "evaluators/temporal.py" in found
    assert "models/temporal.py" not in found


def test_sources_of_a_plugin_are_its_own_files_and_what_they_import(spec, tmp_path, monkeypatch):
    """They are found without importing the plugin."""
    package = tmp_path / "elsewhere" / "unimported"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "part.py").write_text("from hwbench.models.layers import linear\n")
    (package / "models.py").write_text(
        "from .part import x\nfrom hwbench.models.vae import VAE\nclass Mine(VAE): ...\n"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    case = cases(spec, "full")[0]
    case = case.model_copy(update={"model": {"use": "unimported.models.Mine"}})
    assert {package / "models.py", package / "part.py"} <= set(sources(case))
    assert {"vae.py", "layers.py"} <= {p.name for p in sources(case)}


def test_fingerprints_of_cases_differ_by_model_not_by_seed(spec):
    full = cases(spec, "full")
    by_row = {}
    for case in full:
        by_row.setdefault(case.row, set()).add(fingerprint(case))
    assert all(len(prints) == 1 for prints in by_row.values())


def test_a_rule_and_a_model_that_do_not_fit_are_told(folder):
    from hwbench.spec import load

    path = folder / "benchmarks" / "tiny" / "table.yaml"
    text = path.read_text().replace(
        "model: {use: vae.VAE, latent: 2, hidden: [4]}",
        "model: {use: mixture.BernoulliMixture, components: 3}",
    )
    path.write_text(text)
    problems = check(load(path))
    assert any("IWAE works on a HelmholtzMachine" in p.message for p in problems)
    assert all(p.line > 0 for p in problems)


def test_a_rule_may_refuse_a_model_of_the_right_protocol(folder, monkeypatch):
    """`Rule.check` is asked of each row's model, and its message is a problem with its line."""
    from hwbench.rules.bounds import ELBO
    from hwbench.spec import load

    def refuse(self, model):
        raise ValueError(f"{type(model).__name__} is not to its taste")

    monkeypatch.setattr(ELBO, "check", refuse)
    (problem,) = check(load(folder / "benchmarks" / "tiny" / "table.yaml"))
    assert problem.message == "bounds.ELBO: VAE is not to its taste"
    assert problem.field == "row VAE, train.rule"
    assert "VAE" in (folder / problem.file).read_text().splitlines()[problem.line - 1]


MACHINE = """
id: tiny/net
title: A tiny net
source: nowhere
metric: error
better: lower
defaults:
  data: {use: digits.Digits, pixels: grey}
  model: {use: finetuned.FineTunedDBM, layers: [3, 2]}
  evaluate: {use: classification.ErrorRate}
rows:
  - at: {method: DBM}
    train:
      - {rule: {use: pretraining.GreedyCD, layer: 1}, epochs: 1}
      - {fit: {use: supervised.Backpropagation, epochs: 1}}
show: {index: method}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", None),
        (
            "      - {rule: {use: pretraining.GreedyCD, layer: 1}, epochs: 1}\n",
            "",
            "none stands before",
        ),
        ("layer: 1", "layer: 3", "there is no layer 3 to pretrain"),
        ("layers: [3, 2]", "layers: [3]", "two or more hidden layers"),
        ("epochs: 1}}", "epoch: 1}}", "no argument 'epoch'"),
        ("epochs: 1}}", "epochs: 1}, steps: 5}", "unknown key"),
        ("supervised.Backpropagation, epochs: 1", "em.EM", "em.EM works on a Mixture"),
        (
            "epochs: 1}}\nshow",
            "epochs: 1}}\n      - {fit: {use: supervised.Backpropagation, epochs: 2}}\nshow",
            "the fit before it would be lost",
        ),
        ("epochs: 1}}\nshow", "epochs: 1, patience: 2}}\nshow", None),
    ],
)
def test_a_fit_may_follow_stages_and_fine_tuning_must(folder, old, new, message):
    from hwbench.spec import load

    path = folder / "benchmarks" / "tiny" / "net.yaml"
    path.write_text(MACHINE.replace(old, new))
    problems = [p.message for p in check(load(path))]
    assert problems == [] if message is None else any(message in p for p in problems)


def test_patience_needs_points_to_wait_by(folder):
    from hwbench.spec import load

    path = folder / "benchmarks" / "tiny" / "net.yaml"
    text = MACHINE.replace("pixels: grey", "pixels: grey, validation: 0")
    path.write_text(text.replace("epochs: 1}}\nshow", "epochs: 1, patience: 2}}\nshow"))
    (problem,) = check(load(path))
    assert "waits for validation points, of which the data set keeps none" in problem.message
    assert problem.field.endswith("train.1.fit.patience")
    path.write_text(text)
    assert check(load(path)) == []


def problems_after(folder, *changes):
    """Return what loading the tiny spec reports after some replacements in it."""
    path = folder / "benchmarks" / "tiny" / "table.yaml"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    try:
        load_specs(["tiny"], folder / "benchmarks", check)
    except SpecError as error:
        return error.problems
    return []


ADAM = "optimizer: {use: Adam, lr: 1e-2}"
FIGURES = "figures:\n  - {title: t, kind: curve, curve: %s}\nshow: {"
WRONG_NAMES = [
    ("metric: log_likelihood", "metric: log_likelihod", "metric", "log_likelihood"),
    ("order: {", "metric: nl, order: {", "claims[0].metric", "nll"),
    ("published: -6.0", "published: -6.0, also: {elbow: 1.0}", "rows[1].also.elbow", "elbo"),
    ("show: {", FIGURES % "k_curv", "figures[0].curve", "k_curve"),
    ("show: {", FIGURES % "train/objectiv", "figures[0].curve", "train/objective"),
    (
        "show: {",
        FIGURES % "validation/log_likelihod",
        "figures[0].curve",
        "validation/log_likelihood",
    ),
    (
        "show: {",
        "figures:\n  - {title: t, kind: rows, x: method, metric: nlll}\nshow: {",
        "figures[0].metric",
        "nll",
    ),
]


@pytest.mark.parametrize(("old", "new", "field", "nearest"), WRONG_NAMES)
def test_a_metric_or_curve_that_nobody_gives(folder, old, new, field, nearest):
    (problem,) = problems_after(folder, (old, new))
    assert problem.field == field
    assert problem.message.endswith(f"did you mean {nearest}?")
    line = (folder / problem.file).read_text().splitlines()[problem.line - 1]
    assert field.rpartition(".")[2].split("[")[0] in line


@pytest.mark.parametrize(("old", "new", "field", "nearest"), WRONG_NAMES)
def test_a_metric_or_curve_that_somebody_gives(folder, old, new, field, nearest):
    wrong = new.replace("log_likelihod", "log_likelihood").replace("k_curv}", "k_curve}")
    wrong = wrong.replace("objectiv}", "objective}").replace("nlll", "nll").replace("elbow", "elbo")
    assert problems_after(folder, (old, wrong.replace("metric: nl,", "metric: nll,"))) == []


def test_images_that_nobody_keeps(folder, monkeypatch):
    from hwbench.evaluators.importance import LogLikelihood

    figure = "figures:\n  - {title: t, kind: images, images: [original, %s]}\nshow: {"
    problems = problems_after(folder, ("show: {", figure % "filed"))
    assert [(p.field, p.message) for p in problems] == [
        ("figures[0].images[0]", "no image 'original'"),
        ("figures[0].images[1]", "no image 'filed'"),
    ]
    monkeypatch.setattr(LogLikelihood, "images", ("original", "filled"), raising=False)
    (problem,) = problems_after(folder, ("original, filed", "original, filed"))
    assert (problem.field, problem.message) == (
        "figures[0].images[1]",
        "no image 'filed'; did you mean filled?",
    )
    assert problems_after(folder, ("filed", "filled")) == []


def test_an_evaluator_that_declares_nothing_may_give_anything(folder, monkeypatch):
    from hwbench.evaluators.importance import LogLikelihood

    monkeypatch.setattr(LogLikelihood, "metrics", ())
    assert problems_after(folder, ("metric: log_likelihood", "metric: novelty")) == []


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("{use: Adam, lr: 0}", "greater than 0"),
        ("{use: SGD, lr: -0.1}", "greater than 0"),
        ("{use: SGD, lr: 0.1, momentum: 1.0}", "less than 1"),
        ("{use: AdamW, weight_decay: -1}", "greater than or equal to 0"),
        ("{use: Adam, betas: [0.9, 1.5]}", "less than 1"),
        ("{use: Adam, betas: 0.9}", "valid array"),
        ("{use: Adam, lr_generative: -1e-3}", "greater than 0"),
        ("{use: Adam, lr_generativ: 1e-3}", "did you mean lr_generative?"),
        ("{use: LBFGS}", "LBFGS cannot be used here: it evaluates the loss again"),
        ("{use: SparseAdam}", "SparseAdam cannot be used here"),
        ("{use: Optimizer}", "Optimizer cannot be used here"),
        ("{use: Adam, maximize: true}", "'maximize' makes no sense here; allowed: amsgrad, betas"),
        ("{use: SGD, foreach: true}", "'foreach' makes no sense here; allowed: dampening"),
        ("{use: burda.BurdaAdam, lr_recognition: 0}", "greater than 0"),
        ("{use: ema.EMAMomentum, lr: 0}", "greater than 0"),
    ],
)
def test_an_optimizer_that_makes_no_sense(folder, optimizer, message):
    (problem,) = problems_after(folder, (ADAM, f"optimizer: {optimizer}"))
    assert message in problem.message
    assert "train.optimizer" in problem.field
    assert problem.line == 14


@pytest.mark.parametrize(
    "optimizer",
    [
        "{use: Adam, betas: [0.9, 0.99], amsgrad: true, lr_generative: 1e-3, lr_recognition: 1}",
        "{use: RMSprop, alpha: 0.9, momentum: 0.5, centered: true}",
        "{use: SGD, lr: 1, momentum: 0.9, nesterov: true, weight_decay: 1e-4}",
        "{use: Adafactor, eps: [null, 1e-3]}",
        "{use: Rprop, etas: [0.5, 1.2]}",
    ],
)
def test_an_optimizer_that_makes_sense(folder, optimizer):
    """And torch takes the arguments as they are read: a list for a tuple, a whole number."""
    assert problems_after(folder, (ADAM, f"optimizer: {optimizer}")) == []
    block = yaml.safe_load(optimizer.replace("1e-", "1.0e-"))
    cls = find_class("optimizer", block["use"])
    own = {k: v for k, v in arguments(cls, block).items() if k not in RATES}
    cls([torch.nn.Parameter(torch.zeros(2))], **own)


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


def test_weight_kl_needs_random_generative_weights(folder):
    rule = "rule: {use: bounds.IWAE, k: 2"
    (problem,) = problems_after(folder, (rule, rule + ", weight_kl: true"))
    assert "no random generative weights" in problem.message
    assert problem.field == "row IWAE, train.rule"
    assert problem.line == 13


def test_mistakes_of_form_and_of_content_are_told_together(folder):
    """Unknown keys, refused values and missing margins beside wrong names and arguments."""
    found = problems_after(
        folder,
        ("source: nowhere", "sauce: nowhere"),  # structure, and `source` is missing
        ("use: vae.VAE", "use: vae.VEA"),
        (ADAM, "optimizer: {use: SGD, lr: -1}"),
        ("epochs: 3", "epochs: -3"),
        ("k: 16", "k: 0"),
        ("margin: 0.5", "margn: 0.5"),
        (
            "{method: VAE}, train: {rule: {use: bounds.ELBO",
            "{method: VAE}, train: {rule: {use: x.Y",
        ),
        ("order: {method: [IWAE, VAE]}", "order: {method: [IWAE, VEA]}"),
    )
    told = "\n".join(map(str, found))
    for message in (
        "benchmarks/tiny/table.yaml:4: sauce: unknown key",
        "source: is missing",
        "model.use: models has no 'vae.VEA'",
        "train.optimizer.lr: Input should be greater than 0",
        "train.epochs: should be greater than or equal to 1",
        "evaluate.k: Input should be greater than or equal to 1",
        "margn: unknown key",
        "rules has no 'x.Y'",
        "no row has method 'VEA'",
    ):
        assert message in told
    assert len({str(problem) for problem in found}) == len(found)
    assert all(problem.line > 0 for problem in found)
