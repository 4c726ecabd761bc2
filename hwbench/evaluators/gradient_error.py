"""Error of estimates of ∇_θ log p(x) beside the exact gradient of each point.

Dims: R repeats, B points, P parameters.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.build import make
from hwbench.evaluators.gradient import spread, squared_norm
from hwbench.evaluators.points import points_of
from hwbench.numerics import generator, stream
from hwbench.protocols import (
    Evaluation,
    Evaluator,
    ExactDreamer,
    HeldOut,
    LogJointRule,
    Metric,
    TrainSplit,
)

TINY = 1e-300  # stands for an error of zero, whose logarithm would be infinite


def jacobian(f: Float[Tensor, "b"], parameters: Sequence[nn.Parameter]) -> Float[Tensor, "b p"]:
    """Return ∂f_b/∂θ_p, by a second derivative for each of the (few) parameters.

    Σ_b v_b ∂f_b/∂θ_p is linear in v, and its gradient by v is a column.
    """
    v = torch.zeros_like(f, requires_grad=True)
    products = torch.autograd.grad(f, parameters, v, create_graph=True)
    entries = torch.cat([product.flatten() for product in products])
    columns = [torch.autograd.grad(entry, v, retain_graph=True)[0] for entry in entries]
    return torch.stack(columns, 1)


class GradientError(Evaluator[ExactDreamer]):
    """The error of a rule's estimate ĝ(x) of g(x) = ∇_θ log p_θ(x), over points x.

        relative_error       mean_x ‖ĝ(x) − g(x)‖ / mean_x ‖g(x)‖, averaged over repeats
        log_relative_error   its logarithm, linear in log N if the error is a power of N
        bias                 (mean_x ‖E ĝ(x) − g(x)‖² / mean_x ‖g(x)‖²)^½, without the noise of ĝ
        spread               (mean_x tr Cov ĝ(x) / mean_x ‖g(x)‖²)^½

    Everything is computed in float64. A rule without chance is asked once.

    Args:
        estimator: the `use` block of a `LogJointRule`.
        repeats: number of fresh estimates, at least 3.
        points: number of random held-out points.

    Raises:
        ValueError: a count is too small, or the estimator is no `LogJointRule`.
    """

    metrics = ("relative_error", "log_relative_error", "bias", "spread")
    better = "lower"

    def __init__(
        self,
        estimator: dict[str, Any],
        repeats: Annotated[int, Field(ge=3)] = 20,
        points: Annotated[int, Field(ge=1)] = 100,
    ) -> None:
        if repeats < 3 or points < 1:
            raise ValueError(
                f"GradientError: needs repeats ≥ 3 and points ≥ 1 (found {repeats=}, {points=})"
            )
        self.estimator, self.repeats, self.points = estimator, repeats, points
        rule = make("rule", estimator)  # This reveals a mistake before anything is measured.
        if not isinstance(rule, LogJointRule):
            raise ValueError(
                f"GradientError: {estimator['use']} gives no estimate for each point; it is no "
                "LogJointRule"
            )

    @classmethod
    def tiny(cls) -> GradientError:
        """Return a small measurement of amortised learning."""
        return cls({"use": "kernel.AmortisedLearning", "samples": 50}, repeats=3)

    def refuse(self, model: ExactDreamer, shape: tuple[int, ...]) -> None:
        """Reject a model that the estimator cannot train.

        Raises:
            ValueError: it has another protocol than the estimator needs, or lacks something.
        """
        rule = make("rule", self.estimator, visible=model.visible)
        if not isinstance(model, rule.trains()):
            raise ValueError(
                f"{self.estimator['use']} needs a {rule.trains().__name__}; "
                f"{type(model).__name__} is not one"
            )
        rule.check(model)

    def __call__(
        self,
        model: ExactDreamer,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the metrics above; the model is not changed."""
        model = copy.deepcopy(model).double()
        parameters = [p for p in model.parameters() if p.requires_grad]
        split = points_of(points, self.points, seed)
        device = split.values.device
        pixels = generator(seed, "evaluate", "pixels", device=device)
        x = split.batch(torch.arange(len(split), device=device), pixels).double()
        devices = [device] if device.type == "cuda" else []
        draws = []
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            torch.manual_seed(stream(seed, "evaluate", "gradient"))
            rule: LogJointRule = make("rule", self.estimator, visible=model.visible).to(device)
            rule.check(model)
            rule.begin(model, TrainSplit(split.values, None, split.scale, split.resample))
            truth = jacobian(model.log_prob(x), parameters)
            for r in range(1 if rule.deterministic else self.repeats):
                draws.append(jacobian(rule.estimate(model, x), parameters))
                progress((r + 1) / self.repeats)
        if rule.deterministic:
            draws *= self.repeats
            progress(1.0)
        return _summary(torch.stack(draws) - truth, truth)


def _summary(error: Float[Tensor, "r b p"], truth: Float[Tensor, "b p"]) -> Evaluation:
    r, n = error.shape[:2]
    each = error.norm(dim=2).mean(1) / truth.norm(dim=1).mean()  # [R]
    value, noise = float(each.mean()), float(each.std()) / math.sqrt(r)
    above = value or TINY
    size = float(truth.norm())
    square, square_se = squared_norm(error.flatten(1))
    bias = math.sqrt(max(square, 0.0)) / size
    deviation, deviation_se = spread(error.flatten(1))
    bias_se = square_se / (2 * bias * size**2) if bias else math.sqrt(square_se) / size
    return Evaluation(
        {
            "relative_error": Metric(value, mc_se=noise, n=n),
            "log_relative_error": Metric(math.log(above), mc_se=noise / above, n=n),
            "bias": Metric(bias, mc_se=bias_se, n=n),
            "spread": Metric(deviation / size, mc_se=deviation_se / size, n=n),
        },
        diagnostics={"gradient_norm": size / math.sqrt(n)},
    )
