import torch

from hwbench.models.convolutional import BinaryImagesVAE
from hwbench.rules.naive import PosteriorSampler


def test_theta_ascends_at_samples_and_phi_descends_the_error_on_dreams():
    """Each gradient is that of its own term alone, taken again with the same random numbers."""
    torch.manual_seed(0)
    model = BinaryImagesVAE.tiny()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    theta, phi = list(model.generative.parameters()), list(model.recognition.parameters())
    x = (torch.rand(7, 4) < 0.5).float()
    torch.manual_seed(1)
    loss = PosteriorSampler().backward(model, x)
    found = [p.grad.clone() for p in (*theta, *phi)]

    torch.manual_seed(1)
    (z,), _ = model.infer(x, 1, pathwise=True)
    ascended = -model.log_joint(x, [z.detach()]).mean()
    dreams, latents = model.dream(7)
    wanted = model.log_joint(dreams, [latents[0][None]]).detach()
    (sampled,), _ = model.infer(dreams, 1, pathwise=True)
    error = (model.log_joint(dreams, [sampled]) - wanted).square().mean()
    expected = torch.autograd.grad(ascended, theta) + torch.autograd.grad(error, phi)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(loss, (ascended + error).detach())
