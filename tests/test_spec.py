"""A spec file is read safely, its mistakes are told at once, and its cases are everywhere alike."""

import datetime
import hashlib
import json
import textwrap
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hwbench import spec as sp
from hwbench.build import BuildError, make
from hwbench.spec import (
    Located,
    Published,
    SpecError,
    cases,
    load,
    merge,
    resolve,
    row_name,
    variants,
)
from hwbench.spec import document as yaml_document

TABLE = """
id: demo/table
title: A table
source: Table 1
metric: log_likelihood
better: higher
defaults:
  data: {use: mnist.MNIST, pixels: fixed}
  model: {use: vae.VAE, latent: 20, hidden: [400]}
  train:
    rule: {use: bounds.IWAE, k: 25}
    optimizer: {use: Adam, lr: 1e-3}
    epochs: 500
  evaluate: {use: importance.LogLikelihood, k: 2000}
  seeds: 5
  margin: 0.18
rows:
  - {at: {data: MNIST, method: IWAE}, published: -95.182 ± 0.022}
  - {at: {data: MNIST, method: ELBO}, train: {rule: {use: bounds.ELBO}}, published: -96.50}
  - at: {data: Omniglot, method: IWAE}
    data: {use: omniglot.Omniglot}
    published: -118.771 ± 0.035
    profiles: {smoke: null, quick: {seeds: 4}}
claims:
  - {id: C1, text: better, order: {method: [IWAE, ELBO]}}
profiles:
  smoke: {train: {epochs: 2}, stand_ins: {mnist.MNIST: [mnist.MNIST, digits.Digits]}}
  quick: {train: {epochs: 5, rule: {k: 5}}, seeds: 3, rows: [{data: MNIST}, {method: ELBO}]}
show: {index: data, columns: method}
"""

quick = settings(max_examples=40, deadline=None)


def write(folder: Path, text: str = TABLE, name: str = "demo/table.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def problems_of(folder: Path, text: str) -> list[sp.Problem]:
    with pytest.raises(SpecError) as caught:
        load(write(folder, text))
    return caught.value.problems


def edited(*edits: tuple[str, str]) -> str:
    text = TABLE
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def line_of(text: str, part: str) -> int:
    (number,) = [i for i, line in enumerate(textwrap.dedent(text).splitlines(), 1) if part in line]
    return number


NEXT = "\nprofiles:"
WITHIN = "within: {a: {}, b: {}, tolerance: 1.0}"
FIGURE = "figures: [{title: a, kind: rows, x: method, negate: true}]"
IMAGES = "figures: [{title: a, kind: images%s}]"
MIXED = "figures: [{title: a, kind: rows, x: method, images: [a]}]"
CALIBRATE = "calibrate: {coordinate: pixel, by: {method: VAE}, tolerance: 1.0}"


# --- mistakes -------------------------------------------------------------------------------------


def test_a_right_file_loads(tmp_path):
    spec = load(write(tmp_path))
    assert [row.name for row in spec.rows] == ["MNIST-IWAE", "MNIST-ELBO", "Omniglot-IWAE"]
    assert spec.paper == "demo"
    assert spec.rows[0].published == Published(
        text="-95.182 ± 0.022", value=-95.182, error=0.022, rounding=0.0005
    )


def test_every_mistake_of_a_file_is_reported_at_once(tmp_path):
    """Wrong keys, types, choices, numbers, names: each with its place and what would be right."""
    text = edited(
        ("better: higher", "better: highr"),
        ("  seeds: 5", "  seeds: five"),
        ("published: -96.50}", "publishd: -96.50}"),
        ("-95.182 ± 0.022", "about minus 95"),
        ("order: {method: [IWAE, ELBO]}", "order: {method: [IWAE, ELBOW]}"),
        ("rows: [{data: MNIST}, {method: ELBO}]", "rows: [{dtaa: MNIST}]"),
        ("columns: method", "columns: metod"),
    )
    found = {problem.field: problem for problem in problems_of(tmp_path, text)}
    expected = {
        "better": ("better: highr", "'higher' or 'lower'"),
        "defaults.seeds": ("seeds: five", "valid integer"),
        "rows[1].publishd": ("publishd", "unknown key; did you mean published?"),
        "rows[0].published": ("about minus 95", "not a number"),
        "claims[0].order.method": ("ELBOW", "no row has method 'ELBOW'; did you mean ELBO?"),
        "profiles.quick.rows[0].dtaa": ("dtaa", "no coordinate 'dtaa'; did you mean data?"),
        "show.columns": ("metod", "no coordinate 'metod'; did you mean method?"),
    }
    for field, (part, message) in expected.items():
        problem = found.pop(field)
        assert message in problem.message, field
        assert problem.line == line_of(text, part), field
        assert str(problem).startswith(f"{problem.file}:{problem.line}: {field}: ")
        assert problem.file.endswith("demo/table.yaml")
    assert not found


@pytest.mark.parametrize(
    ("old", "new", "field", "message"),
    [
        ("title: A table", "titel: A table", "titel", "did you mean title?"),
        ("title: A table", "titel: A table", "title", "is missing"),
        ("title: A table", "file: x.yaml\ntitle: A table", "file", "unknown key"),
        ("title: A table", "document: {}\ntitle: A table", "document", "unknown key"),
        ("id: demo/table", "id: Demo/Table", "id", "pattern"),
        ("id: demo/table", "id: ../../table", "id", "pattern"),
        ("seeds: 5", "seeds: 0", "defaults.seeds", "greater than or equal to 1"),
        ("seeds: 5", 'seeds: "5"', "defaults.seeds", "valid integer (found '5')"),
        ("margin: 0.18", "margin: -1.0", "defaults.margin", "greater than 0"),
        ("margin: 0.18", "margin: .nan", "defaults.margin", "a finite number; found .nan"),
        ("margin: 0.18", "margin: -.inf", "defaults.margin", "a finite number; found -.inf"),
        ("lr: 1e-3", "lr: 1e999", "defaults.train.optimizer.lr", "a finite number; found 1e999"),
        ("  margin: 0.18\n", "", "rows[0].margin", "needs a margin"),
        ("  evaluate: {use: importance.LogLikelihood, k: 2000}\n", "", "rows[0].evaluate", "neith"),
        ("at: {data: Omniglot,", "at: {data: MNIST,", "rows[2].at", "same coordinates as rows[0]"),
        ("at: {data: Omniglot,", "at: {set: Omniglot,", "rows[2].at", "every row has the same"),
        ("at: {data: Omniglot,", "at: {data: [a],", "rows[2].at.data", "valid string, or a valid"),
        ("method: [IWAE, ELBO]", "method: [IWAE]", "claims[0].order.method", "at least 2 items"),
        ("method: [IWAE, ELBO]", "method: [IWAE, IWAE]", "claims[0].order.method", "stands twice"),
        ("text: better,", f"text: better, {WITHIN},", "claims[0]", "exactly one"),
        (NEXT, f"\n  - {{id: C1, text: a, {WITHIN}}}{NEXT}", "claims[1].id", "claims[0]"),
        ("  quick: {train", "  quik: {train", "profiles.quik", "'smoke', 'quick' or 'full'"),
        ("seeds: 3", "seed: 3", "profiles.quick.seed", "did you mean seeds?"),
        (NEXT, f"\n{FIGURE}{NEXT}", "figures[0]", "a figure of kind `rows` has none"),
        (NEXT, f"\n{IMAGES % ''}{NEXT}", "figures[0]", "`images` names its `images`"),
        (NEXT, f"\n{IMAGES % ', images: []'}{NEXT}", "figures[0].images", "at least 1 item"),
        (NEXT, f"\n{IMAGES % ', images: [a], x: data'}{NEXT}", "figures[0]", "has no `x`"),
        (NEXT, f"\n{MIXED}{NEXT}", "figures[0]", "a figure of kind `rows` has no `images`"),
        ("show: {index: data,", "show: {index: dat,", "show.index", "did you mean data?"),
        (NEXT, f"\n{CALIBRATE}{NEXT}", "calibrate.by.method", "no row has method 'VAE'"),
        (NEXT, f"\n{CALIBRATE}{NEXT}", "calibrate.coordinate", "no coordinate 'pixel'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(tmp_path, old, new, field, message):
    text = edited((old, new))
    found = [p for p in problems_of(tmp_path, text) if p.field == field]
    assert found, problems_of(tmp_path, text)
    assert message in found[0].message
    assert 1 <= found[0].line <= len(text.splitlines())


def test_train_and_fit_exclude_each_other(tmp_path):
    """A row that fits must take the stages of the defaults away."""
    both = edited(("train: {rule: {use: bounds.ELBO}}", "fit: {use: em.EM}"))
    assert [p.field for p in problems_of(tmp_path, both)] == ["rows[1].train"]
    fitted = edited(("train: {rule: {use: bounds.ELBO}}", "fit: {use: em.EM}, train: null"))
    spec = load(write(tmp_path, fitted))
    assert variants(spec, spec.rows[1], "full", 0)[0].train == [{"fit": {"use": "em.EM"}}]


def test_a_key_written_twice_is_reported_with_both_lines(tmp_path):
    text = edited(("better: higher", "better: higher\nmetric: nll"))
    (problem,) = problems_of(tmp_path, text)
    assert problem.field == "metric"
    assert problem.line == line_of(text, "metric: nll")
    assert f"first in line {line_of(text, 'metric: log')}" in problem.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "not valid YAML"),
        ("a: !!python/name:os.system x", "not valid YAML"),
        ("- a\n- b", "expected a mapping"),
        ("", "expected a mapping"),
        ("a: 1\n---\nb: 2", "not valid YAML"),
    ],
)
def test_what_is_no_yaml_mapping_gets_one_line(tmp_path, text, message):
    (problem,) = problems_of(tmp_path, text)
    assert message in str(problem)


def test_tags_are_refused(tmp_path):
    found = problems_of(
        tmp_path, edited(("hidden: [400]", "hidden: !!python/object/apply:os.system [ls]"))
    )
    (problem,) = [p for p in found if "no tags are read" in p.message]
    assert problem.line == line_of(TABLE, "hidden")


def test_unreadable_files_are_user_errors(tmp_path):
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    path = tmp_path / "latin.yaml"
    path.write_bytes("title: é".encode("latin-1"))
    with pytest.raises(SpecError, match="cannot be read"):
        load(path)


def test_an_alias_to_its_own_block_is_a_mistake_and_no_crash(tmp_path):
    found = problems_of(
        tmp_path, edited(("  seeds: 5", "  seeds: 5\n  fit: &f {use: em.EM, inner: *f}"))
    )
    assert any("alias to what it is part of" in p.message for p in found)


def test_mistakes_in_the_shared_profiles_are_reported_with_their_own_file(tmp_path):
    path = write(tmp_path)
    shared = write(
        tmp_path, "quick: {sedes: 3}\nfast: {seeds: 1}\nsmoke:\n  seeds: 2\n", "profiles.yaml"
    )
    with pytest.raises(SpecError) as caught:
        load(path)
    assert {(p.file, p.line, p.field) for p in caught.value.problems} == {
        (sp.display_path(shared), 1, "quick.sedes"),
        (sp.display_path(shared), 2, "fast"),
    }


def test_the_id_is_the_path_below_the_benchmarks(tmp_path):
    write(tmp_path, "smoke: {seeds: 2}\n", "profiles.yaml")
    assert load(write(tmp_path)).id == "demo/table"
    with pytest.raises(SpecError, match="should be 'demo/other'"):
        load(write(tmp_path, TABLE, "demo/other.yaml"))


@quick
@given(st.text(max_size=200))
@example("id: &a [*a]")
@example("rows: [{at: {}}]\nid: 3")
@example("? [a]\n: b")
@example("rows:\n  - 3\nclaims: {}\nshow: []")
@example("%TAG ! x")
def test_no_text_crashes_the_loader(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "x.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(SpecError):
        load(path)


@quick
@given(st.data())
def test_no_wrong_value_anywhere_crashes_the_loader(tmp_path_factory, data):
    """A value of a good file is replaced by one of another kind: problems with lines, or a spec."""
    document = yaml.safe_load(TABLE)
    here = document
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(here[key], dict | list) and here[key] and data.draw(st.booleans()):
            here = here[key]
            continue
        here[key] = data.draw(
            st.sampled_from([None, 3, -1.5, "x", True, [], {}, [3], [{}], {"x": 1}])
        )
        break
    path = tmp_path_factory.mktemp("fuzz") / "table.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    lines = len(path.read_text().splitlines())
    spec, _, problems = sp.parse(path)
    assert all(1 <= p.line <= lines and p.field and p.message for p in problems)
    assert problems or (spec is not None and cases(spec, "full"))


@pytest.mark.parametrize("value", [[], {}, ["bars"], 3, None, True])
def test_a_data_set_that_is_no_name_is_a_mistake_and_no_crash(tmp_path, value):
    """Loading leaves it to the check of blocks, which knows what names there are."""
    document = yaml.safe_load(TABLE)
    document["rows"][2]["data"] = {"use": value}
    path = write(tmp_path, yaml.safe_dump(document))
    case = next(c for c in cases(load(path), "full") if c.data["use"] == value)
    with pytest.raises(BuildError, match="a data block needs `use`, the name of a class"):
        make("data", case.data)


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "error", "rounding"),
    [
        ("-95.182 ± 0.022", -95.182, 0.022, 0.0005),
        ("-95.182 +/- 0.022", -95.182, 0.022, 0.0005),
        ("−95.182±0.022", -95.182, 0.022, 0.0005),
        ("≈85.5", 85.5, None, 0.05),
        ("~ 85.5", 85.5, None, 0.05),
        ("86.70", 86.70, None, 0.005),
        ("12", 12.0, None, 0.5),
        (12, 12.0, None, 0.5),
        (3.09, 3.09, None, 0.005),
        ("1.5e3", 1500.0, None, 50.0),
        ("2.50e-4", 2.5e-4, None, 5e-7),
        (" 1.0 ", 1.0, None, 0.05),
    ],
)
def test_published_numbers(text, value, error, rounding):
    """Rounding is half a unit of the last digit printed, also before a power of ten."""
    found = Published.parse(text)
    assert (found.value, found.error, found.rounding) == (
        value,
        error,
        pytest.approx(rounding, rel=1e-12),
    )


@pytest.mark.parametrize(
    "text",
    ["", "ten", "1,5", "1.0 ±", "± 0.1", "1 2", "nan", "inf", "1.0 ± -0.1", "0x10", "1e", "true"],
)
def test_what_is_no_published_number(text):
    with pytest.raises(ValueError, match=r"not a number|cannot be negative"):
        Published.parse(text)


@quick
@given(st.integers(-(10**6), 10**6), st.integers(0, 6))
def test_a_printed_number_lies_within_its_rounding(digits, places):
    text = f"{digits / 10**places:.{places}f}"
    found = Published.parse(text)
    assert found.value == float(text)
    assert found.rounding == pytest.approx(0.5 * 10.0**-places)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml_document.Loader])
def test_scalars_are_words_unless_plainly_numbers(tmp_path, monkeypatch, loader):
    """No surprises of YAML 1.1: 1e-3 is a number; on, 1:30, a date and what is quoted are words."""
    monkeypatch.setattr(yaml_document, "Loader", loader)
    path = tmp_path / "x.yaml"
    path.write_text(
        "a: 1e-3\nb: on\nc: 1:30\nd: 2020-01-31\ne: '5'\nf: true\ng: null\nh: .5e1\n"
        "i: no\nj: 7\nk: 0.5\n"
        "rows: [{published: 86.70, source: 1e1, at: {published: 3.10}}]\nsource: 5\n",
        encoding="utf-8",
    )
    document, problems = sp.read_yaml(path)
    assert not problems
    values = [document[key] for key in "abcdefghijk"]
    assert values == [1e-3, "on", "1:30", "2020-01-31", "5", True, None, 5.0, "no", 7, 0.5]
    assert not any(isinstance(v, datetime.date) for v in values)
    row = document["rows"][0]
    assert (row["published"], row["source"]) == (
        "86.70",
        "1e1",
    )  # as printed, only where a number is
    assert row["at"]["published"] == 3.1
    assert document["source"] == 5


def test_lines_survive_merging(tmp_path):
    spec = load(write(tmp_path))
    blocks = resolve(spec, spec.rows[1], "quick")
    assert blocks.line_at(("model", "latent")) == line_of(TABLE, "latent: 20")
    assert blocks.line_at(("train", "rule", "use")) == line_of(TABLE, "bounds.ELBO")
    assert blocks.line_at(("train", "epochs")) == line_of(TABLE, "  quick:")
    assert blocks.line_at(("train", "nothing")) == line_of(TABLE, "  quick:")


# --- merging --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ({"x": {"a": 1}}, {"x": {"b": 2}}, {"x": {"a": 1, "b": 2}}),
        ({"use": "a.A", "k": 1}, {"use": "a.A", "k": 2}, {"use": "a.A", "k": 2}),
        ({"use": "a.A", "k": 1}, {"use": "b.B"}, {"use": "b.B"}),
        ({"k": 1}, {"use": "b.B"}, {"k": 1, "use": "b.B"}),
        (
            {"r": {"use": "a.A", "k": 1}, "n": 5},
            {"r": {"use": "b.B"}},
            {"r": {"use": "b.B"}, "n": 5},
        ),
        ({"h": [1, 2]}, {"h": [3]}, {"h": [3]}),
        ({"h": [1]}, {"h": None}, {"h": None}),
        ({"t": [{"a": 1}, {"a": 2}]}, {"t": {"a": 3}}, {"t": [{"a": 3}, {"a": 3}]}),
        (
            {"t": {"a": 1, "b": 2}},
            {"t": [{"a": 3}, {}]},
            {"t": [{"a": 3, "b": 2}, {"a": 1, "b": 2}]},
        ),
        ({"t": [{"a": 1}, {"a": 2}]}, {"t": [{"b": 3}]}, {"t": [{"a": 1, "b": 3}]}),
        ({"t": [{"a": 1}]}, {"t": [{"b": 3}, {"c": 4}]}, {"t": [{"a": 1, "b": 3}, {"c": 4}]}),
    ],
)
def test_merge(base, over, expected):
    before = json.dumps([base, over])
    assert merge(base, over) == expected
    assert json.dumps([base, over]) == before  # neither side is changed


def test_a_profile_shortens_stages_and_adds_none():
    stages = [{"a": 1}, {"a": 2}]
    assert merge(stages, [{"e": 1}], same_stages=True) == [{"a": 1, "e": 1}, {"a": 2}]
    assert merge(stages[:1], [{"e": 1}, {"e": 2}], same_stages=True) == [{"a": 1, "e": 1}]


_values = st.recursive(
    st.integers(0, 3) | st.sampled_from(["x", None]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
_maps = st.dictionaries(st.sampled_from("abc"), _values, max_size=3)


@quick
@given(_maps, _maps)
def test_merging_keeps_what_is_not_named_and_takes_what_is(base, over):
    out = merge(base, over)
    assert set(out) == set(base) | set(over)
    assert merge(out, over) == out
    assert merge(base, {}) == base
    assert all(out[k] == base[k] for k in base if k not in over)
    assert all(out[k] == over[k] for k in over if not isinstance(over[k], dict))


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


# --- cases ----------------------------------------------------------------------------------------


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


def test_a_file_means_the_same_from_every_working_folder(tmp_path, monkeypatch):
    path = write(tmp_path)
    shared = path.parent.parent / "profiles.yaml"
    shared.write_text("full: {seeds: 7}\n", encoding="utf-8")
    expected = [case.key for case in cases(load(path), "full")]
    assert len(expected) == 21
    monkeypatch.chdir(path.parent)
    for name in (path.name, f"../{path.parent.name}/{path.name}"):
        assert [case.key for case in cases(load(Path(name)), "full")] == expected


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


@quick
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.text(max_size=30) | st.integers() | st.booleans(),
        min_size=1,
        max_size=3,
    )
)
@example({"a": ".."})
@example({"a": "../../etc/passwd"})
@example({"a": "/", "b": "\\"})
@example({"a": "", "b": ""})
@example({"a": "\x00\n"})
@example({"a": ".hidden"})
def test_a_rows_name_cannot_leave_its_folder(at):
    name = row_name(at)
    assert name not in ("", ".", "..")
    assert not name.startswith(".")
    assert Path("base", name).parts == ("base", name)
    assert all(c.isascii() and (c.isalnum() or c in "_+.=-") for c in name)


def test_a_case_of_a_strange_table_is_refused(tmp_path):
    """A result file could name any spec; its path must stay below the results folder."""
    spec = load(write(tmp_path))
    case = variants(spec, spec.rows[0], "full", 0)[0]
    assert case.path == Path("demo/table/MNIST-IWAE") / f"full-seed0-{case.key[:8]}.json"
    for name in ("../x", "a/../../b", "a", "a/b/c", "/a/b"):
        with pytest.raises(ValueError, match="pattern"):
            sp.Case.model_validate({**case.model_dump(), "spec": name})


def test_a_row_name_too_long_for_a_file_system_is_a_mistake(tmp_path):
    found = problems_of(tmp_path, edited(("at: {data: Omniglot,", f"at: {{data: {'o' * 300},")))
    assert "too long" in found[0].message


def test_rows_are_matched_as_printed(tmp_path):
    row = load(
        write(
            tmp_path, edited(("at: {data: Omniglot, method: IWAE}", "at: {data: 5, method: IWAE}"))
        )
    ).rows[2]
    assert row.matches({"data": "5"})
    assert row.matches({"data": [4, 5]})
    assert not row.matches({"data": 6})
    assert not row.matches({"k": 5})
    assert row.matches({})


# --- finding specs --------------------------------------------------------------------------------


def test_a_spec_is_found_by_id_alias_table_and_path(tmp_path):
    first = write(tmp_path, edited(("source: Table 1", "source: Table 1\naliases: [first]")))
    second = write(tmp_path, TABLE.replace("demo/table", "demo/two"), "demo/two.yaml")
    third = write(tmp_path, TABLE.replace("demo/table", "other/two"), "other/two.yaml")
    write(tmp_path, "a: [", "other/broken.yaml")
    assert sp.locate("demo/table", tmp_path) == first
    assert sp.locate("first", tmp_path) == first
    assert sp.locate("table", tmp_path) == first
    assert sp.locate("demo/two", tmp_path) == second
    assert sp.locate(str(third), tmp_path) == third
    with pytest.raises(SpecError, match="ambiguous: demo/two, other/two"):
        sp.locate("two", tmp_path)
    with pytest.raises(SpecError, match="did you mean table"):
        sp.locate("tabel", tmp_path)
    with pytest.raises(SpecError, match="no such spec file"):
        sp.locate("none.yaml", tmp_path)
    with pytest.raises(SpecError, match="holds no spec files"):
        sp.locate("table", tmp_path / "empty")


def test_the_schema_for_editors_is_json_and_takes_numbers_as_printed():
    schema = json.loads(json.dumps(sp.json_schema()))
    assert {"id", "rows", "claims"} <= set(schema["properties"])
    assert not {"file", "document"} & set(schema["properties"])
    assert schema["$defs"]["Row"]["properties"]["published"]["anyOf"] == [
        {"type": "string"},
        {"type": "number"},
    ]


def test_problems_without_lines_still_say_something():
    assert Located(a=1).line_at(("a",)) == 0
    assert str(SpecError("plain")) == "plain"
