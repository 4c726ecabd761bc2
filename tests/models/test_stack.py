"""What stacks of binary layers share: their state, and where it starts."""

import pytest
import torch

from hwbench.datasets.digits import RealDigits
from hwbench.models.dbm import DBM
from hwbench.models.dbn import DBN, UntiedDBN
from hwbench.models.finetuned import FineTunedDBM, FineTunedDBN
from hwbench.models.stack import draw
from hwbench.protocols import Network, PartlyLabelledSplit, TrainSplit

WEIGHTS = ["weights.0", "weights.1", "weights.2"]
DBM_STATE = [*WEIGHTS, *(f"biases.{i}" for i in range(4)), "downward.0", "downward.1"]
DBN_STATE = [*WEIGHTS, *(f"{way}.{i}" for way in ("upward", "downward") for i in range(3))]
OFFSETS = [f"{way}_offsets.{i}" for way in ("down", "up") for i in range(2)]
NET = [
    f"net.{p}.{k}" for p in ("layers.0", "layers.1", "layers.2", "top") for k in ("weight", "bias")
]
STATES = {
    DBM: DBM_STATE,
    DBN: DBN_STATE,
    UntiedDBN: DBN_STATE + OFFSETS,
    FineTunedDBM: DBM_STATE + NET,
    FineTunedDBN: DBN_STATE + NET,
}


def made(cls, **more):
    torch.manual_seed(0)
    classes = {"classes": 3} if "FineTuned" in cls.__name__ else {}
    return cls(visible=4, layers=[5, 3, 2], **classes, **more)


@pytest.mark.parametrize("cls", STATES)
def test_names_and_draws_of_the_state_stay_what_they_are(cls):
    """Checkpoints and seeds of earlier versions hold: weights are drawn first, layer by layer."""
    model = made(cls)
    assert list(model.state_dict()) == ["data_means", *STATES[cls]]
    torch.manual_seed(0)
    for weight, (a, b) in zip(model.weights, [(4, 5), (5, 3), (3, 2)], strict=True):
        assert torch.equal(weight, 0.01 * torch.randn(a, b))
    others = [p for n, p in model.named_parameters() if not n.startswith(("weights", "net"))]
    assert all((p == 0).all() for p in others)


@pytest.mark.parametrize("cls", STATES)
def test_the_visible_bias_starts_at_the_log_odds_of_the_pixels(cls):
    pixels = torch.tensor([[0, 255, 51, 0]], dtype=torch.uint8)
    split = TrainSplit(pixels, torch.tensor([0]), scale=255.0)
    model, flat = made(cls), made(cls, visible_bias="zero")
    for either in (model, flat):
        either.adapt(split)
        torch.testing.assert_close(either.data_means, torch.tensor([0.0, 1.0, 0.2, 0.0]))
    bias = model.pair(1).couplings().visible_bias
    assert any(bias is p for p in model.parameters())
    torch.testing.assert_close(bias.detach().sigmoid(), torch.tensor([0.01, 0.99, 0.2, 0.01]))
    assert (flat.pair(1).couplings().visible_bias == 0).all()


@pytest.mark.parametrize("cls", STATES)
@pytest.mark.parametrize(("values", "found"), [([0.0, 7.0], "0 to 7"), ([-0.5, 1.0], "-0.5 to 1")])
def test_pixels_outside_0_to_1_are_refused(cls, values, found):
    with pytest.raises(ValueError, match=rf"{cls.__name__}: .* between 0 and 1; found {found}"):
        made(cls).adapt(TrainSplit(torch.tensor([[*values, 0.0, 0.0]]), torch.tensor([0])))


@pytest.mark.parametrize("cls", [c for c in STATES if issubclass(c, Network)])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "needs labels; this TrainSplit has none"),
        (torch.tensor([0]), "1 labels for the 2 points"),
        (torch.tensor([0, 3]), "from 0 to 2; the TrainSplit has 0 to 3"),
    ],
)
def test_labels_are_seen_to_before_pretraining(cls, labels, message):
    with pytest.raises(ValueError, match=message):
        made(cls).adapt(TrainSplit(torch.zeros(2, 4), labels))


@pytest.mark.parametrize("cls", [c for c in STATES if issubclass(c, Network)])
def test_unlabelled_points_may_stand_beside_labelled_ones(cls):
    few = TrainSplit(torch.zeros(2, 4), torch.tensor([0, 2]))
    made(cls).adapt(PartlyLabelledSplit(torch.zeros(9, 4), labelled=few))
    wrong = PartlyLabelledSplit(torch.zeros(9, 4), labelled=TrainSplit(few.values))
    with pytest.raises(ValueError, match="needs labels; this TrainSplit has none"):
        made(cls).adapt(wrong)


@pytest.mark.statistical
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_draws_have_the_chances_of_their_logits(dtype):
    """Within 5 s.e. of σ(2 · logits), to whole 65536ths in bfloat16; certain units are certain."""
    torch.manual_seed(0)
    logits = torch.tensor([-40.0, -5.0, -2.0, 0.0, 1.0, 3.5, 40.0], dtype=dtype)
    chance = (2 * logits.double()).sigmoid()
    if dtype == torch.bfloat16:
        chance = (chance * 2**16).round() / 2**16
    draws = draw(logits.expand(100_001, -1).clone(), 2.0)
    assert draws.dtype == dtype
    assert ((draws == 0) | (draws == 1)).all()
    se = (chance * (1 - chance) / len(draws)).sqrt()
    assert ((draws.double().mean(0) - chance).abs() <= 5 * se).all()


def test_draws_of_all_units_are_independent():
    """Also where four share a random word: the joint shares of neighbours are 1/4 within 5 s.e."""
    torch.manual_seed(0)
    draws = draw(torch.zeros(40_000, 8, dtype=torch.bfloat16)).double()
    joint = draws.t() @ draws / len(draws)
    off = ~torch.eye(8, dtype=torch.bool)
    assert ((joint[off] - 0.25).abs() < 5 * (3 / 16 / len(draws)) ** 0.5).all()


@pytest.mark.statistical
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_sweep_of_a_pair_draws_from_its_two_conditionals(layer, dtype, random_dbm, all_binary):
    """Means after a sweep from one state, by summing over the states above: 5 s.e. and rounding."""
    model = random_dbm(15, 4, (3, 4, 2), scale=1.0)
    pair = model.pair(layer)
    torch.manual_seed(0)
    x = torch.rand(1, pair.visible).double().round()
    up = pair.up(x).sigmoid()
    above = all_binary(up.shape[1])
    chance = (up * above + (1 - up) * (1 - above)).prod(1)
    expected = (chance[:, None] * pair.down(above).sigmoid()).sum(0).detach()
    moved = pair.gibbs(x.expand(40_000, -1).to(dtype), 1)
    assert moved.dtype == dtype
    se = (expected * (1 - expected) / len(moved)).sqrt()
    rounding = 0.0 if dtype == torch.float64 else 0.01
    assert ((moved.double().mean(0) - expected).abs() < 5 * se + rounding).all()


def test_pixels_without_labels_are_looked_at_too():
    labelled = TrainSplit(torch.zeros(3, 4), torch.tensor([0, 1, 0]))
    for values in (torch.full((5, 4), 5.0), torch.full((5, 4), -0.5)):
        train = PartlyLabelledSplit(values, labelled=labelled)
        with pytest.raises(ValueError, match="pixels lie between 0 and 1"):
            FineTunedDBM(visible=4, classes=2, layers=[3, 2]).adapt(train)


def test_real_images_that_move_are_refused_like_those_at_rest():
    for translations in (False, True):
        train = RealDigits(translations=translations).load(0).train
        model = FineTunedDBM(visible=train.visible, classes=10, layers=[3, 2])
        with pytest.raises(ValueError, match="pixels lie between 0 and 1"):
            model.adapt(train)
