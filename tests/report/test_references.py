"""Citations of papers."""

from __future__ import annotations

import pytest

from hwbench.report.references import reference
from hwbench.report.views import Reference

from .conftest import Example


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://arxiv.org/abs/1509.00519", True),
        ("javascript:alert(1)", False),
        ('https://x.org/" onclick="alert(1)', False),
        ("data:text/html,x", False),
    ],
)
def test_only_web_addresses_become_links(example: Example, url, kept):
    papers = {"iwaer": {"title": "T", "authors": ["A B", "C D"], "url": url}}
    found = reference(papers, example.spec)
    assert found == Reference("A B and C D. T.", url if kept else "")


def test_a_table_is_cited_by_the_paper_its_source_names(example: Example):
    papers = {
        "iwaer": {"title": "T", "authors": ["A. One"]},
        "iwae": {"title": "U", "authors": ["B. Two", "C. Three"], "year": 2016, "arxiv": "1509.1"},
    }
    assert reference(papers, example.spec) == Reference("A. One. T.")
    spec = example.spec.model_copy(update={"source": "Two & Three (2016), Table 1"})
    expected = Reference("B. Two and C. Three. U. 2016.", "https://arxiv.org/abs/1509.1")
    assert reference(papers, spec) == expected
    assert reference({"iwaer": "A (2015). T."}, spec) == Reference("A (2015). T.")
    assert reference(None, spec) is None
