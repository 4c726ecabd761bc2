"""What rules and evaluators may ask of a model, and what the runner may ask of every shelf.

Dims: K samples, B points of a batch, N points of a split, D observed units.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from pydantic import Field
from torch import Tensor, nn

Pixels = Literal["fixed", "dynamic", "grey", "threshold"]
Latents = list[Tensor]  # h[0] is next to the data, h[-1] the top
T = TypeVar("T")  # beartype, which checks shapes in tests, takes no typing.Self


# --- runs -----------------------------------------------------------------------------------------


class Interrupted(Exception):
    """A run was asked to stop; what it had is saved and can be resumed."""


class Diverged(RuntimeError):
    """The loss is no longer a number, or beyond all bounds; the message says at which step."""


@dataclass
class Hooks:
    """How a run speaks to the outside: `report` gets what is new, `stop` says when to end early."""

    report: Callable[[dict[str, Any]], None] = lambda news: None
    stop: Callable[[], bool] = lambda: False


# --- data -----------------------------------------------------------------------------------------


class DataMissing(FileNotFoundError):
    """A data file cannot be had; the message says which, its checksum, and where to put it."""


S = TypeVar("S", bound="Split")


@dataclass(frozen=True)
class Split:
    """Points of a data set, kept on one device; a minibatch is an index.

    Attributes:
        values: [N, D]; uint8 (0..255 where `scale` is 255, else 0/1) or float32.
        labels: [N] class numbers, or None.
        scale: what a value is divided by.
        resample: draw Bernoulli(value) afresh at each presentation (dynamic binarisation).
    """

    values: Tensor
    labels: Tensor | None = None
    scale: float = 1.0
    resample: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def visible(self) -> int:
        """Return the number of observed units D."""
        return int(self.values.shape[1])

    def batch(
        self, index: Integer[Tensor, "*b"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*b d"]:
        """Return the points at `index` as float32, binarised afresh if the split is resampled."""
        x = self.values[index].float()
        if self.scale != 1.0:
            x = x / self.scale
        if self.resample:
            x = (torch.rand(x.shape, generator=generator, device=x.device) < x).float()
        return x

    def means(self) -> Float[Tensor, "d"]:
        """Return the mean of every observed unit."""
        return self.values.double().mean(0).float() / self.scale

    def to(self: S, device: torch.device | str) -> S:
        """Return the split on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        return type(self)(self.values.to(device), labels, self.scale, self.resample)

    def subset(self: S, index: Tensor) -> S:
        """Return the points at `index`, in that order."""
        index = index.to(self.values.device)
        labels = None if self.labels is None else self.labels[index]
        return type(self)(self.values[index], labels, self.scale, self.resample)


class TrainSplit(Split):
    """Points to learn from."""


@dataclass(frozen=True, kw_only=True)
class PartlyLabelledSplit(TrainSplit):
    """Points to learn from without labels, beside fewer that have labels.

    Attributes:
        labelled: the points with labels, for fits that need them.
    """

    labelled: TrainSplit


def labelled_part(train: TrainSplit) -> TrainSplit:
    """Return the training points that have labels: all of them, unless the split says otherwise."""
    return train.labelled if isinstance(train, PartlyLabelledSplit) else train


class ValidationSplit(Split):
    """Points to choose by: early stopping, hyperparameters."""


class TestSplit(Split):
    """Points to report on, and never to choose by."""

    __test__ = False  # not a pytest class


HeldOut = ValidationSplit | TestSplit


class Splits(NamedTuple):
    """The three parts of a data set; a set without validation points has None there."""

    train: TrainSplit
    validation: ValidationSplit | None
    test: TestSplit


class Dataset(ABC):
    """A data set with declared files and explicit pixels.

    Attributes:
        shape: (height, width) of an image; one number for a plain vector.
        files: names in `datasets/checksums.yaml`, none for a generated set.
        classes: number of classes of the labels, 0 without labels.
    """

    shape: tuple[int, ...]
    files: tuple[str, ...] = ()
    classes: int = 0

    @abstractmethod
    def load(self, seed: int) -> Splits:
        """Return the splits; `seed` decides draws of pixels, and a split where the paper has none.

        Raises:
            DataMissing: a file is not on this machine and cannot be fetched.
        """

    @classmethod
    def tiny(cls: type[T]) -> T:
        """Return an instance for the law tests."""
        return cls()


# --- models ---------------------------------------------------------------------------------------


class Model(nn.Module, ABC):
    """Anything that is trained; `visible` is the number of observed units D.

    A constructor asks the runner for what the data decide by naming it: `visible`, `classes`,
    `shape`.
    """

    visible: int

    @classmethod
    @abstractmethod
    def tiny(cls: type[T]) -> T:
        """Return a model so small that the law tests know its exact answers."""

    def adapt(self, train: TrainSplit) -> None:
        """Set what starts from the training data (biases, say); by default nothing."""


class Classifier(Model):
    """A model that names the class of a point.

    Attributes:
        classes: how many classes there are.
        net: from what `prepare` returns to the logits of the classes; fine-tuning trains it.
        pretrained: whether the net starts from what earlier stages of training have learned.
    """

    classes: int
    net: nn.Module
    pretrained: bool = False

    def prepare(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b f"]:
        """Return the input of the net, detached: x, and what else is computed from it once."""
        return x

    def start(self) -> None:
        """Put into the net what earlier stages have learned; by default nothing."""

    def logits(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        """Return the logits of the classes."""
        out: Tensor = self.net(self.prepare(x))
        return out


class Network(Classifier):
    """A classifier whose net has parameters, so that back-propagation can train it."""


class NeighbourClassifier(Classifier):
    """A classifier that keeps labelled points and lets the nearest of them vote; it has no net."""

    @abstractmethod
    def keep(self, split: Split, k: int) -> None:
        """Keep the points of a split, of which k vote."""

    @abstractmethod
    def neighbours(self, x: Float[Tensor, "b d"], k: int) -> Integer[Tensor, "b k"]:
        """Return the numbers of the k nearest kept points, the nearest first."""

    @abstractmethod
    def vote(self, neighbours: Integer[Tensor, "b k"]) -> Float[Tensor, "b c"]:
        """Return the logits of the classes when these points vote."""


class KernelClassifier(Classifier):
    """A classifier by sums of kernels around support vectors, for each pair of classes; no net.

    Attributes:
        counts: [P], how many support vectors each class that was met has.
    """

    counts: Tensor

    @abstractmethod
    def keep(
        self,
        vectors: Float[Tensor, "s d"],
        counts: Integer[Tensor, "p"],
        coefficients: Float[Tensor, "o s"],
        intercepts: Float[Tensor, "q"],
        present: Integer[Tensor, "p"],
        gamma: float,
    ) -> None:
        """Keep what fitting has found; numbers are float64 (LIBSVM's layout).

        Args:
            vectors: support vectors, class by class.
            counts: how many each class has.
            coefficients: of each vector against each other class, O = P − 1, in their order.
            intercepts: of each pair of classes, Q = P (P − 1) / 2.
            present: the numbers of the classes that were met, rising.
            gamma: of the kernel.
        """


def labels_of(split: Split, classes: int) -> Integer[Tensor, "n"]:
    """Return the labels of a split.

    Raises:
        ValueError: there are none, not one for each point, or some that are no class number.
    """
    labels = split.labels
    if labels is None:
        raise ValueError(f"a classifier needs labels; this {type(split).__name__} has none")
    if len(labels) != len(split):
        raise ValueError(
            f"{len(labels)} labels for the {len(split)} points of the {type(split).__name__}"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels are class numbers from 0 to {classes - 1}; the {type(split).__name__} has "
            f"{int(labels.min())} to {int(labels.max())}"
        )
    return labels


Half = Literal["left", "right", "top", "bottom"]
Size = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)] | None


def half_of(half: Half, visible: int, size: Sequence[int] | None = None) -> Bool[Tensor, "d"]:
    """Return which units of an image lie in a half of it; the middle of an odd size does.

    Args:
        half: which.
        visible: units of an image, row by row.
        size: (height, width); a square unless given.

    Raises:
        ValueError: the size has another number of units, the units make no square, or a half would
            be all.

    >>> half_of("left", 6, (2, 3)).tolist()
    [True, True, False, True, True, False]
    """
    side = math.isqrt(visible)
    height, width = (side, side) if size is None else size
    if height * width != visible:
        found = "a square" if size is None else f"of {height} x {width}"
        raise ValueError(f"images of {visible} units are not {found}; give their size")
    across, first = half in ("left", "right"), half in ("left", "top")
    length = width if across else height
    if length < 2:
        raise ValueError(f"an image of {height} x {width} has no {half} half")
    line = torch.arange(length) if first else torch.arange(length).flip(0)
    inside = line < (length + 1) // 2
    return (inside if across else inside[:, None]).expand(height, width).flatten()


class Completer(Model):
    """A model that fills in the units of a point that are not seen, from those that are."""

    @abstractmethod
    def complete(self, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]) -> Float[Tensor, "b d"]:
        """Return the means of all units given those seen, which stay; detached.

        What x has at the others plays no part.
        """


class NeighbourCompleter(Completer):
    """One that keeps points; where units are not seen it has the mean of the nearest ones."""

    @abstractmethod
    def keep(self, split: Split, seen: Bool[Tensor, "d"], k: int) -> None:
        """Keep the points of a split; the k nearest by the units seen fill in."""

    @abstractmethod
    def neighbours(self, x: Float[Tensor, "b d"], k: int) -> Integer[Tensor, "b k"]:
        """Return the numbers of the k nearest kept points by the units seen, the nearest first."""

    @abstractmethod
    def means(self, neighbours: Integer[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Return the means of these points."""


class GenerativeModel(Model):
    """A model that can be sampled."""

    @abstractmethod
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return n ancestral (or Gibbs) samples, as means of the observed units, for pictures."""


class Density(GenerativeModel):
    """A model whose log p(x) is exact."""

    @abstractmethod
    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return log p(x) of each point, in nats."""


class Mixture(Density):
    """A mixture of factorised Bernoullis.

    Attributes:
        weights: [C], the log mixing proportions up to a constant.
        logits: [C, D], of the means of the components.
    """

    weights: Tensor
    logits: Tensor

    @abstractmethod
    def log_joint(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        """Return log p(x, c) of each point and component."""


class Couplings(NamedTuple):
    """Parameters of the energy E(x, h) = −b·x − c·h − x W h.

    Attributes:
        weight: W [D, H].
        visible_bias: b [D].
        hidden_bias: c [H].
    """

    weight: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor


class EnergyModel(GenerativeModel):
    """Binary units on two sides, p(x, h) ∝ exp(−E(x, h)), with an intractable partition function Z.

    Observed units are real in a `RealEnergyModel`.

    Attributes:
        data_means: [D], the mean of every observed unit in the training data, kept by `adapt`.
    """

    data_means: Tensor

    @abstractmethod
    def couplings(self) -> Couplings:
        """Return the parameters of the energy."""

    @abstractmethod
    def free_energy(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Return F(x) = −log Σ_h exp(−E(x, h)), so that log p(x) = −F(x) − log Z."""

    @abstractmethod
    def gibbs(self, x: Float[Tensor, "b d"], k: int) -> Float[Tensor, "b d"]:
        """Return x after k sweeps of block Gibbs sampling, detached."""

    def contrast(
        self, x: Float[Tensor, "b d"], negative: Float[Tensor, "n d"]
    ) -> Float[Tensor, ""]:
        """Add the gradient of mean F(x) − mean F(negative) to `.grad`; return it, detached."""
        difference = self.free_energy(x).mean() - self.free_energy(negative).mean()
        difference.backward()  # type: ignore[no-untyped-call]
        return difference.detach()


class RealEnergyModel(EnergyModel):
    """Real observed units and binary hidden ones, with a density p(x) ∝ exp(−F(x))."""

    def couplings(self) -> Couplings:
        """Refuse: what asks for couplings (annealing) takes both sides to be binary.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{type(self).__name__} has real observed units; what was asked for needs binary ones"
        )


class Stack(Model):
    """Layers x = h_0, h_1, …, h_L that can be learned greedily, one pair of neighbours at a time.

    Attributes:
        layers: units of h_1, …, h_L.
    """

    layers: list[int]

    @abstractmethod
    def pair(self, layer: int) -> EnergyModel:
        """Return the RBM that pretraining learns between h_{layer−1} and h_layer, 1 ≤ layer ≤ L.

        Its parameters are the stack's own: to train it is to train the stack.
        """

    @abstractmethod
    def ascend(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return the means of h_layer that pretraining gives to the next pair, detached.

        For layer 0 they are x.
        """

    def below(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Draw h_{layer−1} for points x: what `pair(layer)` learns from, detached.

        Units are binary, and grey pixels are drawn as well, afresh each time.
        """
        return self.ascend(torch.bernoulli(x), layer - 1).bernoulli()


class Autoencoder(Model):
    """Layers x = h_0, h_1, …, h_L of units from 0 to 1, each of which can give back the one below.

    Attributes:
        layers: units of h_1, …, h_L.
    """

    layers: list[int]

    @abstractmethod
    def ascend(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return h_layer, detached; x for layer 0."""

    @abstractmethod
    def reconstruct(self, below: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b d"]:
        """Return the log odds of h_{layer−1} as given back by h_layer, 1 ≤ layer ≤ L."""


class BoltzmannStack(Stack):
    """A stack whose layers are one deep Boltzmann machine, or those above some lowest ones."""

    @abstractmethod
    def machine(self) -> DeepBoltzmannMachine:
        """Return the machine, whose parameters are the stack's own."""

    @abstractmethod
    def units(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b u"]:
        """Draw the machine's observed units for points x, afresh each time, detached."""


class DeepBoltzmannMachine(BoltzmannStack, GenerativeModel):
    """Binary units in layers x = h_0, h_1, …, h_L, each coupled with its neighbours only.

        −E(x, h) = Σ_l b_l·h_l + Σ_l h_{l−1} W_l h_l,   p(x, h) ∝ exp(−E(x, h))

    Given the even layers (x, h_2, …) the odd ones are independent, and the other way round: a state
    of the chain is [N, E], the even layers side by side. `Latents` with x in front are all layers.

    Attributes:
        data_means: [D], the mean of every observed unit in the training data, kept by `adapt`.
    """

    data_means: Tensor

    def machine(self) -> DeepBoltzmannMachine:
        """Return the model itself."""
        return self

    def units(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Draw binary pixels with means x."""
        return torch.bernoulli(x)

    @abstractmethod
    def couplings(self) -> Couplings:
        """Return the parameters as those of an RBM: even layers visible, odd layers hidden."""

    @abstractmethod
    def energy(self, states: Latents) -> Float[Tensor, "b"]:
        """Return E of all layers; units may be anything from 0 to 1 (means of independent ones)."""

    @abstractmethod
    def inputs(self, states: Latents) -> Latents:
        """Return the log odds of h_1, …, h_L, each given its neighbours in `states`."""

    @abstractmethod
    def mean_field(
        self,
        x: Float[Tensor, "b d"],
        iterations: int,
        tolerance: float = 0.0,
        damping: float | None = None,
    ) -> Latents:
        """Return the means μ_1, …, μ_L of a factorised q(h | x), detached.

        Args:
            x: points.
            iterations: at most this many sweeps.
            tolerance: stop once the units move by less than this, on average; 0 never looks.
            damping: None updates odd and even layers in turn, and no sweep lowers the bound; a
                number d updates all layers at once, to d times the old plus 1 − d the new means.
        """

    @abstractmethod
    def bound(self, x: Float[Tensor, "b d"], means: Latents) -> Float[Tensor, "b"]:
        """Return E_q[−E(x, h)] + H(q) ≤ log p(x) + log Z, in nats."""

    @abstractmethod
    def gibbs(self, even: Float[Tensor, "n e"], k: int) -> Float[Tensor, "n e"]:
        """Return the even layers after k sweeps (odd given even, even given odd), detached."""

    @abstractmethod
    def complete(self, even: Float[Tensor, "n e"]) -> Latents:
        """Return all layers, the odd ones at their means given the even ones, detached."""

    @abstractmethod
    def contrast(self, positive: Latents, negative: Latents) -> Float[Tensor, ""]:
        """Add the gradient of mean E(positive) − mean E(negative) to `.grad`; return it, detached.

        Both are all layers, x in front.
        """


class BoltzmannMachine(Model):
    """Binary units on two sides with couplings across: p(v, h) ∝ exp(b·v + c·h + v W h).

    Every `EnergyModel` of binary units is one, and every `DeepBoltzmannMachine`, whose even layers
    are v and whose odd layers are h. The observed units x come first in v.

    Attributes:
        data_means: [D], the mean of every observed unit in the training data.
    """

    data_means: Tensor

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:  # a truth value, or NotImplemented
        if cls is not BoltzmannMachine or issubclass(other, RealEnergyModel):
            return NotImplemented
        return issubclass(other, EnergyModel | DeepBoltzmannMachine) or NotImplemented

    @abstractmethod
    def couplings(self) -> Couplings:
        """Return W, b and c."""


class Inferred(NamedTuple):
    """Latents drawn from q(h | x).

    Attributes:
        h: the latents, each [K, B, units].
        log_q: [K, B], which carries gradients to φ.
    """

    h: Latents
    log_q: Tensor


class BeliefNetwork(Stack, GenerativeModel):
    """Directed binary layers below an RBM: a deep belief network (Hinton, Osindero & Teh, 2006).

        p(x, h) = p(h_{L−1}, h_L) Π_{l<L} p(h_{l−1} | h_l),   q(h | x) = Π_{l<L} q(h_l | h_{l−1})

    `pair(L)` is the RBM, with h_L summed out. So latents are h_1, …, h_{L−1}, and there are none
    where L = 1.

    Attributes:
        data_means: [D], the mean of every observed unit in the training data, kept by `adapt`.
    """

    data_means: Tensor

    @abstractmethod
    def infer(self, x: Float[Tensor, "b d"], k: int) -> Inferred:
        """Draw k samples h ~ q(h | x) per point with their log q, detached."""

    @abstractmethod
    def log_q(self, h: Latents, x: Float[Tensor, "b d"]) -> Float[Tensor, "k b"]:
        """Return log q(h | x) at given latents, each [K, B, units]."""

    @abstractmethod
    def log_directed(self, x: Float[Tensor, "b d"], h: Latents) -> Float[Tensor, "k b"]:
        """Return Σ_{l<L} log p(h_{l−1} | h_l), without the RBM."""

    @abstractmethod
    def descend(self, top: Float[Tensor, "n h"]) -> tuple[Float[Tensor, "n d"], Latents]:
        """Draw what is below states of h_{L−1}; return x and h_1, …, h_{L−1}, [N, units]."""

    def log_joint(self, x: Float[Tensor, "b d"], h: Latents) -> Float[Tensor, "k b"]:
        """Return log p(x, h) + log Z, with Z of the RBM.

        So E_q[log_joint − log q] ≤ log p(x) + log Z (Salakhutdinov & Murray, 2008, section 4).
        """
        top = h[-1] if h else x[None]
        free = self.pair(len(self.layers)).free_energy(top.flatten(0, 1))
        return self.log_directed(x, h) - free.view(top.shape[:2])


class HelmholtzMachine(GenerativeModel):
    """A generative model p(x, h) with a recognition model q(h | x).

    Parameters under `generative` (θ) and `recognition` (φ) form the optimizer's two groups.
    """

    generative: nn.Module
    recognition: nn.Module

    @abstractmethod
    def infer(self, x: Float[Tensor, "b d"], k: int, *, pathwise: bool = False) -> Inferred:
        """Draw k samples h ~ q(h | x) per point with their log q.

        Samples are detached unless `pathwise`, where they carry reparameterised gradients to φ.
        """

    @abstractmethod
    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, h); x [B, D] or [K, B, D] is broadcast against latents [K, B, units]."""

    @abstractmethod
    def log_q(self, h: Latents, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*k b"]:
        """Return log q(h | x) at given latents."""

    @abstractmethod
    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples (x, h) ~ p, detached."""


class SequenceModel(GenerativeModel):
    """A model of sequences that factorises over frames, p(x) = Π_t p(x_t | x_<t).

    Attributes:
        frames: T; a point is T frames, one after the other.
    """

    frames: int

    @abstractmethod
    def frame_log_weights(self, x: Float[Tensor, "b d"], k: int) -> Float[Tensor, "*k b t"]:
        """Return log p(x_t, h_t | x_<t) − log q(h_t | x_≤t) of k samples h_t ~ q for each frame.

        A model without latents returns the exact log p(x_t | x_<t), once.
        """


class Gaussian(ABC):
    """N(mean, R Rᵀ) over the last dimension."""

    mean: Tensor

    @abstractmethod
    def root(self, noise: Float[Tensor, "*s z"]) -> Float[Tensor, "*t z"]:
        """Return R ε, so that mean + R ε has this distribution where ε ~ N(0, I)."""

    @abstractmethod
    def variance(self) -> Float[Tensor, "*s z"]:
        """Return the diagonal of R Rᵀ."""

    @abstractmethod
    def log_prob(self, h: Float[Tensor, "*s z"]) -> Float[Tensor, "*t"]:
        """Return the log density, in nats."""

    @abstractmethod
    def entropy(self) -> Float[Tensor, "*t"]:
        """Return the differential entropy, in nats."""


class GaussianHelmholtzMachine(HelmholtzMachine):
    """A Helmholtz machine whose recognition layers are Gaussian given what they are drawn from.

    Attributes:
        layers: units of each latent layer, the one next to the data first.
    """

    layers: list[int]

    @abstractmethod
    def conditional(self, layer: int, x: Float[Tensor, "*b d"], h: Latents) -> Gaussian:
        """Return q(h_layer | x, h[:layer]); layers count from 0; h may hold more than is used."""

    @abstractmethod
    def curvature(self, x: Float[Tensor, "b d"], h: Latents, gradient: Latents) -> Latents:
        """Return ∂²/∂h_l² of the cost below each unit, with the recognition path approximated.

        The cost is −log p(x, h) with the layers above drawn from q along fixed noise, and
        `gradient` its total derivatives by h. Second derivatives pass through recognition layers
        unit by unit (Becker & LeCun, 1989): mixed ones are left out, so this is exact for the top
        layer only.
        """


# --- rules ----------------------------------------------------------------------------------------

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


# --- evaluators -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """A measured number.

    Attributes:
        value: in the metric's unit (nats for likelihoods).
        se: standard error over points, NaN if there is none.
        mc_se: standard error of the Monte Carlo estimate over repeats with the points fixed, NaN if
            exact.
        n: number of points; k: number of samples per point (0 if exact).
        kind: exact, estimate, lower bound (in expectation), upper bound, or score (not a
            likelihood).
    """

    value: float
    se: float = float("nan")
    mc_se: float = float("nan")
    n: int = 0
    k: int = 0
    kind: Literal["exact", "estimate", "lower bound", "upper bound", "score"] = "estimate"


@dataclass(frozen=True)
class Curve:
    """A measured function: `x`, `y` and, where known, the standard error of y."""

    x: list[float]
    y: list[float]
    se: list[float] = field(default_factory=list)


@dataclass
class Evaluation:
    """What an evaluator found."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    per_point: dict[str, np.ndarray] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Scratch(ABC):
    """A place where a long evaluation keeps what it has; an interrupted one goes on from there."""

    @abstractmethod
    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """Return what was saved under a name, or None."""

    @abstractmethod
    def save(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep arrays under a name; cheap to call often, since it writes only every half minute.

        They are kept by reference and may be written later, when the caller has begun to fill in
        what comes next: what is not counted as done must be such that doing it again overwrites it.
        """


class Evaluator(ABC, Generic[M]):
    """Measures a trained model on held-out points, in bounded memory.

    An evaluator that sets `resumable` is also given `scratch`, where it keeps what it has so far.

    Attributes:
        metrics: names of what it measures, so that a spec that asks for another is told; `*` and
            `[1-9]` stand for what depends on the model. Without any, nothing is checked.
        curves: names of its curves, where `metrics` are given.
        better: which direction of its first metric is better, the one that early stopping watches.
    """

    resumable = False
    metrics: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()
    better: Literal["higher", "lower"] = "higher"

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
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return metrics, per-point values, curves and diagnostics.

        The same seed gives the same numbers.
        """


class PicturingEvaluator(Evaluator[M]):
    """One that also keeps images of a few points, for a figure of kind `images`.

    They are arrays [n, D] of whole numbers in `Evaluation.per_point`: 0 to 255, and −1 where there
    is nothing to be seen. The diagnostics `image_height` and `image_width` are their shape.

    Attributes:
        images: their names.
    """

    images: tuple[str, ...] = ()
