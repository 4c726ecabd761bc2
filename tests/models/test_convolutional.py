import math

import pytest
import torch
from scipy import integrate, stats

from hwbench.models.convolutional import (
    BinaryImages,
    NoisyUpsampler,
    RealImages,
    RealImagesVAE,
    Upsampler,
)


def test_the_net_doubles_an_image_once_for_each_of_its_channels():
    """From 16 latents to 4 x 4 pixels of 256 channels, then 128, 64 and 1, as in DCGAN."""
    net = Upsampler(16, (32, 32), [256, 128, 64])
    shapes = [tuple(layer.weight.shape) for layer in net if hasattr(layer, "weight")]
    assert shapes == [(16, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 1, 4, 4)]
    assert net(torch.zeros(3, 2, 16)).shape == (3, 2, 1024)


@pytest.mark.parametrize("image", [(12, 8), (8, 2)])
def test_an_image_that_cannot_be_halved_is_refused(image):
    with pytest.raises(ValueError, match=rf"images of {image[0]} x {image[1]} cannot be halved 3"):
        BinaryImages(visible=image[0] * image[1], shape=image, channels=[4, 4, 2])


def test_means_of_real_pixels_are_between_0_and_1_and_the_noise_starts_at_a_half():
    net = NoisyUpsampler(2, (4, 4), [3])
    assert net.log_noise.exp().item() == pytest.approx(0.5)
    with torch.no_grad():
        net[0].weight.mul_(1e4)
        means = net(torch.randn(50, 2))
    assert 0 <= means.min() < 0.5 < means.max() <= 1


def test_the_log_joint_of_real_images_is_that_of_scipy():
    torch.manual_seed(0)
    model = RealImages.tiny().double()
    x, (z,) = model.dream(5)
    with torch.no_grad():
        found = model.log_joint(x, [z])
        means = model.means(z)
    noise = model.generative.log_noise.exp().item()
    expected = stats.norm.logpdf(x, means, noise).sum(1) + stats.norm.logpdf(z).sum(1)
    torch.testing.assert_close(found, torch.from_numpy(expected))


def test_importance_weights_of_the_recognition_net_average_to_p():
    """E_q[p(x, z) / q(z | x)] = p(x), by adaptive quadrature over the latent."""
    torch.manual_seed(2)
    model = RealImagesVAE.tiny().double()
    x = torch.rand(1, 4).double()

    def density(z):
        with torch.no_grad():
            return float(model.log_joint(x, [torch.tensor([[[z]]]).double()]).exp())

    expected = math.log(integrate.quad(density, -10, 10, epsabs=1e-12)[0])
    with torch.no_grad():
        h, log_q = model.infer(x, 20_000)
        w = (model.log_joint(x, h) - log_q - expected).exp()
    assert (w.mean() - 1).abs() < 5 * w.std() / math.sqrt(len(w))
