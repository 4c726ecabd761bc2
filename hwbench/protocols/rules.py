"""Learning rules and fits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar, get_args

from jaxtyping import Float
from torch import Tensor, nn

from hwbench.protocols.data import T, TrainSplit, ValidationSplit
from hwbench.protocols.models import Model

M = TypeVar("M", bound=Model)


def _named_protocol(cls: type) -> type[Model]:
    """Return the M that a class or its base names, in `Rule[M]`, `Fit[M]` or `Evaluator[M]`."""
    for base in cls.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            for argument in get_args(generic):
                if isinstance(argument, type) and issubclass(argument, Model):
                    return argument
    return Model


class Rule(nn.Module, ABC, Generic[M]):
    """A learning rule: a surrogate loss whose gradient is the paper's update.

    State that must survive a checkpoint (chains, baselines) is a buffer or a parameter. `Rule[...]`
    names the protocol of the models it can train.
    """

    @classmethod
    def trains(cls) -> type[Model]:
        """Return the protocol a model must satisfy."""
        return _named_protocol(cls)

    @classmethod
    def tiny(cls: type[T]) -> T:
        """Return an instance for the law tests."""
        return cls()

    def check(self, model: M) -> None:
        """Refuse a model that `trains` admits but this rule cannot train; by default nothing.

        `hwbench check` asks it, of a model without data on the meta device, and so does a run.

        Raises:
            ValueError: the model lacks what the rule's arguments need.
        """

    def begin(self, model: M, train: TrainSplit) -> None:
        """Prepare state before a stage's first step (chains, baselines); by default nothing."""

    def advance(self, fraction: float) -> None:
        """Hear what fraction of the stage is done, before each block; by default nothing."""

    @abstractmethod
    def forward(self, model: M, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return the surrogate loss on the batch x."""

    def backward(self, model: M, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Add the gradient to every parameter's `.grad` and return the detached loss.

        A rule may do it by hand.
        """
        loss: Tensor = self(model, x)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


class Fit(ABC, Generic[M]):
    """A model that fits itself in one go (EM, k-NN, SVM) instead of by gradient steps.

    Attributes:
        curves: names of its curves; without any, a spec may ask for what it likes.
    """

    curves: tuple[str, ...] = ()

    @classmethod
    def trains(cls) -> type[Model]:
        """Return the protocol a model must satisfy."""
        return _named_protocol(cls)

    @classmethod
    def tiny(cls: type[T]) -> T:
        """Return an instance for the law tests."""
        return cls()

    @abstractmethod
    def __call__(
        self,
        model: M,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Fit the model; returns curves and notes for the result."""
