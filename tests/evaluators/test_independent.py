"""Log-likelihood on a stream of each net's own: other samples, the same points."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hwbench.check import check
from hwbench.evaluators.exact import exact_log_prob
from hwbench.evaluators.importance import LogLikelihood
from hwbench.evaluators.independent import IndependentLogLikelihood
from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.numerics import stream
from hwbench.protocols import Scratch, TestSplit
from hwbench.spec import parse

SIGMA = 5.0


class Memory(Scratch):
    """Keeps everything, at once."""

    def __init__(self):
        self.kept = {}

    def load(self, name):
        return self.kept.get(name)

    def save(self, name, arrays):
        self.kept[name] = {k: np.array(v) for k, v in arrays.items()}


@pytest.fixture(scope="module")
def nets():
    """Two nets that differ a little, as two training runs do."""
    torch.manual_seed(0)
    first = BinaryHelmholtzMachine(visible=8, layers=[5])
    with torch.no_grad():
        for p in first.parameters():
            p.normal_(0, 0.7)
        second = BinaryHelmholtzMachine(visible=8, layers=[5])
        for p, q in zip(second.parameters(), first.parameters(), strict=True):
            p.copy_(q + 0.05 * torch.randn_like(q))
    return first, second


@pytest.fixture(scope="module")
def points():
    torch.manual_seed(1)
    return TestSplit((torch.rand(12, 8) < 0.4).to(torch.uint8))


@pytest.mark.statistical
def test_errors_of_two_names_are_independent(nets):
    """300 estimates of log p(x) at one x, 10 times: the correlation is 0 within SIGMA.

    On the shared stream it is above 0.5, of the same errors but for the stream.
    """
    points = TestSplit(torch.tensor([[1, 0, 1, 1, 0, 0, 1, 0]] * 300, dtype=torch.uint8))
    exact = [exact_log_prob(net, points.values[:1].float(), [5]).item() for net in nets]

    def errors(evaluators):
        found = [
            np.concatenate([evaluator(net, points, seed=s).per_point["log_px"] for s in range(10)])
            for net, evaluator in zip(nets, evaluators, strict=True)
        ]
        return np.stack(found) - np.array(exact)[:, None]

    own = errors([IndependentLogLikelihood(name, k=5) for name in "ab"])
    shared = errors([LogLikelihood(k=5)] * 2)
    assert abs(np.corrcoef(own)[0, 1]) < SIGMA / math.sqrt(own.shape[1])
    assert np.corrcoef(shared)[0, 1] > 0.5
    spread = np.sqrt((own.var(1) + shared.var(1)) / own.shape[1])
    assert (abs(own.mean(1) - shared.mean(1)) < SIGMA * spread).all()


def test_another_name_is_another_draw_and_the_same_name_the_same(nets, points):
    log_px = [
        IndependentLogLikelihood(name, k=20)(nets[0], points, seed=3).per_point["log_px"]
        for name in ("a", "a", "b")
    ]
    assert np.array_equal(log_px[0], log_px[1])
    assert (log_px[0] != log_px[2]).all()


def test_it_is_the_plain_evaluation_at_a_seed_of_its_own(nets, points):
    """Chunks, curve and metrics are those of `LogLikelihood`."""
    found = IndependentLogLikelihood("a", k=50, repeats=2)(nets[0], points, seed=3)
    plain = LogLikelihood(k=50, repeats=2)(nets[0], points, seed=stream(3, "net", "a"))
    assert repr(found.metrics) == repr(plain.metrics)
    assert found.curves == plain.curves
    assert np.array_equal(found.per_point["log_px"], plain.per_point["log_px"])


def test_every_net_sees_the_points_of_the_plain_evaluation(nets, points, monkeypatch):
    """The points the sums run over, by what the net is asked about."""
    seen = []
    infer = nets[0].infer

    def watched(x, k):
        seen[-1].append(x)
        return infer(x, k)

    monkeypatch.setattr(nets[0], "infer", watched)
    for evaluator in (
        LogLikelihood(k=10, points=5),
        IndependentLogLikelihood("a", k=10, points=5),
        IndependentLogLikelihood("b", k=10, points=5),
    ):
        seen.append([])
        assert evaluator(nets[0], points, seed=4).metrics["nll"].n == 5
    first, *others = (torch.cat(batches) for batches in seen)
    assert all(torch.equal(first, other) for other in others)


def test_an_interrupted_evaluation_goes_on_to_the_same_numbers(nets, points, monkeypatch):
    monkeypatch.setattr("hwbench.evaluators.importance.ROWS", 100)
    evaluator = IndependentLogLikelihood("a", k=50, points=9)
    whole = evaluator(nets[0], points, seed=3)
    memory, done = Memory(), []

    def stop_early(fraction):
        done.append(fraction)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluator(nets[0], points, seed=3, progress=stop_early, scratch=memory)
    assert 0 < memory.kept["importance"]["at"] < 5
    resumed = evaluator(nets[0], points, seed=3, progress=done.append, scratch=memory)
    assert len(done) == 3 + 3  # of five groups two were kept
    assert repr(resumed.metrics) == repr(whole.metrics)
    assert np.array_equal(resumed.per_point["log_px"], whole.per_point["log_px"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"net": ""}, "net must name the net"),
        ({"k": 0}, r"k must be at least 1 \(found 0\)"),
        ({"points": 0}, r"points must be at least 1 \(found 0\)"),
        ({"repeats": -1}, r"repeats must be at least 1 \(found -1\)"),
        ({"curve": []}, r"curve must not be empty \(found \[\]\)"),
        ({"curve": [0, 5]}, r"curve must be at least 1 \(found \[0, 5\]\)"),
        ({"curve": [5, 5]}, "curve must increase"),
        ({"curve": [1, 100]}, "end at most at k = 50"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        IndependentLogLikelihood(**{"net": "a", "k": 50, **wrong})


def test_points_that_each_net_would_see_otherwise_are_refused(nets):
    grey = TestSplit(torch.full((5, 8), 100, dtype=torch.uint8), None, 255.0, resample=True)
    with pytest.raises(ValueError, match=r"at each presentation.*use importance\.LogLikelihood"):
        IndependentLogLikelihood("a", k=5)(nets[0], grey, seed=0)


SPEC = "evaluate: {use: importance.LogLikelihood, k: 16}"


@pytest.mark.parametrize(
    ("block", "problems"),
    [
        ("net: a, k: 16", []),
        ("net: a, k: 16, curve: [1, 16]", []),
        ("k: 16", ["needs the argument 'net'"]),
        ("net: '', k: 16", ["at least 1 character"]),
        ("net: a, k: 16, curve: []", ["at least 1 item"]),
        ("net: a, k: 0", ["greater than or equal to 1"]),
    ],
)
def test_a_check_of_a_spec_reads_its_arguments_and_names(folder, tiny_text, block, problems):
    path = folder / "benchmarks" / "tiny" / "table.yaml"
    use = f"evaluate: {{use: independent.IndependentLogLikelihood, {block}}}"
    figures = "figures: [{title: K, kind: curve, curve: k_curve}]\n"
    path.write_text(tiny_text.replace(SPEC, use) + figures)
    spec, _, mistakes = parse(path)
    assert mistakes == []
    found = {problem.message for problem in check(spec)}
    assert len(found) == len(problems)
    assert all(part in message for part, message in zip(problems, found, strict=True))
