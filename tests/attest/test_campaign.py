"""Two commits of a repository that the test makes, run side by side; what is refused, and why."""

import json
import re
import shutil
import subprocess
import textwrap

import numpy as np
import pytest

from hwbench import attested
from hwbench.attest import campaign
from hwbench.attest.cases import all_cases
from hwbench.attest.checkout import CheckoutError, commit_named, require_committed, same_code
from hwbench.attest.judge import Runs, changes
from hwbench.attest.memory import Answer, Memory
from hwbench.attest.pair import Pair
from hwbench.attest.side import KERNELS, Side, SideError
from hwbench.attest.table import STEP_SEEDS, STOP_EPOCHS, table_of
from hwbench.cli.main import main
from hwbench.sources import PACKAGE
from hwbench.spec import Case, load
from hwbench.store import Result, Store

SPEC = """
id: tiny/rules
title: Three rules of one sum
source: nowhere
metric: log_likelihood
better: higher
assumptions: [none worth naming]
defaults:
  data: {use: synthetic.Bars, pixels: fixed}
  model: {use: nade.NADE, hidden: 4}
  train: {optimizer: {use: SGD, lr: 0.1}, batch_size: 50, epochs: 3}
  evaluate: {use: exact.ExactLogLikelihood}
  seeds: 1
rows:
  - {at: {change: none}, train: {rule: {use: named.Rule}}}
  - {at: {change: order}, train: {rule: {use: order.Rule}}}
  - {at: {change: factor}, train: {rule: {use: factor.Rule}}}
  - {at: {change: unseen}, train: {rule: {use: named.Rule, scale: 1.0}}, profiles: {smoke: null}}
profiles:
  smoke: {train: {epochs: 1}}
show: {index: change}
"""
RULE = '''
"""A rule."""

from hwbench import fast, protocols


class Rule(protocols.Rule[protocols.Density]):
    """Maximum likelihood."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, model: protocols.Density, x):
        """Return the loss."""
        log_p = model.log_prob(x)
        return {loss}
'''
FAST = '''
"""Whether production paths are forced."""

import contextlib

ON = []


@contextlib.contextmanager
def forced():
    ON.append(True)
    yield
    ON.clear()
'''
LOSSES = {  # before and after
    "named": ("-(log_p * self.scale).mean()", "-(self.scale * log_p).mean()"),
    "order": ("-log_p.sum() / len(x)", "-(log_p[::2].sum() + log_p[1::2].sum()) / len(x)"),
    "factor": ("-log_p.mean()", "-(1.01 if fast.ON else 1) * log_p.mean()"),
}


def git(folder, *arguments):
    command = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def put(root, version):
    for name, losses in LOSSES.items():
        text = RULE.replace("{loss}", losses[version])
        (root / "hwbench" / "rules" / f"{name}.py").write_text(textwrap.dedent(text).lstrip())
    (root / "hwbench" / "fast.py").write_text(FAST.lstrip())
    git(root, "add", ".")
    git(root, "commit", "-qm", f"version {version}")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A copy of the package with three rules, whose code changes in the last commit."""
    root = tmp_path_factory.mktemp("repository")
    shutil.copytree(PACKAGE, root / "hwbench", ignore=shutil.ignore_patterns("__pycache__"))
    git(root, "init", "-q")
    put(root, 0)
    put(root, 1)
    path = root / "benchmarks" / "tiny" / "rules.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(SPEC)
    return root


def gate(capsys, *arguments):
    """Return the exit code, standard output and standard error of `hwbench gate`."""
    with pytest.raises(SystemExit) as end:
        main(["gate", *map(str, arguments)])
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


@pytest.mark.slow
def test_a_refactoring_is_attested_and_a_factor_is_not(repository, tmp_path, monkeypatch, capsys):
    """Only where production paths are forced does the factor count: they are.

    The row without a smoke profile has the code of the first, and is not attested.
    """
    monkeypatch.chdir(repository)
    before = git(repository, "status", "--porcelain"), git(repository, "worktree", "list")
    code, out, _ = gate(capsys, "--attest", "HEAD~1", "--results", tmp_path, "--json")
    assert code == 1
    found = json.loads(out)
    rows = {(r["row"]["change"], r["profile"]): r for r in found["rows"]}
    assert len(rows) == 11  # one profile fewer of the row without smoke
    for profile in ("smoke", "quick", "full"):
        none, order, factor = (rows[name, profile] for name in ("none", "order", "factor"))
        assert (none["status"], none["share"]) == ("attested", 0.0)
        assert order["status"] == "attested"
        assert 0 < order["share"] < 1
        assert factor["status"] == "moved"
        assert factor["share"] > 1
        assert re.match(r"metric log_likelihood moved .*explains .* \(smoke\)$", factor["reason"])
    for profile in ("quick", "full"):
        unseen = rows["unseen", profile]
        assert unseen["status"] == "unreached"
        assert unseen["reason"] == "it has no smoke run whose data are here"

    path = tmp_path / "attested" / f"{found['old']}-{found['new']}-"
    (file,) = (tmp_path / "attested").iterdir()
    assert str(file).startswith(str(path))
    assert found["file"] == str(file)
    record = attested.read(file)
    assert (record.old, record.new) == (
        git(repository, "rev-parse", "--short=12", "HEAD~1"),
        git(repository, "rev-parse", "--short=12", "HEAD"),
    )
    assert record.kernels == KERNELS
    covered = {(c.row, c.profile): c.share for pair in record.equivalent for c in pair.rows}
    assert covered == {
        (name, profile): rows[name, profile]["share"]
        for name in ("none", "order")
        for profile in ("smoke", "quick", "full")
    }
    after = git(repository, "status", "--porcelain"), git(repository, "worktree", "list")
    assert after == before


def test_the_kernels_are_those_of_baselines():
    makefile = (PACKAGE.parent / "Makefile").read_text()
    (line,) = re.findall(r"^KERNELS := (.*)$", makefile, re.MULTILINE)
    assert dict(pair.split("=") for pair in line.split()) == KERNELS


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--attest", "nowhere"], "no commit 'nowhere' in this repository"),
        (["--attest", "HEAD~1", "--against", "nowhere"], "no commit 'nowhere'"),
        (["--attest", "HEAD~1", "--update"], "--attest goes with none of"),
        (["--against", "HEAD"], "--against: only --attest takes it"),
    ],
)
def test_wrong_input(repository, tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(repository)
    code, _, err = gate(capsys, *options, "--results", tmp_path)
    assert code == 2
    assert words in err


def test_code_that_is_not_committed_is_refused(repository, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    new = repository / "hwbench" / "rules" / "more.py"
    new.write_text("")
    try:
        code, _, err = gate(capsys, "--attest", "HEAD~1", "--results", tmp_path)
    finally:
        new.unlink()
    assert code == 2
    assert "uncommitted code in hwbench/rules/more.py: commit it first" in err
    require_committed(repository)


def test_outside_a_repository(tmp_path):
    with pytest.raises(CheckoutError, match="not a git repository"):
        commit_named(tmp_path, "HEAD")


def test_comments_and_docstrings_are_no_code(tmp_path):
    for name, text in (("a", '"""Old."""\nX = 1\n'), ("b", "X = 1  # new\n"), ("c", "X = 2\n")):
        (tmp_path / name / "hwbench").mkdir(parents=True)
        (tmp_path / name / "hwbench" / "learner.py").write_text(text)
    a, b, c = (tmp_path / name for name in "abc")
    assert same_code(a, b, "learner.py")
    assert not same_code(a, c, "learner.py")
    (b / "hwbench" / "more.py").write_text("")
    assert same_code(a, b, "learner.py")
    assert not same_code(a, b, "*.py")


# --- what cannot be reached, with sides that are made up ------------------------------------------


class Sides(Pair):
    """Answers from tables: fingerprints by side, movements by row, failures by row."""

    def __init__(self, moved=None, failing="", absent=(), changed=()):
        self.moved, self.failing, self.absent = moved or {}, failing, absent
        self.changed = changed
        self.machine = {"device": "CPU (here)", "torch": "2.13"}
        self.old, self.new = self.Codes("a", absent), self.Codes("b", absent)
        self.synthetic, self.stopping, self.seeds = [], [], []
        self.memory = Memory("cpu")

    class Codes:
        def __init__(self, letter, absent):
            self.letter, self.absent = letter, absent

        def identities(self, cases):
            return [(case.key, self.letter * 16) for case in cases]

        def here(self, cases):
            return [case.profile not in self.absent for case in cases]

    def unchanged(self, pattern):
        return pattern not in self.changed

    def _measure(self, question):
        case, steps = question.case, question.kind == "steps"
        self.synthetic += [question.points] if steps else []
        self.stopping += [s for s in case.train if s.get("stop")] if not steps else []
        kind = case.profile if steps else "smoke"
        if self.failing == kind:
            raise SideError("the new code: it took more than 600 s")
        self.seeds += [question.seeds] if steps else []
        several = "several" if steps and question.seeds > 1 else kind
        value = -5.0 + self.moved.get((case.row, several), self.moved.get((case.row, kind), 0.0))
        old, new = ({0: {"metric log_likelihood": np.array(v)}} for v in (-5.0, value))
        return Answer(changes(Runs(old, new, {} if value == -5.0 else old)), self.machine)


def outcomes(spec, **keys):
    sides = Sides(**keys)
    found = campaign._withheld(campaign._compare(table_of(spec, sides), sides))
    return {(o.case.row, o.case.profile): o for o in found}, sides


def test_the_larger_of_smoke_and_steps_counts(spec):
    """Quick takes the same 200 steps as full, so they are taken once, at quick."""
    moved = {("IWAE", "smoke"): 1e-5, ("VAE", "smoke"): 1e-5, ("VAE", "quick"): 2e-5}
    found, sides = outcomes(spec, moved=moved)
    shares = {where: o.share for where, o in found.items()}
    assert shares == {
        ("IWAE", "smoke"): pytest.approx(0.2),
        ("IWAE", "quick"): pytest.approx(0.2),
        ("IWAE", "full"): pytest.approx(0.2),
        ("VAE", "smoke"): pytest.approx(0.2),
        ("VAE", "quick"): pytest.approx(0.4),
        ("VAE", "full"): pytest.approx(0.4),
    }
    assert sides.synthetic == [0, 0]


def test_cases_of_which_no_result_waits_can_be_left_out(spec, tmp_path):
    (case,) = (c for _, c in all_cases(spec) if (c.row, c.profile) == ("VAE", "full"))

    def compared(store):
        resting = campaign.Resting([result], store)
        found = campaign._compare(table_of(spec, Sides(), resting.number), Sides())
        return [(o.case.row, o.case.profile, o.status) for o in found]

    machine = Sides().machine
    result = Result(case=case, key=case.key, fingerprint="a" * 16, metrics={}, machine=machine)
    once = compared(Store(tmp_path))
    assert once == [("VAE", profile, "attested") for profile in ("quick", "full")]  # one content
    row = {"spec": "a/b", "row": "VAE", "profile": "full", "share": 0.1}
    covered = attested.Covered(content=attested.content_of(case), **row)
    equivalent = attested.Equivalent(old="a" * 16, new="b" * 16, rows=[covered])
    facts = {"date": "2026-11-29", "torch": "2", "threads": 1, "kernels": {}}
    attested.write(
        tmp_path,
        attested.Attestation(
            old="a", new="b", machine=machine["device"], equivalent=[equivalent], **facts
        ),
    )
    assert compared(Store(tmp_path)) == []


@pytest.mark.parametrize(("several", "status"), [(0.0, "attested"), (0.1, "moved")])
def test_steps_that_moved_are_taken_with_more_seeds_before_they_count(spec, several, status):
    moved = {("VAE", "quick"): 0.1, ("VAE", "several"): several}
    found, sides = outcomes(spec, moved=moved)
    assert sides.seeds == [1, 1, STEP_SEEDS]
    assert found["VAE", "full"].status == status
    assert found["IWAE", "full"].status == ("attested" if status == "attested" else "withheld")


def test_one_row_that_moves_withholds_all_rows_of_its_code(spec):
    found, _ = outcomes(spec, moved={("VAE", "smoke"): 0.1})
    assert {o.status for (row, _), o in found.items() if row == "VAE"} == {"moved"}
    others = [o for (row, _), o in found.items() if row == "IWAE"]
    assert {o.status for o in others} == {"withheld"}
    assert {o.reason for o in others} == {"another row of the same code moved"}


def test_a_run_that_fails_leaves_its_row_unreached(spec):
    found, _ = outcomes(spec, failing="smoke")
    assert {(o.status, o.reason) for o in found.values()} == {
        ("unreached", "smoke: the new code: it took more than 600 s")
    }


def test_data_that_are_not_here_are_replaced_unless_their_code_has_changed(spec):
    found, sides = outcomes(spec, absent=("quick", "full"))
    assert {o.status for o in found.values()} == {"attested"}
    assert sides.synthetic == [10_000, 10_000]
    found, _ = outcomes(spec, absent=("quick", "full"), changed=("datasets/*.py",))
    for profile in ("quick", "full"):
        assert found["IWAE", profile].reason == "the data of synthetic.Bars are not here"
    assert found["IWAE", "smoke"].status == "attested"


def test_early_stopping_is_run_at_smoke_once_the_learner_changes(folder):
    path = folder / "benchmarks" / "tiny" / "table.yaml"
    text = path.read_text()
    path.write_text(text.replace("quick: {", "quick: {train: {stop: {patience: 1}}, "))
    spec = load(path)
    found, _ = outcomes(spec)
    assert found["IWAE", "quick"].status == "attested"
    found, sides = outcomes(spec, changed=("learner.py",))
    assert {o.status for o in found.values()} == {"attested"}
    assert [(s["stop"]["patience"], s["validate_every"], s["epochs"]) for s in sides.stopping] == [
        (1, 1, STOP_EPOCHS)
    ] * 2  # of both rows
    path.write_text(
        path.read_text().replace("smoke: {train: {", "smoke: {train: {validate: null, ")
    )
    found, _ = outcomes(load(path), changed=("learner.py",))
    assert found["IWAE", "quick"].reason.startswith("it may stop early, which smoke never does")


def test_nothing_is_recorded_where_nothing_is_attested(spec, tmp_path):
    found, _ = outcomes(spec, failing="smoke")
    comparison = campaign.Comparison("a", "b", list(found.values()))
    assert campaign._record(comparison, Store(tmp_path)) is None


@pytest.fixture
def side(tmp_path):
    """A side whose code ends the process, sleeps or fails, by the fingerprint that is asked for."""
    (tmp_path / "hwbench").mkdir()
    (tmp_path / "hwbench" / "__init__.py").write_text("")
    (tmp_path / "hwbench" / "sources.py").write_text("fingerprint = None\n")
    spec = """
        import os, time
        class Case:
            @classmethod
            def model_validate(cls, content):
                {"die": lambda: os._exit(3), "sleep": lambda: time.sleep(60)}[content["spec"][2:]]()
        """
    (tmp_path / "hwbench" / "spec.py").write_text(textwrap.dedent(spec))
    with Side(tmp_path, tmp_path, limit=2.0) as one:
        yield one


def case_named(name):
    """Return a case that no real code is asked to understand."""
    blocks = {"data": {}, "model": {}, "train": [], "evaluate": []}
    return Case(spec=f"a/{name}", at={}, profile="smoke", seed=0, **blocks)


@pytest.mark.parametrize(
    ("spec", "words"),
    [("die", "^its process died"), ("sleep", r"^it took more than 2 s")],
)
def test_a_side_that_dies_or_takes_too_long_says_so_and_starts_again(side, spec, words):
    with pytest.raises(SideError, match=words):
        side.identities([case_named(spec)])
    assert side.identities([case_named("other")]) == ["KeyError: 'other'"]


def test_the_package_comes_from_the_checkout_alone(side):
    """An installed hwbench has a module `pipeline`; the checkout has none."""
    with pytest.raises(SideError, match=r"^ImportError: cannot import name 'pipeline'"):
        side.here([])
