"""Pictures of how good settings and models are, and of what they listened through.

*Conventions.* As in `anemone_lib.plotting`: every function draws into ``ax`` (a new figure without it) and returns the
Axes; the colours are those of Okabe and Ito. What was chosen is blue and solid, what one came with vermilion and
dashed, in every chart.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from anemone_lib.audio import Recording
from anemone_lib.config import InferenceConfig
from anemone_lib.evaluation import Counts, Reliability, ThresholdCurve
from anemone_lib.plotting import (
    EVENT_COLOUR,
    RAW_COLOUR,
    SMOOTHED_COLOUR,
    THRESHOLD_COLOUR,
    new_axes,
    plot_window_image,
)
from anemone_lib.scores import Scores
from anemone_lib.soundscape import NoiseContext
from anemone_lib.spectrogram import spectrogram_images
from anemone_lib.timeaxis import set_time_axis

CHOSEN, BASE = SMOOTHED_COLOUR, THRESHOLD_COLOUR
#: What a person annotated, on white.
ANNOTATED = "#009E73"
#: Okabe and Ito's colours for things without a meaning of their own, and a line style each, for grey prints.
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
STYLES = ("-", "--", "-.", ":")


def plot_precision_recall(
    curve: Mapping[str, np.ndarray],
    *,
    chosen: float | None = None,
    base: float | None = None,
    base_curve: Mapping[str, np.ndarray] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw precision over recall of events, as the threshold goes from low to high.

    Parameters
    ----------
    curve : ``confidence_threshold``, ``precision``, ``recall``, as `Sweep.over_threshold` gives them
    chosen, base : float, thresholds to mark: of `curve`, and of `base_curve` (of `curve` without it)
    base_curve : the same of the settings one came with, optional
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes((5.5, 4.5))
    ax.plot(curve["recall"], curve["precision"], color=CHOSEN, marker=".", markersize=3, label="tuned, over thresholds")
    if base_curve is not None:
        recall, precision = base_curve["recall"], base_curve["precision"]
        ax.plot(recall, precision, color=BASE, linestyle="--", linewidth=1, label="before, over thresholds")
    for source, threshold, colour, marker, name in (
        (base_curve or curve, base, BASE, "s", "before"),
        (curve, chosen, CHOSEN, "o", "chosen"),
    ):
        if threshold is not None:
            at = int(np.argmin(np.abs(source["confidence_threshold"] - threshold)))
            ax.plot(
                source["recall"][at],
                source["precision"][at],
                color=colour,
                marker=marker,
                markersize=9,
                markeredgecolor="black",
                linestyle="none",
                label=f"{name}: threshold {threshold:g}",
                zorder=3,
                clip_on=False,
            )
    ax.set(xlabel="Recall (part of the calls that are found)", ylabel="Precision (part of the events that are calls)")
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
    ax.grid(alpha=0.3)
    ax.legend(loc="lower left", fontsize="small")
    return ax


def plot_over_threshold(
    curve: Mapping[str, np.ndarray],
    metric: str = "f1",
    *,
    chosen: float | None = None,
    base: float | None = None,
    base_curve: Mapping[str, np.ndarray] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a rate over the threshold.

    Parameters
    ----------
    curve, chosen, base, base_curve : as in `plot_precision_recall`
    metric : ``f1``, ``precision``, ``recall`` or ``false_alarms_per_hour``
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes((6.5, 3.8))
    ax.plot(curve["confidence_threshold"], curve[metric], color=CHOSEN, label="other settings tuned")
    if base_curve is not None:
        thresholds, rate = base_curve["confidence_threshold"], base_curve[metric]
        ax.plot(thresholds, rate, color=BASE, linestyle="--", label="other settings as before")
    for threshold, colour, style, name in ((base, BASE, "--", "before"), (chosen, CHOSEN, "-", "chosen")):
        if threshold is not None:
            ax.axvline(threshold, color=colour, linestyle=style, linewidth=1, label=f"{name}: {threshold:g}")
    ax.set(xlabel="confidence_threshold (probability, 0 to 1)", xlim=(0, 1))
    if metric == "false_alarms_per_hour":
        ax.set_yscale("symlog", linthresh=1)
        ax.set_ylim(bottom=0)
        ax.set_ylabel("False alarms per hour")
    else:
        ax.set(ylim=(0, 1.02), ylabel={"f1": "F1 (0 to 1)"}.get(metric, f"{metric.capitalize()} (0 to 1)"))
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small")
    return ax


def plot_recordings(
    names: Sequence[str],
    tuned: Sequence[Counts],
    base: Sequence[Counts],
    *,
    metric: str = "f1",
    ax: Axes | None = None,
) -> Axes:
    """Draw a rate of each recording, before and after.

    Parameters
    ----------
    names : of the recordings
    tuned, base : Counts of each
    metric : as in `plot_over_threshold`
        A recording in which the rate is unknown (F1 where nothing was to be found, and nothing was) has no marks.
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes((7, 1.4 + 0.28 * len(names)))
    rows = np.arange(len(names))[::-1]
    after, before = (np.array([getattr(one, metric) for one in counts]) for counts in (tuned, base))
    ax.hlines(rows, np.fmin(after, before), np.fmax(after, before), color="0.7", linewidth=2, zorder=1)
    ax.scatter(before, rows, color=BASE, marker="s", label="before", zorder=2)
    ax.scatter(after, rows, color=CHOSEN, marker="o", label="tuned", zorder=3)
    shown = [name if len(name) <= 42 else f"{name[:20]}…{name[-20:]}" for name in names]
    calls = [f"{name}  ({one.n_reference})" for name, one in zip(shown, tuned, strict=True)]
    ax.set_yticks(rows, calls, fontsize="small")
    ax.set_ylim(-0.8, len(names) - 0.2)
    if metric == "false_alarms_per_hour":
        ax.set_xlim(left=0)
        ax.set_xlabel("False alarms per hour")
    else:
        ax.set(xlim=(-0.02, 1.02), xlabel={"f1": "F1 (0 to 1)"}.get(metric, f"{metric.capitalize()} (0 to 1)"))
    ax.set_title("Recording (bouts of calls in it)", fontsize="medium", loc="left")
    ax.grid(axis="x", alpha=0.3)
    ax.legend(fontsize="small", loc="best")
    return ax


def plot_threshold_curve(curve: ThresholdCurve, *, label: str = "", ax: Axes | None = None) -> Axes:
    """Draw precision over recall of windows, exact over all thresholds.

    Parameters
    ----------
    curve : ThresholdCurve
    label : str, for the legend; several curves may share `ax`
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes((5.5, 4.5))
    number = len(ax.lines)
    ax.step(
        curve.recall[::-1],
        curve.precision[::-1],
        where="pre",
        color=SERIES[number % len(SERIES)],
        linestyle=STYLES[number % len(STYLES)],
        label=f"{label} (average precision {curve.average_precision:.3f})".strip(),
    )
    ax.set(xlabel="Recall of windows", ylabel="Precision of windows", xlim=(0, 1.02), ylim=(0, 1.02))
    ax.grid(alpha=0.3)
    ax.legend(loc="lower left", fontsize="small")
    return ax


def plot_reliability(curves: Mapping[str, Reliability], *, ax: Axes | None = None) -> Axes:
    """Draw how often a stated probability comes true; on the diagonal it says what it means.

    Parameters
    ----------
    curves : Reliability by the name for the legend
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes((5, 4.5))
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfect")
    for (name, curve), colour, style, marker in zip(
        curves.items(), cycle(SERIES), cycle(STYLES), cycle("os^D"), strict=False
    ):
        held = curve.n > 0
        ax.plot(
            curve.mean_probability[held],
            curve.frequency[held],
            color=colour,
            linestyle=style,
            marker=marker,
            label=f"{name} (error {curve.expected_calibration_error:.3f})",
        )
    ax.set(xlabel="Stated probability", ylabel="How often it is true", xlim=(0, 1), ylim=(0, 1.02))
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small", loc="upper left")
    return ax


def plot_confusion(matrix: np.ndarray, classes: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw which class was taken for which.

    Parameters
    ----------
    matrix : np.ndarray [shape=(n_classes, n_classes)], int; row: what it was, column: what it was taken for
    classes : their names
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes((1.8 + 1.2 * len(classes), 1.2 + 0.9 * len(classes)))
    part = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    ax.imshow(part, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), n in np.ndenumerate(matrix):
        colour = "white" if part[row, column] > 0.5 else "black"
        ax.text(column, row, f"{part[row, column]:.0%}\n({n})", ha="center", va="center", color=colour)
    ax.set_xticks(range(len(classes)), classes)
    ax.set_yticks(range(len(classes)), classes)
    ax.set(xlabel="Taken for", ylabel="It was")
    return ax


def plot_history(history: Mapping[str, Sequence[float]], *, ax: Axes | None = None) -> Axes:
    """Draw the loss while training, of the windows trained on and of those held out.

    Parameters
    ----------
    history : ``loss`` and ``val_loss`` by epoch, as Keras keeps them
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes((6, 3.5))
    epochs = np.arange(1, len(history["loss"]) + 1)
    ax.plot(epochs, history["loss"], color=CHOSEN, marker=".", label="trained on")
    if "val_loss" in history:
        ax.plot(
            epochs, history["val_loss"], color=EVENT_COLOUR, linestyle="--", marker="s", markersize=3, label="held out"
        )
    ax.set(xlabel="Epoch", ylabel="Loss (cross-entropy)", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small")
    return ax


def plot_noise(context: NoiseContext, *, duration: float, ax: Axes | None = None) -> Axes:
    """Draw the level of each band over time, and the tones that stay, by name.

    Parameters
    ----------
    context : NoiseContext
    duration : float, of the recording, in seconds
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes((10, 3.5))
    colours = {"calls": EVENT_COLOUR, "below": RAW_COLOUR, "above": "#CC79A7", "shrimp": "#009E73"}
    styles = {"calls": "-", "below": "--", "above": "-.", "shrimp": ":"}
    for (name, levels), spare in zip(context.levels.items(), cycle(SERIES), strict=False):
        colour, style = colours.get(name, spare), styles.get(name, "-")
        width = 2.2 if name == "calls" else 1.4
        low, high = context.bands_hz[name]
        label = f"{name}, {low:g} to {high:g} Hz"
        ax.plot(context.times, levels, color=colour, linestyle=style, linewidth=width, label=label)
    set_time_axis(ax, 0, duration)
    ax.set_ylabel("Level (dB re full scale,\nuncalibrated)")
    ax.grid(alpha=0.3)
    ax.set_ylim(top=ax.get_ylim()[1] + 0.15 * np.ptp(ax.get_ylim()))  # room for the legend
    ax.legend(fontsize="small", ncols=4, loc="upper center")
    return ax


def plot_seen_windows(recording: Recording, scores: Scores, config: InferenceConfig, windows: Sequence[int]) -> Figure:
    """Draw windows as the model sees them, and what it says of each.

    Parameters
    ----------
    recording : Recording
    scores : Scores, of that recording
    config : InferenceConfig, with which it was scored
    windows : indices of windows

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    figure = new_axes((3.0 * len(windows) + 0.6, 4.6)).get_figure(root=True)
    assert figure is not None
    figure.clear()
    grid = figure.subplots(2, len(windows), height_ratios=(3, 1), squeeze=False)
    colours = [SERIES[k % len(SERIES)] for k in range(len(scores.classes))]
    for column, k in enumerate(windows):
        start, stop = scores.grid.samples_of(k, k + 1)
        samples = np.zeros((1, scores.grid.window_samples), np.float32)
        samples[0, : stop - start] = np.nan_to_num(recording.read(start, stop))
        image = spectrogram_images(
            samples,
            sample_rate=scores.sample_rate,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            fmax_hz=config.fmax_hz,
            height_pixels=config.height_pixels,
            width_pixels=config.width_pixels,
            channels=1,
        )[0]
        above, below = grid[:, column]
        plot_window_image(
            image,
            fmax_hz=min(config.fmax_hz, scores.sample_rate / 2),
            window_duration=scores.grid.window_samples / scores.sample_rate,
            start_time=scores.start_times[k],
            ax=above,
        )
        below.barh(scores.classes, scores.probabilities[k], color=colours)
        for row, probability in enumerate(scores.probabilities[k]):
            inside = probability > 0.7
            x, side, colour = (
                (probability - 0.02, "right", "white") if inside else (probability + 0.02, "left", "black")
            )
            below.text(x, row, f"{probability:.2f}", ha=side, va="center", color=colour, fontsize="small")
        below.invert_yaxis()
        below.set(xlim=(0, 1), xticks=(0, 0.5, 1), xlabel="Probability")
        if column:
            above.set_ylabel("")
            for ax in (above, below):
                ax.tick_params(labelleft=False)
    return figure


def plot_waveform(samples: np.ndarray, sample_rate: int, *, start_time: float = 0.0, ax: Axes | None = None) -> Axes:
    """Draw samples, each column from its lowest to its highest.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32, NaN where unreadable
    sample_rate : int > 0, in Hz
    start_time : float, in seconds
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes((10, 2))
    step = max(1, len(samples) // 2000)
    starts = np.arange(0, len(samples), step)
    low, high = np.fmin.reduceat(samples, starts), np.fmax.reduceat(samples, starts)
    ax.fill_between(start_time + starts / sample_rate, low, high, color=CHOSEN, linewidth=0.5)
    set_time_axis(ax, start_time, start_time + len(samples) / sample_rate)
    ax.set_ylabel("Amplitude\n(full scale 1)")
    ax.grid(alpha=0.3)
    return ax
