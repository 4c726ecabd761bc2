"""The neural autoregressive distribution estimator (Larochelle & Murray, 2011), layer and model.

Dims: *S any leading dims, N all of them flattened, D units, H hidden units, C conditioning units,
P units of a block, R distinct hidden states in a block.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Integer
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hwbench.models.layers import Affine, BinaryUnits, Init, Layer, weights
from hwbench.products import full_precision
from hwbench.protocols import Density, TrainSplit

Count = Annotated[int, Field(ge=1)]
BLOCK = 16  # units scored together, so that their hidden states fit into a core's cache


def logits_by_loop(
    x: Float[Tensor, "n d"],
    a: Float[Tensor, "n h"],
    encode: Float[Tensor, "d h"],
    decode: Float[Tensor, "d h"],
) -> Float[Tensor, "n d"]:
    """Return V_d · σ(a + Σ_{e<d} x_e W_e) for every unit d, one by one: the reference form."""
    out = []
    for x_d, w_d, v_d in zip(x.unbind(1), encode, decode, strict=True):
        out.append(a.sigmoid() @ v_d)
        a = a + x_d[:, None] * w_d
    return torch.stack(out, 1)


class _Plan(NamedTuple):
    """The inputs of a block's distinct hidden states, and the places of their logits.

    A unit that is off does not change the hidden state of its point, so a block has fewer states
    than units.

    Attributes:
        point: [R], the point of each state.
        seen: [R, P], the values of the block's units that a state depends on, and zeros elsewhere.
        place: [N · P], the index of the logit of each point and unit in the (flattened) product of
            states and V.
    """

    point: Integer[Tensor, " r"]
    seen: Float[Tensor, "r p"]
    place: Integer[Tensor, " np"]


def _plans_of(x: Float[Tensor, "n d"], blocks: int) -> list[_Plan]:
    """Return the plans of x [N, blocks · P], computed together in a third of the time."""
    n, p = len(x), x.shape[1] // blocks
    x = x.view(n, blocks, p).transpose(0, 1).reshape(blocks * n, p)  # Rows go block by block.
    fresh = torch.ones(x.shape, dtype=torch.bool, device=x.device)  # True where a state is new.
    fresh[:, 1:] = x[:, :-1] != 0
    row, unit = fresh.nonzero(as_tuple=True)
    column = torch.arange(p, device=x.device)
    seen = x.index_select(0, row) * (column < column[:, None]).to(x).index_select(0, unit)
    of_block = fresh.view(blocks, n * p)
    place = (of_block.cumsum(1) - 1) * p + column.repeat(n)
    states = of_block.sum(1).tolist()
    parts = zip((row % max(n, 1)).split(states), seen.split(states), place, strict=True)
    return [_Plan(*part) for part in parts]


def _plans(x: Float[Tensor, "n d"]) -> list[_Plan]:
    """Return the plan of each block of units; the last block may be narrower."""
    whole = x.shape[1] // BLOCK
    plans = _plans_of(x[:, : whole * BLOCK], whole) if whole else []
    if x.shape[1] % BLOCK:
        plans += _plans_of(x[:, whole * BLOCK :], 1)
    return plans


class _Blocks(torch.autograd.Function):
    """`logits_by_loop` by blocks over distinct hidden states, which backward recomputes."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, a: Tensor, encode: Tensor, decode: Tensor, keep: bool
    ) -> Tensor:
        out, kept = torch.empty_like(x), []
        for i, plan in enumerate(_plans(x)):
            block = slice(i * BLOCK, (i + 1) * BLOCK)
            x_b = x[:, block]
            s = torch.addmm(a.index_select(0, plan.point), plan.seen, encode[block]).sigmoid_()
            out[:, block] = (s @ decode[block].T).take(plan.place).view_as(x_b)
            if keep:
                kept += [a, *plan]
            a = torch.addmm(a, x_b, encode[block])
        ctx.save_for_backward(x, encode, decode, *kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, encode, decode, *kept = ctx.saved_tensors
        d_encode, d_decode = torch.empty_like(encode), torch.empty_like(decode)
        d_a = torch.zeros_like(kept[0])  # gradient of the block's final hidden pre-activations
        for i in reversed(range(len(kept) // 4)):
            block = slice(i * BLOCK, (i + 1) * BLOCK)
            a, plan = kept[4 * i], _Plan(*kept[4 * i + 1 : 4 * i + 4])
            s = torch.addmm(a.index_select(0, plan.point), plan.seen, encode[block]).sigmoid_()
            d_logits = torch.zeros_like(plan.seen)
            d_logits.view(-1)[plan.place] = grad[:, block].flatten()
            d_decode[block] = d_logits.T @ s
            d_s = torch.ops.aten.sigmoid_backward(d_logits @ decode[block], s)  # [R, H]
            d_encode[block] = torch.addmm(x[:, block].T @ d_a, plan.seen.T, d_s)
            d_a.index_add_(0, plan.point, d_s)
        return None, d_a, d_encode, d_decode, None


def logits_by_blocks(
    x: Float[Tensor, "n d"],
    a: Float[Tensor, "n h"],
    encode: Float[Tensor, "d h"],
    decode: Float[Tensor, "d h"],
) -> Float[Tensor, "n d"]:
    """Return the same as `logits_by_loop`, in a fraction of its time; x gets no gradient.

    The time is proportional to the number of units that are on. Until backward, each block keeps
    an array of [N, H]. Its products are always in full precision.
    """
    keep = torch.is_grad_enabled()  # It has to be asked here, because it is off within `forward`.
    with full_precision(x.device):
        return _Blocks.apply(x, a, encode, decode, keep)  # type: ignore[no-any-return]


class NADEUnits(BinaryUnits):
    """p(x) = Π_d Bern(x_d; σ(b_d + V_d · σ(a + Σ_{e<d} x_e W_e))).

    Args:
        bias: b.
        hidden: a, the hidden pre-activations before the first unit.
        encode: W.
        decode: V.
        clamped: see `BinaryUnits`.
    """

    def __init__(
        self,
        bias: Float[Tensor, "*s d"],
        hidden: Float[Tensor, "*s h"],
        encode: Float[Tensor, "d h"],
        decode: Float[Tensor, "d h"],
        clamped: bool = False,
    ) -> None:
        super().__init__(clamped)
        self.bias = bias
        self.hidden = hidden
        self.encode = encode
        self.decode = decode

    def logits(self, x: Float[Tensor, "*s d"]) -> Float[Tensor, "*t d"]:
        """Return the logits of all units."""
        lead = torch.broadcast_shapes(x.shape[:-1], self.hidden.shape[:-1])
        units, hidden = self.encode.shape
        flat_x = x.expand(*lead, units).reshape(-1, units)
        flat_a = self.hidden.expand(*lead, hidden).reshape(-1, hidden)
        # Blocks have as many states as units are on, for which a GPU would make the host wait.
        form = logits_by_blocks if x.device.type == "cpu" else logits_by_loop
        logits = form(flat_x, flat_a, self.encode, self.decode)
        return self.squash(logits.view(*lead, units) + self.bias)

    @torch.no_grad()
    def trace(self, shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Draw unit after unit; on a CPU, hidden units are updated only where the unit is on."""
        lead = (*shape, *self.hidden.shape[:-1])
        units, hidden = self.encode.shape
        a = self.hidden.expand(*lead, hidden).reshape(-1, hidden).clone()
        logits = self.bias.expand(*lead, units).reshape(-1, units).T.contiguous()  # [D, N]
        threshold = torch.rand_like(logits).logit_()
        x = torch.empty_like(logits)
        s = a.sigmoid()
        for d in range(units):
            logits[d] = self.squash(torch.addmv(logits[d], s, self.decode[d]))
            torch.lt(threshold[d], logits[d], out=x[d])
            if a.device.type != "cpu":  # Finding the points would force a synchronisation.
                torch.sigmoid(a.addr_(x[d], self.encode[d]), out=s)
            else:
                on = x[d].nonzero().squeeze(1)
                a_on = a.index_select(0, on).add_(self.encode[d])
                a.index_copy_(0, on, a_on)
                s.index_copy_(0, on, a_on.sigmoid_())
        return x.T.reshape(*lead, units), logits.T.reshape(*lead, units)


class NADELayer(Layer):
    """A layer that is a NADE given the units above (Boulanger-Lewandowski et al., 2012).

        p(x | y) = Π_d Bern(x_d; σ(b_d + (U_b y)_d + V_d · σ(c + U_c y + Σ_{e<d} x_e W_e)))

    Args:
        above: units above; 0 for a top layer.
        below: units of the layer.
        hidden: hidden units; by default min(above, below), and at the top as many as units.
        bias: initial b and c.
        init: initialisation of the weights.
        clamped: see `BinaryUnits`.
    """

    def __init__(
        self,
        above: int,
        below: int,
        hidden: int | None = None,
        bias: float = 0.0,
        init: Init = "small",
        clamped: bool = False,
    ) -> None:
        super().__init__()
        if hidden is None:
            hidden = min(above, below) if above else below
        self.clamped = clamped
        self.affine = Affine(above, below, bias, init)
        self.hidden = Affine(above, hidden, bias, init)
        self.encode = nn.Parameter(weights(below, hidden, init).T.contiguous())  # [D, H]
        self.decode = weights(hidden, below, init)  # [D, H]

    def forward(self, y: Float[Tensor, "*s c"] | None = None) -> NADEUnits:
        """Return p(x | y), or p(x) at the top."""
        return NADEUnits(self.affine(y), self.hidden(y), self.encode, self.decode, self.clamped)


class NADE(Density):
    """NADE as a density over binary pixels (Larochelle & Murray, 2011), with untied weights.

    Args:
        visible: observed units D.
        hidden: hidden units H.
        order: seed of a random order of the pixels; by default they keep their own order.
        init: initialisation of the weights.
        output_bias: start the units' biases at the logit of the pixel means (clipped to [0.001,
            0.999]), or at zero.

    >>> NADE(visible=6, hidden=3).log_prob(torch.zeros(5, 6)).shape
    torch.Size([5])
    """

    order: Tensor

    def __init__(
        self,
        visible: int,
        hidden: Count = 500,
        order: Annotated[int, Field(ge=0)] | None = None,
        init: Init = "glorot",
        output_bias: Literal["data", "zero"] = "zero",
    ) -> None:
        super().__init__()
        self.visible = visible
        self.output_bias = output_bias
        self.generative = NADELayer(0, visible, hidden, init=init)
        ranks = torch.arange(visible, device="cpu")
        if order is not None:
            generator = torch.Generator(device="cpu").manual_seed(order)
            ranks = torch.randperm(visible, generator=generator, device="cpu")
        self.register_buffer("order", ranks)

    @classmethod
    def tiny(cls) -> NADE:
        """Return a NADE of 4 units in a random order."""
        return cls(visible=4, hidden=3, order=1)

    def adapt(self, train: TrainSplit) -> None:
        """Start the biases at the logit of the training pixels' means, if requested."""
        if self.output_bias == "data":
            with torch.no_grad():
                means = train.means()[self.order].clamp(1e-3, 1 - 1e-3)
                self.generative.output_bias.copy_(means.logit())

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Return log p(x) of each point, in nats."""
        return self.generative().log_prob(x[:, self.order])

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the means P(x_d = 1 | x_{<d}) along n ancestral samples."""
        _, logits = self.generative().trace((n,))
        return logits.sigmoid()[:, self.order.argsort()]
