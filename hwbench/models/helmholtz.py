"""Helmholtz machines of binary units: sigmoid, autoregressive, NADE and deterministic layers.

Dims: K samples, B points, D observed units.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, cast, get_args

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.models.darn import AutoregressiveLayer
from hwbench.models.layers import BinaryUnits, DeterministicLayer, Init, Layer, SigmoidLayer
from hwbench.models.nade import NADELayer
from hwbench.protocols import HelmholtzMachine, Inferred, Latents, TrainSplit

Kind = Literal["sbn", "ar-sbn", "nade", "dsbn"]
Count = Annotated[int, Field(ge=1)]
LAYERS: dict[Kind, type[Layer]] = {
    "sbn": SigmoidLayer,
    "ar-sbn": AutoregressiveLayer,
    "nade": NADELayer,
    "dsbn": DeterministicLayer,
}
NAME = "BinaryHelmholtzMachine"
NETS = ("generative", "recognition")


def _kinds(net: str, kinds: Kind | list[Kind], layers: int, one_each: str) -> list[Kind]:
    """Return one kind per layer.

    Raises:
        ValueError: a kind is unknown, or the number of kinds differs from that of layers.
    """
    listed = cast(list[Kind], [kinds] * layers if isinstance(kinds, str) else list(kinds))
    for kind in listed:
        if kind not in LAYERS:
            allowed = ", ".join(LAYERS)
            raise ValueError(f"{NAME}: {net}: no layer is called {kind!r}; allowed: {allowed}")
    if len(listed) != layers:
        found = f"{net} lists {len(listed)} layers where {layers} are needed"
        raise ValueError(f"{NAME}: {found}: {one_each}")
    return listed


class BinaryHelmholtzMachine(HelmholtzMachine):
    """Helmholtz machine with L layers of binary latents (Dayan et al., 1995).

        p(x, h) = p(h_L) Π_{l=1}^{L} p(h_{l−1} | h_l),   q(h | x) = Π_{l=1}^{L} q(h_l | h_{l−1}),
        h_0 = x

    "A/B" of Bornschein & Bengio (2015) is `generative: A, recognition: B`. The two nets share no
    parameters.

    Args:
        visible: observed units D.
        layers: latent units, the layer next to the data first: the paper's 10-200-200 is [200, 200,
            10].
        generative: kind of every p layer, or a list, the layer next to the data first: p(x | h_1),
            …, p(h_L). A deterministic layer needs units above, so `dsbn` at the top means `sbn`.
        recognition: kind of every q layer, or a list: q(h_1 | x), …, q(h_L | h_{L−1}).
        nade_hidden: hidden units of each NADE layer; the smaller of its two sides by default.
        bias: initial bias of all units; by default −1 (sbn, dsbn) and 0 (ar-sbn, nade), as in the
            authors' code.
        init: initialisation of the weights; `small`, a Glorot range divided by the number of
            inputs, is the authors'.
        clamped: which nets pass their means through 0.9999 p + 0.000005 (the authors do so for p on
            the UCI sets).
        output_bias: start the observed units' biases at `init`, or at the logit of the pixel means
            in the `data` (clipped to [0.001, 0.999]).

    Raises:
        ValueError: there is no latent layer, a size is below 1, a list of kinds does not fit the
            layers, or an argument has a value that is not allowed.

    >>> model = BinaryHelmholtzMachine(6, [4, 3], generative=["ar-sbn", "sbn", "nade"])
    >>> x = torch.zeros(5, 6)
    >>> h, log_q = model.infer(x, k=7)
    >>> [tuple(h_l.shape) for h_l in h], tuple(model.log_joint(x, h).shape)
    ([(7, 5, 4), (7, 5, 3)], (7, 5))
    """

    generative: nn.ModuleList
    recognition: nn.ModuleList

    def __init__(
        self,
        visible: int,
        layers: Annotated[list[Count], Field(min_length=1)],
        generative: Kind | list[Kind] = "sbn",
        recognition: Kind | list[Kind] = "sbn",
        nade_hidden: Count | None = None,
        bias: float | None = None,
        init: Init = "small",
        clamped: list[Literal["generative", "recognition"]] | None = None,
        output_bias: Literal["init", "data"] = "init",
    ) -> None:
        super().__init__()
        if not layers or min(layers) < 1:
            raise ValueError(
                f"{NAME}: layers must list one or more sizes, each at least 1 (found {layers})"
            )
        for name, size in (("visible", visible), ("nade_hidden", nade_hidden)):
            if size is not None and size < 1:
                raise ValueError(f"{NAME}: {name} must be at least 1 (found {size})")
        for name, words, allowed in (
            ("init", [init], get_args(Init)),
            ("clamped", clamped or [], NETS),
            ("output_bias", [output_bias], ("init", "data")),
        ):
            for word in words:
                if word not in allowed:
                    choice = " or ".join(allowed)
                    raise ValueError(f"{NAME}: {name} must be {choice} (found {word!r})")
        self.visible = visible
        self.layers = list(layers)
        self.output_bias = output_bias
        sizes = [visible, *layers]

        def layer(net: str, kind: Kind, above: int, below: int) -> Layer:
            kind = "sbn" if kind == "dsbn" and not above else kind
            options: dict[str, Any] = {"init": init, "clamped": net in (clamped or [])}
            if bias is not None:
                options["bias"] = bias
            if kind == "nade" and nade_hidden is not None:
                options["hidden"] = nade_hidden
            return LAYERS[kind](above, below, **options)

        depth = len(layers)
        down = _kinds("generative", generative, depth + 1, "p(x | h_1), …, p(h_L)")
        up = _kinds("recognition", recognition, depth, "q(h_1 | x), …, q(h_L | h_{L−1})")
        self.generative = nn.ModuleList(
            layer("generative", kind, above, below)
            for kind, (below, above) in zip(down, pairwise([*sizes, 0]), strict=True)
        )
        self.recognition = nn.ModuleList(
            layer("recognition", kind, above, below)
            for kind, (above, below) in zip(up, pairwise(sizes), strict=True)
        )

    @classmethod
    def tiny(cls) -> BinaryHelmholtzMachine:
        """Return a net of 3 + 2 latents over 4 pixels, small enough to enumerate."""
        return cls(visible=4, layers=[3, 2], init="glorot", bias=0.0)

    def _check_width(self, x: Tensor) -> None:
        if x.shape[-1] != self.visible:
            raise ValueError(
                f"{NAME}: x must have visible = {self.visible} units (found {x.shape[-1]})"
            )

    def adapt(self, train: TrainSplit) -> None:
        """Start the observed units' biases at the logit of the pixel means, if requested."""
        if self.output_bias == "data":
            with torch.no_grad():
                means = train.means().clamp(1e-3, 1 - 1e-3)
                cast(Layer, self.generative[0]).output_bias.copy_(means.logit())

    def infer(self, x: Float[Tensor, "b d"], k: int, *, pathwise: bool = False) -> Inferred:
        """Draw k samples h ~ q(h | x) per point with their log q.

        Whatever depends only on x is computed once, not k times.

        Raises:
            ValueError: `pathwise` is set, but binary units cannot be reparameterised; or x does not
                have `visible` units.
        """
        self._check_width(x)
        if pathwise:
            raise ValueError(
                "binary units have no pathwise gradient; use a rule that does not need one"
            )
        latents: Latents = []
        log_q = x.new_zeros(())
        below = x
        shape: tuple[int, ...] = (k,)
        for layer in self.recognition:
            h, log_q_h = layer(below).draw(shape)
            latents.append(h)
            log_q = log_q + log_q_h
            below, shape = h, ()
        return Inferred(latents, log_q)

    def log_q(self, h: Latents, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*k b"]:
        """Return log q(h | x) = Σ_l log q(h_l | h_{l−1}).

        Raises:
            ValueError: x does not have `visible` units.
        """
        self._check_width(x)
        log_q = x.new_zeros(())
        for layer, (below, above) in zip(self.recognition, pairwise([x, *h]), strict=True):
            log_q = log_q + layer(below).log_prob(above)
        return log_q

    def log_likelihood(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x | h_1); latents [K, 1, units] are shared by all points x [B, D].

        Raises:
            ValueError: x does not have `visible` units.
        """
        self._check_width(x)
        return cast(BinaryUnits, self.generative[0](h[0])).log_prob(x)

    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, h) = log p(h_L) + Σ_l log p(h_{l−1} | h_l).

        Raises:
            ValueError: x does not have `visible` units.
        """
        self._check_width(x)
        *layers, top = self.generative
        log_p = top().log_prob(h[-1])
        for layer, (below, above) in zip(layers, pairwise([x, *h]), strict=True):
            log_p = log_p + layer(above).log_prob(below)
        return log_p

    def _descend(self, n: int) -> tuple[BinaryUnits, Latents]:
        """Return p(x | h_1) and the latents h ~ p that it depends on."""
        *layers, top = self.generative
        units, h = top(), cast(Latents, [])
        shape: tuple[int, ...] = (n,)
        for layer in reversed(layers):
            h.insert(0, units.sample(shape))
            units, shape = layer(h[0]), ()
        return units, h

    @torch.no_grad()
    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples, x [n, D] and latents, each [n, units]; all are binary."""
        units, h = self._descend(n)
        return units.sample(), h

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the means of the observed units along n ancestral samples."""
        units, _ = self._descend(n)
        return units.trace()[1].sigmoid()
