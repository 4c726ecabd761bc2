"""Perplexity per word of models of texts, and retrieval of texts of the same class."""

# Dims: N texts, B texts of a group, C chains, T temperatures, V words, H hidden units, Q queries.

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Integer
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hwbench.evaluators.ais import Segment, temperatures
from hwbench.evaluators.points import Kind, mean_metric, points_of
from hwbench.numerics import effective_sample_size, generator, log_mean_exp
from hwbench.protocols import (
    CountEnergyModel,
    Curve,
    Evaluation,
    Evaluator,
    HeldOut,
    Metric,
    TextModel,
    TopicMixture,
    draw_words,
    log_shares,
)
from hwbench.ranking import average_precision

Count = Annotated[int, Field(ge=1)]
CHAINS = 500  # annealed at once, of similar lengths
RECALL = [0.002, 0.004, 0.01, 0.02, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0]


def perplexity_of(
    log_p: Float[np.ndarray, " n"], words: Float[np.ndarray, " n"], kind: Kind, k: int = 0
) -> Evaluation:
    """Return `perplexity` = exp(−(1/N) Σ_n log p(text n) / M_n), and its logarithm.

    A lower bound on log p gives an upper bound on both.
    """
    opposite: Kind = "upper bound" if kind == "lower bound" else kind
    nats = mean_metric(-log_p / words, opposite, k=k)
    value = math.exp(nats.value)
    return Evaluation(
        {
            "perplexity": Metric(value, value * nats.se, n=nats.n, k=k, kind=opposite),
            "nats_per_word": nats,
        },
        {"log_px": log_p.astype(np.float32)},
    )


def texts_of(split: HeldOut, points: int | None, seed: int) -> Float[Tensor, "n v"]:
    """Return a random subset of texts.

    Raises:
        ValueError: a text has no words, and so no perplexity.
    """
    chosen = points_of(split, points, seed)
    x = chosen.batch(torch.arange(len(chosen), device=chosen.values.device))
    empty = (x.sum(1) == 0).nonzero()
    if len(empty):
        raise ValueError(f"text {int(empty[0])} has no words, so it has no perplexity")
    return x


class Perplexity(Evaluator[TopicMixture]):
    """Perplexity per word from the model's bound on the log-probability of a text.

    Each text has the same weight, whatever its length, as in Salakhutdinov & Hinton (2009).

    Args:
        points: number of random texts; all by default.
    """

    better: Literal["higher", "lower"] = "lower"
    metrics = ("perplexity", "nats_per_word")

    def __init__(self, points: Count | None = None) -> None:
        self.points = points

    def __call__(
        self,
        model: TopicMixture,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the metrics, with standard errors over texts."""
        x = texts_of(points, self.points, seed)
        log_p = model.bound(x).double().cpu().numpy()
        progress(1.0)
        kind: Kind = "exact" if len(model.shares) == 1 else "lower bound"
        return perplexity_of(log_p, x.sum(1).double().cpu().numpy(), kind)


class AnnealedPerplexity(Evaluator[CountEnergyModel]):
    """Perplexity per word, with log Z by annealed importance sampling for each length of a text.

    Salakhutdinov & Hinton (2009). Weights are in float64, draws in float32. For M words, annealing
    starts from independent words with their frequencies in the training data, and hidden units
    that are on with probability ½:

        log p*_β(v) = (1 − β) a·v + β b·v + Σ_j softplus(β (M c_j + v·W_j))

    The estimates of log Z and of the perplexity are too low in expectation. The diagnostic `ess` is
    the smallest effective sample size of the weights over all lengths.

    Args:
        chains: number of annealing runs for each length.
        schedule: segments [from, to, steps] of β, as for `ais.AIS`.
        points: number of random texts; all by default.
    """

    better: Literal["higher", "lower"] = "lower"
    metrics = ("perplexity", "nats_per_word")

    def __init__(
        self,
        chains: Count = 100,
        schedule: list[Segment] | None = None,
        points: Count | None = None,
    ) -> None:
        self.betas = temperatures([[0, 1, 1000]] if schedule is None else schedule)
        self.chains, self.points = chains, points

    @classmethod
    def tiny(cls) -> AnnealedPerplexity:
        """Return a few chains and temperatures."""
        return cls(chains=20, schedule=[[0, 1, 50]])

    def __call__(
        self,
        model: CountEnergyModel,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the metrics, with standard errors over texts."""
        double = copy.deepcopy(model).double()
        x = double.scaled(texts_of(points, self.points, seed).double())
        lengths = x.sum(1).round().long()
        different = lengths.unique()
        log_z = x.new_zeros(len(different))
        ess, group = math.inf, max(1, CHAINS // self.chains)
        g = generator(seed, "evaluate", "ais", device=x.device)
        with torch.no_grad():
            for i in range(0, len(different), group):
                part = different[i : i + group]
                log_w = anneal_texts(double, part, self.chains, self.betas, g)  # [C, B]
                log_z[i : i + group] = log_mean_exp(log_w)
                ess = min(ess, float(effective_sample_size(log_w).min()))
                progress(i / len(different))
            log_p = -double.free_energy(x) - log_z[torch.searchsorted(different, lengths)]
        out = perplexity_of(
            log_p.cpu().numpy(), lengths.double().cpu().numpy(), "estimate", self.chains
        )
        out.diagnostics["ess"] = ess
        if ess < max(2.0, self.chains / 10):
            out.warnings.append(
                f"the AIS weights have collapsed: effective sample size {ess:.1f} of {self.chains} "
                "chains for one length; log Z is likely too low; use more temperatures"
            )
        progress(1.0)
        return out


def anneal_texts(
    model: CountEnergyModel,
    lengths: Integer[Tensor, "b"],
    chains: int,
    betas: Float[Tensor, "t"],
    g: torch.Generator,
) -> Float[Tensor, "c b"]:
    """Return log w + log Z_A of each chain and length; E[w] = Z / Z_A (Neal, 2001).

    Here log Z_A = H log 2, because the initial word probabilities sum to 1.
    """
    words = lengths.to(model.data_means.dtype).expand(chains, -1).flatten()
    most = int(lengths.max())
    start = log_shares(model.data_means)
    v = draw_words(start.float().expand(len(words), -1), words, most, g).to(words.dtype)
    nothing = model.hidden_input(v[:1], words[:1]).zero_()
    end, log_w = model.word_logits(nothing)[0], words.new_zeros(len(words))
    log_w += nothing.shape[1] * math.log(2)
    path = betas.tolist()
    for before, beta in pairwise(path):
        inputs = model.hidden_input(v, words)
        log_w += (beta - before) * (v @ (end - start))
        log_w += (F.softplus(beta * inputs) - F.softplus(before * inputs)).sum(1)
        if beta == path[-1]:  # no sweep is needed after the last weight
            break
        h = inputs.mul_(beta).sigmoid_()
        h = h.gt(torch.empty_like(h).uniform_(generator=g)).to(v.dtype)
        logits = (1 - beta) * start + beta * model.word_logits(h)
        v = draw_words(logits.float(), words, most, g).to(words.dtype)
    return log_w.view(chains, -1)


class Retrieval(Evaluator[TextModel]):
    """Retrieval of texts of the same class by cosine similarity of their representations.

    Each text is a query if another text has its class; all other held-out texts are ranked for it.
    `retrieval_map` is the mean over queries of the average precision, in expectation over the order
    of equal cosines. The curve `precision_recall` gives, at each recall, the mean precision of the
    shortest list that reaches it, for one random order of equal cosines.

    Args:
        points: number of random texts used as queries and retrieved; all by default.
    """

    metrics = ("retrieval_map",)
    curves = ("precision_recall",)

    def __init__(self, points: Count | None = None) -> None:
        self.points = points

    def __call__(
        self,
        model: TextModel,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the metric, with its standard error over queries, and the curve.

        Raises:
            ValueError: texts have no classes, or no two texts have the same class.
        """
        split = points_of(points, self.points, seed)
        draws = generator(seed, "evaluate", "retrieval")  # files may be sorted by class
        split = split.subset(torch.randperm(len(split), generator=draws))
        if split.labels is None:
            raise ValueError(f"retrieval needs classes; this {type(split).__name__} has none")
        labels = split.labels.cpu().numpy()
        queries = np.flatnonzero((labels == labels[:, None]).sum(1) > 1)
        if not len(queries):
            raise ValueError("retrieval needs two or more texts of a class")
        with torch.no_grad():
            index = torch.arange(len(split), device=split.values.device)
            features = [model.represent(split.batch(part)) for part in index.split(1000)]
            unit = F.normalize(torch.cat(features).double()).cpu().numpy()
        values = np.zeros(len(queries))
        precision = np.zeros((len(queries), len(RECALL)))
        for row, query in enumerate(queries):
            others = np.arange(len(unit)) != query
            scores = (unit[others] @ unit[query]).round(12)  # so that rounding breaks no ties
            relevant = labels[others] == labels[query]
            values[row] = average_precision(scores, relevant)
            ranks = np.flatnonzero(relevant[np.argsort(-scores, kind="stable")]) + 1
            hits = np.maximum(1, np.ceil(np.multiply(RECALL, len(ranks)) - 1e-9)).astype(int)
            precision[row] = hits / ranks[hits - 1]
            if row % 100 == 0:
                progress(row / len(queries))
        progress(1.0)
        se = precision.std(0, ddof=1) / math.sqrt(len(precision))
        curve = Curve(RECALL, precision.mean(0).tolist(), se.tolist())
        found = dataclasses.replace(mean_metric(values, "exact"), n=len(split))
        return Evaluation({"retrieval_map": found}, curves={"precision_recall": curve})
