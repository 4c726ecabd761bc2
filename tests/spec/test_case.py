"""Rows become cases: layers win in order, and the key of a case never moves."""

import hashlib
from pathlib import Path

import pytest
import yaml

from hwbench import spec as sp
from hwbench.build import BuildError, make
from hwbench.spec import cases, load, variants
from tests.spec.tables import TABLE, edited, write


@pytest.mark.parametrize("value", [[], {}, ["bars"], 3, None, True])
def test_a_data_set_that_is_no_name_is_a_mistake_and_no_crash(tmp_path, value):
    """Loading leaves it to the check of blocks, which knows what names there are."""
    document = yaml.safe_load(TABLE)
    document["rows"][2]["data"] = {"use": value}
    path = write(tmp_path, yaml.safe_dump(document))
    case = next(c for c in cases(load(path), "full") if c.data["use"] == value)
    with pytest.raises(BuildError, match="a data block needs `use`, the name of a class"):
        make("data", case.data)


def test_layers_win_in_order(tmp_path):
    """defaults < row < profile < the row's own profile; shared profiles below the spec's own."""
    write(tmp_path, "quick: {seeds: 2, model: {latent: 7}}\n", "profiles.yaml")
    spec = load(write(tmp_path))
    iwae, elbo, omniglot = spec.rows
    assert [sp.seeds_of(spec, row, "quick") for row in spec.rows] == [3, 3, 4]
    assert [sp.seeds_of(spec, row, "full") for row in spec.rows] == [5, 5, 5]
    quick = variants(spec, iwae, "quick", 0)[0]
    assert quick.train == [
        {
            "rule": {"use": "bounds.IWAE", "k": 5},
            "optimizer": {"use": "Adam", "lr": 1e-3},
            "epochs": 5,
        }
    ]
    assert quick.model == {"use": "vae.VAE", "latent": 7, "hidden": [400]}
    assert variants(spec, elbo, "full", 0)[0].train[0]["rule"] == {"use": "bounds.ELBO"}
    assert variants(spec, omniglot, "full", 0)[0].data == {"use": "omniglot.Omniglot"}


def test_cases_come_seed_by_seed_and_only_for_rows_of_the_profile(tmp_path):
    spec = load(write(tmp_path))
    assert [(c.row, c.seed) for c in cases(spec, "quick")] == [
        ("MNIST-IWAE", 0), ("MNIST-ELBO", 0), ("Omniglot-IWAE", 0),
        ("MNIST-IWAE", 1), ("MNIST-ELBO", 1), ("Omniglot-IWAE", 1),
        ("MNIST-IWAE", 2), ("MNIST-ELBO", 2), ("Omniglot-IWAE", 2),
        ("Omniglot-IWAE", 3),
    ]  # fmt: skip
    assert {c.row for c in cases(spec, "smoke")} == {"MNIST-IWAE", "MNIST-ELBO"}  # one opted out
    assert {c.row for c in cases(spec, "full", [{"method": ["ELBO"]}])} == {"MNIST-ELBO"}
    assert len(cases(spec, "full", [{"method": "ELBO"}, {"data": "Omniglot"}], seeds=2)) == 4


def test_rows_by_name_are_those_that_the_profile_keeps(tmp_path):
    """Where it keeps none of them, those that it does not choose; never one that opts out."""
    narrow = TABLE.replace("rows: [{data: MNIST}, {method: ELBO}]", "rows: [{method: ELBO}]")
    spec = load(write(tmp_path, narrow))

    def named(profile, **wanted):
        return {c.row for c in cases(spec, profile, [wanted])}

    assert named("quick", method="IWAE") == {"Omniglot-IWAE"}
    assert named("quick", data="MNIST") == {"MNIST-ELBO"}
    assert named("quick", data="MNIST", method="IWAE") == {"MNIST-IWAE"}
    assert named("smoke", data="Omniglot") == set()
    assert named("full", method="IWAE") == {"MNIST-IWAE", "Omniglot-IWAE"}


def test_the_first_data_set_that_can_be_had_is_used(tmp_path):
    spec = load(write(tmp_path))
    preferred, other = variants(spec, spec.rows[0], "smoke", 0)
    assert (preferred.data["use"], preferred.stands_in_for) == ("mnist.MNIST", None)
    assert (other.data["use"], other.stands_in_for) == ("digits.Digits", "mnist.MNIST")
    assert other.data["pixels"] == "fixed"
    assert preferred.key != other.key
    found = cases(
        spec,
        "smoke",
        [{"method": "IWAE", "data": "MNIST"}],
        1,
        lambda d: d["use"] == "digits.Digits",
    )
    assert found == [other]
    assert cases(spec, "smoke", [{"method": "IWAE", "data": "MNIST"}], 1, lambda d: False) == [
        preferred
    ]


def test_a_cases_hash_is_stable_and_blind_to_prose(tmp_path):
    """The key of this case is written down: it may never move, or results on file would be lost."""
    spec = load(write(tmp_path))
    case = variants(spec, spec.rows[0], "full", 3)[0]
    content = (
        '{"data": {"pixels": "fixed", "use": "mnist.MNIST"},'
        ' "evaluate": [{"k": 2000, "use": "importance.LogLikelihood"}],'
        ' "model": {"hidden": [400], "latent": 20, "use": "vae.VAE"}, "seed": 3,'
        ' "train": [{"epochs": 500, "optimizer": {"lr": 0.001, "use": "Adam"},'
        ' "rule": {"k": 25, "use": "bounds.IWAE"}}]}'
    )
    assert case.key == hashlib.sha256(content.encode()).hexdigest()
    assert case.key[:8] == "883c1220"
    prose = edited(
        ("title: A table", "title: Another"),
        ("-95.182 ± 0.022", "-90.0"),
        ("margin: 0.18", "margin: 0.5"),
    )
    prose = prose.replace(
        "data: {use: mnist.MNIST, pixels: fixed}", "data: {pixels: fixed, use: mnist.MNIST}"
    )
    again = load(write(tmp_path, prose))
    assert variants(again, again.rows[0], "full", 3)[0].key == case.key
    other = load(write(tmp_path, edited(("latent: 20", "latent: 21"))))
    assert variants(other, other.rows[0], "full", 3)[0].key != case.key
    assert len({variants(spec, row, "full", s)[0].key for row in spec.rows for s in range(5)}) == 15


@pytest.mark.parametrize(
    ("pixels", "drawn", "presented"),
    [
        ("grey", True, "dynamic"),
        ("grey", False, "grey"),
        ("fixed", True, "fixed"),
        ("dynamic", False, "dynamic"),
        (None, True, None),
    ],
)
def test_grey_points_that_are_drawn_to_be_measured_are_dynamic(tmp_path, pixels, drawn, presented):
    spec = load(write(tmp_path))
    case = variants(spec, spec.rows[0], "full", 0)[0]
    data = {"use": "mnist.MNIST"} if pixels is None else {"use": "mnist.MNIST", "pixels": pixels}
    evaluate = [{"use": "boltzmann.VariationalBound", "draw": drawn}]
    assert case.model_copy(update={"data": data, "evaluate": evaluate}).pixels == presented


def test_a_case_survives_json(tmp_path):
    spec = load(write(tmp_path))
    for case in cases(spec, "quick"):
        again = sp.Case.model_validate_json(case.model_dump_json())
        assert again == case
        assert again.key == case.key


def test_a_case_of_a_strange_table_is_refused(tmp_path):
    """A result file could name any spec; its path must stay below the results folder."""
    spec = load(write(tmp_path))
    case = variants(spec, spec.rows[0], "full", 0)[0]
    assert case.path == Path("demo/table/MNIST-IWAE") / f"full-seed0-{case.key[:8]}.json"
    for name in ("../x", "a/../../b", "a", "a/b/c", "/a/b"):
        with pytest.raises(ValueError, match="pattern"):
            sp.Case.model_validate({**case.model_dump(), "spec": name})
