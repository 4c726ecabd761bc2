"""The site of the documentation builds, with every link and reference in place."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs `make docs` once")
def test_the_site_builds_without_a_warning_and_asks_no_other_host(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-q", "-d", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    pages = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.html")}
    assert {"index.html", "tables.html", "api.html", "format.html", "shelves.html"} <= set(pages)
    assert "iwaer/table1" in pages["tables.html"]
    for name, page in pages.items():
        assert not re.search(r'<(script|link|img)[^>]+(src|href)="https?:', page), name
