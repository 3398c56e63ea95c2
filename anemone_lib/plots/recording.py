"""Draw the overview of a recording, and a gallery of its events.

*Conventions.* Every function draws with matplotlib's object-oriented interface, never with the global state of
pyplot, so that it can be used in a server and in threads. Functions that draw one thing take ``ax`` (a new figure
without it) and return the Axes; those that draw several return the Figure. Times are seconds from the start of the
recording; the axes show seconds, minutes or hours, depending on the span.

*Levels* are in dB, averaged over power, not over dB. In the overview they are above the median of each frequency, in
the gallery re a full-scale sine (amplitude 1). They are not calibrated: that needs the hydrophone's sensitivity.

*Colours.* Levels are grey, dark for loud, as bioacousticians are used to; events are in the colours of Okabe
and Ito (Color Universal Design, 2008), which people with any of the common colour blindnesses tell apart.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anemone_lib.audio.gaps import Gap
from anemone_lib.audio.recording import Recording, open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.detections import Detections
from anemone_lib.detection.events import Annotation, Event, smooth
from anemone_lib.detection.marks import DETECTOR
from anemone_lib.errors import spell_count, spell_duration
from anemone_lib.files import write_atomically
from anemone_lib.plots.axes import (
    ANNOTATION_COLOUR,
    EVENT_COLOUR,
    RAW_COLOUR,
    SKIPPED_COLOUR,
    SMOOTHED_COLOUR,
    THRESHOLD_COLOUR,
    check_span,
    format_times,
    new_axes,
    new_figure,
    shorten,
)
from anemone_lib.plots.spectrogram import ABOVE_BACKGROUND_LABEL, draw_spectrogram
from anemone_lib.plots.timeaxis import add_clock_axis, set_time_axis
from anemone_lib.scoring.scores import Scores
from anemone_lib.soundscape.levels import MAX_COLUMNS, compute_fraction_shown


def plot_overview(
    recording: Recording,
    scores: Scores,
    events: Sequence[Event],
    config: InferenceConfig,
    *,
    start_time: float = 0.0,
    end_time: float | None = None,
    annotations: Sequence[Annotation] = (),
    figsize: tuple[float, float] = (12, 6),
) -> Figure:
    """Draw a recording's events, its spectrogram, and the probability of the target class, one above the other.

    The spectrogram shows levels above the median of each frequency, so that steady noise does not hide calls.

    The audio is read in blocks, never as a whole. A span with more than `MAX_COLUMNS` × `STRETCHES` × `STRETCH_FRAMES`
    frames (17 minutes at 48 kHz) is sampled: each column is then the mean power of `STRETCHES` stretches of
    `STRETCH_FRAMES` frames, spread evenly over the column. Events, gaps and probabilities are always complete.

    Parameters
    ----------
    recording : Recording
    scores : Scores, of that recording
    events : sequence of Event
    config : InferenceConfig
        Its `fmax_hz`, `n_fft`, `hop_length` draw the spectrogram, its event settings the probability.
    start_time, end_time : float, in seconds
        The part to show; by default all.
    annotations : sequence of Annotation, optional
        Drawn as bars above the events.
    figsize : (width, height), in inches

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The span is empty or not in the recording.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import InferenceConfig, detect, open_recording
    >>> recording, config = open_recording(path), InferenceConfig()
    >>> detections = detect(recording, config=config)
    >>> figure = plot_overview(recording, detections.scores, detections.events, config)
    >>> recording.close()
    >>> [axes.get_ylabel() for axes in figure.axes][:1]
    ['Frequency (Hz)']
    """
    start_time, end_time = check_span(recording, start_time, end_time)
    figure = new_figure(figsize)
    rows = figure.add_gridspec(3, 1, height_ratios=(0.16 * (1 + bool(annotations)), 3, 1.2))
    above = figure.add_subplot(rows[1])
    below, strip = (figure.add_subplot(rows[k], sharex=above) for k in (2, 0))
    rate = recording.sample_rate
    first, stop = round(start_time * rate), min(recording.n_samples, max(1, round(end_time * rate)))
    image = draw_spectrogram(
        above, recording.read, recording.n_samples, rate, first, stop, config, subtract_background=True
    )
    figure.colorbar(image, ax=above, pad=0.01, aspect=30, label=ABOVE_BACKGROUND_LABEL)
    plot_probabilities(
        scores,
        target_class=config.target_class,
        confidence_threshold=config.confidence_threshold,
        smoothing_window=config.smoothing_window,
        start_time=start_time,
        end_time=end_time,
        ax=below,
    )
    events_here = [event for event in events if event.start_time < end_time and event.end_time > start_time]
    gaps_here = [gap for gap in scores.skipped if gap.start_time < end_time and gap.end_time > start_time]
    _shade_events(below, events_here, alpha=0.22)
    for ax in (above, below):
        _hatch_gaps(ax, gaps_here)
    annotated = [a for a in annotations if a.start_time <= end_time and a.end_time >= start_time]
    _draw_strip(strip, events_here, annotated, two_rows=bool(annotations))
    for ax in (above, strip):
        ax.tick_params(labelbottom=False)
        ax.set_xlabel("")
    if scores.start_time is not None:
        add_clock_axis(strip, start_time, end_time, scores.start_time, scores.pauses)

    count = spell_count(len(events), f"{config.target_class} event")
    if (start_time, end_time) != (0, recording.duration):
        count = f"{len(events_here)} of {count} in this part"
    part = compute_fraction_shown(-(-(stop - first) // config.hop_length))
    _set_title(figure, recording, scores, count, part)
    _draw_legend(figure, (below, above, strip))
    return figure


def _set_title(figure: Figure, recording: Recording, scores: Scores, count: str, part: float) -> None:
    """Name the recording, its length, the events, the model, and how much of the sound the spectrogram shows."""
    title = [spell_duration(recording.duration), count]
    title += [f"model {scores.model_version}"] if scores.model_version else []
    title += [f"spectrogram from {100 * part:.2g} % of the sound"] if part < 1 else []
    name = shorten(scores.recording_name or recording.name)
    figure.suptitle(f"{name}\n{' · '.join(title)}", fontsize="medium", parse_math=False)


def _draw_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Draw one legend below all axes, with every label once."""
    handles: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=6, frameon=False, fontsize="small"
    )


def plot_probabilities(
    scores: Scores,
    *,
    target_class: str,
    confidence_threshold: float,
    smoothing_window: int,
    start_time: float = 0.0,
    end_time: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the probability of a class over time, as scored (light) and smoothed (strong), with the threshold.

    A window's probability is drawn at the window's middle. If there are more windows than the picture has columns,
    the light band spans the lowest to the highest of neighbouring windows and the strong line follows the highest.

    Parameters
    ----------
    scores : Scores
    target_class : str, one of the scores' classes
    confidence_threshold : float in [0, 1]
    smoothing_window : int, odd, in windows
    start_time, end_time : float, in seconds
        The part to show; by default all.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    ax : matplotlib.axes.Axes

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import InferenceConfig, detect, open_recording
    >>> recording, config = open_recording(path), InferenceConfig()
    >>> detections = detect(recording, config=config)
    >>> recording.close()
    >>> axes = plot_probabilities(
    ...     detections.scores, target_class="anemonefish", confidence_threshold=0.5, smoothing_window=5
    ... )
    >>> len(axes.lines) > 0
    True
    """
    if target_class not in scores.classes:
        raise ValueError(f"target_class is {target_class!r}; it must be one of {', '.join(scores.classes)}")
    ax = ax or new_axes((10, 2.5))
    end_time = scores.duration if end_time is None else end_time
    raw = scores.probabilities[:, scores.classes.index(target_class)]
    smoothed = smooth(raw, smoothing_window=smoothing_window)
    first = max(0, int(np.searchsorted(scores.end_times, start_time)) - 1)  # one more on each side: the line goes on
    shown = slice(first, int(np.searchsorted(scores.start_times, end_time)) + 1)
    middles = (scores.start_times[shown] + scores.end_times[shown]) / 2
    raw, smoothed = raw[shown], smoothed[shown]
    if len(middles) > 2 * MAX_COLUMNS:
        group = -(-len(middles) // MAX_COLUMNS)
        starts = np.arange(0, len(middles), group)
        low, high = np.fmin.reduceat(raw, starts), np.fmax.reduceat(raw, starts)
        middles, smoothed = middles[starts], np.fmax.reduceat(smoothed, starts)
        ax.fill_between(middles, low, high, color=RAW_COLOUR, alpha=0.6, linewidth=0.5, label="probability")
    else:
        marker = "." if len(middles) <= 300 else None
        ax.plot(middles, raw, color=RAW_COLOUR, linewidth=1, marker=marker, label="probability")
    alone = np.isfinite(smoothed).sum() < 3  # a line needs two points
    ax.plot(
        middles,
        smoothed,
        color=SMOOTHED_COLOUR,
        linewidth=1.8,
        marker="o" if alone else None,
        markersize=3,
        label=f"smoothed over {spell_count(smoothing_window, 'window')}",
    )
    ax.axhline(
        confidence_threshold,
        color=THRESHOLD_COLOUR,
        linestyle="--",
        linewidth=1.2,
        label=f"threshold {confidence_threshold:g}",
    )
    ax.set_ylim(-0.02, 1.02)
    ax.set_yticks([0, 0.5, 1])
    ax.set_ylabel(f"P({target_class})", parse_math=False)
    ax.grid(axis="y", alpha=0.3)
    set_time_axis(ax, start_time, end_time)
    return ax


def plot_events(
    recording: Recording,
    events: Sequence[Event],
    config: InferenceConfig,
    *,
    max_events: int = 12,
    columns: int = 4,
    margin: float = 0.5,
) -> Figure:
    """Draw the spectrograms of events side by side.

    Parameters
    ----------
    recording : Recording
    events : sequence of Event
    config : InferenceConfig
    max_events : int > 0
        Largest number of events; those of the highest confidence are drawn, in the order of their times.
    columns : int > 0, pictures in a row
    margin : float >= 0, in seconds
        Shown before and after the event.

    Returns
    -------
    figure : matplotlib.figure.Figure

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import InferenceConfig, detect, open_recording
    >>> recording, config = open_recording(path), InferenceConfig()
    >>> detections = detect(recording, config=config)
    >>> figure = plot_events(recording, detections.events, config)
    >>> recording.close()
    >>> len(figure.axes) >= len(detections.events) > 0
    True
    """
    chosen = sorted(events, key=lambda event: -event.max_confidence)[:max_events]
    chosen.sort(key=lambda event: event.start_time)
    columns = max(1, min(columns, len(chosen)))
    rows = max(1, -(-len(chosen) // columns))
    figure = new_figure((max(4.0, 3.0 * columns), 0.6 + 2.4 * rows))
    of = f" of {len(events)}, with the highest confidence" if len(chosen) < len(events) else ""
    said = f"{spell_count(len(chosen), 'event')}{of}; the lines mark start and end"
    figure.suptitle(f"{shorten(recording.name)}\n{said}", fontsize="medium", parse_math=False)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    rate = recording.sample_rate
    for ax, event in zip(grid.flat, chosen, strict=False):
        first = max(0, round((event.start_time - margin) * rate))
        stop = min(recording.n_samples, round((event.end_time + margin) * rate))
        here = -event.start_time
        draw_spectrogram(ax, recording.read, recording.n_samples, rate, first, stop, config, offset=here)
        for time in (0, event.duration):
            ax.axvline(time, color=EVENT_COLOUR, linewidth=1.5)
        ax.set_title(
            f"{format_times(event)}\nconfidence {event.mean_confidence:.2f}, max {event.max_confidence:.2f}",
            fontsize="small",
        )
        ax.tick_params(labelsize="small")
        ax.set(xlabel="", ylabel="")
    for ax in grid.flat[len(chosen) :]:
        ax.set_axis_off()
    figure.supxlabel("Time from the start of the event (s)", fontsize="medium")
    figure.supylabel("Frequency (Hz)", fontsize="medium")
    return figure


# ---------------------------------------------------------------------- events, gaps and annotations


def _shade_events(ax: Axes, events: Sequence[Event], *, alpha: float, top: float = 1.0) -> None:
    if events:
        ax.broken_barh(
            [(event.start_time, event.duration) for event in events],
            (0, top),
            transform=ax.get_xaxis_transform(),
            facecolor=(EVENT_COLOUR, alpha),
            edgecolor=EVENT_COLOUR,
            linewidth=0.5,  # so that an event narrower than a pixel is seen
            label="event",
        )


def _draw_strip(ax: Axes, events: Sequence[Event], annotations: Sequence[Annotation], *, two_rows: bool) -> None:
    """Draw events as bars in one row, and annotations in a row above."""
    _shade_events(ax, events, alpha=1.0, top=0.45 if two_rows else 1.0)
    _mark_annotations(ax, annotations)
    ax.set_ylim(0, 1)
    ax.set_yticks([0.22, 0.77] if two_rows else [0.5], ["events", "annotated"] if two_rows else ["events"])
    ax.tick_params(axis="y", length=0, labelsize="small")
    ax.tick_params(axis="x", length=0)


def _hatch_gaps(ax: Axes, gaps: Sequence[Gap]) -> None:
    if gaps:
        reasons = {gap.reason for gap in gaps}
        why = reasons.pop() if len(reasons) == 1 else f"{len(reasons)} reasons"
        ax.broken_barh(
            [(gap.start_time, gap.end_time - gap.start_time) for gap in gaps],
            (0, 1),
            transform=ax.get_xaxis_transform(),
            facecolor=("white", 0.6),
            edgecolor=SKIPPED_COLOUR,
            hatch="///",
            linewidth=0.8,
            label=f"skipped: {shorten(why, 60)}".replace("$", r"\$"),  # a dollar starts a formula
        )


def _mark_annotations(ax: Axes, annotations: Sequence[Annotation]) -> None:
    if annotations:
        ax.broken_barh(
            [(a.start_time, a.end_time - a.start_time) for a in annotations],
            (0.55, 0.45),
            transform=ax.get_xaxis_transform(),
            facecolor=ANNOTATION_COLOUR,
            edgecolor="black",
            linewidth=0.5,
            label="annotation",
        )


def save_overview(detections: Detections, path: Path) -> Path:
    """Draw the overview of detections as PNG; the recording is read once more."""
    with ExitStack() as stack:
        recording = detections.source
        if not isinstance(recording, Recording):
            channel = detections.scores.channel
            recording = stack.enter_context(
                open_recording(recording, target_sr=detections.config.target_sr, channel=channel)
            )
        found = detections.scores, detections.events, detections.config
        figure = plot_overview(recording, *found, annotations=detections.annotations)
        with write_atomically(path) as file:
            figure.savefig(file, format="png", metadata={"Software": DETECTOR})
    return path
