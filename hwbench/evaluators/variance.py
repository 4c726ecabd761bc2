"""The variance of a learning rule's gradient estimate."""

# Dims: R repeats, P parameters.

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from hwbench.build import make
from hwbench.evaluators.points import points_of
from hwbench.numerics import generator, stream
from hwbench.protocols import (
    Evaluation,
    Evaluator,
    HeldOut,
    HelmholtzMachine,
    Metric,
    Rule,
    TrainSplit,
)

GROUPS = 10  # groups of repeats, whose spread gives the error of the variance


class GradientVariance(Evaluator[HelmholtzMachine]):
    """tr Cov of a rule's gradient at fixed parameters and fixed points, per point.

    A rule's gradient on a batch is an average over its B points, whose noises are independent. So B
    times the trace of its covariance is the mean over points of the trace for a single point. The
    metrics, for the parameters φ of the recognition net and θ of the generative net, are:

        gradient_variance, gradient_variance_generative   tr Cov
        log_gradient_variance                             log tr Cov, of φ: linear in the log of the
                                                          net's size if tr Cov is a power of it
        gradient_variance_per_parameter                   tr Cov / number of parameters, of φ
        gradient_signal_to_noise                          ‖E g‖² / tr Cov, of φ, per point

    Args:
        rule: a `use` block, as in a training stage.
        repeats: number of gradients; at least 20.
        points: size of the batch, a random subset of the held-out points.
        warm_up: number of preceding gradients, for rules with a state. Running means settle, and a
            baseline's parameters are trained (by Adam at 0.01).
    """

    metrics = (
        "gradient_variance",
        "gradient_variance_generative",
        "log_gradient_variance",
        "gradient_variance_per_parameter",
        "gradient_signal_to_noise",
    )

    def __init__(
        self,
        rule: dict[str, Any],
        repeats: Annotated[int, Field(ge=2 * GROUPS)] = 100,
        points: Annotated[int, Field(ge=1)] = 100,
        warm_up: Annotated[int, Field(ge=0)] = 50,
    ) -> None:
        if repeats < 2 * GROUPS or points < 1 or warm_up < 0:
            raise ValueError(
                f"GradientVariance: needs repeats ≥ {2 * GROUPS}, points ≥ 1, warm_up ≥ 0; found "
                f"{repeats=}, {points=}, {warm_up=}"
            )
        self.rule, self.repeats, self.points, self.warm_up = rule, repeats, points, warm_up
        make("rule", rule)  # This reveals a mistake before anything is trained.

    @classmethod
    def tiny(cls) -> GradientVariance:
        """Return a small measurement of REINFORCE."""
        return cls({"use": "reinforce.REINFORCE"}, repeats=20, points=4)

    def __call__(
        self,
        model: HelmholtzMachine,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the metrics above; the model is not changed."""
        model = copy.deepcopy(model)
        split = points_of(points, self.points, seed)
        device = split.values.device
        index = torch.arange(len(split), device=device)
        x = split.batch(index, generator(seed, "evaluate", "pixels", device=device))
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            torch.manual_seed(stream(seed, "evaluate", "gradient"))
            rule: Rule = make("rule", self.rule).to(device)
            if not isinstance(model, rule.trains()):
                raise ValueError(
                    f"{type(rule).__name__} trains a {rule.trains().__name__}, "
                    f"which {type(model).__name__} is not"
                )
            rule.begin(model, TrainSplit(split.values, None, split.scale, split.resample))
            self._warm_up(rule, model, x)
            nets = {"": model.recognition, "_generative": model.generative}
            traces, squares = self._traces(rule, model, x, nets, progress)
        out = Evaluation(diagnostics={"points": float(len(x))})
        layers: list[int] = getattr(model, "layers", [])
        out.diagnostics["hidden"] = float(sum(layers))
        for name, values in traces.items():
            error = values.std().item() / math.sqrt(GROUPS)
            value = values.mean().item()
            out.metrics[f"gradient_variance{name}"] = Metric(value, mc_se=error, n=len(x))
        whole = out.metrics["gradient_variance"]
        variance, error = whole.value, whole.mc_se
        if variance > 0:
            log = Metric(math.log(variance), mc_se=error / variance, n=len(x))
            out.metrics["log_gradient_variance"] = log
        size = sum(p.numel() for p in model.recognition.parameters())
        mean = Metric(variance / size, mc_se=error / size, n=len(x))
        out.metrics["gradient_variance_per_parameter"] = mean
        # The square of the mean contains 1/R of the variance, which is subtracted.
        noise = variance / len(x) / (self.repeats // GROUPS * GROUPS)
        ratio = (squares - noise) / variance
        out.metrics["gradient_signal_to_noise"] = Metric(ratio, n=len(x))
        return out

    def _warm_up(self, rule: Rule, model: HelmholtzMachine, x: Tensor) -> None:
        own = list(rule.parameters())
        optimizer = torch.optim.Adam(own, lr=0.01) if own else None
        for _ in range(self.warm_up):
            rule.zero_grad()
            rule.backward(model, x)
            if optimizer is not None:
                optimizer.step()

    def _traces(
        self,
        rule: Rule,
        model: HelmholtzMachine,
        x: Tensor,
        nets: dict[str, Any],
        progress: Callable[[float], None],
    ) -> tuple[dict[str, Tensor], float]:
        """Return B tr Cov of each net in each group of repeats, and ‖mean gradient of φ‖²."""
        traces: dict[str, list[float]] = {name: [] for name in nets}
        total: Tensor | float = 0.0
        size = self.repeats // GROUPS
        for group in range(GROUPS):
            sums = dict.fromkeys(nets, 0.0)
            first: dict[str, Tensor] = {}
            for i in range(size):
                model.zero_grad()
                rule.backward(model, x)
                for name, net in nets.items():
                    g = torch.cat([_gradient(p) for p in net.parameters()]).double()
                    # This is Welford's update of the mean and the sum of squares about it.
                    mean = first.get(name, torch.zeros_like(g))
                    step = g - mean
                    first[name] = mean + step / (i + 1)
                    sums[name] += (step * (g - first[name])).sum().item()
            for name in nets:
                traces[name].append(len(x) * sums[name] / (size - 1))
            total = total + first[""] / GROUPS
            progress((group + 1) / GROUPS)
        assert isinstance(total, Tensor)
        return {n: torch.tensor(t).double() for n, t in traces.items()}, total.square().sum().item()


def _gradient(p: Tensor) -> Tensor:
    return torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten()
