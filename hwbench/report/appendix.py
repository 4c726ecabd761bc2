"""Further metrics, diagnostics, machines and timings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from hwbench import vocabulary
from hwbench.numbers import duration, fixed, significant
from hwbench.report.measured import over_seeds
from hwbench.report.units import scale_of
from hwbench.report.views import Listing
from hwbench.report.words import is_guest, on_other_data, origin_text, row_label
from hwbench.spec import Quoted, Spec, argument_text
from hwbench.store import Result
from hwbench.typography import NONE, clean, minus, words
from hwbench.verdict.outcome import Comparison
from hwbench.verdict.statistics import mean_and_error

APART = 1.5  # a greater factor between the times of seeds is shown
# Diagnostics that give the shape of sample images, in pixels.
IMAGE_SIZE = (vocabulary.IMAGE_HEIGHT, vocabulary.IMAGE_WIDTH)


def other_metrics(comparison: Comparison) -> Listing:
    """Return the other metrics of each row.

    A metric that is the table's own with the other sign is left out, as NLL beside log-likelihoods.
    """
    metric = comparison.spec.metric
    run = [o for o in comparison.rows if o.results]
    names = dict.fromkeys(
        name
        for o in run
        for r in o.results
        for name, m in r.metrics.items()
        if metric not in r.metrics or abs(m.value) != abs(r.metrics[metric].value)
    )
    lines = [[row_label(o), *(over_seeds(o, name) or NONE for name in names)] for o in run]
    return Listing(["row", *map(words, names)], lines if names else [], [*range(1, len(names) + 1)])


def quoted_listing(comparison: Comparison) -> Listing:
    """Return the published values of models without a run, and how many rows are better.

    A row counts if it stands beside the value and was measured at full on the published data. Where
    all values stand at one coordinate, such as `data`, each of its values has a column.
    """
    spec = comparison.spec
    names = list(dict.fromkeys(name for q in spec.quoted for name in q.at))
    texts = {id(q): _quoted_text(q, comparison) for q in spec.quoted}
    if len(names) == 1 and all(q.at for q in spec.quoted):
        columns = list(dict.fromkeys(clean(q.at[names[0]]) for q in spec.quoted))
        cells: dict[tuple[str, str], dict[str, str]] = {}
        for q in spec.quoted:
            line = cells.setdefault((clean(q.model), origin_text(spec, q)[0]), {})
            line[clean(q.at[names[0]])] = " ".join(filter(None, texts[id(q)]))
        lines = [
            [model, *(found.get(column, NONE) for column in columns), known]
            for (model, known), found in cells.items()
        ]
        return Listing(["model", *columns, "known"], lines, [*range(1, 1 + len(columns))])
    lines = [
        [
            clean(q.model),
            *(clean(q.at[name]) if name in q.at else NONE for name in names),
            texts[id(q)][0],
            origin_text(spec, q)[0],
            texts[id(q)][1] or NONE,
            minus(clean(q.note or "")),
        ]
        for q in spec.quoted
    ]
    head = ["model", *map(words, names), "published", "known", "rows at full", "note"]
    return Listing(head, lines, [1 + len(names)])


def _quoted_text(quoted: Quoted, comparison: Comparison) -> tuple[str, str]:
    """Return a value as published, and how many of the rows beside it are better."""
    spec = comparison.spec
    sign = 1 if spec.better == "higher" else -1
    means = [
        o.mean
        for o in comparison.rows
        if o.row.matches(quoted.at)
        and o.profile == "full"
        and o.mean is not None
        and not is_guest(o)
        and not on_other_data(o)
    ]
    better = sum(sign * (mean - quoted.published.value) > 0 for mean in means)
    text = scale_of(spec).printed(minus(clean(quoted.published.text)))
    return text, f"{better} of {len(means)} better" if means else ""


def diagnostics_listing(comparison: Comparison) -> Listing:
    """Return the estimators' diagnostics: mean over seeds, row by row."""
    names = dict.fromkeys(
        n for o in comparison.rows for r in o.results for n in r.diagnostics if n not in IMAGE_SIZE
    )
    lines = []
    for outcome in comparison.rows:
        cells = []
        for name in names:
            values = [
                v
                for r in outcome.results
                if (v := r.diagnostics.get(name)) is not None and math.isfinite(v)
            ]
            mean = mean_and_error(values)[0] if values else None
            large = mean is not None and 10 <= abs(mean) < 1e6  # log Z matters to 0.01 nats
            cells.append(fixed(mean, 2) if large else significant(mean))
        if outcome.results and any(c != NONE for c in cells):
            lines.append([row_label(outcome), *cells])
    return Listing(["row", *map(words, names)], lines, list(range(1, len(names) + 1)))


def _flat(machine: Mapping[str, Any]) -> list[tuple[str, str]]:
    out = []
    for key, value in machine.items():
        if isinstance(value, Mapping):
            text = ", ".join(f"{clean(k)} {argument_text(v)}" for k, v in value.items())
        else:
            text = argument_text(value)
        out.append((words(key), text))
    return out


def machines_listing(results: Sequence[Result]) -> list[list[tuple[str, str]]]:
    """Return each distinct machine, with commits, plugins and data files of the results it made."""
    made: dict[tuple[tuple[str, str], ...], list[Result]] = {}
    for r in results:
        made.setdefault(tuple(_flat(r.machine)), []).append(r)
    out = []
    for machine, found in made.items():
        commits = Counter(clean(r.commit or "unknown") for r in found)
        text = ", ".join(f"{c} ({n})" if len(commits) > 1 else c for c, n in commits.items())
        plugins = sorted({clean(p) for r in found for p in r.plugins})
        extra = [("plugins", ", ".join(plugins))] if plugins else []
        files = sorted({clean(f) for r in found for f in r.files})
        extra += [("data files", ", ".join(files))] if files else []
        out.append([("results", str(len(found))), *machine, ("commit", text), *extra])
    return out


def _spread(
    values: Iterable[float | None], text: Callable[[float | None], str] = significant
) -> str:
    """Return the mean over seeds; the least and the greatest where seeds differ by `APART`.

    A mean over machines of different speeds would be the time of none of them.
    """
    known = [v for v in values if v is not None and math.isfinite(v)]
    if known and max(known) > APART * min(known):
        return f"{text(min(known))} to {text(max(known))}"
    return text(mean_and_error(known)[0] if known else None)


def timings_listing(comparison: Comparison) -> Listing:
    """Return seconds and speed row by row, with processors where results are from several."""
    processors = {clean(r.machine.get("device", "")) for o in comparison.rows for r in o.results}
    lines = []
    for o in comparison.rows:
        if not o.results:
            continue
        devices = dict.fromkeys(clean(r.machine.get("device", "unknown")) for r in o.results)
        lines.append(
            [
                row_label(o),
                str(len(o.results)),
                _spread((r.seconds.get("train") for r in o.results), duration),
                _spread((r.seconds.get("evaluate") for r in o.results), duration),
                _spread(r.steps_per_second or None for r in o.results),  # 0 without steps
                _spread((r.peak_memory_mb for r in o.results), partial(fixed, places=0)),
                str(sum(r.resumed > 0 for r in o.results)),
                *([", ".join(devices)] if len(processors) > 1 else []),
            ]
        )
    head = ["row", "seeds", "training", "evaluation", "steps/s", "peak MB", "resumed"]
    head += ["processor"] if len(processors) > 1 else []
    measured = any(set(line[2:6]) != {NONE} for line in lines)
    return Listing(head, lines if measured else [], [1, 2, 3, 4, 5, 6])


def figure_curves(spec: Spec) -> set[str]:
    """Return the curves that the figures of a spec show as they are, without a difference."""
    return {f.curve for f in spec.figures if f.curve and not f.minus}


def shown_by_default(curve: str) -> bool:
    """Return whether a curve is drawn even if the spec does not ask for it."""
    return curve == vocabulary.K_CURVE or curve.startswith(
        (vocabulary.TRAIN, vocabulary.VALIDATION)
    )
