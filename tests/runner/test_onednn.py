"""Products by oneDNN beside torch's own."""

import itertools
import threading

import pytest
import torch

from hwbench.models.vae import VAE
from hwbench.rules.bounds import IWAE
from hwbench.runner import onednn
from hwbench.runner.work import work
from hwbench.store import Store
from tests.runner.jobs import never, quiet

N, I, O = 60, 90, 40  # noqa: E741 - more than LARGE multiplications
LAYOUTS = {
    "rows": lambda n, m: torch.randn(n, m),
    "columns": lambda n, m: torch.randn(m, n).t(),
    "a part": lambda n, m: torch.randn(n, m + 7)[:, 3 : m + 3],
    "every second column": lambda n, m: torch.randn(n, 2 * m)[:, ::2],
    "one row": lambda n, m: torch.randn(1, m).expand(n, m),
    "one column": lambda n, m: torch.randn(n, 1).expand(n, m),
}


@pytest.fixture(autouse=True)
def anywhere(monkeypatch):
    """Tested on each processor that oneDNN knows, whether it pays or not."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    torch.manual_seed(0)
    monkeypatch.setattr(onednn, "pays", lambda: True)


@pytest.fixture
def calls(monkeypatch):
    """The sizes of the products that oneDNN computed."""
    found, product = [], onednn._product

    def noted(a, b, bias=None):
        found.append((*a.shape, b.shape[1]))
        return product(a, b, bias)

    monkeypatch.setattr(onednn, "_product", noted)
    return found


@pytest.mark.parametrize(("left", "right"), list(itertools.product(LAYOUTS, LAYOUTS)))
def test_products_and_sums_agree_with_double_precision(left, right, calls):
    """Within 300 roundings of the sum of absolute terms."""
    a, b, c, row = LAYOUTS[left](N, I), LAYOUTS[right](I, O), torch.randn(N, O), torch.randn(O)
    exact, terms = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    with onednn.products():
        found = {
            "mm": (a @ b, exact),
            "addmm, row": (torch.addmm(row, a, b), exact + row),
            "addmm": (torch.addmm(c, a, b, beta=0.5, alpha=-2), 0.5 * c - 2 * exact),
            "addmm of a row": (torch.addmm(row, a, b, beta=0.5), 0.5 * row + exact),
            "addmm_": (c.clone().addmm_(a, b, beta=0.5, alpha=-2), 0.5 * c - 2 * exact),
            "beta 0": ((c / 0).addmm_(a, b, beta=0), exact),
        }
    assert calls == [(N, I, O)] * len(found)
    for name, (own, true) in found.items():
        assert own.dtype == torch.float32, name
        assert ((own - true).abs() <= 300 * 2**-24 * (2 * terms + 4)).all(), name


def test_gradients_are_those_of_plain_torch(calls):
    x, w, b = torch.randn(N, I), torch.randn(O, I), torch.randn(O)

    def gradients():
        leaves = [t.clone().requires_grad_() for t in (x, w, b)]
        torch.nn.functional.linear(*leaves).square().sum().backward()
        return [t.grad for t in leaves]

    plain = gradients()
    assert not calls
    with onednn.products():
        own = gradients()
    assert len(calls) == 3
    torch.testing.assert_close(own, plain, rtol=1e-4, atol=1e-3)


def test_200_steps_of_an_iwae_part_by_rounding_only(calls):
    x = (torch.rand(50, 100) < 0.3).float()

    def losses():
        torch.manual_seed(1)
        model, rule = VAE(100, latent=5, hidden=[40]), IWAE(k=5)
        optimizer = torch.optim.Adam(model.parameters())
        found = []
        for _ in range(200):
            optimizer.zero_grad()
            found.append(float(rule.backward(model, x)))
            optimizer.step()
        return torch.tensor(found)

    plain = losses()
    with onednn.products():
        own = losses()
    assert plain[-1] < 0.9 * plain[0]
    assert calls
    torch.testing.assert_close(own, plain, rtol=1e-4, atol=0)


@pytest.mark.parametrize("case", ["outside", "small", "narrow", "double", "another thread"])
def test_other_products_are_torchs_own_bit_for_bit(case, calls):
    dtype = torch.float64 if case == "double" else torch.float32
    a, b = torch.randn(N, I, dtype=dtype), torch.randn(I, O, dtype=dtype)
    if case == "small":
        a = a[:25]
    if case == "narrow":
        a, b = torch.randn(1000, onednn.NARROW - 1), torch.randn(onednn.NARROW - 1, O)
    plain = a @ b, torch.addmm(b[:1], a, b), b[:1].expand(len(a), -1).clone().addmm_(a, b)
    found = []

    def again():
        found.extend(
            [a @ b, torch.addmm(b[:1], a, b), b[:1].expand(len(a), -1).clone().addmm_(a, b)]
        )

    if case == "outside":
        with onednn.products():
            pass
        again()
    else:
        with onednn.products():
            if case == "another thread":
                other = threading.Thread(target=again)
                other.start()
                other.join()
            else:
                again()
    assert not calls
    assert all(torch.equal(x, y) for x, y in zip(found, plain, strict=True))


def test_wrong_sizes_are_torchs_own_error():
    a, b = torch.randn(N, I), torch.randn(I, O)
    with onednn.products():
        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            a @ torch.randn(I + 1, O)
        for vector, matrix in ((a[0], b), (a, b[:, 0])):
            with pytest.raises(RuntimeError, match="must be a matrix"):
                torch.mm(vector, matrix)
        for c in (torch.randn(N, O + 1), torch.randn(N + 1, O), torch.randn(O + 1)):
            with pytest.raises(RuntimeError, match=r"size|shape"):
                torch.addmm(c, a, b)
            with pytest.raises(RuntimeError, match=r"size|shape"):
                c.addmm_(a, b)


def test_a_result_says_so(job):
    assert work(job, quiet, never).status == "done"
    assert Store(job.results).read(job.case).machine["products"] == "by oneDNN"
    assert not onednn.active()


@pytest.mark.parametrize(
    ("vendor", "capability", "pays"),
    [
        ("AuthenticAMD", "AVX512", True),
        ("AuthenticAMD", "AVX2", False),
        ("GenuineIntel", "AVX512", False),
        (None, "AVX512", False),
    ],
)
def test_it_pays_where_mkl_does_not_use_avx_512(vendor, capability, pays, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(onednn, "processor", lambda fact: vendor)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    assert onednn.pays.__wrapped__() is pays
