"""A naive model of the gradient: a net that draws a "posterior sample" for each point."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from hwbench.protocols import HelmholtzMachine, Rule


class PosteriorSampler(Rule[HelmholtzMachine]):
    """Learn a sampler h = S_φ(x, ε) on dreams, and θ at its samples (Wenliang et al., 2020, code).

        φ descends mean (log p(x', S_φ(x', ε)) − log p(x', h'))²,   x', h' ~ p a dream
        θ ascends  mean ∇_θ log p(x, h),   h = S_φ(x, ε) held constant

    S_φ is the reparameterised sample of q(h | x). It is trained to match the value of the log
    joint, not the posterior: any latent with the right log joint will do, whatever its gradient.
    The authors give it as an example that does not work well; their sampler is a convolutional
    net of x and noise.

    The loss is −log p(x, h) plus the squared error, averaged over points and dreams.
    """

    rounds = False

    def forward(self, model: HelmholtzMachine, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return the surrogate loss on the batch and on as many dreams."""
        h = [h_l.detach() for h_l in model.infer(x, 1, pathwise=True).h]
        loss = -model.log_joint(x, h).mean()
        dreams, latents = model.dream(len(x))
        with torch.no_grad():
            wanted = model.log_joint(dreams, [h_l[None] for h_l in latents])
        sampled = model.infer(dreams, 1, pathwise=True).h
        leaves = [h_l.detach().requires_grad_() for h_l in sampled]
        error = (model.log_joint(dreams, leaves) - wanted).square().mean()
        slopes = torch.autograd.grad(error, leaves)  # not θ: the error trains only φ
        along = torch.stack([(s * h).sum() for s, h in zip(slopes, sampled, strict=True)]).sum()
        return loss + error.detach() + along - along.detach()
