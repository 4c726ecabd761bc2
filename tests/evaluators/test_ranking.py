"""Mean average precision of a model, and the classifiers that it is about."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from hwbench.evaluators.ranking import MeanAveragePrecision
from hwbench.models.ranked import PairedInputs
from hwbench.protocols import (
    Counts,
    PairedTestSplit,
    PairedTrainSplit,
    PairedValidationSplit,
    TestSplit,
)
from hwbench.ranking import average_precision, expected_average_precision, precision_at
from hwbench.rules.ranking import LinearClassifiers, OneAgainstAll

WORDS, IMAGE, LABELS, N = 5, 4, 3, 200


def points(kind, seed=0):
    """Pairs whose labels depend on both parts."""
    draws = torch.Generator().manual_seed(seed)
    image = torch.randn(N, IMAGE, generator=draws)
    text = torch.randint(0, 3, (N, WORDS), generator=draws)
    x = torch.cat([image, text.float()], 1)
    slope = torch.randn(IMAGE + WORDS, LABELS, generator=torch.Generator().manual_seed(9))
    targets = (x - x.mean(0)) @ slope + torch.randn(N, LABELS, generator=draws) > 1
    return kind(
        values=image,
        text=Counts.of(text),
        targets=targets,
        label_names=("sea", "sky", "sun"),
        word_names=tuple("abcde"),
    )


@pytest.fixture(scope="module")
def splits():
    kinds = (PairedTrainSplit, PairedValidationSplit, PairedTestSplit)
    return [points(kind, seed) for seed, kind in enumerate(kinds)]


def model():
    return PairedInputs(visible=IMAGE + WORDS, classes=LABELS, words=WORDS)


def ignore(fraction, note):
    pass


def test_metrics_are_the_means_over_labels(splits):
    train, validation, test = splits
    fitted = model()
    LinearClassifiers("logistic", C=[1.0])(fitted, train, validation, 0, ignore)
    found = MeanAveragePrecision()(fitted, test, seed=0).metrics
    scores = fitted.score(test.batch(torch.arange(N)), "input").double().numpy()
    targets = test.targets.numpy()
    for name, measure in {
        "map": average_precision,
        "precision_at_50": lambda s, t: precision_at(s, t, 50),
        "precision_at_51": lambda s, t: precision_at(s, t, 51),
    }.items():
        expected = np.mean([measure(scores[:, i], targets[:, i]) for i in range(LABELS)])
        assert found[name].value == pytest.approx(expected, abs=1e-12)
    assert found["map_input"].value == found["map"].value
    assert found["map_input"].value > found["map_image_input"].value
    alone = MeanAveragePrecision(layer="image_input")(fitted, test, seed=0).metrics
    assert alone["map"].value == found["map_image_input"].value


def test_without_steps_it_is_a_random_ranking(splits):
    train, validation, test = splits
    untouched = model()
    OneAgainstAll(steps=0)(untouched, train, validation, 0, ignore)
    found = MeanAveragePrecision()(untouched, test, seed=0).metrics
    counts = test.targets.sum(0).tolist()
    expected = np.mean([expected_average_precision(r, N) for r in counts])
    assert found["map"].value == pytest.approx(expected, abs=1e-12)
    assert found["precision_at_50"].value == pytest.approx(np.mean(counts) / N, abs=1e-12)
    assert set(found) == {"map", "precision_at_50", "precision_at_51"}


def test_gradient_descent_finds_the_logistic_regression(splits):
    """The minimum of mean cross-entropy + ½ λ ‖W‖², as scikit-learn's C = 1 / (λ N) has it."""
    train = splits[0]
    fitted = model()
    rule = OneAgainstAll(["input"], steps=2500, every=2500, lr=0.8, weight_decay=0.01, batch_size=N)
    rule(fitted, train, None, 0, ignore)
    x = train.batch(torch.arange(N)).numpy()
    for label in range(LABELS):
        exact = LogisticRegression(C=1 / (0.01 * N), tol=1e-8, max_iter=1000)
        exact.fit(x, train.targets[:, label].numpy())
        kept = fitted.classifier_input[:, label].numpy()
        np.testing.assert_allclose(kept[:-1], exact.coef_[0], atol=1e-3)
        np.testing.assert_allclose(kept[-1], exact.intercept_[0], atol=1e-3)


def test_the_best_on_the_validation_points_is_kept(splits):
    """The curve has its value, and the kept classifiers have it on these points."""
    train, validation, _ = splits
    fitted = model()
    rule = OneAgainstAll(["input"], steps=40, every=5, lr=0.5)
    curves = rule(fitted, train, validation, 0, ignore)
    (curve,) = curves.values()
    assert len(curve) == 8
    kept = MeanAveragePrecision("input")(fitted, validation, seed=0).metrics["map"].value
    assert kept == pytest.approx(max(y for _, y in curve), abs=1e-6)


@pytest.mark.parametrize("kind", ["discriminant", "svm", "logistic"])
def test_classifiers_of_scikit_learn_rank_better_than_chance(splits, kind):
    train, validation, test = splits
    fitted = model()
    rule = LinearClassifiers(kind, C=None if kind == "discriminant" else [0.1, 1.0])
    rule(fitted, train, validation, 0, ignore)
    found = MeanAveragePrecision()(fitted, test, seed=0).metrics
    assert found["map"].value > 0.6 > test.targets.float().mean() + 0.2


def test_bad_input_is_named(splits):
    train, _, test = splits
    absent = PairedTestSplit(
        **(vars(test) | {"targets": test.targets & torch.tensor([1, 0, 1]).bool()})
    )
    with pytest.raises(ValueError, match="label 'sky' applies to none of the 200 points"):
        MeanAveragePrecision()(model(), absent, seed=0)
    with pytest.raises(ValueError, match="no layer 'top'; its layers: input, image_input"):
        MeanAveragePrecision("top")(model(), test, seed=0)
    with pytest.raises(ValueError, match="images with texts are needed; found a TestSplit"):
        MeanAveragePrecision()(model(), TestSplit(torch.zeros(5, 9)), seed=0)
    with pytest.raises(ValueError, match="this PairedTestSplit has none"):
        MeanAveragePrecision()(model(), PairedTestSplit(**(vars(test) | {"targets": None})), seed=0)
    never = PairedTrainSplit(**(vars(train) | {"targets": train.targets & False}))
    with pytest.raises(ValueError, match="label 'sea' occurs at none of the training points"):
        LinearClassifiers("logistic", C=[1.0])(model(), never, None, 0, ignore)
    with pytest.raises(ValueError, match="kind: svm needs C"):
        LinearClassifiers("svm")
    with pytest.raises(ValueError, match="199 images, 200 texts"):
        PairedTrainSplit(**(vars(train) | {"values": train.values[1:]}))
    for wrong in ([[0.5]], [[-1.0]]):
        with pytest.raises(ValueError, match=f"whole numbers from 0; found {wrong[0][0]:g}"):
            Counts.of(torch.tensor(wrong))
    with pytest.raises(ValueError, match=r"4 inputs of an image and 5 words; give words: 5"):
        PairedInputs(visible=9, classes=3, words=4).adapt(train)


def test_sparse_counts_are_the_dense_ones():
    dense = torch.randint(0, 2, (7, 4), generator=torch.Generator().manual_seed(0))
    dense[2] = 0
    counts = Counts.of(dense)
    index = torch.tensor([[6, 2], [2, 0]])
    assert torch.equal(counts.rows(index), dense[index].float())
    chosen = torch.tensor([3, 2, 6])
    assert torch.equal(counts.select(chosen).rows(torch.arange(3)), dense[chosen].float())
    assert torch.equal(counts.lengths(), dense.sum(1).float())
    torch.testing.assert_close(counts.means(), dense.float().mean(0))
