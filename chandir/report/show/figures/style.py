"""The house style: quiet, colour-blind safe, readable in print and without colour."""

from __future__ import annotations

import io
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import wraps
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by every common kind of colour vision; ink is the page's.
INK = "#1b1f24"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7a00")
MARKERS = ("s", "^", "D", "v", "P", "X", "<")
MUTED = "#6e7781"
NARROW = 4.1  # inches of a figure on a phone, where its letters have the size of the caption's
_narrow: ContextVar[bool] = ContextVar("narrow", default=False)
_OWN = {"h0_lambda": 0, "sobolev": 1}  # the same colour in every figure

RC: dict[str, Any] = {
    "figure.dpi": 100,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": MUTED,
    "grid.alpha": 0.2,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "text.parse_math": False,  # a name may hold dollar signs
    "legend.frameon": False,
    "legend.borderaxespad": 0,
    "svg.fonttype": "none",  # text stays text: small, searchable, read aloud
    "svg.hashsalt": "chandir",  # the same data give the same file
}


@dataclass(frozen=True)
class Drawing:
    """A finished figure.

    Attributes:
        name: The file name without its ending.
        title: What it shows.
        caption: How to read it, with n and every deviation from the paper.
        svg: The image.
        narrow: The same for a phone: narrower, its panels one below the other.
    """

    name: str
    title: str
    caption: str
    svg: str
    narrow: str = ""


@dataclass(frozen=True)
class Look:
    """How one cell or family is drawn: a colour, and a marker for print without colour."""

    colour: str
    marker: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Give each name a look: the first of each metric always the same, the others what is left."""
    found = {"h0": Look(INK, "o")}
    own, rest = dict(_OWN), [i for i in range(len(COLOURS)) if i not in _OWN.values()]
    queue = cycle([*rest, *_OWN.values()])
    for name in dict.fromkeys(names):
        if name != "h0":
            i = own.pop(re.split("[ ,]", name)[0], None)
            i = next(queue) if i is None else i
            found[name] = Look(COLOURS[i], MARKERS[i])
    return found


@contextmanager
def house() -> Iterator[None]:
    """Draw in house style, whatever the user's own settings are."""
    matplotlib = _matplotlib()
    everything: dict[Any, Any] = {**matplotlib.rcParamsDefault, **RC}
    now = matplotlib.rcParams
    # Only those that are to change, for each is checked anew; and asking for the backend imports
    # pyplot, which looks for a screen.
    changed = {key: to for key, to in everything.items() if key != "backend" and now[key] != to}
    with matplotlib.rc_context(changed):
        yield


_Draws = TypeVar("_Draws", bound="Callable[..., Drawing]")


def twice(draw: _Draws) -> _Draws:
    """Draw in house style as asked, and once more narrow for a phone; decorates each ``draw``."""

    @wraps(draw)
    def both(*args: Any, **options: Any) -> Drawing:
        with house():
            wide = draw(*args, **options)
            token = _narrow.set(True)
            try:
                return replace(wide, narrow=draw(*args, **options).svg)
            finally:
                _narrow.reset(token)

    return both  # type: ignore[return-value]


def _matplotlib() -> Any:
    """The library, whose windows nobody needs here.

    A shell that was started from a notebook names that one's, which need not exist; the import
    itself would fail.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    return matplotlib


def figure(width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any) -> Any:
    """Return a figure of `width` x `height` inches and its (rows, columns) axes.

    A narrow one has the same axes in the same shape, those of a row one below the other.
    """
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    engine = ConstrainedLayoutEngine(w_pad=0.09)
    if not _narrow.get():
        fig = Figure(figsize=(width, height), layout=engine)
        return fig, fig.subplots(rows, columns, squeeze=False, **grid)
    beside = 2 if columns > 2 else 1  # small panels, of which two can be read side by side
    lines = -(-columns // beside)
    fig = Figure(figsize=(min(width, NARROW), height * lines), layout=engine)
    if lines == 1:
        return fig, fig.subplots(rows, columns, squeeze=False, **grid)
    shared: dict[str, Any] = {key: bool(grid.get(key)) for key in ("sharex", "sharey")}
    found = fig.subplots(rows * lines, beside, squeeze=False, **shared)
    found = found.reshape(rows, lines * beside)
    for spare in found[:, columns:].flat:
        spare.set_visible(False)
    for axis in found[:, :columns].flat:
        axis.tick_params(labelbottom=True)
    return fig, np.asarray(found[:, :columns])


def legend(fig: Figure) -> None:
    """Put one legend for all axes above them, where it hides no data: in as few rows as fit.

    It has every name that is drawn on any of them, once.
    """
    pairs = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in fig.axes]
    named = {name: handle for own in reversed(pairs) for handle, name in own}
    order = dict.fromkeys(name for axes in fig.axes for name in axes.get_legend_handles_labels()[1])
    handles, names = [named[name] for name in order], list(order)
    room = 15 * fig.get_size_inches()[0]
    columns = len(names)
    while columns > 1 and columns * (max(map(len, names)) + 8) > room:  # 8: a handle and its gaps
        columns -= 1
    columns = -(-len(names) // -(-len(names) // max(columns, 1))) if names else 1
    fig.legend(handles, names, loc="outside upper left", ncols=columns, handlelength=2.4)


def save(fig: Figure, folder: Path, name: str, title: str, caption: str, footer: str) -> Drawing:
    """Write ``<name>.svg`` and ``<name>.png`` into `folder`.

    `footer` is printed below the image, so that n and the deviations from the paper travel with it.
    """
    if _narrow.get():
        _wrap(fig)
    width, height = fig.get_size_inches()
    text = textwrap.fill(footer, int(width * 19))
    fig.set_size_inches(width, height + 0.13 * text.count("\n"))  # what is drawn keeps its room
    fig.supxlabel(text, x=0.01, ha="left", fontsize=7, color=MUTED)
    if _narrow.get():
        image = io.StringIO()
        fig.savefig(image, format="svg", transparent=True, metadata={"Date": None})
        return Drawing(name, title, caption, image.getvalue())
    folder.mkdir(parents=True, exist_ok=True)
    fig.savefig(folder / f"{name}.svg", transparent=True, metadata={"Date": None})
    fig.set_layout_engine("none")  # keeps the layout: finding it again takes as long as drawing
    fig.savefig(folder / f"{name}.png", dpi=200, facecolor="white")
    svg = (folder / f"{name}.svg").read_text(encoding="utf-8")
    return Drawing(name, title, caption, svg)


def _wrap(fig: Figure) -> None:
    """Break titles and labels that are wider than a narrow figure's axes, which are aligned."""
    ticks = [tick.get_text() for axis in fig.axes for tick in axis.get_yticklabels()]
    places = [place for axis in fig.axes if (place := axis.get_subplotspec())]
    columns = max((place.get_gridspec().ncols for place in places), default=1)
    room = 72 * fig.get_size_inches()[0] / columns - 4.7 * max(5, *map(len, ticks)) - 18  # points
    for axis in fig.axes:
        axis.set_title(_fill(axis.get_title(loc="left"), room / 5.9))
        axis.set_xlabel(_fill(axis.get_xlabel(), room / 5))


def _fill(text: str, width: float) -> str:
    return "\n".join(textwrap.fill(line, max(12, int(width))) for line in text.split("\n"))


def inline(drawing: Drawing, narrow: bool = False) -> str:
    """Return the SVG for a page: own ids, the page's width, and colours that the page may change.

    Each colour becomes ``var(--fig-<hex>, #<hex>)``, so that a dark page can lighten it.
    """
    svg = drawing.narrow if narrow else drawing.svg
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    prefix = f"{drawing.name}-{'narrow-' * narrow}"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    svg = svg.replace("url(#", f"url(#{prefix}")
    svg = re.sub(r"(fill|stroke): (#[0-9a-f]{6})", r"\1: var(--fig-\2, \2)", svg)
    return svg.replace("var(--fig-#", "var(--fig-")
