"""Every mistake of a spec file is reported at once, with its line and the nearest right name."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hwbench import spec as sp
from hwbench.spec import Located, SpecError, cases, load, variants
from tests.spec.tables import TABLE, edited, line_of, problems_of, quick, write

NEXT = "\nprofiles:"


WITHIN = "within: {a: {}, b: {}, tolerance: 1.0}"


FIGURE = "figures: [{title: a, kind: rows, x: method, negate: true}]"


IMAGES = "figures: [{title: a, kind: images%s}]"


MIXED = "figures: [{title: a, kind: rows, x: method, images: [a]}]"


CALIBRATE = "calibrate: {coordinate: pixel, by: {method: VAE}, tolerance: 1.0}"


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
        *(
            ("claims:\n", f"quoted: [{quoted}]\nclaims:\n", field, message)
            for quoted, field, message in [
                ("{model: DARN}", "quoted[0].published", "is missing"),
                ("{model: DARN, published: low}", "quoted[0].published", "not a number"),
                (
                    "{model: DARN, at: {data: MNST}, published: 1}",
                    "quoted[0].at.data",
                    "did you mean MNIST?",
                ),
                (
                    "{model: DARN, published: 1}, {model: DARN, published: 2}",
                    "quoted[1].model",
                    "quoted twice at the same place",
                ),
            ]
        ),
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
        ("method: [IWAE, ELBO]", "method: [IWAE, IWAE]", "claims[0].order.method", "appears twice"),
        ("text: better,", f"text: better, {WITHIN},", "claims[0]", "exactly one"),
        (NEXT, f"\n  - {{id: C1, text: a, {WITHIN}}}{NEXT}", "claims[1].id", "claims[0]"),
        ("  quick: {train", "  quik: {train", "profiles.quik", "'smoke', 'quick' or 'full'"),
        ("seeds: 3", "seed: 3", "profiles.quick.seed", "did you mean seeds?"),
        (NEXT, f"\n{FIGURE}{NEXT}", "figures[0]", "a figure of kind `rows` has none"),
        (
            NEXT,
            f"\n{FIGURE.replace('negate: true', 'minus: a')}{NEXT}",
            "figures[0]",
            "`minus` is for curves",
        ),
        (NEXT, f"\n{IMAGES % ''}{NEXT}", "figures[0]", "`images` needs `images`"),
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


def test_a_row_name_too_long_for_a_file_system_is_a_mistake(tmp_path):
    found = problems_of(tmp_path, edited(("at: {data: Omniglot,", f"at: {{data: {'o' * 300},")))
    assert "too long" in found[0].message


def test_problems_without_lines_still_say_something():
    assert Located(a=1).line_at(("a",)) == 0
    assert str(SpecError("plain")) == "plain"
