"""Learning rules of neural processes: amortised learning, and the original objective.

Dims: N dreams, B functions of a batch, C context places, T target places, Z latents.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from hwbench.build import make
from hwbench.protocols import (
    ExponentialDreamer,
    Fit,
    Latents,
    LogJointRule,
    ProcessModel,
    Rule,
    TrainSplit,
    ValidationSplit,
)

Count = Annotated[int, Field(ge=1)]
LOG_2PI = math.log(2 * math.pi)


class GivenContext(ExponentialDreamer):
    """A process given some of a function's values: a model of its values at target places.

    z ~ N(m, diag s²) with m and s from the context, y_t ~ N(f(z, t), g(z, t)²).

    Args:
        process: the process, whose parameters gradients reach.
        context: places and values [C] of the context.
        targets: places [T].
    """

    def __init__(
        self, process: ProcessModel, context: tuple[Tensor, Tensor], targets: Tensor
    ) -> None:
        super().__init__()
        self.visible = len(targets)
        self.process, self.targets = process, targets
        self.prior = Normal(*process.latent(*context), validate_args=False)

    @classmethod
    def tiny(cls) -> GivenContext:
        """Raise an error: it is made of a process and a context, never of a spec."""
        raise NotImplementedError

    def log_likelihood(self, x: Float[Tensor, "*b t"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(y | z)."""
        mean, scale = self.process.predict(h[0], self.targets)
        return Normal(mean, scale, validate_args=False).log_prob(x).sum(-1)

    def log_joint(self, x: Float[Tensor, "*b t"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(y, z)."""
        return self.log_likelihood(x, h) + self.prior.log_prob(h[0]).sum(-1)

    def natural(self, h: Latents) -> Float[Tensor, "n s"]:
        """Return η(z) = (f/g², −1/(2g²)): [N, 2T]."""
        mean, scale = self.process.predict(h[0], self.targets)
        precision = scale.pow(-2)
        return torch.cat([mean * precision, -0.5 * precision], 1)

    def normaliser(self, h: Latents) -> Float[Tensor, "n"]:
        """Return Σ_t f²/(2g²) + log g + ½ log 2π − log p(z)."""
        mean, scale = self.process.predict(h[0], self.targets)
        terms = 0.5 * (mean / scale).square() + scale.log() + 0.5 * LOG_2PI
        return terms.sum(1) - self.prior.log_prob(h[0]).sum(1)

    def statistics(self, x: Float[Tensor, "b t"]) -> Float[Tensor, "b s"]:
        """Return S(y) = (y, y²): [B, 2T]."""
        return torch.cat([x, x.square()], 1)

    @torch.no_grad()
    def dream(self, n: int) -> tuple[Float[Tensor, "n t"], Latents]:
        """Return n joint samples, y [n, T] and z [n, Z]."""
        mean, scale = self.prior.loc, self.prior.scale
        z = mean + scale * torch.randn(n, len(mean)).to(mean)
        f, g = self.process.predict(z, self.targets)
        return f + g * torch.randn_like(f), [z]

    def sample(self, n: int) -> Float[Tensor, "n t"]:
        """Return n draws of y."""
        return self.dream(n)[0]


class _ProcessRule(Rule[ProcessModel]):
    """A rule that draws, at each step, places of a context and further places.

    Targets are all of them.
    """

    rounds = False

    def __init__(self, context: int, extra: int) -> None:
        super().__init__()
        self.context, self.extra = context, extra

    def check(self, model: ProcessModel) -> None:
        """Reject a process with too few places.

        Raises:
            ValueError: there are fewer than the context and the further places need.
        """
        wanted = self.context + self.extra
        if model.visible < wanted:
            raise ValueError(
                f"{type(self).__name__}: {self.context} context and {self.extra} further places "
                f"are {wanted}, and functions have {model.visible}"
            )

    def _places(self, x: Float[Tensor, "b d"]) -> tuple[Tensor, Tensor]:
        """Return places of the context, and of the targets, which begin with them."""
        drawn = torch.randperm(x.shape[1], device=x.device)[: self.context + self.extra]
        return drawn[: self.context], drawn


class AmortisedProcess(_ProcessRule):
    """Amortised learning of a neural process (Wenliang et al., 2020).

    Given the context of each function, the process is a model of the targets with the prior
    p(z | context), which another rule trains: no posterior given the targets is needed.

    Args:
        rule: the `use` block of the rule for each function, `kernel.AmortisedLearning`.
        context: places of the context.
        extra: further places.
    """

    def __init__(self, rule: dict[str, Any], context: Count = 4, extra: Count = 4) -> None:
        super().__init__(context, extra)
        self.rule: LogJointRule = make("rule", rule)

    @classmethod
    def tiny(cls) -> AmortisedProcess:
        """Return a rule with few dreams."""
        inner = {"use": "kernel.AmortisedLearning", "samples": 64, "form": "exponential"}
        return cls(inner, context=2, extra=2)

    def check(self, model: ProcessModel) -> None:
        """Reject a process with too few places, and a rule that no process can be trained by.

        Raises:
            ValueError: there are too few places, or the other rule needs another protocol.
        """
        super().check(model)
        wanted = self.rule.trains()
        if not issubclass(GivenContext, wanted):
            raise ValueError(
                f"AmortisedProcess: {type(self.rule).__name__} needs a {wanted.__name__}, and a "
                "process given a context is an ExponentialDreamer; use kernel.AmortisedLearning"
            )

    def begin(self, model: ProcessModel, train: TrainSplit) -> None:
        """Let the other rule prepare, given the first function."""
        self.check(model)
        first = train.batch(torch.arange(1, device=train.values.device))
        self.rule.begin(self._given(model, first[0], *self._places(first)), train)

    def forward(self, model: ProcessModel, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return the other rule's loss, averaged over functions."""
        places = self._places(x)
        losses = [self.rule(self._given(model, y, *places), y[places[1]][None]) for y in x]
        return torch.stack(losses).mean()

    @staticmethod
    def _given(model: ProcessModel, y: Tensor, context: Tensor, targets: Tensor) -> GivenContext:
        return GivenContext(model, (context, y[context]), targets)


class ProcessObjective(_ProcessRule):
    """The objective of neural processes (Garnelo et al., 2018), with one reparametrised sample.

        E_{q(z|T)}[log p(y_T | z)] − KL(q(z | T) ‖ q(z | C))

    The authors' code of amortised learning has the two in the KL the other way round, a slip.

    Args:
        context: places of the context C.
        extra: further places; T are all.
    """

    def __init__(self, context: Count = 4, extra: Count = 4) -> None:
        super().__init__(context, extra)

    @classmethod
    def tiny(cls) -> ProcessObjective:
        """Return a rule with few places."""
        return cls(context=2, extra=2)

    def forward(self, model: ProcessModel, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return minus the objective, averaged over functions."""
        self.check(model)
        context, targets = self._places(x)
        given, full = (
            Normal(*model.latent(places, x[:, places]), validate_args=False)
            for places in (context, targets)
        )
        mean, scale = model.predict(full.rsample(), targets)
        log_p = Normal(mean, scale, validate_args=False).log_prob(x[:, targets]).sum(1)
        return (kl_divergence(full, given).sum(1) - log_p).mean()


class Untouched(Fit[ProcessModel]):
    """Leave the process as it is, for comparison."""

    def __init__(self) -> None:
        """Take no arguments; without a constructor of its own a class seems to accept any."""

    def __call__(
        self,
        model: ProcessModel,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Do nothing; the seed has no effect, and there are no curves."""
        progress(1.0, "left as it is")
        return {}
