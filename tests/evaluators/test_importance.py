"""Importance-sampled log-likelihood: against quadrature, itself in chunks, its error estimates."""

import itertools
import math
import weakref

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hwbench.evaluators.importance import ROWS, Bound, LogLikelihood, block_means, log_weights
from hwbench.evaluators.latents import ActiveUnits
from hwbench.evaluators.points import points_of
from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.models.vae import VAE
from hwbench.numerics import effective_sample_size, log_mean_exp, pareto_k
from hwbench.protocols import Scratch, TestSplit

SIGMA = 5.0


def bits(evaluation):
    """Return its metrics in a form that compares to the bit, NaN too."""
    return {name: repr(metric) for name, metric in evaluation.metrics.items()}


class Memory(Scratch):
    """Keeps everything, at once."""

    def __init__(self):
        self.kept = {}
        self.saves = 0

    def load(self, name):
        return self.kept.get(name)

    def save(self, name, arrays):
        self.kept[name] = {k: np.array(v) for k, v in arrays.items()}
        self.saves += 1


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = VAE(4, latent=1, hidden=[5], output_bias="zero")
    with torch.no_grad():
        for p in model.generative.parameters():
            p.mul_(1.5)
        head = model.recognition[0].net.layers[-1]
        head.weight[1:], head.bias[1:] = (
            0.0,
            0.4,
        )  # a proposal wider than the posterior: bounded weights
    return model


@pytest.fixture
def points():
    return TestSplit(torch.cartesian_prod(*[torch.tensor([0, 1], dtype=torch.uint8)] * 4))


def exact_log_prob(model, points):
    grid = torch.linspace(-9, 9, 2000)
    with torch.no_grad():
        log_p = model.log_joint(
            points.values.float(), [grid[:, None, None].expand(-1, len(points), 1)]
        )
        return (log_p.double() + math.log(grid[1] - grid[0])).logsumexp(0)


@pytest.mark.statistical
def test_estimate_agrees_with_quadrature(model, points):
    """Within SIGMA of its Monte Carlo error; the bias −Var(w)/2K of the log is below it here."""
    found = LogLikelihood(k=20_000)(model, points, seed=0).metrics["log_likelihood"]
    exact = exact_log_prob(model, points).mean().item()
    assert found.kind == "lower bound"
    assert found.n == 16
    assert abs(found.value - exact) < SIGMA * found.mc_se
    assert found.mc_se < 0.01


@pytest.mark.statistical
def test_monte_carlo_error_of_one_run_is_that_of_repeats(model, points):
    """Delta method against the spread over 40 evaluations: χ² with 39 degrees of freedom, SIGMA."""
    values = [
        LogLikelihood(k=2000)(model, points, seed=s).metrics["log_likelihood"] for s in range(40)
    ]
    spread = np.std([v.value for v in values], ddof=1)
    claimed = np.mean([v.mc_se for v in values])
    assert abs(spread / claimed - 1) < SIGMA / math.sqrt(2 * 39)


def narrow(model, log_std):
    """The same model with a proposal narrower than the posterior: heavy-tailed weights."""
    with torch.no_grad():
        model.recognition[0].net.layers[-1].bias[1:] = log_std
    return model


@pytest.mark.statistical
def test_an_error_that_would_be_too_small_is_not_reported(model, points):
    """Where k̂ > 0.7 the delta method claims much less than the spread of 100 evaluations."""
    model = narrow(model, -2.0)
    runs = [LogLikelihood(k=300)(model, points, seed=s) for s in range(100)]
    assert all(math.isnan(run.metrics[name].mc_se) for run in runs for name in METRICS[:2])
    assert runs[0].diagnostics["pareto_k_median"] > 0.7
    spread = np.std([run.metrics["log_likelihood"].value for run in runs], ddof=1)
    claimed = []
    for seed in range(100):
        torch.manual_seed(seed)
        with torch.no_grad():
            ess = effective_sample_size(log_weights(model, points.values.float(), 300).double())
        claimed.append(math.sqrt((1 / ess - 1 / 300).sum().item()) / 16)
    assert np.mean(claimed) < spread * (1 - SIGMA / math.sqrt(2 * 99))
    repeated = LogLikelihood(k=300, repeats=20)(model, points, seed=0).metrics["log_likelihood"]
    assert repeated.mc_se == pytest.approx(spread / math.sqrt(20), rel=SIGMA / math.sqrt(2 * 19))


def test_the_error_of_one_run_needs_a_tail_and_most_of_the_variance_from_good_ones():
    evaluator = LogLikelihood(k=100)
    ess = np.array([50.0, 50.0, 1 / (1 / 100 + 2e-3)])  # 0.01 + 0.01 + 0.002 in 1 / ESS − 1 / K
    good, bad, unknown = 0.5, 0.8, math.nan
    known = evaluator._delta_error(ess, np.array([good, good, bad]))
    assert known == pytest.approx(math.sqrt(0.022) / 3)
    assert math.isnan(evaluator._delta_error(ess, np.array([good, bad, good])))
    assert math.isnan(evaluator._delta_error(ess, np.array([unknown] * 3)))
    exact = evaluator._delta_error(np.full(3, 100.0), np.array([unknown] * 3))
    assert exact == 0.0  # all weights are alike


METRICS = [
    "log_likelihood", "nll", "elbo", "looseness", "estimator_variance", "kl", "reconstruction"
]  # fmt: skip


def test_metrics_say_what_they_are(model, points):
    """Bounds are the log-likelihood, its negative and the ELBO; grey pixels' are scores."""
    found = LogLikelihood(k=64)(model, points, seed=0).metrics
    assert list(found) == METRICS
    assert [found[name].kind for name in METRICS] == [
        "lower bound", "upper bound", "lower bound", *["estimate"] * 4
    ]  # fmt: skip
    assert Bound(k=8)(model, points, seed=0).metrics["log_likelihood"].kind == "lower bound"
    grey = TestSplit(torch.full((5, 4), 100, dtype=torch.uint8), None, 255.0)
    found = LogLikelihood(k=64)(model, grey, seed=0).metrics
    assert {name for name in METRICS if found[name].kind != "score"} == {"kl", "estimator_variance"}
    assert Bound(k=8)(model, grey, seed=0).metrics["log_likelihood"].kind == "score"


@pytest.mark.statistical
def test_estimator_variance_is_that_of_smaller_evaluations(model, points):
    """Ten blocks of 20 in one evaluation, 50 times, against 500 evaluations with 20 samples."""
    blocks = [LogLikelihood(k=200)(model, points, seed=s) for s in range(50)]
    found = np.array([run.metrics["estimator_variance"].value for run in blocks])
    assert blocks[0].metrics["estimator_variance"].k == 20
    small = np.stack(
        [LogLikelihood(k=20)(model, points, seed=s).per_point["log_px"] for s in range(500)]
    ).astype(np.float64)
    each = ((small - small.mean(0)) ** 2).mean(1) * 500 / 499  # mean over points, by evaluation
    error = math.hypot(found.std(ddof=1) / math.sqrt(50), each.std(ddof=1) / math.sqrt(500))
    assert abs(found.mean() - each.mean()) < SIGMA * error < 0.3 * each.mean()
    assert "estimator_variance" not in LogLikelihood(k=1)(model, points, seed=0).metrics


def test_a_table_from_another_version_is_not_gone_on_with(model, points):
    memory = Memory()
    memory.save("importance", {"table": np.zeros((1, 16, 3)), "at": np.array(1)})
    found = LogLikelihood(k=50)(model, points, seed=0, scratch=memory)
    assert bits(found) == bits(LogLikelihood(k=50)(model, points, seed=0))


@pytest.mark.statistical
def test_looseness_is_the_rise_of_the_curve(model, points):
    """log p̂ − ELBO with the error of paired differences; it tends to KL(q ‖ posterior)."""
    found = LogLikelihood(k=20_000)(model, points, seed=0)
    loose, curve = found.metrics["looseness"], found.curves["k_curve"]
    assert loose.value == pytest.approx(curve.y[-1] - curve.y[0], abs=1e-9)
    assert (loose.n, loose.k) == (16, 20_000)
    assert loose.se < found.metrics["log_likelihood"].se + found.metrics["elbo"].se
    grid, x = torch.linspace(-9, 9, 2000)[:, None, None].expand(-1, 16, 1), points.values.float()
    with torch.no_grad():
        log_q = model.log_q([grid], x).double()
        log_posterior = model.log_joint(x, [grid]).double() - exact_log_prob(model, points)
        kl = (log_q.exp() * (log_q - log_posterior)).sum(0) * 18 / 1999
    assert loose.value == pytest.approx(kl.mean().item(), abs=0.01)
    tight = LogLikelihood(k=20_000)(narrow(model, 0.0), points, seed=0).metrics["looseness"]
    assert 0 < tight.value < 0.5 * loose.value


def test_every_pass_sees_the_same_pixels(model):
    """A net that ignores h: only the draw of the pixels could tell its passes apart."""
    with torch.no_grad():
        model.generative[0].layers[0].weight.zero_()
        model.generative[0].head_bias.copy_(torch.tensor([2.0, 1.0, -1.0, 0.5]))
        model.recognition[0].net.layers[-1].weight.zero_()
        model.recognition[0].net.layers[-1].bias.zero_()  # q is the prior
    grey = TestSplit(torch.full((300, 4), 100, dtype=torch.uint8), None, 255.0, resample=True)
    metric = LogLikelihood(k=10, repeats=3)(model, grey, seed=0).metrics["log_likelihood"]
    assert metric.mc_se < 1e-6 < metric.se


def test_repeats_average_and_report_their_spread(model, points):
    found = LogLikelihood(k=200, repeats=4)(model, points, seed=0).metrics["log_likelihood"]
    assert 0 < found.mc_se < 0.1


def test_chunked_equals_unchunked(model, points):
    """A net without random weights draws one normal per sample: chunks see the same stream."""
    x = points.values.float()
    torch.manual_seed(0)
    whole = log_weights(model, x, 64, rows=10**6)
    torch.manual_seed(0)
    parts = log_weights(model, x, 64, rows=16 * len(x))
    torch.testing.assert_close(whole, parts)


def test_100_000_samples_pass_through_in_bounded_chunks(monkeypatch):
    """At most ROWS samples × points exist at a time, however many are asked for."""
    net, sizes = BinaryHelmholtzMachine.tiny(), []

    def infer(x, k, *, pathwise=False, infer=net.infer):
        sizes.append(k * len(x))
        return infer(x, k, pathwise=pathwise)

    monkeypatch.setattr(net, "infer", infer)
    data = TestSplit(torch.randint(2, (3, 4)).float())
    found = LogLikelihood(k=100_000)(net, data, seed=0)
    assert sum(sizes) == 3 * 100_000
    assert max(sizes) <= ROWS < 100_000
    assert found.metrics["log_likelihood"].k == 100_000


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that are alive, and their peak."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.numel():
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage):
        address, size = storage.data_ptr(), storage.nbytes()
        if address not in self.seen:
            self.seen.add(address)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, address, size)

    def _free(self, address, size):
        self.seen.discard(address)
        self.live -= size


def test_memory_is_flat_in_the_number_of_samples():
    """25 times as many samples of an image need less than a quarter more: their log weights."""
    model = BinaryHelmholtzMachine(784, [20])
    split = TestSplit(torch.zeros(1, 784, dtype=torch.uint8))
    peaks = []
    for k in (4_000, 100_000):
        with LiveBytes() as memory:
            LogLikelihood(k=k)(model, split, seed=0)
        peaks.append(memory.peak)
    assert peaks[0] > 1e6
    assert peaks[1] < 1.25 * peaks[0]


@pytest.mark.parametrize("random", [[], ["recognition"], ["generative"]])
def test_weights_scored_in_parts_are_those_scored_at_once(random, monkeypatch):
    """Random generative weights are drawn while scoring, so their samples stay together."""
    model = VAE(visible=6, latent=[3, 2], hidden=[4], random=random)
    x = torch.ones(2, 6)
    found = []
    for part in (10_000, 7):
        monkeypatch.setattr("hwbench.evaluators.importance.PART", part)
        torch.manual_seed(0)
        with torch.no_grad():
            found.append(log_weights(model, x, 50))
    torch.testing.assert_close(*found)


def test_k_curve_is_nested_and_rises_to_the_estimate(model, points):
    found = LogLikelihood(k=500)(model, points, seed=0)
    curve = found.curves["k_curve"]
    assert curve.x == [1, 2, 5, 10, 25, 50, 100, 250, 500]
    y = dict(zip(curve.x, curve.y, strict=True))
    assert all(y[b] >= y[a] - 1e-9 for b in curve.x for a in curve.x if 500 % b == b % a == 0)
    assert curve.y[-1] == pytest.approx(found.metrics["log_likelihood"].value, abs=1e-6)
    assert curve.y[0] == pytest.approx(found.metrics["elbo"].value, abs=1e-6)


COUNTS = [1, 5, 10, 25, 100, 500, 1000, 10_000, 100_000]  # the counts of the published figure
CHAINS = [  # 10 does not divide 25
    [1, 2, 4, 8, 64],
    [1, 3, 6, 30, 600],
    [n for n in COUNTS if n != 10],
    [n for n in COUNTS if n != 25],
]
TAILS = {  # log weights [K, B] whose averages are decided by a few samples
    "cauchy": lambda k: 10 * torch.empty(k, 8).cauchy_(),
    "one giant": lambda k: torch.full((k, 1), -700.0).index_fill(0, torch.tensor([k // 3]), 700.0),
    "falling": lambda k: -torch.arange(k).double()[:, None],
    "two levels": lambda k: torch.where(torch.rand(k, 8) < 0.03, 0.0, -1e4),
    "impossible": lambda k: torch.where(torch.rand(k, 8) < 0.5, 3.0, -math.inf),
    "alike": lambda k: torch.full((k, 1), -123.4),
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_block_means_never_fall_along_a_dividing_chain(chain, tail):
    """Whatever the weights, where each size divides the next and the last divides K."""
    torch.manual_seed(0)
    k = chain[-1] if chain[-1] > 1000 else 3 * chain[-1]
    log_w = TAILS[tail](k).double()
    means = torch.stack([block_means(log_w, size) for size in chain])
    tolerance = 1e-12 * means.abs().nan_to_num(posinf=0).clamp(min=1)
    assert (means[1:] >= means[:-1] - tolerance[1:]).all()


def test_block_means_may_fall_where_blocks_are_not_nested():
    """Samples 0, 10 and 20 of 50 weigh 1: three of five blocks of 10 have one, one of two of 25."""
    log_w = torch.full((50, 1), -100.0).double()
    log_w[[0, 10, 20]] = 0.0
    means = {size: block_means(log_w, size).item() for size in (5, 10, 25, 50)}
    assert means[10] == pytest.approx(-40 - 0.6 * math.log(10))
    assert means[25] == pytest.approx(-50 - 0.5 * math.log(25 / 3))
    assert means[25] < means[10]
    assert means[5] <= means[10] <= means[50]
    assert means[5] <= means[25] <= means[50]


@pytest.mark.statistical
def test_the_published_counts_rise_where_they_divide_and_else_in_expectation():
    """10 does not divide 25: the mean rise over 200 sets of log-normal weights is above 0."""
    torch.manual_seed(0)
    assert [(a, b) for a, b in itertools.pairwise(COUNTS) if b % a] == [(10, 25)]
    assert all(100_000 % size == 0 for size in COUNTS)
    log_w = 4 * torch.randn(1000, 200).double()
    rise = block_means(log_w, 25) - block_means(log_w, 10)
    assert rise.mean() > SIGMA * rise.std() / math.sqrt(200)


def test_errors_of_the_curve_are_those_over_points(model, points):
    """At its ends they are those of the ELBO and of the estimate."""
    found = LogLikelihood(k=50)(model, points, seed=0)
    ends = [found.metrics[name].se for name in ("elbo", "log_likelihood")]
    errors = found.curves["k_curve"].se
    assert [errors[0], errors[-1]] == pytest.approx(ends, rel=1e-6)
    values = found.per_point["log_px"].astype(np.float64)
    assert errors[-1] == pytest.approx(values.std(ddof=1) / 4, rel=1e-5)


@pytest.mark.parametrize("heavy", [8, 10])
def test_diagnostics_sum_up_the_weights_of_the_points(model, points, monkeypatch, heavy):
    """Weights of `heavy` of 16 points are one giant (ESS 1) of k̂ 0.8, else alike, of k̂ 0.6."""
    log_w = torch.zeros(100, 16)
    log_w[7, :heavy] = 700.0
    k_hat = torch.full((16,), 0.6)
    k_hat[:heavy] = 0.8
    module = "hwbench.evaluators.importance"
    monkeypatch.setattr(f"{module}.log_weights", lambda model, x, k: log_w)
    monkeypatch.setattr(f"{module}.pareto_k", lambda log_w: k_hat)
    found = LogLikelihood(k=100)(model, points, seed=0)
    assert found.diagnostics == pytest.approx(
        {
            "ess_mean": (heavy + 100 * (16 - heavy)) / 16,
            "ess_min": 1.0,
            "pareto_k_median": 0.7 if heavy == 8 else 0.8,
            "pareto_k_above_0.7": heavy / 16,
        },
        abs=1e-6,
    )
    assert len(found.warnings) == (heavy > 8)  # more than half of the points
    assert all("62% of the points" in text for text in found.warnings)


def test_block_means_by_hand():
    log_w = torch.tensor([[1.0], [2.0], [3.0], [9.0], [5.0]]).log()
    expected = (math.log(1.5) + math.log(6.0)) / 2
    assert block_means(log_w, 2).item() == pytest.approx(expected, abs=1e-6)


def test_an_interrupted_evaluation_goes_on_to_the_same_numbers(model, points, monkeypatch):
    monkeypatch.setattr("hwbench.evaluators.importance.ROWS", 300)
    whole = LogLikelihood(k=100)(model, points, seed=3)
    memory = Memory()
    state = {"calls": 0}

    def stop_early(fraction):
        state["calls"] += 1
        if state["calls"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LogLikelihood(k=100)(model, points, seed=3, progress=stop_early, scratch=memory)
    assert memory.saves == 2
    resumed = LogLikelihood(k=100)(model, points, seed=3, scratch=memory)
    assert bits(resumed) == bits(whole)
    np.testing.assert_array_equal(resumed.per_point["log_px"], whole.per_point["log_px"])


def test_same_seed_same_numbers_and_torch_stream_untouched(model, points):
    torch.manual_seed(7)
    a = LogLikelihood(k=50)(model, points, seed=1)
    after = torch.rand(1)
    torch.manual_seed(7)
    assert torch.rand(1) == after
    assert bits(LogLikelihood(k=50)(model, points, seed=1)) == bits(a)
    other = LogLikelihood(k=50)(model, points, seed=2)
    assert other.metrics["log_likelihood"].value != a.metrics["log_likelihood"].value


def test_reconstruction_minus_kl_is_the_elbo(model, points):
    found = LogLikelihood(k=64)(model, points, seed=0).metrics
    gap = found["reconstruction"].value - found["kl"].value - found["elbo"].value
    assert gap == pytest.approx(0.0, abs=1e-9)
    assert found["kl"].value > 0


def test_random_weights_are_also_evaluated_at_their_means(points):
    torch.manual_seed(0)
    model = VAE(4, latent=1, hidden=[5], random=["generative", "recognition"], weight_log_var=-0.5)
    with torch.no_grad():
        model.recognition[0].net.head_bias[1:] = 0.4
    found = LogLikelihood(k=2000)(model, points, seed=0).metrics
    plain = VAE(4, latent=1, hidden=[5])
    state = {
        k.replace(".mean.", "."): v for k, v in model.state_dict().items() if "log_var" not in k
    }
    plain.load_state_dict(state)
    expected = exact_log_prob(plain, points).mean().item()
    assert found["log_likelihood_mean_weights"].value == pytest.approx(expected, abs=0.02)
    assert abs(found["log_likelihood"].value - expected) > 0.1


def test_grey_pixels_are_labelled_a_score(model):
    grey = TestSplit(torch.full((5, 4), 100, dtype=torch.uint8), None, 255.0)
    found = LogLikelihood(k=10)(model, grey, seed=0).metrics
    assert found["log_likelihood"].kind == "score"
    assert found["nll"].value == -found["log_likelihood"].value


def test_subset_is_random_and_seeded():
    split = TestSplit(torch.arange(100, dtype=torch.uint8)[:, None])
    a, b, c = (points_of(split, 30, seed).values for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert len(a.unique()) == 30
    assert a.max() > 60  # not the top
    assert points_of(split, None, 0) is split


@pytest.mark.parametrize("curve", [[5, 5], [10, 2], [1, 100]])
def test_a_curve_that_does_not_increase_or_goes_too_far_is_refused(curve):
    with pytest.raises(ValueError, match="curve must increase"):
        LogLikelihood(k=50, curve=curve)


@pytest.mark.statistical
def test_bound_evaluator_agrees_with_the_curve(model, points):
    many = [Bound(k=5)(model, points, seed=s).metrics["log_likelihood"].value for s in range(50)]
    curve = LogLikelihood(k=5000, curve=[5, 5000])(model, points, seed=0).curves["k_curve"]
    se = np.std(many, ddof=1) / math.sqrt(50)
    assert abs(np.mean(many) - curve.y[0]) < SIGMA * math.hypot(se, 0.005)


def test_effective_sample_size_limits():
    equal = torch.zeros(10, 1)
    one = torch.full((10, 1), -50.0)
    one[3] = 0.0
    assert effective_sample_size(equal).item() == pytest.approx(10)
    assert effective_sample_size(one).item() == pytest.approx(1)


@pytest.mark.statistical
@pytest.mark.parametrize("shape", [0.3, 0.5, 0.8])
def test_pareto_k_finds_the_tail_of_pareto_weights(shape):
    """Weights u^−k have a Pareto tail of shape k; the mean k̂ of 200 sets, in SIGMA + prior bias."""
    torch.manual_seed(0)
    log_w = -shape * torch.rand(10_000, 200).double().log()
    k_hat = pareto_k(log_w)
    tail = 300
    prior = (tail * shape + 5) / (tail + 10)  # the weak prior pulls towards 0.5
    se = k_hat.std() / math.sqrt(200)
    assert abs(k_hat.mean() - prior) < SIGMA * se + 0.01


def test_pareto_k_needs_a_tail():
    assert pareto_k(torch.zeros(10, 3)).isnan().all()


def test_log_mean_exp_survives_large_numbers():
    x = torch.tensor([[1000.0], [1000.0]])
    assert log_mean_exp(x).item() == pytest.approx(1000.0)


def test_active_units_ignores_a_unit_that_does_not_see_the_data():
    torch.manual_seed(0)
    model = VAE(6, latent=3, hidden=[8])
    head = model.recognition[0].net.layers[-1]
    with torch.no_grad():
        head.weight[:3] *= 5.0
        head.weight[1] = 0.0  # the mean of unit 1 is constant
        head.weight[3:] = 0.0
    split = TestSplit((torch.rand(200, 6) < 0.5).to(torch.uint8))
    found = ActiveUnits(points=200, k=20)(model, split, seed=0).metrics
    assert found["active_units"].value == 2
    assert found["active_units_1"].value == 2
