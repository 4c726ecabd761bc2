"""Products of rounded factors by way of float32, against float64 and against those of torch."""

import contextlib

import pytest
import torch
from torch.nn import functional as F

from hwbench import products
from hwbench.models.dbm import DBM
from hwbench.protocols import TrainSplit
from hwbench.rules.boltzmann import MeanFieldPCD

HALF = 2**-8  # the most that rounding to the 8 bits of bfloat16 moves a number, relatively


@pytest.fixture
def factors():
    torch.manual_seed(0)
    return torch.randn(7), torch.randn(5, 300), torch.randn(300, 7)


CALLS = {
    "addmm": lambda c, x, w: torch.addmm(c, x, w),
    "addmm of a view": lambda c, x, w: torch.addmm(c, x, w.t().contiguous().t()),
    "mm": lambda c, x, w: torch.mm(x, w) + c,
    "matmul": lambda c, x, w: torch.matmul(x, w) + c,
    "@": lambda c, x, w: x @ w + c,
    "a method": lambda c, x, w: c.expand(5, 7).addmm(x, w),
    "linear": lambda c, x, w: F.linear(x, w.t(), c),
    "by name": lambda c, x, w: torch.addmm(input=c, mat1=x, mat2=w, beta=1, alpha=1),
    "linear without a bias": lambda c, x, w: F.linear(x, w.t()) + c,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_comes_out_is_rounded_once_or_twice(call, factors):
    """Against float64 products of the rounded factors, summed: float32 sums and what is rounded."""
    low = [value.bfloat16() for value in factors]
    expected = call(*(value.double() for value in low))
    with products.RoundedProducts():
        found = call(*low)
    assert found.dtype == torch.bfloat16
    size = expected.abs() + low[0].double().abs()
    assert ((found.double() - expected).abs() <= 2 * HALF * size + 1e-5).all()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_product_is_left_to_torch(call, factors):
    """Not even one: within, factors of bfloat16 reach torch as float32 alone."""
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "mm" in func.__name__:
                seen.extend(value.dtype for value in args)
            return func(*args, **(kwargs or {}))

    with Watch(), products.RoundedProducts():
        call(*(value.bfloat16() for value in factors))
    assert seen
    assert set(seen) == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_other_types_are_left_alone(dtype, factors):
    values = [value.to(dtype) for value in factors]
    with products.RoundedProducts():
        for call in CALLS.values():
            found = call(*values)
            assert found.dtype == dtype
    for call in CALLS.values():
        plain = call(*values)
        with products.RoundedProducts():
            assert torch.equal(call(*values), plain)


def test_types_that_do_not_match_are_refused_as_ever(factors):
    _, x, w = factors
    with products.RoundedProducts(), pytest.raises(RuntimeError, match="dtype"):
        x.bfloat16() @ w


def test_a_joint_step_is_that_of_torch():
    """Means are rounded alike but where sums fall across an edge; so few draws differ."""
    found = []
    for context in (contextlib.nullcontext(), products.RoundedProducts()):
        torch.manual_seed(0)
        model = DBM(20, layers=[12, 8], init=0.3)
        rule = MeanFieldPCD(iterations=5, sweeps=1, chains=50, precision="bfloat16")
        x = torch.rand(50, 20).round()
        rule.begin(model, TrainSplit(x))
        with context:
            rule.backward(model, x)
        found.append([p.grad for p in (*model.weights, *model.biases)])
    for plain, wide in zip(*found, strict=True):
        assert (plain - wide).abs().max() < 0.02


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("low", [True, False])
def test_they_are_used_where_they_are_asked_for_and_the_cpu_has_none(low, native, monkeypatch):
    monkeypatch.setattr(products, "native", lambda device: native)
    with products.fast(torch.device("cpu"), low) as mode:
        assert isinstance(mode, products.RoundedProducts) is (low and not native)


def test_a_gpu_has_its_own():
    assert products.native(torch.device("cuda", 0))


def test_a_factor_that_changes_is_widened_again(factors):
    """What is kept of a factor must not outlive its values, nor a view be taken for its owner."""
    _, x, w = (value.bfloat16() for value in factors)

    def agree(left, right):
        exact = left.double() @ right.double()
        assert ((left @ right - exact).abs() <= HALF * exact.abs() + 1e-5).all()

    with products.RoundedProducts(), torch.no_grad():
        agree(x, w)
        agree(w.t(), x.t())
        agree(x[:, :200], w[:200])
        agree(x[:, 100:], w[100:])
        w[0] = 0
        agree(x, w)
        w.mul_(2)
        agree(x, w)
        agree(x, w[:1].expand(300, 7))


def test_nothing_is_kept_of_what_is_gone(factors):
    _, x, w = (value.bfloat16() for value in factors)
    with products.RoundedProducts() as mode, torch.no_grad():
        _ = x @ w
        assert len(mode._kept) == 2
        del w
        assert len(mode._kept) == 1


def test_under_autocast_float32_factors_are_rounded_as_torch_rounds_them():
    """Values and gradients, of a product and of one on top; sums may differ in their last bit."""
    torch.manual_seed(0)
    x, w, v, c = torch.rand(20, 30), torch.randn(10, 30), torch.randn(10, 4), torch.randn(10)
    found = []
    for context in (contextlib.nullcontext(), products.RoundedProducts()):
        leaves = [t.clone().requires_grad_() for t in (w, v, c)]
        with context, products.low_precision(torch.device("cpu"), low=True):
            out = F.linear(x, leaves[0], leaves[2]).tanh() @ leaves[1]
        assert out.dtype == torch.bfloat16
        found.append([out.float(), *torch.autograd.grad(out.float().square().sum(), leaves)])
    exact = [w.double(), v.double(), c.double()]
    for leaf in exact:
        leaf.requires_grad_()
    out = F.linear(x.double(), exact[0], exact[2]).tanh() @ exact[1]
    whole = [out, *torch.autograd.grad(out.square().sum(), exact)]
    for own, torchs, true in zip(found[1], found[0], whole, strict=True):
        assert own.dtype == torch.float32
        assert (own - torchs).abs().max() <= 4 * HALF * true.abs().max()
        moved = (own - true).abs().max()
        assert 0.1 * HALF * true.abs().mean() < moved < 20 * HALF * true.abs().max()


def test_full_precision_is_full_inside_a_low_one(factors):
    _, x, w = factors
    exact = x @ w
    for low in (True, False):
        with products.fast(torch.device("cpu"), low), products.low_precision(x.device, low):
            with products.full_precision(x.device):
                assert torch.equal(x @ w, exact)
            assert (x @ w).dtype == (torch.bfloat16 if low else torch.float32)
    assert torch.equal(x @ w, exact)
