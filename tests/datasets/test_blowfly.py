import pytest
import torch

from hwbench.datasets.blowfly import Blowfly, SimulatedBlowfly, counts
from hwbench.datasets.files import DataCorrupt

NAME = "blowfly/blowfly.csv"
GOOD = [str(i + 1.5) for i in range(30)]


def raw(*lines):
    return "\n".join(lines).encode()


def test_a_number_on_each_line():
    assert counts(NAME, raw(*GOOD)).tolist() == [i + 1.5 for i in range(30)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (GOOD[:24], "at least 25 counts expected, 24 found"),
        ([*GOOD[:7], "0", *GOOD], r"counts must be above 0.*line 8 is 0"),
        ([*GOOD, "nan"], r"counts must be above 0.*line 31 is nan"),
        ([*GOOD, "-3"], r"counts must be above 0.*line 31 is -3"),
        ([*GOOD, "many"], "could not convert string to float"),
    ],
)
def test_what_is_no_series_of_counts_is_refused(lines, message):
    with pytest.raises(DataCorrupt, match=message):
        counts(NAME, raw(*lines))


@pytest.mark.data
def test_nicholsons_blowflies(needs):
    """60 to 8921 flies, 2480.9 on average, divided by the maximum."""
    needs(NAME)
    splits = Blowfly().load(0)
    x = splits.train.values * 8921
    assert x.shape == (1, 180)
    assert x.min().item() == pytest.approx(60, abs=1e-2)
    assert x.mean().item() == pytest.approx(2480.9, abs=0.1)
    assert torch.equal(splits.train.values, splits.test.values)


def test_the_simulated_population_is_divided_by_its_maximum():
    x = SimulatedBlowfly(steps=80).load(0).test.values
    assert x.shape == (1, 80)
    assert x.max() == 1
    assert x.min() > 0
