"""The fingerprint of a case follows the code that decides its numbers, and nothing else."""

import re
import shutil

import pytest

import hwbench.sources
from hwbench.sources import PACKAGE, fingerprint, forget, sources
from hwbench.spec import cases


def test_sources_are_those_of_the_blocks_and_their_imports(spec):
    names = {p.name for p in sources(cases(spec, "full")[0])}
    assert {
        "vae.py",
        "bounds.py",
        "importance.py",
        "synthetic.py",
        "pipeline.py",
        "learner.py",
        "numerics.py",
    } <= names
    assert not {"build.py", "case.py", "store.py", "rbm.py"} & names


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of hwbench that a test may edit: `edit(file, old, new)` returns nothing."""
    copy = tmp_path / "hwbench"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("hwbench.sources.PACKAGE", copy)

    def edit(file, old, new):
        path = copy / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        forget()

    yield edit
    forget()


@pytest.mark.parametrize("text", [b"def half(", b"\xff\xfe", b"a = 1\x00"])
def test_a_file_that_is_no_python_counts_by_its_content(spec, package, text):
    """A plugin that is being edited does not hinder the commands that only read results."""
    case = cases(spec, "full")[0]
    found = {fingerprint(case)}
    for content in (text, text + b" "):
        (hwbench.sources.PACKAGE / "learner.py").write_bytes(content)
        forget()
        found.add(fingerprint(case))
    assert len(found) == 3


def test_a_fingerprint_follows_code_but_not_comments(spec, package):
    case = cases(spec, "full")[0]
    before = fingerprint(case)
    package("rules/bounds.py", "Return −L_k", "Another docstring")
    package("rules/bounds.py", "class IWAE", "# a comment\nclass IWAE")
    package("models/rbm.py", "torch", "no_longer_python(")  # no part of the case: never read
    assert fingerprint(case) == before
    package("rules/bounds.py", "k: Samples = 5", "k: Samples = 6")
    assert fingerprint(case) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("data", "x = x / self.scale", "x = x * self.scale"),  # Split, by way of TrainSplit
        ("rules", "loss: Tensor = self(model, x)", "loss: Tensor = 2 * self(model, x)"),  # Rule
        ("data", "HeldOut = ValidationSplit | TestSplit", "HeldOut = TestSplit"),  # of evaluators
    ],
)
def test_a_fingerprint_follows_the_protocols_that_the_case_uses(spec, package, file, old, new):
    case = cases(spec, "full")[0]
    before = fingerprint(case)
    package(f"protocols/{file}.py", old, new)
    assert fingerprint(case) != before


def test_a_fingerprint_is_the_same_beside_other_protocols(spec, package):
    case = cases(spec, "full")[0]
    before = fingerprint(case)
    package(
        "protocols/models.py",
        "class Mixture(",
        "class Novel(Model):\n    a = 1\n\n\nclass Mixture(",
    )
    package(
        "protocols/boltzmann.py", "difference.backward()", "(2 * difference).backward()"
    )  # of an RBM
    package("protocols/data.py", "Points to learn from.", "Another docstring.")
    assert fingerprint(case) == before


def test_a_fingerprint_does_not_follow_what_only_check_asks(spec, package):
    """Methods `refuse` of evaluators and of their protocol; nothing but `check` calls them."""
    case = cases(spec, "full")[0]
    before = fingerprint(case)
    refuse = "def refuse(self, model, shape):\n        import hwbench.models.rbm\n\n    "
    place = "def __init__(\n        self,\n        k: Count = 1000"
    package("protocols/evaluators.py", "def refuse(self, model: M,", "def refuse(self, other: M,")
    package("evaluators/importance.py", place, refuse + place)
    assert fingerprint(case) == before
    package("evaluators/importance.py", place, place.replace("1000", "999"))
    assert fingerprint(case) != before
    callers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r"(?<!def )\brefuse\(", path.read_text())
    }
    assert callers == {"check.py"}


@pytest.mark.parametrize("file", ["pipeline.py", "learner.py", "numerics.py"])
def test_a_fingerprint_follows_the_machinery(spec, package, file):
    case = cases(spec, "full")[0]
    before = fingerprint(case)
    package(file, "import torch\n", "import torch\n\nNEW = 1\n")
    assert fingerprint(case) != before


def test_a_rule_within_an_evaluator_is_a_source(spec, package):
    case = cases(spec, "full")[0]
    measured = {"use": "variance.GradientVariance", "rule": {"use": "reinforce.REINFORCE"}}
    case = case.model_copy(update={"evaluate": [measured]})
    assert {"variance.py", "reinforce.py"} <= {p.name for p in sources(case)}
    before = fingerprint(case)
    package("rules/reinforce.py", "class REINFORCE", "DECAY = 0.5\n\n\nclass REINFORCE")
    assert fingerprint(case) != before


def test_a_class_under_a_key_of_its_own_is_found_by_its_name(spec):
    case = cases(spec, "full")[0]
    nested = {"use": "importance.Bound", "others": [{"use": "temporal.FrameLogLikelihood"}]}
    case = case.model_copy(update={"evaluate": [nested]})
    found = {str(p.relative_to(PACKAGE)) for p in sources(case)}
    assert "evaluators/temporal.py" in found
    assert "models/temporal.py" not in found


def test_sources_of_a_plugin_are_its_own_files_and_what_they_import(spec, tmp_path, monkeypatch):
    """They are found without importing the plugin."""
    package = tmp_path / "elsewhere" / "unimported"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "part.py").write_text("from hwbench.models.layers import linear\n")
    (package / "models.py").write_text(
        "from .part import x\nfrom hwbench.models.vae import VAE\nclass Mine(VAE): ...\n"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    case = cases(spec, "full")[0]
    case = case.model_copy(update={"model": {"use": "unimported.models.Mine"}})
    assert {package / "models.py", package / "part.py"} <= set(sources(case))
    assert {"vae.py", "layers.py"} <= {p.name for p in sources(case)}


def test_fingerprints_of_cases_differ_by_model_not_by_seed(spec):
    full = cases(spec, "full")
    by_row = {}
    for case in full:
        by_row.setdefault(case.row, set()).add(fingerprint(case))
    assert all(len(prints) == 1 for prints in by_row.values())
