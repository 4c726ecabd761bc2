"""A spec is checked against the shelves: its names, its arguments, and its rows as wholes."""

from pathlib import Path

import pytest
import torch
import yaml

from hwbench.build import RATES, arguments, find_class
from hwbench.check import check
from hwbench.spec import SpecError
from hwbench.spec.files import load_specs


def test_whatever_a_constructor_raises_is_a_problem_with_its_line(folder):
    """`LogLikelihood` looks at the last entry of a curve that has none."""
    from hwbench.spec import load

    path = folder / "benchmarks" / "tiny" / "table.yaml"
    path.write_text(path.read_text().replace("LogLikelihood, k: 16", "LogLikelihood, curve: []"))
    found = check(load(path))
    assert {(p.row, p.field) for p in found} == {("IWAE", "evaluate.use")}
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
    assert (problem.row, problem.field) == ("VAE", "train.rule")


def test_a_rule_and_a_model_that_do_not_fit_are_told(folder):
    from hwbench.spec import load

    path = folder / "benchmarks" / "tiny" / "table.yaml"
    text = path.read_text().replace(
        "model: {use: vae.VAE, latent: 2, hidden: [4]}",
        "model: {use: mixture.BernoulliMixture, components: 3}",
    )
    path.write_text(text)
    problems = check(load(path))
    assert any("IWAE needs a HelmholtzMachine" in p.message for p in problems)
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
    assert (problem.row, problem.field) == ("VAE", "train.rule")
    assert "VAE" in (folder / problem.file).read_text().splitlines()[problem.line - 1]


def test_an_evaluator_may_refuse_a_model_or_points(folder, monkeypatch):
    """`Evaluator.refuse` is asked of those that validate and those that test, in each row."""
    from hwbench.evaluators.importance import Bound
    from hwbench.spec import load

    def refuse(self, model, shape):
        raise ValueError(f"{type(model).__name__} of {shape} is not to its taste")

    monkeypatch.setattr(Bound, "refuse", refuse)
    (problem,) = check(load(folder / "benchmarks" / "tiny" / "table.yaml"))
    assert problem.message == "importance.Bound: VAE of (4, 4) is not to its taste"
    assert (problem.row, problem.field) == ("IWAE", "train.validate")


def test_images_of_a_size_that_a_lenet_does_not_know_are_told_before_a_run():
    """Of the data set that a profile uses: at smoke, 8 x 8 digits stand in for 32 x 32 ones."""
    from hwbench.spec import find, load

    images = find(Path(__file__).parents[1] / "benchmarks")["alws/images"]
    spec = load(images)
    spec.document["profiles"]["smoke"]["evaluate"] = {}  # the net for 32 x 32 pixels
    found = {problem.message for problem in check(spec)}
    sizes = "this LeNet sees images of 28 x 28 or 32 x 32"
    assert found == {f"lenet.LeNetFID: {sizes}; found 64 pixels"}


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
            "but there are none",
        ),
        ("layer: 1", "layer: 3", "there is no layer 3 to pretrain"),
        ("layers: [3, 2]", "layers: [3]", "two or more hidden layers"),
        ("epochs: 1}}", "epoch: 1}}", "no argument 'epoch'"),
        ("epochs: 1}}", "epochs: 1}, steps: 5}", "unknown key"),
        ("supervised.Backpropagation, epochs: 1", "em.EM", "em.EM needs a Mixture"),
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
    assert "needs validation points, but the data set has none" in problem.message
    assert problem.field == "train.1.fit.patience"
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


def test_a_mistake_of_a_whole_stage_is_named_by_the_stage(folder):
    problems = problems_after(folder, ("epochs: 3", "epochs: 3\n    steps: 7"))
    assert {p.field for p in problems} == {"train"}
    assert all("exactly one of epochs and steps" in p.message for p in problems)


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
        ("{use: Adam, maximize: true}", "'maximize' cannot be set here; allowed: amsgrad, betas"),
        ("{use: SGD, foreach: true}", "'foreach' cannot be set here; allowed: dampening"),
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


def test_weight_kl_needs_random_generative_weights(folder):
    rule = "rule: {use: bounds.IWAE, k: 2"
    (problem,) = problems_after(folder, (rule, rule + ", weight_kl: true"))
    assert "no random generative weights" in problem.message
    assert (problem.row, problem.field) == ("IWAE", "train.rule")
    assert problem.line == 13
    assert str(problem).startswith(f"{problem.file}:13: row IWAE, train.rule: ")


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
