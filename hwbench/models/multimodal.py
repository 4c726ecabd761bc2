"""Models of images and texts: deep Boltzmann machine, belief network, autoencoder, single layer."""

# Dims: B points, N chains, D observed units, V words, H hidden units, E units of the even layers.

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hwbench.models.gaussian import GaussianRBM
from hwbench.models.paths import Count, TwoPaths, check_inputs, with_words
from hwbench.models.ranked import Ranked
from hwbench.models.replicated import Length, ReplicatedSoftmax
from hwbench.models.stack import add_grad, bernoulli, signs
from hwbench.protocols import (
    BoltzmannStack,
    Couplings,
    DeepBoltzmannMachine,
    EnergyModel,
    Latents,
    PairedAutoencoder,
    Pairs,
    RealEnergyModel,
    Stack,
    Text,
    TextGenerator,
    TrainSplit,
    draw_words,
)

Weight = Annotated[float, Field(ge=0)]
Way = Literal["mf", "gibbs"]


class MultimodalDBM(TwoPaths, BoltzmannStack):
    """A deep Boltzmann machine of an image and a text (Srivastava & Salakhutdinov, 2012, 2014).

        −E = −‖v − b‖² / 2 + v W h_1 + h_1 U h_2 + [h_2 | h'_2] J h
             + t·b' + t W' h'_1 + M a·h'_1 + h'_1 U' h'_2 + biases of hidden layers

    for an image v, counts t of a text of M words, and the joint layer h. The even layers v, t, h_2,
    h'_2 are independent given h_1, h'_1, h, and vice versa; a state of the chain is
    [v | t | h_2 | h'_2]. In pretraining, each RBM doubles the logits of units that lack their other
    neighbour, as in `dbm.DBM`. A text without words is replaced by its expectation given the image.
    If texts keep their `own` length, chains draw texts with the lengths of training texts.

    Args:
        iterations: mean-field sweeps that infer the values of layers.
    """

    doubled = True

    def __init__(
        self,
        visible: Annotated[int, Field(ge=2)],
        classes: int,
        words: Count,
        image: list[Count],
        text: list[Count],
        joint: Count,
        init: Weight = 0.01,
        length: Length = "own",
        infer: Way = "mf",
        sweeps: Count | None = None,
        iterations: Count = 30,
    ) -> None:
        super().__init__(visible, classes, words, image, text, joint, init, length, infer, sweeps)
        self.iterations = iterations

    def machine(self) -> _Joint:
        """Return the machine of all layers."""
        return _Joint(self)

    @torch.no_grad()
    def units(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b u"]:
        """Return images and texts, with expected counts for texts without words."""
        return torch.cat(self.parts_of(self.complete_text(x)), 1)

    @torch.no_grad()
    def values(self, x: Float[Tensor, "b d"]) -> dict[str, Tensor]:
        """Return the inputs, and the mean-field means of the hidden layers."""
        parts = self.parts_of(x)
        means = self.machine().mean_field(torch.cat(parts, 1), self.iterations, 1e-5)
        return self.named(parts, means)

    @torch.no_grad()
    def generate(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b v"]:
        """Return the expected counts given the image; all other layers are inferred as well."""
        tags, words = self.needs_text(), self.expected_words().expand(len(x))
        image, _ = self.split(x)
        text = words[:, None] * tags.visible_bias.softmax(0)
        machine, draws = self.machine(), self.way == "gibbs"
        states = [torch.cat([image, text], 1)]
        for path, part in enumerate((image, text)):
            states += self.upward(path, part)
        states.append(self.top.pair(1).up(torch.cat(states[2::2], 1)).sigmoid_())
        total = torch.zeros_like(text)
        for sweep in range(self.sweeps):
            for block in (1, 2):
                machine.update(states, range(block, len(states), 2), draws)
            text = words[:, None] * tags.word_logits(states[3]).softmax(1)
            if sweep >= self.sweeps // 2:
                total += text
            if draws:
                text = draw_words(tags.word_logits(states[3]), words.round(), self.longest())
            states[0] = torch.cat([image, text], 1)
        return total / (self.sweeps - self.sweeps // 2) if draws else text

    def longest(self) -> int:
        """Return the number of words of a drawn text."""
        return max(1, round(float(self.expected_words())))


class _Joint(DeepBoltzmannMachine):
    """All layers of a `MultimodalDBM` as one machine that shares its parameters."""

    observed: Literal["binary", "real"] = "real"

    def __init__(self, net: MultimodalDBM) -> None:
        super().__init__()
        self.net, self.layers = net, net.layers
        self.sizes = [net.visible - net.words, net.words][: len(net.paths)]
        self.visible = sum(self.sizes)

    @classmethod
    def tiny(cls) -> _Joint:
        """Return the machine of a tiny model."""
        return cls(MultimodalDBM.tiny())

    def couplings(self) -> Couplings:
        """Raise an error: observed units are not binary.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "MultimodalDBM has real observed units; what was asked for needs binary ones"
        )

    def pair(self, layer: int) -> EnergyModel:
        """Return the pretraining RBM below a layer."""
        return self.net.pair(layer)

    def ascend(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return the means of a layer in pretraining."""
        return self.net.ascend(x, layer)

    def _parts(self, x: Tensor) -> list[Tensor]:
        return list(x.split(self.sizes, 1))

    def _downward(self, path: int) -> tuple[Tensor, Tensor]:
        """Return the joint layer's weights to the upper layer of a path, and its biases."""
        sizes, own = self.layers[1:-1:2], self.net.top
        weight, bias = own.weights[0].split(sizes), own.below_bias.detach().split(sizes)
        return weight[path], bias[path]

    def logits(
        self, layer: int, states: Latents, from_parts: list[Tensor] | None = None
    ) -> Float[Tensor, "b h"]:
        """Return the logits of a hidden layer given its neighbours.

        Args:
            layer: from 1 to L.
            states: all layers, x first.
            from_parts: the input from its part to each path's first layer, if already computed.
        """
        if layer == len(self.layers):
            upper = torch.cat(states[2::2], 1)
            return torch.addmm(self.net.top.above_bias, upper, self.net.top.weights[0])
        path, above = divmod(layer - 1, 2)
        own = self.net.paths[path].second
        if above:
            weight, bias = self._downward(path)
            below = torch.addmm(own.above_bias, states[layer - 1], own.weights[0])
            return below.add(torch.addmm(bias, states[-1], weight.t()))
        if from_parts is None:
            from_part = self.net.paths[path].from_part(self._parts(states[0])[path])
        else:
            from_part = from_parts[path]
        return from_part + torch.addmm(
            own.below_bias.detach(), states[layer + 1], own.weights[0].t()
        )

    def inputs(self, states: Latents) -> Latents:
        """Return the logits of every hidden layer given its neighbours."""
        return [self.logits(layer, states) for layer in range(1, len(states))]

    def energy(self, states: Latents) -> Float[Tensor, "b"]:
        """Return E of all layers, x first."""
        net, total = self.net, self._own(states[0])
        for path, part in enumerate(self._parts(states[0])):
            h1, h2 = states[1 + 2 * path : 3 + 2 * path]
            second = net.paths[path].second
            total = total + (net.paths[path].from_part(part) * h1).sum(1)
            total = total + h1 @ second.below_bias.detach() + h2 @ second.above_bias
            total = total + ((h1 @ second.weights[0]) * h2).sum(1)
        upper, joint = torch.cat(states[2::2], 1), states[-1]
        total = total + upper @ net.top.below_bias.detach() + joint @ net.top.above_bias
        return -(total + ((upper @ net.top.weights[0]) * joint).sum(1))

    def _own(self, x: Tensor) -> Tensor:
        """Return −‖v − b‖² / 2 + t·b'."""
        image, *text = self._parts(x)
        own = -(image - self.net.pixels.visible_bias).square().sum(1) / 2
        return own + text[0] @ self.net.paths[1].first.visible_bias if text else own

    @torch.no_grad()
    def contrast(self, positive: Latents, negative: Latents) -> Float[Tensor, ""]:
        """Add the gradient of mean E(positive) − mean E(negative) to `.grad`; return it, detached.

        As in `dbm.DBM`, one product per weight matrix gives both.
        """
        net = self.net
        both = [torch.cat(layers) for layers in zip(positive, negative, strict=True)]
        sign = signs(len(positive[0]), len(negative[0]), both[0])
        signed = [h * sign[:, None] for h in both]
        value = sign @ self._own(both[0])
        for path, part in enumerate(self._parts(both[0])):
            first, second = net.paths[path].first, net.paths[path].second
            h1, h2 = signed[1 + 2 * path : 3 + 2 * path]
            words = part.sum(1) if path else torch.ones_like(sign)
            value += _add(first.weight, part.t() @ h1) + _add(first.hidden_bias, words @ h1)
            add_grad(first.visible_bias, sign @ part)
            value += _add(second.weights[0], both[1 + 2 * path].t() @ h2)
            value += _add(second.above_bias, h2.sum(0)) + second.below_bias @ h1.sum(0)
        upper, joint = torch.cat(both[2::2], 1), signed[-1]
        value += _add(net.top.weights[0], upper.t() @ joint) + _add(
            net.top.above_bias, joint.sum(0)
        )
        return value + net.top.below_bias @ (sign @ upper)

    @torch.no_grad()
    def update(
        self,
        states: Latents,
        layers: range,
        draws: bool,
        from_parts: list[Tensor] | None = None,
    ) -> None:
        """Set hidden layers of one parity to their means given the others, or sample them."""
        new = {n: self.logits(n, states, from_parts).sigmoid_() for n in layers}
        for n, means in new.items():
            states[n] = bernoulli(means) if draws else means

    @torch.no_grad()
    def mean_field(
        self,
        x: Float[Tensor, "b d"],
        iterations: int,
        tolerance: float = 0.0,
        damping: float | None = None,
    ) -> Latents:
        """Return the means of the hidden layers, starting from those of the upward pass.

        Results have the precision of x; products have that of the parameters.
        """
        given, x = x.dtype, x.to(self.net.top.above_bias.dtype)
        parts, states = self._parts(x), [x]
        from_parts = [p.from_part(part) for p, part in zip(self.net.paths, parts, strict=True)]
        for path, part in enumerate(parts):
            states += self.net.upward(path, part)
        states.append(self.net.top.pair(1).up(torch.cat(states[2::2], 1)).sigmoid_())
        every = range(1, len(states))
        blocks = [every[0::2], every[1::2]] if damping is None else [every]
        for _ in range(iterations):
            old = list(states)
            for block in blocks:
                self.update(states, block, False, from_parts)
            if damping:
                states[1:] = [h.lerp(o, damping) for h, o in zip(states[1:], old[1:], strict=True)]
            if tolerance > 0:
                moved = sum((a - b).abs().sum() for a, b in zip(states[1:], old[1:], strict=True))
                if float(moved) < tolerance * len(x) * sum(self.layers):
                    break
        return [h.to(given) for h in states[1:]]

    def bound(self, x: Float[Tensor, "b d"], means: Latents) -> Float[Tensor, "b"]:
        """Return E_q[−E(x, h)] + H(q), for a text whose words are in a given order."""
        entropy = torch.stack(
            [(torch.special.entr(m) + torch.special.entr(1 - m)).sum(1) for m in means]
        )
        return entropy.sum(0) - self.energy([x, *means])

    def _layers(self, even: Tensor) -> Latents:
        """Return all layers of a state in the precision of the parameters; odd ones are empty."""
        even = even.to(self.net.top.above_bias.dtype)
        sizes = [self.visible, *self.layers]
        states = [even.new_empty(0)] * len(sizes)
        states[::2] = even.split(sizes[::2], 1)
        return states

    @torch.no_grad()
    def gibbs(self, even: Float[Tensor, "n e"], k: int) -> Float[Tensor, "n e"]:
        """Return the even layers after k sweeps, detached; see `MultimodalDBM` for the lengths."""
        states, net = self._layers(even), self.net
        turn = torch.arange(len(even), device=even.device) * len(net.lengths) // len(even)
        words = net.lengths[turn]
        for _ in range(k):
            self.update(states, range(1, len(states), 2), True)
            means = net.pixels.visible_means(states[1])
            x = [means + torch.randn_like(means)]
            if net.tags is not None:
                x.append(draw_words(net.tags.word_logits(states[3]), words, net.most))
            upper = range(2, len(states), 2)
            self.update(states, upper, True)
            states[0] = torch.cat(x, 1)
        return torch.cat(states[::2], 1).to(even.dtype)

    @torch.no_grad()
    def complete(self, even: Float[Tensor, "n e"]) -> Latents:
        """Return all layers, the odd ones at their means given the even ones, detached."""
        states = self._layers(even)
        self.update(states, range(1, len(states), 2), False)
        return [h.to(even.dtype) for h in states]

    @torch.no_grad()
    def sample(self, n: int, sweeps: int = 1000) -> Float[Tensor, "n d"]:
        """Return images and texts after `sweeps` sweeps from zeros."""
        start = self.net.top.below_bias.new_zeros(n, self.visible + sum(self.layers[1::2]))
        return self.gibbs(start, sweeps)[:, : self.visible]


def _add(parameter: Tensor, gradient: Tensor) -> Tensor:
    """Add to a parameter's gradient; return its product with the parameter."""
    add_grad(parameter, gradient)
    return torch.linalg.vecdot(parameter.flatten(), gradient.flatten())


class MultimodalDBN(TwoPaths):
    """A deep belief network of images and texts: RBMs trained greedily, without joint training.

    One upward pass gives the values of layers. A text is generated by the joint RBM with the
    image's upper layer clamped, followed by one pass down the text's layers.
    """

    @torch.no_grad()
    def values(self, x: Float[Tensor, "b d"]) -> dict[str, Tensor]:
        """Return the inputs, and the means of the upward pass."""
        parts, hidden = self.parts_of(x), []
        for path, part in enumerate(parts):
            hidden += self.upward(path, part)
        hidden.append(self.top.pair(1).up(torch.cat(hidden[1::2], 1)).sigmoid_())
        return self.named(parts, hidden)

    @torch.no_grad()
    def generate(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b v"]:
        """Return the expected counts given the image."""
        words, draws = self.expected_words(), self.way == "gibbs"
        _, image = self.upward(0, self.split(x)[0])
        text = self.top.below_bias[image.shape[1] :].sigmoid().expand(len(x), -1)
        total = torch.zeros(len(x), self.words, device=x.device)
        for sweep in range(self.sweeps):
            joint = self.top.pair(1).up(torch.cat([image, text], 1)).sigmoid_()
            joint = bernoulli(joint) if draws else joint
            text = self.top.pair(1).down(joint)[:, image.shape[1] :].sigmoid()
            text = bernoulli(text) if draws else text
            if draws and sweep >= self.sweeps // 2:
                total += self._down(text)
        found = total / (self.sweeps - self.sweeps // 2) if draws else self._down(text)
        return words * found

    def _down(self, upper: Float[Tensor, "b h"]) -> Float[Tensor, "b v"]:
        """Return the words' probabilities given the upper layer of the text."""
        h = self.paths[1].second.pair(1).down(upper).sigmoid()
        return self.needs_text().word_logits(h).softmax(1)


class MultimodalAutoencoder(MultimodalDBN, PairedAutoencoder):
    """The belief network's upward and downward pass as one net, trained to reconstruct both parts.

    Ngiam et al. (2011), initialised from the RBMs. Weights are shared between both directions. A
    text is generated by reconstruction from the image and an empty text.
    """

    def _encoded(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b h"]:
        upper = []
        for path, part in zip(self.paths, self.parts_of(x), strict=True):
            upper.append(path.second.pair(1).up(path.from_part(part).sigmoid()).sigmoid())
        return self.top.pair(1).up(torch.cat(upper, 1)).sigmoid()

    def reconstruct(
        self, x: Float[Tensor, "b d"]
    ) -> tuple[Float[Tensor, "b i"], Float[Tensor, "b v"], Float[Tensor, "b v"]]:
        """Return the image, the logits of the words, and the target counts."""
        tags = self.needs_text()
        upper = self.top.pair(1).down(self._encoded(x)).sigmoid()
        image, text = upper.split(self.layers[1:-1:2], 1)
        pixels, words = (
            path.second.pair(1).down(h).sigmoid()
            for path, h in zip(self.paths, (image, text), strict=True)
        )
        seen = self.pixels.visible_means(pixels)
        return seen, tags.word_logits(words), tags.scaled(self.split(x)[1])

    @torch.no_grad()
    def generate(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b v"]:
        """Return the expected counts given the image."""
        image, text = self.split(x)
        _, logits, _ = self.reconstruct(torch.cat([image, torch.zeros_like(text)], 1))
        return self.expected_words() * logits.softmax(1)


class _OneLayer(RealEnergyModel):
    """A Gaussian RBM and a replicated softmax with the same hidden units."""

    def __init__(self, pixels: GaussianRBM, tags: ReplicatedSoftmax) -> None:
        super().__init__()
        self.pixels, self.tags = pixels, tags
        self.visible = pixels.visible + tags.visible
        self.register_buffer("data_means", torch.zeros(self.visible))

    @classmethod
    def tiny(cls) -> _OneLayer:
        """Return three inputs of an image, three words and two hidden units."""
        return cls(GaussianRBM(3, 2), ReplicatedSoftmax(3, 2, length=2))

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image, and the counts scaled to the model's length."""
        image, text = x.split([self.pixels.visible, self.tags.visible], -1)
        return image, self.tags.scaled(text)

    def logits(self, image: Tensor, text: Tensor) -> Tensor:
        """Return the logits of the hidden units."""
        return self.pixels.hidden_logits(image) + self.tags.hidden_input(text, text.sum(1))

    def free_energy(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return ‖v − b‖² / 2 − t·b' − Σ_j softplus(c_j + v·W_j + t·W'_j + M a_j)."""
        image, text = self.parts(x)
        own = (image - self.pixels.visible_bias).square().sum(-1) / 2
        own = own - text @ self.tags.visible_bias
        return own - F.softplus(self.logits(image, text)).sum(-1)

    @torch.no_grad()
    def gibbs(self, x: Float[Tensor, "b d"], k: int) -> Float[Tensor, "b d"]:
        """Return x after k sweeps, detached."""
        image, text = self.parts(x)
        words = text.sum(1)
        most = int(words.max()) if self.tags.length == "own" else self.tags.length
        for _ in range(k):
            h = bernoulli(self.logits(image, text).sigmoid_())
            means = self.pixels.visible_means(h)
            image = means + torch.randn_like(means)
            text = draw_words(self.tags.word_logits(h), words.round(), most)
        return torch.cat([image, text], 1)

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return images and texts after 100 sweeps from the data's means."""
        start = torch.cat([self.pixels.data_means, self.tags.data_means]).expand(n, -1)
        return self.gibbs(start, 100)


class SimpleMultimodal(Ranked, Stack, TextGenerator):
    """One layer of hidden units above both an image and a text ("a simple multimodal model").

    Args:
        words: vocabulary size V.
        joint: number of hidden units.
        init: standard deviation of the initial weights.
        length: length of texts, as for `replicated.ReplicatedSoftmax`.
        sweeps: mean-field sweeps that generate a text.
    """

    def __init__(
        self,
        visible: Annotated[int, Field(ge=2)],
        classes: int,
        words: Count,
        joint: Count,
        init: Weight = 0.01,
        length: Length = "own",
        sweeps: Count = 10,
    ) -> None:
        super().__init__()
        self.layers, self.sweeps = [joint], sweeps
        self.features = {
            "joint": joint,
            "image_input": max(visible - words, 0),
            "text_input": words,
        }
        self.add_classifiers(visible, words, classes)
        tags = ReplicatedSoftmax(words, joint, init, length)
        self.both = _OneLayer(GaussianRBM(visible - words, joint, init), tags)

    @classmethod
    def tiny(cls) -> SimpleMultimodal:
        """Return three inputs of an image, three words and two hidden units."""
        return cls(visible=6, classes=3, words=3, joint=2, length=2)

    @torch.no_grad()
    def adapt(self, train: TrainSplit) -> None:
        """Initialise the visible biases from the data.

        Raises:
            ValueError: the data have another number of words, or an input is constant.
        """
        self.check_parts(train)
        assert isinstance(train, Pairs)
        check_inputs(type(self).__name__, train)
        image, text = self.split(train.means())
        self.both.pixels.data_means.copy_(image)
        self.both.pixels.visible_bias.copy_(image)
        self.both.tags.remember(text)

    def pair(self, layer: int) -> EnergyModel:
        """Return the RBM.

        Raises:
            ValueError: there is no such layer.
        """
        if layer != 1:
            raise ValueError(f"SimpleMultimodal.pair: expected layer 1; {layer=}")
        return self.both

    @torch.no_grad()
    def ascend(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return the means of the hidden units; x for layer 0."""
        return x if layer == 0 else self.both.logits(*self.both.parts(x)).sigmoid_()

    @torch.no_grad()
    def below(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b d"]:
        """Return the points, with those without words replaced by others."""
        return with_words(x, x[:, -self.words :].sum(1) > 0)

    @torch.no_grad()
    def generate(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b v"]:
        """Return the expected counts given the image, by mean field."""
        image, tags = self.split(x)[0], self.both.tags
        words = (
            tags.mean_words
            if tags.length == "own"
            else torch.full_like(tags.mean_words, tags.length)
        )
        text = words * tags.visible_bias.softmax(0).expand(len(x), -1)
        for _ in range(self.sweeps):
            h = self.both.logits(image, text).sigmoid_()
            text = words * tags.word_logits(h).softmax(1)
        return text

    @torch.no_grad()
    def represent(
        self, x: Float[Tensor, "b d"], layer: str, text: Text = "given"
    ) -> Float[Tensor, "b f"]:
        """Return the inputs or the means of the hidden units; a text without words is generated."""
        image, words = self.split(x)
        if text == "zero":
            words = torch.zeros_like(words)
        else:
            missing = (
                torch.ones_like(words[:, :1]) if text == "generated" else words.sum(1, True) == 0
            )
            words = torch.where(missing.bool(), self.generate(x), self.both.tags.scaled(words))
        parts = {"image_input": image, "text_input": words}
        return parts[layer] if layer in parts else self.both.logits(image, words).sigmoid_()
