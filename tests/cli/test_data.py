"""hwbench data: every known file, and whether it is here."""

import json

from hwbench.datasets import files

from .conftest import run


def test_data_list_tells_where_each_file_is(folder, capsys, monkeypatch):
    monkeypatch.delenv("HWBENCH_DATA", raising=False)
    assert run("data", "list", "--json") == 0
    records = json.loads(capsys.readouterr().out)
    assert sorted(r["name"] for r in records) == sorted(files.select([]))
    assert run("data", "list") == 0
    table = capsys.readouterr().out
    assert all(r["name"] in table and r["state"] in table for r in records)
