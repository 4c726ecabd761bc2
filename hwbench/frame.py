"""Results as a pandas DataFrame, for the user's own analyses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hwbench.spec import Spec, overrides_text, variant_of
from hwbench.store import Result

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "spec", "profile", "seed", "metric", "value", "se", "mc_se", "points", "samples", "kind",
    "counts", "data_set", "train_seconds", "device", "commit",
)  # fmt: skip


def frame(results: Iterable[Result], specs: Iterable[Spec] = ()) -> pd.DataFrame:
    """Return results as a table: one line per result and metric.

    `counts` tells whether the result fits one of the specs as they are today, so that verdicts use
    it; `data_set` is the class of the points, which may be a stand-in's.

    Columns are the coordinates and `COLUMNS`, with `variant` for runs with overrides; a coordinate
    that shares a name with a column, such as `seed`, becomes `at_seed`.
    """
    import pandas as pd  # takes half a second to import

    known = {(spec.id, row.name): (spec, row) for spec in specs for row in spec.rows}

    def counts(result: Result) -> bool:
        place = known.get((result.case.spec, result.case.row))
        return place is not None and variant_of(*place, result.case) is not None

    rows = [
        {
            **{f"at_{key}" if key in COLUMNS else key: value for key, value in r.case.at.items()},
            "spec": r.case.spec,
            "profile": r.case.profile,
            "seed": r.case.seed,
            "metric": name,
            "value": m.value,
            "se": m.se,
            "mc_se": m.mc_se,
            "points": m.n,
            "samples": m.k,
            "kind": m.kind,
            "counts": fits,
            "data_set": r.case.data["use"],
            "train_seconds": r.seconds.get("train"),
            "device": r.machine.get("device"),
            "commit": r.commit,
            **({"variant": overrides_text(r.case.overrides)} if r.case.overrides else {}),
        }
        for r in results
        for fits in [counts(r)]
        for name, m in r.metrics.items()
    ]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(COLUMNS))
    return table[["spec", *[c for c in table.columns if c != "spec"]]]
