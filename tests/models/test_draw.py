"""DRAW against loops and closed forms; one step of it is a variational auto-encoder."""

import math

import pytest
import torch
from torch.nn import functional as F

from hwbench.captions import VOCABULARY, WORDS, encode, sentence
from hwbench.models.conditional import ConditionalVAE
from hwbench.models.draw import DRAW, Banks, filter_bank, gaussian_kl
from hwbench.models.sentences import SentenceEncoder

CODES = WORDS * len(VOCABULARY)


def points(n, side=6):
    torch.manual_seed(3)
    captions = encode([sentence(i % 8, [i % 10, (i + 3) % 10]) for i in range(n)])
    return torch.cat([torch.rand(n, side * side).round(), captions.flatten(1).float()], 1)


def moved(model):
    """A model away from its start, where many outputs are zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


def test_filter_banks_are_the_formula():
    """Against a loop over filters and pixels, at centres inside and outside of the image."""
    centre, stride = torch.tensor([2.0, -1.0, 9.5]), torch.tensor([1.0, 0.3, 2.0])
    log_variance = torch.tensor([0.0, -1.0, 1.5])
    bank = filter_bank(centre, stride, log_variance, 4, 7)
    for b in range(3):
        for i in range(4):
            mean = float(centre[b]) + (i - 1.5) * float(stride[b])
            row = [math.exp(-((a - mean) ** 2) / (2 * math.exp(log_variance[b]))) for a in range(7)]
            expected = torch.tensor(row) / sum(row)
            torch.testing.assert_close(bank[b, i], expected, rtol=1e-4, atol=1e-6)


def test_at_zero_the_window_spans_the_image():
    """The outermost filters lie on the first and the last pixel, with σ = γ = 1."""
    model = DRAW(100 + CODES, window=4, steps=1, hidden=3, latent=2, caption="none")
    torch.nn.init.zeros_(model.read.grid.weight)
    torch.nn.init.zeros_(model.read.grid.bias)
    banks = model.read(torch.zeros(1, 3))
    expected = filter_bank(torch.tensor([4.5]), torch.tensor([3.0]), torch.zeros(1), 4, 10)
    torch.testing.assert_close(banks.down, expected)
    torch.testing.assert_close(banks.across, expected)
    assert banks.down[0].argmax(1).tolist() == [0, 3, 6, 9]
    assert banks.intensity == 1


def test_reading_a_constant_gives_it_and_writing_conserves_ink():
    """Rows of a filter sum to 1: read(c) = γ c, and what is written sums to Σ w / γ."""
    torch.manual_seed(0)
    down, across = (
        filter_bank(torch.rand(2) * 5, torch.rand(2) + 0.5, torch.randn(2), 3, n) for n in (6, 8)
    )
    banks = Banks(down, across, torch.tensor([2.0, 0.5]))
    image = torch.full((2, 1, 6, 8), 0.7)
    expected = torch.tensor([1.4, 0.35])[:, None, None, None].expand(2, 1, 3, 3)
    torch.testing.assert_close(banks.read(image), expected)
    windows = torch.randn(2, 3, 3)
    ink = banks.write(windows).sum((1, 2))
    torch.testing.assert_close(ink, windows.sum((1, 2)) / banks.intensity)
    there_and_back = banks.read(banks.write(torch.ones(2, 3, 3))[:, None])
    assert there_and_back.shape == (2, 1, 3, 3)
    by_hand = [
        down[i] @ (down[i].T @ torch.ones(3, 3) @ across[i]) @ across[i].T for i in range(2)
    ]  # γ cancels
    torch.testing.assert_close(there_and_back[:, 0], torch.stack(by_hand))


def test_divergence_of_a_step_is_the_closed_form():
    torch.manual_seed(0)
    mean, log_std, prior_mean, prior_log_std = torch.randn(4, 5, 3)
    q, p = (
        torch.distributions.Normal(m, s.exp())
        for m, s in ((mean, log_std), (prior_mean, prior_log_std))
    )
    expected = torch.distributions.kl_divergence(q, p).sum(1)
    found = gaussian_kl(mean, log_std, prior_mean, prior_log_std)
    torch.testing.assert_close(found, expected)


def test_attention_over_words_sums_to_one_and_depends_on_the_step():
    model = moved(DRAW.tiny())
    _, captions = model.parts(points(4))
    h = torch.randn(4, 5)
    weights = model.attention(captions, h)
    assert weights.shape == (4, WORDS)
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    assert (weights > 0).all()
    assert not torch.allclose(weights, model.attention(captions, -h))


def test_equal_weights_are_no_alignment():
    """A score of zero for every word gives the mean of their states."""
    aligned = moved(DRAW.tiny())
    torch.nn.init.zeros_(aligned.alignment.score.weight)
    mean = DRAW(36 + CODES, steps=2, hidden=5, latent=3, window=3, language=4, caption="mean")
    mean.load_state_dict(
        {k: v for k, v in aligned.state_dict().items() if not k.startswith("alignment")}
    )
    x, bounds = points(4), []
    for model in (aligned, mean):
        torch.manual_seed(5)
        bounds.append(model.bound(x))
    torch.testing.assert_close(*bounds)


def test_without_caption_no_word_counts():
    model = moved(DRAW(36 + CODES, steps=2, hidden=5, latent=3, window=3, caption="none"))
    x = points(2)
    _, captions = model.parts(x)
    noise = model.noise(2)
    assert torch.equal(model.generate(captions, noise), model.generate(captions.flip(0), noise))
    assert not any(name.startswith("sentences") for name, _ in model.named_parameters())


def test_one_step_without_attention_is_a_variational_auto_encoder():
    """Its bound, written as that of a VAE: nets e(x), q(z | x), f(z), and the prior N(0, I)."""
    model = moved(DRAW(36 + CODES, steps=1, hidden=5, latent=3, window=None, caption="none"))
    x = points(7)
    image = x[:, :36]
    residual = image - model.canvas.sigmoid()
    start = model.encoder_start, model.decoder_start
    inputs = torch.cat([image, residual, start[1].expand(7, -1)], 1)
    e = lstm(model.encoder, inputs, start[0])
    mean, log_variance = model.posterior(e).chunk(2, 1)
    torch.manual_seed(9)
    bound = model.bound(x)
    torch.manual_seed(9)
    z = mean + (0.5 * log_variance).exp() * torch.randn(7, 1, 3)[:, 0]
    logits = model.canvas + model.patch(lstm(model.decoder, z, start[1]))
    kl = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(1)
    expected = -F.binary_cross_entropy_with_logits(logits, image, reduction="none").sum(1) - kl
    torch.testing.assert_close(bound, expected, rtol=1e-6, atol=1e-6)


def lstm(cell, inputs, start):
    """One step of an LSTM from a cell of zeros, gate by gate; the forget gate has no effect."""
    gates = inputs @ cell.weight_ih.T + cell.bias_ih + start @ cell.weight_hh.T + cell.bias_hh
    enter, _, candidate, leave = gates.chunk(4, 1)
    return leave.sigmoid() * (enter.sigmoid() * candidate.tanh()).tanh()


def test_the_bound_lies_below_log_p():
    """By quadrature over the noise of two steps; equal where nothing depends on the latents."""
    model = moved(DRAW(1 + CODES, steps=2, hidden=4, latent=1, window=None, caption="none"))
    x = points(1, side=1)
    image, captions = model.parts(x)
    axis = torch.linspace(-7, 7, 71)
    grid = torch.cartesian_prod(axis, axis)
    means = model.generate(captions.expand(len(grid), -1, -1), grid[..., None])[:, 0]
    likelihood = means if image[0, 0] else 1 - means
    density = (-0.5 * grid.square().sum(1)).exp()
    log_p = ((likelihood * density).sum() / density.sum()).log()
    torch.manual_seed(0)
    draws = model.bound(x.expand(2000, -1)).detach()
    se = draws.std() / math.sqrt(2000)
    assert log_p - 3 < draws.mean() < log_p + 5 * se
    for layer in (model.patch, model.prior, model.posterior):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    exact = -F.binary_cross_entropy_with_logits(model.canvas, image[0])
    torch.testing.assert_close(model.bound(x), exact[None])


def test_backward_states_read_the_words_backwards():
    """Reversing the words swaps the roles of two LSTMs with the same weights."""
    torch.manual_seed(0)
    encoder = SentenceEncoder(22, 3, "words")
    encoder.backwards.load_state_dict(encoder.forwards.state_dict())
    captions = encode([sentence(0, [3, 5]), sentence(6, [1])]).float()
    forwards, backwards = encoder(captions).chunk(2, 2)
    again = encoder(captions.flip(1)).chunk(2, 2)[0].flip(1)
    torch.testing.assert_close(backwards, again)
    assert not torch.allclose(forwards, backwards)


def test_reversing_the_batch_reads_the_caption_of_another_image():
    """The released code's slip, as it is."""
    torch.manual_seed(0)
    encoder = SentenceEncoder(22, 3, "batch")
    encoder.backwards.load_state_dict(encoder.forwards.state_dict())
    forwards, backwards = encoder(encode([sentence(0, [3, 5]), sentence(6, [1])]).float()).chunk(
        2, 2
    )
    torch.testing.assert_close(backwards, forwards.flip(0))


def test_the_same_noise_and_caption_give_the_same_image():
    """An image depends on its own caption and noise alone, whatever else is in the batch."""
    for model in (moved(DRAW.tiny()), moved(ConditionalVAE.tiny())):
        _, captions = model.parts(points(5))
        noise = model.noise(5)
        whole = model.generate(captions, noise)
        assert whole.shape == (5, 36)
        assert ((whole > 0) & (whole < 1)).all()
        torch.testing.assert_close(model.generate(captions[2:3], noise[2:3]), whole[2:3])
        assert not torch.allclose(model.generate(captions.flip(0), noise), whole)


def test_conditional_vae_is_its_formula():
    model = moved(ConditionalVAE.tiny())
    x = points(4)
    image, captions = model.parts(x)
    s = model.sentences(captions).mean(1)
    mean, log_variance = model.recognition(torch.cat([image, s], 1)).chunk(2, 1)
    torch.manual_seed(2)
    bound = model.bound(x)
    torch.manual_seed(2)
    z = mean + (0.5 * log_variance).exp() * torch.randn(4, 3)
    logits = model.pixels(model.top(torch.cat([z, s], 1)))
    kl = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(1)
    expected = -F.binary_cross_entropy_with_logits(logits, image, reduction="none").sum(1) - kl
    torch.testing.assert_close(bound, expected)


def test_a_window_larger_than_the_image():
    with pytest.raises(ValueError, match="window of 7 x 7 is larger than the image of 6 x 6"):
        DRAW(36 + CODES, window=7)
