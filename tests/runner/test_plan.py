"""Which cases run, and which are left alone."""

import pytest

from hwbench.protocols import DataMissing
from hwbench.runner.plan import Settings, Todo, make_plan, todo, with_overrides
from hwbench.runner.work import work
from hwbench.spec import SpecError, load
from hwbench.store import Store
from tests.runner.jobs import failing, never, quiet


def test_failed_cases_are_left_alone_unless_asked(job):
    stage = {**job.case.train[0], "optimizer": {"use": "SGD", "lr": 1e30}}
    bad = failing(job, train=[stage])
    work(bad, quiet, never)
    store = Store(job.results)
    assert todo([bad.case], store) == Todo([], [bad.case], [], [])
    assert todo([bad.case], store, ["failed"]) == Todo([(bad.case, "")], [], [], [])


def test_missing_data_is_a_verdict_that_is_tried_again(job, monkeypatch):
    def gone(self, seed):
        raise DataMissing("no such file; put it there")

    monkeypatch.setattr("hwbench.datasets.synthetic.Bars.load", gone)
    outcome = work(job, quiet, never)
    assert (outcome.status, outcome.message) == ("missing", "no such file; put it there")
    store = Store(job.results)
    assert store.read_failure(job.case).kind == "missing"
    assert todo([job.case], store) == Todo([(job.case, "")], [], [], [])
    monkeypatch.undo()
    assert work(job, quiet, never).status == "done"
    assert store.read_failure(job.case) is None


def named(folder, first, second):
    """Return the tiny spec with other names of its two methods."""
    path = folder / "benchmarks" / "tiny" / "table.yaml"
    text = path.read_text().replace("[IWAE, VAE]", f"['{first}', '{second}']")
    text = text.replace("method: IWAE", f"method: '{first}'")
    path.write_text(text.replace("method: VAE", f"method: '{second}'"))
    return load(path)


@pytest.mark.parametrize(
    ("old", "new", "whole"),
    [
        ("{epochs: 1}", "{epochs: 1}", 0),
        ("{train: {epochs: 1}}", "{model: {latent: 1}}", 2),
        ("{train: {epochs: 1}}", "{same: true}", 0),
        ("published: -6.0", "published: -6.0, profiles: {smoke: {train: {epochs: 3}}}", 1),
        (
            "published: -6.0",
            "published: -6.0, profiles: {smoke: {same: true, train: {epochs: 3}}}",
            0,
        ),
    ],
)
def test_a_plan_knows_what_trains_as_long_as_at_full(folder, old, new, whole):
    """Unless the profile, or the row's own, says `same: true`."""
    path = folder / "benchmarks" / "tiny" / "table.yaml"
    path.write_text(path.read_text().replace(old, new))
    settings = Settings(profile="smoke", seeds=1, device="cpu", dry_run=True)
    plan = make_plan([load(path)], settings)
    assert list(plan.whole.values()) == [[0]] * whole
    full = Settings(profile="full", seeds=1, device="cpu", dry_run=True)
    assert make_plan([load(path)], full).whole == {}


def planned(spec, *rows):
    settings = Settings(profile="smoke", rows=rows, seeds=1, device="cpu", dry_run=True)
    return [case.at["method"] for case in make_plan([spec], settings).cases]


def test_values_of_rows_are_taken_as_they_are(folder):
    """Bars and commas are part of a value; a list has several values."""
    spec = named(folder, "a|b", "c, d=e")
    assert planned(spec, {"method": "a|b"}) == ["a|b"]
    assert planned(spec, {"method": "c, d=e"}) == ["c, d=e"]
    assert planned(spec, {"method": ["a|b", "c, d=e"]}) == ["a|b", "c, d=e"]
    assert planned(spec, {"method": "a|b"}, {"method": "c, d=e"}) == ["a|b", "c, d=e"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"method": "a|b"}, "no row has method 'a|b'"),
        ({"method": "a,b"}, "no row has method 'a,b'"),
        ({"method": ["a", "c"]}, "no row has method 'c'"),
        ({"methd": "a"}, "no coordinate 'methd'; did you mean method?"),
        ({"method=a": "b"}, "no coordinate 'method=a'; did you mean method?"),
    ],
)
def test_rows_that_do_not_exist_are_refused_without_naming_an_option(folder, row, message):
    spec = named(folder, "a", "b")
    with pytest.raises(SpecError) as refused:
        planned(spec, row)
    assert message in str(refused.value)
    assert "--" not in str(refused.value)


def test_overrides_make_variants_of_the_rows(spec):
    """Another key, another folder, recorded; the table's own cases are not touched."""
    given = {"train.steps": 7, "model.hidden": [5], "train.rule.k": 3}
    settings = Settings(profile="quick", rows=[{"method": "IWAE"}], seeds=1, device="cpu")
    (own,) = make_plan([spec], settings).cases
    specs = with_overrides([spec], given, settings.rows)
    plan = make_plan(specs, settings)
    (case,) = plan.cases
    assert case.overrides == given
    assert case.train[0] == {**own.train[0], "steps": 7, "epochs": None, "rule": {
        "use": "bounds.IWAE", "k": 3}}  # fmt: skip
    assert case.model == {**own.model, "hidden": [5]}
    assert case.key != own.key
    assert case.path.parent == own.path.parent / "variants"
    assert case.label == f"{own.label} (train.steps=7, model.hidden=[5], train.rule.k=3)"
    assert plan.whole == {}
    assert spec.overrides == {}
    assert own.overrides == {}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"trian.steps": 7}, "no block 'trian'; did you mean train?"),
        ({"train": 7}, "name a value in the block"),
        ({"train.steps": "many"}, "valid integer"),
        ({"train.stesp": 7}, "unknown key; did you mean steps?"),
        ({"model.hiden": [5]}, "has no argument 'hiden'; did you mean hidden?"),
        ({"train.rule.use": "bounds.IWEA"}, "did you mean bounds.IWAE?"),
        ({"train.epochs.x": 1}, "train.epochs.x: 'x' is inside of 1, which has no parts"),
        ({"model.hidden.x": 1}, "model.hidden.x: 'x' is no item of [4]; name one by its number"),
        ({"model.hidden.²": 1}, "'²' is no item of [4]"),
        ({"model.hidden.1": 1}, "model.hidden.1: there is no item 1 of 1, counted from 0"),
        ({"train.epochs": 3}, "IWAE: train.epochs=3 changes nothing in this row"),
    ],
)
def test_wrong_overrides_are_refused(spec, overrides, message):
    settings = Settings(profile="full", rows=[{"method": "IWAE"}], device="cpu", dry_run=True)
    with pytest.raises(SpecError) as refused:
        make_plan(with_overrides([spec], overrides, settings.rows), settings)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("train.stesp", "train.stesp: unknown key; did you mean steps?"),
        ("model.hiden", "model.hiden: VAE has no argument 'hiden'; did you mean hidden?"),
        ("model.hiden.x", "model.hiden: VAE has no argument 'hiden'; did you mean hidden?"),
    ],
)
def test_a_wrong_override_of_many_rows_is_told_once(spec, path, message):
    with pytest.raises(SpecError) as refused:
        with_overrides([spec], {path: 7}, None)
    assert str(refused.value) == message
