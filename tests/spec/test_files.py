"""Spec files are found and loaded, and mean the same from every working folder."""

import json
from pathlib import Path

import pytest

from hwbench import spec as sp
from hwbench.spec import Published, SpecError, cases, load
from tests.spec.tables import TABLE, edited, write


def test_a_right_file_loads(tmp_path):
    spec = load(write(tmp_path))
    assert [row.name for row in spec.rows] == ["MNIST-IWAE", "MNIST-ELBO", "Omniglot-IWAE"]
    assert spec.paper == "demo"
    assert spec.rows[0].published == Published(
        text="-95.182 ± 0.022", value=-95.182, error=0.022, rounding=0.0005
    )


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


def test_a_spec_anywhere_has_the_profiles_that_hwbench_brings(tmp_path):
    """Its own override them, and its id may be any."""
    spec = load(write(tmp_path, TABLE, "anywhere/mine.yaml"))
    omniglot = [{"data": "Omniglot"}]
    quick = cases(spec, "quick", omniglot, available=lambda data: "Drawings" in data["use"])
    assert {case.data["use"] for case in quick} == {"omniglot.OmniglotDrawings"}
    assert len(quick) == 4  # as the row itself says
    assert {case.seed for case in cases(spec, "smoke")} == {0, 1}


def test_the_id_is_the_path_below_the_benchmarks(tmp_path):
    write(tmp_path, "smoke: {seeds: 2}\n", "profiles.yaml")
    assert load(write(tmp_path)).id == "demo/table"
    with pytest.raises(SpecError, match="should be 'demo/other'"):
        load(write(tmp_path, TABLE, "demo/other.yaml"))


def test_a_file_means_the_same_from_every_working_folder(tmp_path, monkeypatch):
    path = write(tmp_path)
    shared = path.parent.parent / "profiles.yaml"
    shared.write_text("full: {seeds: 7}\n", encoding="utf-8")
    expected = [case.key for case in cases(load(path), "full")]
    assert len(expected) == 21
    monkeypatch.chdir(path.parent)
    for name in (path.name, f"../{path.parent.name}/{path.name}"):
        assert [case.key for case in cases(load(Path(name)), "full")] == expected


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
    """In a file, a published value is a number or text, wherever one may stand."""
    schema = json.loads(json.dumps(sp.json_schema()))
    assert {"id", "rows", "claims"} <= set(schema["properties"])
    assert not {"file", "document"} & set(schema["properties"])
    assert "Published" not in schema["$defs"]
    parts = {name: schema["$defs"][name]["properties"] for name in ("Row", "Gap", "Quoted")}
    found = {
        (name, field): [kind["type"] for kind in properties[field]["anyOf"]]
        for name, properties in parts.items()
        for field in {"published", "source"} & set(properties)
    }
    assert found == {
        ("Row", "published"): ["string", "number", "null"],
        ("Row", "source"): ["string", "number", "null"],
        ("Gap", "published"): ["string", "number", "null"],
        ("Quoted", "published"): ["string", "number"],
    }
