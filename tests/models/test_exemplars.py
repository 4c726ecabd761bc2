"""Nearest neighbours against counting by hand; support vectors against scikit-learn."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from hwbench.evaluators.classification import ErrorRate
from hwbench.models import exemplars
from hwbench.models.exemplars import KNN, RBFSVM, NeighbourMeans
from hwbench.protocols import TestSplit, TrainSplit, ValidationSplit
from hwbench.rules.exemplars import ChooseK, ChooseNeighbours, ChooseRBF


def ignore(fraction, note):
    pass


def line(positions, labels, kind=TrainSplit):
    """Points on a line, as bytes over 255."""
    values = torch.tensor(positions, dtype=torch.uint8)[:, None]
    return kind(values, torch.tensor(labels), scale=255.0)


def blobs(kind, n, classes, seed, visible=6):
    """Bytes around a centre for each class, with overlap."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=draws)
    centres = 255 * torch.rand(classes, visible, generator=torch.Generator().manual_seed(9))
    values = centres[labels] + 60 * torch.randn(n, visible, generator=draws)
    return kind(values.clamp(0, 255).to(torch.uint8), labels, scale=255.0)


def again(model):
    """Return the model saved as tensors and loaded into one that never saw a point."""
    classes = {"classes": model.classes} if hasattr(model, "classes") else {}
    other = type(model)(visible=model.visible, **classes)
    other.load_state_dict(load(save({k: v.contiguous() for k, v in model.state_dict().items()})))
    return other


def everything(split):
    return split.batch(torch.arange(len(split)))


# --- nearest neighbours ---------------------------------------------------------------------------


def test_the_nearest_vote():
    """At 100 the order is 101, 97, 105, 90, 120: classes 1, 0, 0, 2, 2."""
    model = KNN(visible=1, classes=3)
    x = torch.tensor([[100.0]]) / 255
    winners = []
    for k in range(1, 6):
        model.keep(line([90, 97, 101, 105, 120], [2, 0, 1, 0, 2]), k)
        winners.append(int(model.logits(x).argmax()))
    assert model.neighbours(x, 5).tolist() == [[2, 1, 3, 0, 4]]
    # k = 2: one vote each, 101 is nearest; k = 5: two for 0 and for 2, and 97 is nearer than 90
    assert winners == [1, 1, 0, 0, 0]


def test_ties_go_to_the_point_kept_first_and_to_the_class_of_the_nearest():
    model = KNN(visible=1, classes=2)
    x = torch.tensor([[100.0]]) / 255
    for positions, labels in (([110, 90], [1, 0]), ([90, 110], [0, 1])):
        model.keep(line(positions, labels), 1)
        assert model.neighbours(x, 2).tolist() == [[0, 1]]
        assert int(model.logits(x).argmax()) == labels[0]
    model.keep(line([104, 103, 110, 99], [0, 0, 1, 1]), 4)  # two each; 99 is the nearest
    assert int(model.logits(x).argmax()) == 1
    torch.testing.assert_close(model.logits(x).exp()[0].floor(), torch.tensor([3.0, 3.0]).double())


def test_neighbours_are_those_of_a_stable_sort(monkeypatch):
    """Binary points, so that most distances are tied, over more than one chunk of kept ones."""
    monkeypatch.setattr(exemplars, "CHUNK", 7)
    draws = torch.Generator().manual_seed(0)
    values = torch.randint(2, (40, 6), generator=draws).to(torch.uint8)
    x = torch.randint(2, (20, 6), generator=draws).float()
    model = KNN(visible=6, classes=2)
    model.keep(TrainSplit(values, torch.arange(40) % 2), 1)
    distances = (x[:, None] - values).square().sum(2)
    expected = distances.sort(dim=1, stable=True).indices
    for k in (1, 5, 12, 40):
        assert torch.equal(model.neighbours(x, k), expected[:, :k])


def test_grey_and_real_values_agree_with_scikit_learn():
    """In the distances; points at the same distance have an order for bytes only."""
    train, test = blobs(TrainSplit, 200, 4, 0), blobs(TestSplit, 100, 4, 1)
    real = TrainSplit(train.values.float() / 255, train.labels)
    points, x = train.values.numpy().astype(float), test.values.numpy().astype(float)
    expected, _ = KNeighborsClassifier(5).fit(points, train.labels.numpy()).kneighbors(x)
    for split in (train, real):
        model = KNN(visible=6, classes=4)
        model.keep(split, 5)
        nearest = model.neighbours(everything(test), 5).numpy()
        found = np.linalg.norm(points[nearest] - x[:, None], axis=2)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        if split is train:
            squares = ((points - x[:, None]) ** 2).sum(2)
            assert nearest.tolist() == np.argsort(squares, kind="stable")[:, :5].tolist()
        assert torch.equal(again(model).logits(everything(test)), model.logits(everything(test)))


def test_points_that_cannot_be_kept():
    model = KNN(visible=1, classes=2)
    with pytest.raises(ValueError, match="1 ≤ k ≤ points; found k=3, 2 points"):
        model.keep(line([1, 2], [0, 1]), 3)
    with pytest.raises(ValueError, match="1 labels for the 2 points"):
        model.keep(line([1, 2], [0]), 1)
    drawn = TrainSplit(torch.zeros(2, 1), torch.tensor([0, 1]), resample=True)
    with pytest.raises(ValueError, match="drawn at each presentation"):
        model.keep(drawn, 1)
    with pytest.raises(ValueError, match="1 neighbours asked for, 0 points are kept"):
        model.logits(torch.zeros(1, 1))


def test_validation_points_choose_k_and_then_join():
    """One wrong label among the training points: k = 1 repeats it, k = 3 outvotes it."""
    train = line([10, 12, 14, 100, 102, 104], [0, 1, 0, 1, 1, 1])
    held_out = line([12, 103], [0, 1], ValidationSplit)
    model = KNN(visible=1, classes=2)
    curves = ChooseK(k=[5, 1, 3])(model, train, held_out, 0, ignore)
    assert curves["validation/error"] == [(1.0, 0.5), (3.0, 0.0), (5.0, 0.5)]
    assert curves["chosen/k"] == [(1.0, 3.0)]
    assert int(model.k) == 3
    assert model.points.flatten().tolist() == [10, 12, 14, 100, 102, 104, 12, 103]
    ChooseK(k=[1, 3], refit=False)(model, train, held_out, 0, ignore)
    assert len(model.points) == 6
    with pytest.raises(ValueError, match=r"choose one of k = \[1, 3\]; none given"):
        ChooseK(k=[1, 3])(model, train, None, 0, ignore)
    ChooseK(k=[3])(model, train, None, 0, ignore)
    assert int(model.k) == 3


# --- support vectors ------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_predictions_are_those_of_scikit_learn(classes):
    """Also of a model that was saved as tensors and loaded."""
    train, test = blobs(TrainSplit, 150, classes, 0), blobs(TestSplit, 400, classes, 1)
    other = SVC(C=2.0, gamma=1.5, decision_function_shape="ovo")
    other.fit(everything(train).double().numpy(), train.labels.numpy())
    model = RBFSVM(visible=6, classes=classes)
    ChooseRBF(C=[2.0], gamma=[1.5])(model, train, None, 0, ignore)
    x = everything(test)
    decisions = other.decision_function(x.double().numpy()).reshape(len(x), -1)
    sign = -1 if classes == 2 else 1  # scikit-learn's is positive for class 1 of two
    np.testing.assert_allclose(model.decisions(x).numpy(), sign * decisions, atol=1e-10)
    found = again(model)
    assert found.logits(x).argmax(1).tolist() == other.predict(x.double().numpy()).tolist()
    assert torch.equal(found.logits(x), model.logits(x))
    correct = ErrorRate()(found, test, seed=0).per_point["correct"]
    assert correct.mean() == other.score(x.double().numpy(), test.labels.numpy())
    assert 0.5 < correct.mean() < 1


def test_a_class_that_was_not_met_is_not_named():
    train = blobs(TrainSplit, 60, 3, 0)
    train = TrainSplit(train.values, 2 * train.labels, train.scale)  # 0, 2, 4 of six
    model = RBFSVM(visible=6, classes=6)
    ChooseRBF(C=[1.0], gamma=[1.0])(model, train, None, 0, ignore)
    logits = model.logits(everything(train))
    assert (logits[:, [1, 3, 5]] == -1).all()
    assert (logits.argmax(1) == train.labels).double().mean() > 0.8


def test_validation_points_choose_penalty_and_width():
    """The errors are scikit-learn's; then all points are fitted with what was chosen."""
    train, held_out = blobs(TrainSplit, 150, 3, 0), blobs(ValidationSplit, 150, 3, 1)
    model, fit = RBFSVM(visible=6, classes=3), ChooseRBF(C=[0.01, 3.0], gamma=[50.0, 0.5])
    curves = fit(model, train, held_out, 0, ignore)
    x, v = (everything(s).double().numpy() for s in (train, held_out))
    y, w = train.labels.numpy(), held_out.labels.numpy()
    machines = [SVC(C=C, gamma=gamma).fit(x, y) for C in (0.01, 3.0) for gamma in (50.0, 0.5)]
    errors = [(machine.predict(v) != w).mean() for machine in machines]
    assert [e for _, e in curves["validation/error"]] == pytest.approx(errors)
    assert int(np.argmin(errors)) == 3
    assert (curves["chosen/C"], curves["chosen/gamma"]) == ([(1.0, 3.0)], [(1.0, 0.5)])
    both = SVC(C=3.0, gamma=0.5).fit(np.concatenate([x, v]), np.concatenate([y, w]))
    assert model.counts.tolist() == both.n_support_.tolist()
    with pytest.raises(ValueError, match="choose C and gamma; none given"):
        fit(model, train, None, 0, ignore)


def test_few_points_stand_for_many():
    train, held_out = blobs(TrainSplit, 150, 3, 0), blobs(ValidationSplit, 30, 3, 1)
    model = RBFSVM(visible=6, classes=3)
    fit = ChooseRBF(C=[1.0, 2.0], gamma=[1.0], points=40, refit=False)
    fit(model, train, held_out, 0, ignore)
    assert set(map(tuple, model.vectors.tolist())) <= set(
        map(tuple, everything(train)[:40].double().tolist())
    )


# --- means of neighbours --------------------------------------------------------------------------


def test_neighbour_means_by_brute_force(monkeypatch):
    """Distances and order by the units seen only; means of the whole images."""
    monkeypatch.setattr(exemplars, "CHUNK", 7)
    monkeypatch.setattr(exemplars, "FEW", 3)
    train, test = blobs(TrainSplit, 40, 2, seed=0), blobs(TestSplit, 20, 2, seed=1)
    seen = torch.tensor([True, False, True, True, False, False])
    model = NeighbourMeans(visible=6)
    for k in (1, 4, 40):
        model.keep(train, seen, k)
        found = again(model).complete(everything(test), seen)
        for x, means in zip(test.values.long(), found, strict=True):
            squares = [int((x - y)[seen].square().sum()) for y in train.values.long()]
            order = sorted(range(40), key=lambda i, s=squares: (s[i], i))[:k]
            expected = torch.where(seen, x.double(), train.values[order].double().mean(0)) / 255
            torch.testing.assert_close(means, expected.float())


def test_neighbours_of_drawn_pixels_are_grey_images():
    """A binary image is nearest to the grey one that it looks like; the grey mean fills in."""
    train = TrainSplit(torch.tensor([[250, 10], [20, 200]], dtype=torch.uint8), None, 255.0, True)
    seen = torch.tensor([True, False])
    model = NeighbourMeans(visible=2)
    model.keep(train, seen, 1)
    found = model.complete(torch.tensor([[1.0, 1.0], [0.0, 0.0]]), seen)
    torch.testing.assert_close(found, torch.tensor([[1.0, 10 / 255], [0.0, 200 / 255]]))


def test_neighbour_means_need_k_points():
    model = NeighbourMeans(visible=2)
    with pytest.raises(ValueError, match="needs 1 ≤ k ≤ points; found k=3, 2 points"):
        model.keep(TrainSplit(torch.eye(2).byte()), torch.tensor([True, False]), 3)


def test_validation_error_of_the_unseen_chooses_k():
    train = blobs(TrainSplit, 60, 3, seed=2, visible=4)
    validation = blobs(ValidationSplit, 30, 3, seed=3, visible=4)
    model = NeighbourMeans(visible=4)
    curves = ChooseNeighbours(seen="top", k=[60, 1, 5, 20])(model, train, validation, 0, ignore)
    x, y = validation.values.double() / 255, train.values.double() / 255
    squares = (validation.values.long()[:, None, :2] - train.values.long()[:, :2]).square().sum(2)
    order = squares.sort(dim=1, stable=True).indices
    errors = [
        (k, float((y[order[:, :k]].mean(1) - x)[:, 2:].square().mean())) for k in (1, 5, 20, 60)
    ]
    assert curves["validation/mse"] == [(k, pytest.approx(error)) for k, error in errors]
    best = min(errors, key=lambda pair: pair[1])[0]
    assert 1 < best < 60  # there is something to choose
    assert curves["chosen/k"] == [(1.0, best)]
    assert int(model.k) == best
    assert model.seen.tolist() == [True, True, False, False]
    assert len(model.points) == 60


def test_a_choice_of_neighbours_needs_validation_points():
    train = blobs(TrainSplit, 10, 2, seed=0, visible=4)
    model = NeighbourMeans(visible=4)
    with pytest.raises(ValueError, match=r"validation points choose one of k = \[1, 2\]"):
        ChooseNeighbours(seen="left", k=[1, 2])(model, train, None, 0, ignore)
    ChooseNeighbours(seen="left", k=[2])(model, train, None, 0, ignore)
    assert int(model.k) == 2
