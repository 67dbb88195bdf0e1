"""What all figures share: one look, and their way into a page and into files. Same values, same bytes."""

import base64
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

Made = TypeVar("Made")
Given = ParamSpec("Given")

#: Points kept of a curve: more cannot be seen and make the page heavy.
MAX_POINTS = 160
#: Characters of a name inside a drawing; tables show it whole.
MAX_NAME = 34
#: Characters of a path that has many points, and colours of a bitmap.
LONG_PATH = 300
PALETTE = 96
#: Colours that colour-blind readers tell apart (Okabe and Ito), told apart in print by the line styles.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
PHASE_COLOURS = {
    "Li2S": "#E69F00", "Li3P": "#CC79A7", "LiCl": "#009E73", "Li2O": "#D55E00", "LiF": "#56B4E9",
    "Li2Se": "#8B5E3C", "Li": "#BBBBBB", "Li6PS5Cl": "#0072B2", "none": "#ECECEC",
}  # fmt: skip
#: Of atoms, as `aiida_haml.analysis.balance.states` has them.
STATE_COLOURS = {
    "metal": "#BBBBBB", "ion": "#D8CFE6", "host": "#0072B2", "thiophosphate": "#56B4E9", "intermediate": "#CC79A7",
    "product": "#E69F00",
}  # fmt: skip
#: 'none' where it stands on white: in maps and cells.
NONE_ON_WHITE = "#4A4A4A"
BURST_COLOUR = "#F0C8A0"
#: The look of all figures: sober, and readable in print at the width of a page.
LOOK: dict[Any, Any] = {  # matplotlib types each key by itself

    "font.size": 9, "axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#555555", "axes.axisbelow": True,
    "grid.color": "#DDDDDD", "grid.linewidth": 0.6, "legend.frameon": False, "legend.fontsize": 8,
    "xtick.color": "#333333", "ytick.color": "#333333", "figure.dpi": 72, "savefig.dpi": 130,
    "svg.fonttype": "none", "pdf.fonttype": 42,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Drawing:
    """One figure of the report.

    Attributes
    ----------
    name : str
        Unique in the report; letters, digits, '-' and '_'. It names the files and goes ahead of all ids.
    figure : Figure
    description : str
        For readers who do not see it.
    caption : str
    """

    name: str
    figure: Figure
    description: str
    caption: str

    def svg(self) -> str:
        """Return the figure as SVG to be put into a page."""
        text = self._bytes("svg").decode()
        text = text[text.index("<svg") :]
        text = re.sub(r'\bid="', f'id="{self.name}-', text)
        text = re.sub(r"url\(#", f"url(#{self.name}-", text)
        text = re.sub(r'xlink:href="#', f'xlink:href="#{self.name}-', text)
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = re.sub(r' d="[^"]*"', _rounded, text)
        text = re.sub(r'"data:image/png;base64,([^"]*)"', _few_colours, text)
        label = self.description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
        return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)

    def save(self, folder: Path, formats: Sequence[str]) -> list[Path]:
        """Write the figure as ``folder/name.FORMAT`` for each format and return the paths."""
        paths = [folder / f"{self.name}.{form}" for form in formats]
        for path, form in zip(paths, formats, strict=True):
            path.write_bytes(self._bytes(form))
        return paths

    def _bytes(self, form: str) -> bytes:
        buffer = io.BytesIO()
        dates = {"svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None, "Creator": None}}
        with mpl.rc_context({**LOOK, "svg.hashsalt": self.name}):
            _settle(self.figure)
            self.figure.savefig(buffer, format=form, metadata=dates.get(form), bbox_inches="tight", pad_inches=0.06)
        return buffer.getvalue()


def _settle(figure: Figure) -> None:
    """Lay a figure out for good: the solver's last digits differ from run to run, so places are rounded."""
    if figure.get_layout_engine() is None:
        return
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        places = np.round(axes.get_position(original=True).bounds, 4)
        axes.set_position(Bbox.from_bounds(*places.tolist()))


def _rounded(path: re.Match[str]) -> str:
    """Return a path to hundredths of a point, or tenths where it has many points: enough, and half the page."""
    kept = r"(\.\d)\d+" if len(path.group()) > LONG_PATH else r"(\.\d\d)\d+"
    return re.sub(kept, r"\1", path.group())


def _few_colours(image: re.Match[str]) -> str:
    """Return a bitmap with a palette in place of four bytes a point: a third of its size."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(image.group(1)))) as full:
        full.quantize(PALETTE, method=Image.Quantize.FASTOCTREE).save(buffer, format="png", optimize=True)
    return f'"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"'


def styled(draw: Callable[Given, Made]) -> Callable[Given, Made]:
    """Draw with the look of the report, whatever matplotlib's settings are."""

    @wraps(draw)
    def with_look(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        with mpl.rc_context({**mpl.rcParamsDefault, "backend": mpl.get_backend(), **LOOK}):
            return draw(*args, **kwargs)

    return with_look


def plain(text: str) -> str:
    """Return text from the database so that matplotlib draws it as it stands, dollars included.

    What cannot stand in an SVG (control characters) is left out, what is too long for a figure is cut in its middle.
    """
    text = "".join(c if c.isprintable() else " " for c in str(text))
    if len(text) > MAX_NAME:
        text = f"{text[: MAX_NAME - 12]}…{text[-11:]}"
    return text.replace("$", r"\$")


def slug(text: str) -> str:
    """Return what is left of a text in names of files and ids."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")[:40] or "x"


def style(index: int) -> dict[str, Any]:
    """Return colour and line style of the candidate with this index."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": STYLES[index // len(COLOURS) % len(STYLES)]}


def phase_colour(name: str, index: int) -> str:
    """Return the colour of a phase, the same in every figure; `index` decides for phases without one of their own."""
    return PHASE_COLOURS.get(name, COLOURS[index % len(COLOURS)])


def thinned(times: np.ndarray, values: np.ndarray, limit: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `limit` samples, the first and the last among them; times in ps."""
    chosen = np.unique(np.linspace(0, len(times) - 1, min(len(times), limit)).astype(int))
    return np.asarray(times)[chosen] / 1000, np.asarray(values)[chosen]


def drawable(values: Any) -> bool:
    """Return whether there is a number among the values."""
    return values is not None and len(values) > 0 and bool(np.isfinite(np.asarray(values, dtype=float)).any())


def shared_legend(figure: Figure, columns: int = 4) -> None:
    """Put one legend for all frames underneath."""
    seen: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            seen.setdefault(label, handle)
    if seen:
        figure.legend(seen.values(), seen.keys(), loc="outside lower center", ncols=min(len(seen), columns))


def colour_scale(figure: Figure, image: ScalarMappable, axes: Axes, label: str) -> None:
    """Put the scale of an image beside it, as a bitmap: its steps would be hundreds of paths."""
    solids = figure.colorbar(image, ax=axes, label=label, pad=0.02).solids
    if solids is not None:
        solids.set_rasterized(True)


def grid(count: int, columns: int = 3, height: float = 2.2) -> tuple[Figure, list[Any]]:
    """Return a figure as wide as the page with `count` frames in rows of `columns`, and the frames.

    One or two frames are not stretched beyond half of the width each.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(5.5 if columns == 1 else 9.0, height * rows), layout="constrained")
    frames = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in frames[count:]:
        unused.set_axis_off()
    return figure, list(frames[:count])
