"""Colours, new axes and short texts that all figures share."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib import font_manager, rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from anemone_lib.audio.recording import Recording
from anemone_lib.detection.events import Event
from anemone_lib.plots.timeaxis import format_time

#: Okabe and Ito's colours, and their meanings in these figures.
EVENT_COLOUR = "#E69F00"  # orange


ANNOTATION_COLOUR = "#F0E442"  # yellow, in a black frame


SMOOTHED_COLOUR = "#0072B2"  # blue


RAW_COLOUR = "#56B4E9"  # sky blue


THRESHOLD_COLOUR = "#D55E00"  # vermilion


SKIPPED_COLOUR = "#999999"


#: Fonts with letters that matplotlib's own lacks: Chinese, Japanese, Korean, Thai and more. A system has one or none.
WIDE_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans JP", "Hiragino Sans", "Yu Gothic", "Meiryo", "IPAexGothic"),
    *("Noto Sans CJK SC", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", "WenQuanYi Zen Hei"),
    *(
        "Noto Sans CJK KR",
        "Apple SD Gothic Neo",
        "Malgun Gothic",
        "Noto Sans Thai",
        "Leelawadee UI",
        "Arial Unicode MS",
    ),
)


@contextmanager
def use_all_letters() -> Iterator[None]:
    """Draw names in any script with the fonts of this system; a letter that no font has becomes a box.

    >>> with use_all_letters():
    ...     axes = new_axes((2, 1))
    ...     _ = axes.set_title("珊瑚礁")
    ...     _ = to_png(axes.figure)
    """
    installed = set(font_manager.get_font_names())
    families = [*rcParams["font.family"], *(name for name in WIDE_FONTS if name in installed)]
    with rc_context({"font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def new_axes(figsize: tuple[float, float]) -> Axes:
    """Make Axes in a new figure, of `figsize` (width, height) inches."""
    return new_figure(figsize).subplots()


def new_figure(figsize: tuple[float, float]) -> Figure:
    """Make a figure of `figsize` (width, height) inches that needs no pyplot."""
    figure = Figure(figsize=figsize, layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure, *, dpi: int = 120) -> bytes:
    """Return a figure as PNG.

    >>> to_png(new_axes((2, 1)).figure)[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def check_span(recording: Recording, start_time: float, end_time: float | None) -> tuple[float, float]:
    """Return the span to show, in seconds, cut at the end of the recording; ValueError if it is empty."""
    end_time = recording.duration if end_time is None else min(end_time, recording.duration)
    if not 0 <= start_time < end_time:
        raise ValueError(
            f"start_time is {start_time} and end_time {end_time}; {recording.name} has {recording.duration:.6g} s: "
            "it must be 0 <= start_time < end_time"
        )
    return start_time, end_time


def format_times(event: Event) -> str:
    """Write the start and the end of an event, like ``12.0–13.4 s``."""
    start, end = (format_time(t, longest=event.end_time, step=0.1) for t in (event.start_time, event.end_time))
    return f"{start}–{end}{' s' * (event.end_time < 120)}"


def shorten(text: str, length: int = 90) -> str:
    """Cut out the middle of a long text.

    >>> shorten("abcdefghij", 6)
    'abc…ij'
    """
    return text if len(text) <= length else f"{text[: length // 2]}…{text[-length // 2 + 1 :]}"


#: Colour of annotations, on white.
ANNOTATED = "#009E73"


#: Okabe and Ito's colours for lines without a fixed meaning, each with a line style, for grey prints.
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


STYLES = ("-", "--", "-.", ":")
