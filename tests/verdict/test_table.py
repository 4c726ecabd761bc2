"""Notices, flags and banners of a whole table."""

from hwbench.spec import Case
from hwbench.verdict.table import compare

from .conftest import GAP, ONE, TWO, Bench, make_spec, marks, spread


def test_results_of_rows_that_are_gone_are_told(tmp_path):
    bench = Bench(tmp_path, TWO)
    bench.put("B", spread(-91.0, 0.1))
    smaller = make_spec(tmp_path, ONE)
    found = compare(smaller, bench.store)
    assert found.warnings == ["demo/table has no row B: 5 results are ignored"]


def test_damaged_files_are_told(tmp_path):
    bench = Bench(tmp_path, ONE)
    bench.put("A", spread(-90.0, 0.1))
    path = bench.store.path(bench.case("A", 0))
    path.write_text(path.read_text()[:100])
    found = bench.compare()
    assert len(found.rows[0].results) == 4
    assert any("not a whole result" in w for w in found.warnings)


def test_flags(tmp_path):
    bench = Bench(tmp_path, TWO)
    more = {"plugins": ["mine"], "kind": "score", "banner": "SMOKE INSTEAD"}
    bench.put("A", spread(-90.0, 0.1), fingerprint="old", **more)
    bench.put("B", spread(-91.5, 0.1))
    asked = []

    def fingerprint(case: Case) -> str:
        asked.append(case.row)
        return "now"

    found = bench.compare(fingerprint=fingerprint)
    assert marks(found.rows[0]) == ["score, not a likelihood", "plugin: mine", "code changed"]
    assert found.rows[0].verdict == "agrees"  # a warning only
    assert marks(found.rows[1]) == []
    assert asked == ["A", "B"]
    assert found.warnings == ["A: the code has changed since it ran"]
    assert found.banner == "SMOKE INSTEAD"
    assert "code changed" not in marks(bench.compare().rows[0])


def test_a_claim_tells_of_results_of_other_code_that_its_rows_do_not_show(tmp_path):
    """Without full results of B, A's row stands at full, and the claim at quick."""
    bench = Bench(tmp_path, TWO, GAP)
    bench.put("A", spread(-90.0, 0.1))
    bench.put("A", spread(-90.0, 0.1, 3), "quick", fingerprint="old")
    bench.put("B", spread(-91.5, 0.1, 3), "quick")
    found = bench.compare(fingerprint=lambda case: "now")
    (part,) = found.claims[0].parts
    assert (part.verdict, part.changed) == ("holds", ("A",))
    assert part.reason.endswith("; the code has changed since A ran")
    assert [marks(row) for row in found.rows] == [[], []]
    assert found.warnings == ["claim C: the code has changed since A ran at a lower profile"]
    assert bench.claim().parts[0].changed == ()


def test_margins_beyond_half_the_claimed_gap_are_told(tmp_path):
    claim = "claims: [{id: C, text: t, order: {m: [A, B]}}]"
    assert Bench(tmp_path / "a", TWO, claim).compare().warnings == []
    found = Bench(tmp_path / "b", TWO.replace("-91.50", "-90.80"), claim).compare().warnings
    assert found == [
        "A: the margin 0.5 exceeds half the gap 0.8 of claim C",
        "B: the margin 0.5 exceeds half the gap 0.8 of claim C",
    ]


def test_an_empty_results_folder_is_all_missing(tmp_path):
    found = Bench(tmp_path, TWO, GAP).compare()
    assert [r.verdict for r in found.rows] == ["missing", "missing"]
    assert found.claims[0].verdict == "missing"
    assert (found.profile, found.banner, found.warnings) == (None, None, [])
