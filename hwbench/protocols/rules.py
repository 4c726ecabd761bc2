"""Learning rules and fits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar, get_args

from jaxtyping import Float
from torch import Tensor, nn

from hwbench.products import low_precision
from hwbench.protocols.data import T, TrainSplit, ValidationSplit
from hwbench.protocols.models import Model

M = TypeVar("M", bound=Model)
Precision = Literal["float32", "bfloat16"]


class ForModels(Generic[M]):
    """Base of classes for models of one protocol: the M of a `Rule[M]` or `Evaluator[M]`."""

    @classmethod
    def trains(cls) -> type[Model]:
        """Return the protocol a model must satisfy."""
        for base in cls.__mro__:
            for generic in getattr(base, "__orig_bases__", ()):
                for argument in get_args(generic):
                    if isinstance(argument, type) and issubclass(argument, Model):
                        return argument
        return Model

    @classmethod
    def tiny(cls: type[T]) -> T:
        """Return an instance for the law tests."""
        return cls()


class Rule(nn.Module, ABC, ForModels[M]):
    """A learning rule: a surrogate loss whose gradient is the paper's update.

    State that must survive a checkpoint (chains, baselines) is a buffer or a parameter. `Rule[...]`
    gives the protocol of the models that it can train.

    Attributes:
        precision: of the factors of matrix products in a step. Parameters, sums, losses and the
            optimizer stay in float32. A rule's block may set it, whatever the constructor takes.
        rounds: whether a rule has products that may be rounded. It has not where products add up
            log densities, or where most models would ignore it.
    """

    rounds = True
    precision: Precision = "float32"

    def check(self, model: M) -> None:
        """Reject a model of the right protocol that this rule cannot train; by default none.

        Called by a run, and by `hwbench check` with a model on the meta device and without data.

        Raises:
            ValueError: the model lacks something that the rule's arguments need.
        """

    def begin(self, model: M, train: TrainSplit) -> None:
        """Prepare state (chains, baselines) before the first step; does nothing by default."""

    def advance(self, fraction: float) -> None:
        """Called before each block with the fraction of the stage done; does nothing by default."""

    @abstractmethod
    def forward(self, model: M, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return the surrogate loss on the batch x."""

    def backward(self, model: M, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Add the gradient to every parameter's `.grad` and return the detached loss.

        A rule may compute the gradient by hand.
        """
        with low_precision(x.device, self.precision == "bfloat16"):
            loss: Tensor = self(model, x)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


class Fit(ABC, ForModels[M]):
    """A fit of a whole model at once (EM, k-NN, SVM), instead of gradient steps.

    Attributes:
        curves: names of its curves; if empty, specs may name any.
    """

    curves: tuple[str, ...] = ()

    @abstractmethod
    def __call__(
        self,
        model: M,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Fit the model; returns curves for the result, each a list of points (x, y).

        Args:
            model: the model, changed in place.
            train: points to learn from.
            validation: points to choose by, if the data set has any.
            seed: seed of all random numbers.
            progress: called with the fraction done and a note; may raise Interrupted.
        """
