"""Training of classifiers by back-propagation."""

# Dims: N points, B points of a batch, F inputs of the net.

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.numerics import generator
from hwbench.protocols import (
    Fit,
    Network,
    Split,
    TrainSplit,
    ValidationSplit,
    labelled_part,
    labels_of,
)

CHUNK = 1000  # points per call of the model


class Supervised(Fit[Network]):
    """Training of a net on labels, epoch by epoch, with steps defined by a subclass.

    The net's inputs are computed once for all points, at the parameters from earlier stages; then
    only the net is trained. Points without labels are not used.

    Args:
        epochs: largest number of epochs.
        batch_size: points in a minibatch.
        patience: stop after this many epochs without a smaller validation error. The best
            parameters on the validation points (by error, then cross-entropy) are kept or, without
            such points, the last ones.
    """

    curves = ("train/cross_entropy", "validation/error")

    def __init__(self, epochs: int, batch_size: int, patience: int | None) -> None:
        self.epochs, self.batch_size, self.patience = epochs, batch_size, patience

    @abstractmethod
    def learn(
        self, net: nn.Module, inputs: Tensor, labels: Tensor, orders: Iterator[Tensor]
    ) -> Iterator[float]:
        """Train epoch by epoch, and yield the mean cross-entropy during each.

        Args:
            net: the net to train.
            inputs: [N, F], the net's input for each point.
            labels: [N].
            orders: the order of the points in each epoch.
        """

    def __call__(
        self,
        model: Network,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Fit the net.

        Returns curves over epochs: the cross-entropy of the training points during the epoch, in
        nats, and the validation error after it.

        Raises:
            ValueError: points have no labels, or not one label each, or unexpected classes.
        """
        train = labelled_part(train)
        labels = labels_of(train, model.classes)
        held_out = None if validation is None else labels_of(validation, model.classes)
        model.start()
        inputs = _prepared(model, train, generator(seed, "pixels", device=labels.device))
        if validation is not None:
            held_in = _prepared(
                model, validation, generator(seed, "pixels", 1, device=labels.device)
            )
        draws = generator(seed, "order")
        orders = (
            torch.randperm(len(train), generator=draws).to(labels.device)
            for _ in range(self.epochs)
        )
        best, best_at, kept = (math.inf, math.inf), -1, None
        curves: dict[str, list[tuple[float, float]]] = {"train/cross_entropy": []}
        for epoch, met in enumerate(self.learn(model.net, inputs, labels, orders)):
            curves["train/cross_entropy"].append((epoch + 1.0, met))
            note = f"cross-entropy {met:.4f}"
            if held_out is not None:
                score = _score(model, held_in, held_out)
                curves.setdefault("validation/error", []).append((epoch + 1.0, score[0]))
                note += f", validation error {score[0]:.4f}"
                if score < best:
                    best, best_at = score, epoch
                    kept = copy.deepcopy(model.net.state_dict())
            progress((epoch + 1) / self.epochs, note)
            if best_at >= 0 and epoch - best_at >= (self.patience or self.epochs):
                break
        if kept is not None:
            model.net.load_state_dict(kept)
        return curves


class Backpropagation(Supervised):
    """Stochastic gradient descent on the cross-entropy −log p(label | x), with momentum.

    Args:
        epochs: as for `Supervised`.
        lr: learning rate; falls linearly to zero over the epochs.
        momentum: momentum of the gradient.
        weight_decay: coefficient of ½‖W‖², for the weights of the net and not its biases.
        batch_size: as for `Supervised`.
        patience: as for `Supervised`.
    """

    def __init__(
        self,
        epochs: Annotated[int, Field(ge=1)] = 100,
        lr: Annotated[float, Field(gt=0)] = 0.1,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        weight_decay: Annotated[float, Field(ge=0)] = 0.0,
        batch_size: Annotated[int, Field(ge=1)] = 100,
        patience: Annotated[int, Field(ge=1)] | None = None,
    ) -> None:
        super().__init__(epochs, batch_size, patience)
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay

    @classmethod
    def tiny(cls) -> Backpropagation:
        """Return a few epochs."""
        return cls(epochs=5, batch_size=10)

    def learn(
        self, net: nn.Module, inputs: Tensor, labels: Tensor, orders: Iterator[Tensor]
    ) -> Iterator[float]:
        """Take a step for each minibatch; see `Supervised.learn`."""
        weights = [p for p in net.parameters() if p.ndim >= 2]
        others = [p for p in net.parameters() if p.ndim < 2]
        optimizer = torch.optim.SGD(
            [
                {"params": weights, "weight_decay": self.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=self.lr,
            momentum=self.momentum,
        )
        for epoch, order in enumerate(orders):
            total = torch.zeros((), dtype=torch.float64, device=labels.device)
            parts = order.split(self.batch_size)
            for i, index in enumerate(parts):
                for group in optimizer.param_groups:
                    group["lr"] = self.lr * (1 - (epoch + i / len(parts)) / self.epochs)
                optimizer.zero_grad()
                loss = F.cross_entropy(net(inputs[index]), labels[index])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += loss.detach() * len(index)
            yield float(total) / len(labels)


@torch.no_grad()
def _prepared(model: Network, split: Split, pixels: torch.Generator) -> Tensor:
    index = torch.arange(len(split), device=split.values.device)
    return torch.cat([model.prepare(split.batch(part, pixels)) for part in index.split(CHUNK)])


@torch.no_grad()
def _score(model: Network, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the error and the cross-entropy."""
    logits = torch.cat([model.net(part) for part in inputs.split(CHUNK)])
    wrong = (logits.argmax(1) != labels).double().mean().item()
    return wrong, F.cross_entropy(logits, labels).item()
