"""Variational inference of topics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import Field

from hwbench.numerics import stream
from hwbench.protocols import Fit, TopicMixture, TrainSplit, ValidationSplit


class VariationalTopics(Fit[TopicMixture]):
    """Online variational Bayes for latent Dirichlet allocation, by scikit-learn.

    Hoffman, Blei & Bach (2010). The posterior means of the topics are kept.

    Args:
        iterations: passes over the training texts.
        smoothing: parameter of the symmetric Dirichlet prior over the words of a topic.
        batch_size: texts in a minibatch.
    """

    def __init__(
        self,
        iterations: Annotated[int, Field(ge=1)] = 20,
        smoothing: Annotated[float, Field(gt=0)] = 0.1,
        batch_size: Annotated[int, Field(ge=1)] = 256,
    ) -> None:
        self.iterations, self.smoothing, self.batch_size = iterations, smoothing, batch_size

    @classmethod
    def tiny(cls) -> VariationalTopics:
        """Return a fit with few passes."""
        return cls(iterations=3)

    def __call__(
        self,
        model: TopicMixture,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Fit the topics; there are no curves."""
        from scipy.sparse import csr_matrix
        from sklearn.decomposition import LatentDirichletAllocation

        progress(0.0, f"{self.iterations} passes")
        counts = csr_matrix(train.values.double().cpu().numpy())
        made = LatentDirichletAllocation(
            len(model.shares),
            doc_topic_prior=model.prior,
            topic_word_prior=self.smoothing,
            learning_method="online",
            batch_size=self.batch_size,
            max_iter=self.iterations,
            random_state=stream(seed, "init", "topics") % 2**32,
        ).fit(counts)
        shares = made.components_ / made.components_.sum(1, keepdims=True)
        model.keep(torch.from_numpy(shares).to(model.shares))
        progress(1.0, "done")
        return {}
