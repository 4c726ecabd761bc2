"""Attestations beside the results: chains, damage, and what verdicts say."""

import json
import re

import pytest

from hwbench import attested
from hwbench.attested import Attestation, Covered, Equivalences, Equivalent, content_of
from hwbench.cli.main import main
from hwbench.runner.plan import state
from hwbench.sources import fingerprint
from hwbench.spec import variants
from hwbench.store import Result, Store, StoredMetric
from hwbench.verdict.remarks import flag_text
from hwbench.verdict.table import compare

A, B, C, D = (letter * 16 for letter in "abcd")


def case_of(spec, profile="smoke", row=0, seed=0):
    return variants(spec, spec.rows[row], profile, seed)[0]


def result(spec, code=A, device="CPU (here)", **where):
    case = case_of(spec, **where)
    return Result(
        case=case,
        key=case.key,
        fingerprint=code,
        metrics={"log_likelihood": StoredMetric(value=-5.0, se=0.1)},
        machine={"device": device},
    )


def attestation(spec, old, new, share, *, machine="CPU (there)", profiles=("smoke",), commit="c0"):
    rows = [
        Covered(
            spec=spec.id,
            row="IWAE",
            profile=profile,
            content=content_of(case_of(spec, profile)),
            share=share,
        )
        for profile in profiles
    ]
    return Attestation(
        old=commit,
        new="c1",
        date="2026-11-28",
        machine=machine,
        torch="2.13",
        threads=1,
        kernels={},
        equivalent=[Equivalent(old=old, new=new, rows=rows)],
    )


def equivalences(*attestations):
    out = Equivalences()
    for one in attestations:
        out.add(one)
    return out


def test_movement_adds_up_along_a_chain(spec):
    steps = [attestation(spec, A, B, 0.25), attestation(spec, B, C, 0.5)]
    known = equivalences(*steps)
    assert known.share(result(spec), B) == 0.25
    assert known.share(result(spec), C) == 0.75
    assert known.share(result(spec, C), A) == 0.75  # a change that is taken back
    assert known.share(result(spec), D) is None


def test_a_chain_that_moved_by_more_than_the_tolerance_is_no_longer_equivalent(spec):
    steps = [(A, B, 0.5), (B, C, 0.5), (C, D, 0.125)]
    known = equivalences(*(attestation(spec, *step) for step in steps))
    assert known.share(result(spec), C) == 1.0
    assert known.share(result(spec), D) is None
    assert known.share(result(spec, B), D) == 0.625


def test_a_shorter_way_counts(spec):
    """A to C was also measured at once."""
    steps = [(A, B, 0.5), (B, C, 0.25), (A, C, 0.125)]
    known = equivalences(*(attestation(spec, *step) for step in steps))
    assert known.share(result(spec), C) == 0.125
    assert known.share(result(spec), B) == 0.375


def test_of_two_measurements_of_a_step_the_larger_counts(spec):
    known = equivalences(attestation(spec, A, B, 0.5), attestation(spec, A, B, 0.125))
    assert known.share(result(spec), B) == 0.5


def test_rows_profiles_and_devices_that_were_not_compared_are_not_covered(spec):
    known = equivalences(attestation(spec, A, B, 0.25))
    assert known.share(result(spec, seed=3), B) == 0.25  # any seed
    assert known.share(result(spec, row=1), B) is None
    assert known.share(result(spec, profile="full"), B) is None
    assert known.share(result(spec, device="NVIDIA H100"), B) is None


def test_a_file_comes_back_and_is_named_by_its_content(spec, tmp_path):
    one = attestation(spec, A, B, 0.02134)
    path = attested.write(tmp_path, one)
    assert path.parent == tmp_path / "attested"
    assert re.fullmatch(r"c0-c1-[0-9a-f]{12}\.json", path.name)
    assert attested.read(path) == one
    assert sum('"share": 0.02134}' in line for line in path.read_text().splitlines()) == 1
    assert attested.write(tmp_path, one) == path  # again: the same file
    assert len(list(path.parent.iterdir())) == 1


def _cut(text):
    return text[: len(text) // 2]


def _kinder(text):
    return text.replace("0.25", "0.01")


def _wider(text):
    return text.replace("0.25", "1.5")


def _more(text):
    return json.dumps({**json.loads(text), "note": "mine"})


def _itself(text):
    return text.replace(B, A)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "Invalid JSON"),
        (_kinder, "it was changed by hand"),
        (_wider, r"share: Input should be less than or equal to 1"),
        (_more, "note: Extra inputs are not permitted"),
        (_itself, "old and new are the same code"),
        (lambda text: "[]", "content: Input should be an object"),
    ],
)
def test_a_damaged_file_gives_one_message_and_leaves_others_alone(spec, tmp_path, damage, words):
    bad = attested.write(tmp_path, attestation(spec, A, B, 0.25))
    attested.write(tmp_path, attestation(spec, A, C, 0.5, commit="c9"))
    bad.write_text(damage(bad.read_text()))
    known = Equivalences.read(tmp_path)
    (message,) = known.warnings
    assert message.startswith(f"{bad}: skipped: not an attestation as it was written (")
    assert re.search(words, message)
    assert "\n" not in message
    assert known.share(result(spec), C) == 0.5
    assert known.share(result(spec), B) is None


# --- what verdicts, why and --strict say ----------------------------------------------------------


@pytest.fixture
def on_file(spec, folder):
    """Full results of both rows by other code; one attestation, which covers the first row."""
    store = Store(folder / "results")
    for row in range(2):
        for seed in range(2):
            assert store.write(result(spec, A, profile="full", row=row, seed=seed))
    today = fingerprint(case_of(spec, "full"))
    one = attestation(spec, A, today, 0.0213, profiles=("smoke", "full"))
    return store, attested.write(store.folder, one)


def test_equivalent_code_is_said_in_place_of_changed_code(spec, on_file):
    store, _ = on_file
    found = compare(spec, store, fingerprint=fingerprint)
    words = "equivalent code: moved 0.021 of the tolerance at smoke and at the start of full"
    assert [[flag_text(f) for f in row.flags] for row in found.rows] == [[words], ["code changed"]]
    assert list(found.warnings) == ["VAE: the code has changed since it ran"]
    (part,) = found.claims[0].parts
    assert part.changed == ("VAE",)
    assert compare(spec, store).rows[0].flags == ()


def test_strict_accepts_equivalent_code(spec, on_file, capsys):
    def code(*options):
        with pytest.raises(SystemExit) as end:
            main(["compare", "tiny", *options])
        return end.value.code

    assert code("--strict") == 1
    said = capsys.readouterr().err
    assert "tiny/table VAE: its code has changed" in said
    assert "tiny/table IWAE: its code has changed" not in said
    for path in (on_file[0].folder / "tiny" / "table" / "VAE").iterdir():
        path.unlink()
    assert code("--strict") == 0


def test_damage_is_told_where_code_has_changed(spec, on_file):
    store, path = on_file
    path.write_text("{}")
    found = compare(spec, store, fingerprint=fingerprint)
    assert all(row.has("changed") for row in found.rows)
    assert [w for w in found.warnings if str(path) in w] == list(found.warnings)[:1]
    assert not any(str(path) in w for w in compare(spec, store).warnings)


def test_the_state_of_a_case_says_so(spec, on_file, capsys):
    store, _ = on_file
    assert state(case_of(spec, "full"), store).kind == "equivalent"
    assert not state(case_of(spec, "full"), store).runs()
    assert state(case_of(spec, "full", row=1), store).kind == "changed"
    with pytest.raises(SystemExit):
        main(["why", "tiny", "--profile", "full"])
    said = capsys.readouterr().out
    assert "on file, of equivalent code: moved 0.021 of the tolerance; a run would do noth" in said


def test_attestations_are_no_results(on_file):
    results, warnings = on_file[0].results()
    assert (len(results), warnings) == (4, [])
