"""YAML is read safely, every value keeps its line, and blocks merge."""

import datetime
import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from hwbench import spec as sp
from hwbench.spec import SpecError, load, merge, resolve
from hwbench.spec import document as yaml_document
from hwbench.spec.document import overridden, read_value
from tests.spec.tables import TABLE, edited, line_of, problems_of, quick, write


def test_a_key_written_twice_is_reported_with_both_lines(tmp_path):
    text = edited(("better: higher", "better: higher\nmetric: nll"))
    (problem,) = problems_of(tmp_path, text)
    assert problem.field == "metric"
    assert problem.line == line_of(text, "metric: nll")
    assert f"first on line {line_of(text, 'metric: log')}" in problem.message


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
    (problem,) = [p for p in found if "tags are not allowed" in p.message]
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
    assert any("alias to a block that contains it" in p.message for p in found)


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


STAGES = [{"rule": {"k": 1}, "steps": 9}, {"fit": {"epochs": 2}}, {"rule": {"k": 2}, "epochs": 8}]


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("steps", 5, [{"steps": 5}, {}, {"epochs": None, "steps": 5}]),
        ("2.rule.k", 7, [{}, {}, {"rule": {"k": 7}}]),
        ("fit.epochs", 4, [{}, {"fit": {"epochs": 4}}, {}]),
        ("0.rule.use", "b.B", [{"rule": {"use": "b.B"}}, {}, {}]),
        ("optimizer.lr", 0.1, [{"optimizer": {"lr": 0.1}}, {}, {"optimizer": {"lr": 0.1}}]),
    ],
)
def test_an_override_changes_the_stages_that_it_names(path, value, found):
    expected = [{**stage, **change} for stage, change in zip(STAGES, found, strict=True)]
    assert overridden(STAGES, path.split("."), value) == expected
    assert STAGES[0] == {"rule": {"k": 1}, "steps": 9}


def test_an_override_of_a_stage_that_is_not_there_is_refused():
    with pytest.raises(SpecError, match="there is no item 3 of 3"):
        overridden(STAGES, ["3", "steps"], 1)


@pytest.mark.parametrize("text", ["[", "!!python/name:os.system", "{a: 1, a: 2}", "9" * 30])
def test_a_value_is_read_as_safely_as_a_spec(text):
    with pytest.raises(SpecError):
        read_value(text)
