"""What all plots share: colours that colour-blind readers can tell apart, and small PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from PIL import Image

#: Okabe and Ito's palette without black, which is the control's, and yellow, too faint for a line.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8A5A00")
CONTROL = "#000000"
GREY = "#7F7F7F"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "*", "p", "d", "8")
DASHES = ("-", "--", ":")
GAIN, LOSS = PALETTE[0], PALETTE[1]
_DPI = 120


def figure(width: float = 8.0, height: float = 4.8) -> tuple[Figure, Axes]:
    """A figure of one plot; no global state, so threads do not disturb each other."""
    made = Figure(figsize=(width, height), layout="constrained")
    return made, plain(made.add_subplot())


def plain(axes: Axes) -> Axes:
    """``axes`` without its upper and right frame and with a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def line_style(i: int) -> dict[str, Any]:
    """Colour, marker and dashes of the i-th line: no two of the first 21 look alike."""
    return {
        "color": PALETTE[i % len(PALETTE)],
        "marker": MARKERS[i % len(MARKERS)],
        "linestyle": DASHES[(i // len(PALETTE)) % len(DASHES)],
    }


def png(made: Figure) -> bytes:
    """The figure as PNG; the same figure, same bytes."""
    canvas = FigureCanvasAgg(made)
    made.set_dpi(_DPI)
    canvas.draw()
    return _as_png(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))


def _as_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def narrowed(data: bytes, width: int) -> bytes:
    """The PNG ``data`` at most ``width`` pixels wide, its proportions kept."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if image.width <= width:
        return data
    height = round(image.height * width / image.width)
    return _as_png(image.resize((width, height), Image.Resampling.LANCZOS))


def count_ticks(axes: Axes, counts: Sequence[float], rotation: float = 0) -> None:
    """Ticks of the x axis at ``counts``, written out; of those too close to tell, the larger."""
    low, high = axes.get_xlim()
    scale = axes.xaxis.get_transform().transform
    kept: list[float] = []
    for count in sorted(counts, reverse=True):
        gap = (scale(kept[-1]) - scale(count)) / (scale(high) - scale(low)) if kept else 1.0
        if gap > 0.08:
            kept.append(count)
    axes.set_xticks(kept, [f"{c:,.0f}" for c in kept], rotation=rotation)
    axes.xaxis.set_minor_locator(NullLocator())
