"""Queues of cases in their order, a budget of time, and checkpoints that travel."""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hwbench.cli.main import main
from hwbench.cli.options import budget_named
from hwbench.runner.campaign import Observer, run_plan
from hwbench.runner.job import Job, run_folder
from hwbench.runner.plan import Plan, Settings
from hwbench.runner.queue import queue_plan, read_queue
from hwbench.runner.travel import pack, unpack
from hwbench.runner.work import work
from hwbench.spec import SpecError, UserError, cases, find, load
from hwbench.store import Store

QUEUE = """
queue:
  - {spec: tiny, rows: [{method: VAE}], seeds: 1, profile: smoke}
  - {spec: tiny, seeds: 1, profile: smoke, about: the VAE is not run twice}
  - {spec: tiny/table, rows: [{method: [IWAE]}], profile: quick}
"""


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def written(folder, text):
    path = folder / "queue.yaml"
    path.write_text(text)
    return path


def test_a_queue_is_its_entries_in_order_each_case_once(folder, spec):
    entries = read_queue(written(folder, QUEUE))
    plan = queue_plan(entries, [spec] * 3, Settings(dry_run=True))
    found = [(case.row, case.profile, case.seed) for case in plan.cases]
    quick = [("IWAE", "quick", seed) for seed in range(2)]
    assert found == [("VAE", "smoke", 0), ("IWAE", "smoke", 0), *quick]


def test_equal_cases_of_two_rows_and_two_specs_have_a_result_each(folder):
    text = (folder / "benchmarks" / "tiny" / "table.yaml").read_text()
    twin = "  - {at: {method: twin}, published: -5.0}\n"
    text = text.replace("claims:", f"{twin}claims:").replace("aliases: [tiny]\n", "")
    for name in ("table", "other"):
        path = folder / "benchmarks" / "tiny" / f"{name}.yaml"
        path.write_text(text.replace("tiny/table", f"tiny/{name}"))
    specs = [load(folder / "benchmarks" / "tiny" / f"{name}.yaml") for name in ("table", "other")]
    entries = read_queue(written(folder, "queue: [{spec: tiny/table}, {spec: tiny/other}]"))
    plan = queue_plan(entries, specs, Settings(dry_run=True))
    found = {(case.spec, case.row, case.seed) for case in plan.cases}
    rows = ("IWAE", "VAE", "twin")
    assert found == {(s.id, row, seed) for s in specs for row in rows for seed in range(2)}
    assert len({case.key for case in plan.cases}) == 4


def test_the_queue_of_this_suite_names_its_specs():
    """A comma in an unquoted text of an entry would begin another key."""
    benchmarks = Path(__file__).parents[2] / "benchmarks"
    entries = read_queue(benchmarks / "queue.yaml")
    assert {entry.spec for entry in entries} <= set(find(benchmarks))


def test_a_queue_runs_and_is_reused(folder, capsys):
    written(
        folder,
        QUEUE.replace("  - {spec: tiny/table, rows: [{method: [IWAE]}], profile: quick}\n", ""),
    )
    options = ["run", "--queue", "queue.yaml", "--executor", "inline", "--device", "cpu"]
    assert run(*options) == 0
    found, _ = Store(Path("results")).results("tiny/table")
    assert sorted((r.case.row, r.case.profile) for r in found) == [
        ("IWAE", "smoke"),
        ("VAE", "smoke"),
    ]
    assert run(*options) == 0
    assert "2 on file, 0 to run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("queue: []", "queue.yaml:1: queue: "),
        ("cases: []", "queue.yaml:1: cases: unknown key"),
        ("queue:\n  - {spec: tiny, seed: 2}", "queue[0].seed: unknown key; did you mean seeds?"),
        ("queue:\n  - {spec: tiny, seeds: 0}", "queue.yaml:2: queue[0].seeds: "),
        ("queue:\n  - {spec: tinny}", "did you mean tiny"),
        ("queue:\n  - {spec: tiny, rows: [{method: VEA}]}", "did you mean VAE?"),
    ],
)  # fmt: skip
def test_a_wrong_queue_is_one_message(folder, capsys, text, message):
    written(folder, text)
    assert run("run", "--queue", "queue.yaml") == 2
    assert message in capsys.readouterr().err
    assert not Path("results").exists() or not list(Path("results").rglob("*.json"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["tiny", "--queue", "queue.yaml"], "cannot be combined with"),
        (["--queue", "queue.yaml", "--seeds", "1"], "cannot be combined with"),
        (["--queue", "nowhere.yaml"], "no such queue file"),
        ([], "name a spec, or a queue"),
        (["tiny", "--budget", "soon"], "expected a time like 3h, 90m or 2h30m"),
        (["tiny", "--budget", "0h"], "expected a time"),
    ],
)
def test_options_that_contradict_each_other(folder, capsys, options, message):
    written(folder, QUEUE)
    assert run("run", *options) == 2
    assert message in capsys.readouterr().err


def test_budgets():
    found = [budget_named(text) for text in ("2h30m", "90m", "45s", "1.5H", None)]
    assert found == [9000.0, 5400.0, 45.0, 5400.0, None]
    for text in ("", "3", "h", "-1h", "1h 2m"):
        with pytest.raises(SpecError, match="expected a time"):
            budget_named(text)


def test_a_budget_beyond_all_clocks_is_no_limit(folder, capsys):
    options = ["--profile", "smoke", "--seeds", 1, "--executor", "inline"]
    assert run("run", "tiny", *options, "--budget", "99999999999h") == 0
    assert "Traceback" not in capsys.readouterr().err


class Waiting(Observer):
    """Holds the first news of a case back until the time budget is used up."""

    def __init__(self):
        self.ended = threading.Event()

    def news(self, index, news):
        assert self.ended.wait(60)

    def spent(self):
        self.ended.set()


def test_a_spent_budget_ends_resumably_with_the_numbers_of_an_undisturbed_run(folder, spec):
    """The budget ends in the middle of a case; the same plan then finishes it from there."""
    (case,) = cases(spec, "full", [{"method": "IWAE"}], 1)
    settings = Settings(executor="inline", device="cpu", results=folder / "cut", budget=0.1)
    ended = run_plan(Plan(None, [case]), settings, Waiting())
    assert ended.stopped
    assert [o.status for o in ended.outcomes] == ["interrupted"]
    assert Store(folder / "cut").read(case) is None
    assert not run_plan(Plan(None, [case]), replace(settings, budget=None), Observer()).stopped
    result = Store(folder / "cut").read(case)
    assert result.resumed

    shutil.rmtree(folder / "cache")
    whole = replace(settings, budget=None, results=folder / "whole")
    run_plan(Plan(None, [case]), whole, Observer())
    assert result.metrics == Store(folder / "whole").read(case).metrics


def half_trained(folder, spec, cache="cache"):
    news = []
    job = Job(cases(spec, "full")[0], folder / "results", folder / cache, "cpu")
    assert work(job, news.append, lambda: len(news) >= 2).status == "interrupted"
    return job


def test_checkpoints_travel_and_the_run_ends_in_the_same_numbers(folder, spec):
    job = half_trained(folder, spec)
    assert pack(
        [job, Job(cases(spec, "full")[1], job.results, job.cache, "cpu")], folder / "a.tar"
    ) == [job.case.label]
    there = replace(job, results=folder / "there", cache=folder / "cache-there")
    assert unpack(folder / "a.tar", there.cache) == [(job.case.label, True)]
    assert unpack(folder / "a.tar", there.cache) == [(job.case.label, False)]
    for each in (job, there):
        assert work(each, lambda news: None, lambda: False).status == "done"
    here, away = (Store(j.results).read(j.case) for j in (job, there))
    assert away.resumed
    assert away.metrics == here.metrics


def test_a_damaged_or_hostile_archive_places_nothing(folder, spec):
    job = half_trained(folder, spec)
    pack([job], folder / "a.tar")
    data = (folder / "a.tar").read_bytes()
    state = (run_folder(job) / "state.safetensors").read_bytes()
    changed = bytes([state[len(state) // 2] ^ 1])
    place = data.index(state) + len(state) // 2
    (folder / "bit.tar").write_bytes(data[:place] + changed + data[place + 1 :])
    with pytest.raises(UserError, match="is damaged"):
        unpack(folder / "bit.tar", folder / "new")
    (folder / "cut.tar").write_bytes(data[: len(data) // 3])
    with pytest.raises(UserError, match=r"cut\.tar"):
        unpack(folder / "cut.tar", folder / "new")
    (folder / "empty.tar").write_bytes(b"")
    with pytest.raises(UserError, match="is not an archive of checkpoints"):
        unpack(folder / "empty.tar", folder / "new")
    (folder / "cut.tgz").write_bytes(gzip.compress(data)[: len(data) // 9])
    with pytest.raises(UserError, match="is not an archive of checkpoints"):
        unpack(folder / "cut.tgz", folder / "new")
    text = data.replace(b'"state.safetensors"', b'"../../../evil.s12"')
    (folder / "evil.tar").write_bytes(text)
    with pytest.raises(UserError, match="missing or misplaced"):
        unpack(folder / "evil.tar", folder / "new")
    assert not (folder / "new").exists()
    assert not list(folder.rglob("evil.s12"))


@pytest.mark.parametrize("name", ["{top}/evil", "../evil", "a/../../evil", "..", ".", "", "a//b"])
def test_no_name_of_an_archive_leads_out_of_its_folder(folder, name):
    """Whole and with a right sha256; a name that is absolute starts with two slashes in it."""
    name = name.format(top=folder)
    packed = {"label": "x", "folder": f"{'0' * 16}-{'0' * 16}-cpu"}
    sha256 = hashlib.sha256(b"evil").hexdigest()
    manifest = json.dumps({"runs": [{**packed, "files": {name: sha256}}]}).encode()
    with tarfile.open(folder / "evil.tar", "w") as archive:
        for member, data in (("manifest.json", manifest), (f"{packed['folder']}/{name}", b"evil")):
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    with pytest.raises(UserError, match="missing or misplaced"):
        unpack(folder / "evil.tar", folder / "new")
    assert {p.name for p in folder.iterdir()} == {"benchmarks", "evil.tar"}


def test_nothing_to_pack_is_said(folder, spec):
    with pytest.raises(UserError, match="nothing to pack"):
        pack(
            [Job(cases(spec, "full")[0], folder / "results", folder / "cache", "cpu")],
            folder / "a.tar",
        )


def test_the_archive_holds_what_its_manifest_says(folder, spec):
    job = half_trained(folder, spec)
    pack([job], folder / "a.tar")
    with tarfile.open(folder / "a.tar") as archive:
        names = archive.getnames()
    assert names[0] == "manifest.json"
    assert f"{run_folder(job).name}/state.safetensors" in names
