"""Style, colours and the frame of every picture."""

from __future__ import annotations

import contextlib
import gc
import io
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

STYLE = Path(__file__).parents[1] / "paper.mplstyle"
WIDTH = 6.7  # inches: the text width of an A4 page
INK, MUTED, GRID, PAPER = "#1f2328", "#57606a", "#d8dee4", "#ffffff"
SERIES = (
    "#0068a8",
    "#c2410c",
    "#00795a",
    "#9a3f86",
    "#9a6700",
    "#2a93c9",
    "#57606a",
    "#7b5bd6",
)
VERDICT_COLOURS = {
    "agrees": "#00795a",
    "better": "#0068a8",
    "worse": "#c2410c",
    "undecided": "#9a6700",
    "calibrated": "#9a3f86",
}
DASHES = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)))
MARKERS = "osD^vPX*"
PUBLISHED: dict[str, Any] = {"marker": "D", "ms": 3.6, "mfc": PAPER, "mec": INK, "mew": 0.9}
MEASURED: dict[str, Any] = {"marker": "o", "ms": 3.8}
ONE_SEED: dict[str, Any] = {"marker": "|", "ms": 4, "mew": 0.6, "alpha": 0.6}
COORDINATES, FINER = re.compile(rb' (?:d|x|y)="[^"]*"'), re.compile(rb"(?<=\.\d\d)\d+")
SPACED = re.compile(rb" ?\n|(?<=[A-Za-z]) (?=[-\d])")  # in the commands of a path
HASHED = re.compile(rb'(?<=[#"])(?:[mp]|C[0-9a-f]+_[0-9a-f]+_)[0-9a-f]{10}(?=[")])')
ALONE: dict[str, Any] = {"svg.fonttype": "path", "savefig.facecolor": "white"}  # of a file
Kind = Literal["svg", "png"]
_rasters: ContextVar[dict[bytes, bytes] | None] = ContextVar("rasters", default=None)


@dataclass(frozen=True)
class Picture:
    """One picture, with its caption and a text for readers who cannot see it.

    Attributes:
        place: the part of the section it belongs to: forest, curves, figures, k_curve, samples.
        data: SVG or PNG; empty if there is nothing to draw, for which `caption` gives the reason.
    """

    name: str
    place: str
    kind: Kind
    data: bytes
    title: str
    caption: str
    alt: str

    @classmethod
    def empty(cls, name: str, place: str, title: str, why: str, kind: Kind = "svg") -> Picture:
        """Return a picture with nothing to draw; its caption is the reason."""
        return cls(name, place, kind, b"", title, why, "")


@contextlib.contextmanager
def style(**settings: Any) -> Iterator[None]:
    """Draw in the style of the report, whatever the user's own settings are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            matplotlib.rc_params_from_file(STYLE, use_default_template=False)
        )
        matplotlib.rcParams.update(cast(Any, settings))
        yield


@contextlib.contextmanager
def collected_once() -> Iterator[None]:
    """Draw with one collection of garbage at the end, of young objects only, instead of hundreds.

    Figures are circular and large, and each collection would look at all results in memory.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
            gc.collect(0)


def new_figure(height: float) -> Figure:
    """Return an empty figure of the report's width; `height` is in inches."""
    from matplotlib.figure import Figure

    from hwbench.report.figures.ruler import DPI, Ruler

    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    Ruler(figure)  # becomes the figure's canvas
    return figure


def svg_of(figure: Figure) -> bytes:
    """Return a figure as SVG, the same bytes for the same figure.

    Coordinates have two decimals, a hundredth of a point; Matplotlib writes six. Its ids, which are
    hashes of all digits, of which the layout's last ones vary, become numbers.
    """
    import matplotlib

    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    with matplotlib.rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)  # with any, it would be drawn in vain once more
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None}
    )
    svg = COORDINATES.sub(lambda m: SPACED.sub(b"", FINER.sub(b"", m[0])), buffer.getvalue())
    ids: dict[bytes, bytes] = {}
    svg = HASHED.sub(lambda m: ids.setdefault(m[0], b"i%d" % len(ids)), svg)
    rasters = _rasters.get()
    if rasters is not None:
        rasters[svg] = _png_of(figure)
    return svg


def _png_of(figure: Figure) -> bytes:
    """Return a figure as PNG, laid out as for its SVG."""
    import matplotlib

    png = io.BytesIO()
    with matplotlib.rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)  # to save as SVG restored one
        figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


@contextlib.contextmanager
def rasterised() -> Iterator[dict[bytes, bytes]]:
    """Draw every figure as PNG, too: a mapping from SVG to PNG fills while figures are drawn."""
    found: dict[bytes, bytes] = {}
    token = _rasters.set(found)
    try:
        yield found
    finally:
        _rasters.reset(token)


def exported(draw: Callable[[], Figure | None]) -> dict[str, bytes]:
    """Return a figure as files that stand alone, by suffix: SVG with outlined text, and PNG.

    Args:
        draw: makes the figure; None where there is nothing to draw, which makes no file.
    """
    with style(**ALONE):
        figure = draw()
        return {} if figure is None else {"svg": svg_of(figure), "png": _png_of(figure)}


def draw_point(
    axes: Axes, x: ArrayLike, y: ArrayLike, marker: Mapping[str, Any], **bars: Any
) -> None:
    """Draw a marker, or several alike; `xerr` or `yerr` is a bar in `color` (or edge colour)."""
    colour = {"ecolor": marker["mec"]} if "mec" in marker else {}
    axes.errorbar(x, y, ls="none", **colour, **marker, **bars)


def add_legend(figure: Figure, handles: Mapping[str, Any]) -> None:
    """Put a legend above the axes, in as many columns as fit, and make the figure as much taller.

    Args:
        figure: without the height of its legend.
        handles: what to show of each line, by its text.
    """
    if handles:
        labels = [shorten(text) for text in handles]
        columns = max(1, min(len(labels), 5, int(105 / (max(map(len, labels)) + 6))))
        rows = math.ceil(len(labels) / columns)
        figure.set_figheight(figure.get_figheight() + 0.14 * rows)
        figure.legend(
            handles.values(), labels, loc="outside upper left", ncols=columns, columnspacing=1.4
        )


def wrap(text: str) -> str:
    """Break a row's label into at most three lines."""
    return "\n".join(textwrap.wrap(text, 28, max_lines=3, placeholder=" …")) or text


def name_rows(axes: Axes, y: Sequence[float] | Sequence[int], names: Sequence[str]) -> None:
    """Write names at the left of rows, flush right and without tick marks.

    Lines of one name are separate texts: Matplotlib would place each line by the width that it has
    in Matplotlib's own font, and readers of the SVG have another.
    """
    pad, size = 5.0, 7.0  # points
    axes.tick_params(axis="y", length=0, pad=pad, labelsize=size)
    axes.set_yticks(y, [name if "\n" not in name else "" for name in names])
    for height, name in zip(y, names, strict=True):
        lines = name.split("\n")
        for number, line in enumerate(lines if len(lines) > 1 else []):
            axes.annotate(
                line,
                (0, height),
                xycoords=axes.get_yaxis_transform(),
                xytext=(-pad, 1.2 * size * ((len(lines) - 1) / 2 - number)),
                textcoords="offset points",
                ha="right",
                va="center_baseline",
                fontsize=size,
                annotation_clip=False,
            )


def shorten(text: str, width: int = 60) -> str:
    """Return a text cut to `width` characters, with an ellipsis where something is left out."""
    return text if len(text) <= width else text[: width - 1] + "…"


def restyled(svg: bytes, name: str, family: str, colours: Mapping[str, str] | None = None) -> str:
    """Return an SVG fit to stand inside a document.

    No prolog, no metadata, no style sheet that would leak; ids that no other picture has, where
    something refers to them; no empty groups; text in `family`; colours replaced as given.
    """
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(
        r"\s*<defs>\s*<style type=\"text/css\">.*?</style>\s*</defs>", "", text, flags=re.S
    )
    inherited = f'stroke-linejoin="round" stroke-linecap="butt" style="font-family: {family}"'
    text = text.replace("<svg ", f"<svg {inherited} ", 1)
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}.{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r">\s+<", "><", text)
    for _ in range(3):  # groups within groups
        text = re.sub(r"<g/>|<g></g>", "", text)
        text = re.sub(r"<g>(<(?:text|path)[^>]*(?:/>|>[^<]*</text>))</g>", r"\1", text)
    text = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#{name}.", text)
    text = re.sub(r" ?font-family: '[^;\"]*;?", "", text)
    for old, new in (colours or {}).items():
        text = text.replace(f": {old}", f": {new}")
    return text
