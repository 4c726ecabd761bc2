"""Machines of images and texts with two units in each layer: all states are enumerated."""

import itertools
import math

import pytest
import torch

from hwbench.models.multimodal import (
    MultimodalAutoencoder,
    MultimodalDBM,
    MultimodalDBN,
    SimpleMultimodal,
)
from hwbench.protocols import Counts, PairedTrainSplit
from hwbench.rules.boltzmann import MeanFieldPCD

IMAGE, WORDS, LENGTH, UNITS = 3, 3, 2, 10
SIGMA = 5.0


def made(cls=MultimodalDBM, noise=0.5, **arguments):
    """A machine away from any symmetry, in float64."""
    torch.manual_seed(0)
    sizes = {"words": WORDS, "image": [2, 2], "text": [2, 2], "joint": 2, "length": LENGTH}
    model = cls(IMAGE + WORDS, 3, **(sizes | arguments)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(noise * torch.randn_like(p))
    model.lengths.fill_(LENGTH)
    model.most = LENGTH
    return model


@pytest.fixture(scope="module")
def net():
    return made()


def hidden_states():
    """All 2^10 states of the hidden layers, a list of layers [1024, 2]."""
    bits = torch.tensor(list(itertools.product((0.0, 1.0), repeat=UNITS)), dtype=torch.float64)
    return list(bits.split(2, 1))


def texts():
    """Counts of all ordered texts of two words, [9, 3]."""
    words = torch.cartesian_prod(*[torch.arange(WORDS)] * LENGTH)
    return torch.nn.functional.one_hot(words, WORDS).sum(1).double()


def log_weights(net):
    """log ∫ dv Σ_t exp(−E(v, t, h)) for every hidden state; the Gaussian in closed form.

    −E is linear in v − b and in the words, so both integrate one by one.
    """
    h = hidden_states()
    image = net.pixels.visible_bias.expand(len(h[0]), -1)
    nothing = torch.cat([image, image.new_zeros(len(image), WORDS)], 1)
    own = -net.machine().energy([nothing, *h]).detach()  # v = b, no words
    slope = h[0] @ net.pixels.weight.t()
    gauss = slope.square().sum(1) / 2 + IMAGE / 2 * math.log(2 * math.pi)
    word = net.tags.word_logits(h[2]).logsumexp(1)
    return (own + gauss + LENGTH * (word + h[2] @ net.tags.hidden_bias)).detach()


def log_joint(net, x):
    """−E for points [B, D] and every hidden state, [B, 1024]."""
    h = hidden_states()
    return torch.stack(
        [-net.machine().energy([row.expand(len(h[0]), -1), *h]) for row in x]
    ).detach()


@pytest.fixture(scope="module")
def points():
    draws = torch.Generator().manual_seed(1)
    image = torch.randn(5, IMAGE, generator=draws).double()
    return torch.cat([image, texts()[[0, 1, 4, 5, 8]]], 1)


def test_log_weights_are_the_sum_over_texts_and_the_integral(net):
    """Against the nine texts one by one, and numerical integration over one input of the image."""
    h = hidden_states()
    axis = torch.linspace(-12, 12, 2001, dtype=torch.float64)
    state = [layer[700:701] for layer in h]
    total = 0.0
    for text in texts():
        means = net.pixels.visible_means(state[0])[0]
        x = means.repeat(len(axis), 1)
        x[:, 0] = axis
        x = torch.cat([x, text.expand(len(axis), -1)], 1)
        energy = net.machine().energy([x, *[layer.expand(len(axis), -1) for layer in state]])
        one = torch.trapezoid((-energy).exp(), axis).detach()
        total += float(one * math.sqrt(2 * math.pi) ** (IMAGE - 1))
    assert math.log(total) == pytest.approx(log_weights(net)[700].item(), abs=1e-6)


def test_the_bound_is_below_and_every_sweep_raises_it(net, points):
    machine, log_z = net.machine(), log_weights(net).logsumexp(0)
    exact = log_joint(net, points).logsumexp(1) - log_z
    last = torch.full((5,), -math.inf).double()
    for sweeps in (1, 2, 3, 5, 10, 50):
        bound = machine.bound(points, machine.mean_field(points, sweeps)) - log_z
        assert (bound > last - 1e-9).all()
        assert (bound < exact).all()
        last = bound
    assert (exact - last).max() < 1.0
    damped = machine.mean_field(points, 200, damping=0.5)
    torch.testing.assert_close(machine.bound(points, damped) - log_z, last, atol=1e-5, rtol=0)


def exact_draws(net, n):
    """Even layers of n states, drawn from the machine by enumeration."""
    state = log_weights(net).softmax(0).multinomial(n, replacement=True)
    h = [layer[state] for layer in hidden_states()]
    image = net.pixels.visible_means(h[0])
    words = net.tags.word_logits(h[2]).softmax(1).multinomial(LENGTH, replacement=True)
    counts = torch.nn.functional.one_hot(words, WORDS).sum(1).double()
    return torch.cat([image + torch.randn_like(image), counts, h[1], h[3]], 1).detach()


@pytest.mark.statistical
def test_a_gibbs_sweep_leaves_the_machine_as_it_is(net):
    """From exact draws, the means of all even layers stay where enumeration has them."""
    h, p = hidden_states(), log_weights(net).softmax(0)
    torch.manual_seed(2)
    even = exact_draws(net, 40_000)
    moved = net.machine().gibbs(even, 1)
    exact = torch.cat(
        [
            net.pixels.visible_means(h[0]),
            LENGTH * net.tags.word_logits(h[2]).softmax(1),
            h[1],
            h[3],
        ],
        1,
    ).detach()
    z = (moved.mean(0) - p @ exact) / (moved.std(0) / math.sqrt(len(moved)))
    assert z.abs().max() < SIGMA
    assert (moved != even).any(1).double().mean() > 0.5


@pytest.mark.statistical
def test_persistent_chains_give_the_exact_gradient(net, points):
    """Of the bound, with enumeration in place of the chains; over 20 groups, within 5 s.e."""
    groups: dict[str, list] = {}
    for group in range(20):
        rule, model = MeanFieldPCD(iterations=30, sweeps=5), made()
        torch.manual_seed(group)
        rule.chains = exact_draws(net, 1000)
        rule.backward(model, points)
        for name, p in model.named_parameters():
            if p.grad is not None:
                groups.setdefault(name, []).append(p.grad)
    found = {name: torch.stack(parts) for name, parts in groups.items()}
    machine = net.machine()
    net.zero_grad()
    positive = machine.energy([points, *machine.mean_field(points, 30)]).mean()
    p, h = log_weights(net).softmax(0), hidden_states()
    with torch.no_grad():
        means = [net.pixels.visible_means(h[0]), LENGTH * net.tags.word_logits(h[2]).softmax(1)]
    negative = p @ machine.energy([torch.cat(means, 1), *h])
    (positive - negative).backward()
    for name, p in net.named_parameters():
        if p.grad is not None:
            se = found[name].std(0) / math.sqrt(20)
            assert ((found[name].mean(0) - p.grad).abs() / se).max() < SIGMA, name
    assert len(found) > 10


def test_pretrained_halves_compose_to_the_machine():
    """Each conditional is the sum of both halves: the log odds of pretraining, averaged."""
    net = made()
    machine, h = net.machine(), [torch.rand(4, 2).double() for _ in range(5)]
    x = torch.cat([torch.randn(4, IMAGE).double(), texts()[:4]], 1)
    logits = machine.inputs([x, *h])
    for path, part in enumerate(net.parts_of(x)):
        own = net.paths[path]
        upper = own.second.pair(1)
        half = 2 * own.from_part(part)
        assert torch.equal(own.from_part(part) * own.first.scale_up, half)
        torch.testing.assert_close(logits[2 * path], (half + upper.down(h[2 * path + 1])) / 2)
        sides = net.top.pair(1).down(h[4]).split(2, 1)[path]
        torch.testing.assert_close(logits[2 * path + 1], (upper.up(h[2 * path]) + sides) / 2)
    torch.testing.assert_close(logits[4], net.top.pair(1).up(torch.cat([h[1], h[3]], 1)))


def text_given_image(net, image):
    """Expected counts of words given an image, by enumeration of texts and hidden states."""
    counts = texts()
    x = torch.cat([image.expand(len(counts), -1), counts], 1)
    return log_joint(net, x).logsumexp(1).softmax(0) @ counts


@pytest.mark.statistical
def test_texts_from_images_rank_words_as_enumeration_does():
    images = torch.randn(6, IMAGE, generator=torch.Generator().manual_seed(4)).double()
    x = torch.cat([images, torch.zeros(6, WORDS).double()], 1)
    exact = torch.stack([text_given_image(made(), image) for image in images])
    sampler = made(infer="gibbs", sweeps=60)
    torch.manual_seed(5)
    every = sampler.generate(x.repeat_interleave(500, 0)).view(6, 500, -1)
    sampled, se = every.mean(1), every.std(1) / math.sqrt(500)
    assert ((sampled - exact).abs() / se).max() < SIGMA
    inferred = made(sweeps=200).generate(x)
    assert torch.equal(inferred.argsort(1), exact.argsort(1))
    assert torch.equal(sampled.argsort(1), exact.argsort(1))
    torch.testing.assert_close(inferred.sum(1), exact.sum(1))


@pytest.mark.parametrize("cls", [MultimodalDBM, MultimodalDBN, MultimodalAutoencoder])
def test_a_text_without_words_is_filled_in(cls):
    net = made(cls)
    x = torch.cat([torch.randn(2, IMAGE).double(), texts()[:2]], 1)
    x[1, IMAGE:] = 0
    filled = net.complete_text(x)
    assert torch.equal(filled[0], x[0])
    torch.testing.assert_close(filled[1, IMAGE:], net.generate(x[1:])[0])
    assert filled[1, IMAGE:].sum() == pytest.approx(LENGTH)
    given = net.represent(x, "joint")
    torch.testing.assert_close(given[1], net.represent(x, "joint", "generated")[1])
    assert not torch.allclose(given[1], net.represent(x, "joint", "zero")[1])
    alone = made(cls, text=[])
    assert torch.equal(alone.represent(x, "joint"), alone.represent(x, "joint", "zero"))
    with pytest.raises(ValueError, match="there is no text to generate"):
        alone.generate(x)


def simple():
    """One layer of two units above an image and a text, away from any symmetry."""
    torch.manual_seed(6)
    model = SimpleMultimodal(IMAGE + WORDS, 3, WORDS, 2, length=LENGTH).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.5 * torch.randn_like(p))
    return model


def test_one_layer_is_its_energy(points):
    """F(v, t) = −log Σ_h exp(−E), and p(h | v, t), by enumeration of the four states."""
    both = simple().both
    image, text = points.split([IMAGE, WORDS], 1)
    minus_energy = []
    for h in itertools.product((0.0, 1.0), repeat=2):
        h = torch.tensor(h).double()
        own = (
            -(image - both.pixels.visible_bias).square().sum(1) / 2 + image @ both.pixels.weight @ h
        )
        own = own + text @ both.tags.visible_bias + text @ both.tags.weight @ h
        minus_energy.append(own + h @ both.pixels.hidden_bias + LENGTH * h @ both.tags.hidden_bias)
    log_p = torch.stack(minus_energy, 1)  # states 00, 01, 10, 11
    torch.testing.assert_close(both.free_energy(points), -log_p.logsumexp(1))
    p = log_p.softmax(1)
    expected = torch.stack([p[:, 2] + p[:, 3], p[:, 1] + p[:, 3]], 1)
    torch.testing.assert_close(simple().represent(points, "joint"), expected.detach())


def test_one_layer_ranks_words_as_enumeration_does():
    model, counts = simple(), texts()
    images = torch.randn(6, IMAGE, generator=torch.Generator().manual_seed(4)).double()
    x = torch.cat([images, torch.zeros(6, WORDS).double()], 1)
    exact = torch.stack(
        [
            (-model.both.free_energy(torch.cat([image.expand(9, -1), counts], 1))).softmax(0)
            @ counts
            for image in images
        ]
    ).detach()
    assert torch.equal(model.generate(x).argsort(1), exact.argsort(1))


def test_the_autoencoder_encodes_as_the_belief_network_does(points):
    """Before training, upward; downward it is the network's pass of means from its top."""
    torch.manual_seed(7)
    net, twin = made(MultimodalAutoencoder), made(MultimodalDBN)
    for layer, values in twin.values(points).items():
        assert torch.equal(net.values(points)[layer], values)
    joint = net.values(points)["joint"]
    upper = twin.top.pair(1).down(joint).sigmoid()
    lower = [
        path.second.pair(1).down(h).sigmoid()
        for path, h in zip(twin.paths, upper.split(2, 1), strict=True)
    ]
    image, logits, counts = net.reconstruct(points)
    torch.testing.assert_close(image, twin.pixels.visible_means(lower[0]))
    torch.testing.assert_close(logits, twin.tags.word_logits(lower[1]))
    torch.testing.assert_close(counts, points[:, IMAGE:])


def test_bad_input_is_named():
    values = torch.tensor([[1.0, 2, 3], [0, 2, 4]])
    split = PairedTrainSplit(
        values=values, text=Counts.of(torch.tensor([[1, 0, 2], [0, 1, 0]])), word_names=tuple("abc")
    )
    with pytest.raises(ValueError, match="input 1 of the images does not vary"):
        MultimodalDBM(6, 3, 3, [2, 2], [2, 2], 2).adapt(split)
    empty = PairedTrainSplit(**(vars(split) | {"text": Counts.of(torch.zeros(2, 3).long())}))
    empty.values[0, 1] = 5.0
    with pytest.raises(ValueError, match="no text of the training data has words"):
        MultimodalDBM(6, 3, 3, [2, 2], [2, 2], 2).adapt(empty)
    with pytest.raises(ValueError, match=r"two or none above the text; found .* text = \[2\]"):
        MultimodalDBN(6, 3, 3, [2, 2], [2], 2)
    with pytest.raises(ValueError, match="6 words of 6 observed units leave none"):
        MultimodalDBN(6, 3, 6, [2, 2], [2, 2], 2)
