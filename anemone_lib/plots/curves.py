"""Figures of how good settings and models are.

*Conventions.* Every function draws into ``ax`` (a new figure without it) and returns the Axes; the colours are those
of Okabe and Ito. In every figure the chosen settings are blue and solid, the settings before vermilion and dashed.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from anemone_lib.evaluation.rates import Counts
from anemone_lib.evaluation.windows import Reliability, ThresholdCurve
from anemone_lib.plots.axes import (
    EVENT_COLOUR,
    SERIES,
    SMOOTHED_COLOUR,
    STYLES,
    THRESHOLD_COLOUR,
    new_axes,
)

CHOSEN, BASE = SMOOTHED_COLOUR, THRESHOLD_COLOUR


def plot_precision_recall(
    curve: Mapping[str, np.ndarray],
    *,
    chosen: float | None = None,
    base: float | None = None,
    base_curve: Mapping[str, np.ndarray] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw precision over recall of events, as the threshold goes from low to high.

    Parameters
    ----------
    curve : ``confidence_threshold``, ``precision``, ``recall``, as `Sweep.get_curve` gives them
    chosen, base : float, thresholds to mark on `curve` and on `base_curve` (on `curve` if there is no `base_curve`)
    base_curve : the same for the settings before, optional
    title : str, optional
        Which recordings the curve is from, like ``Recordings tuned on``.
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> curve = {
    ...     "confidence_threshold": np.array([0.3, 0.5, 0.7]),
    ...     "precision": np.array([0.6, 0.8, 0.9]),
    ...     "recall": np.array([0.9, 0.8, 0.5]),
    ...     "f1": np.array([0.72, 0.8, 0.64]),
    ... }
    >>> axes = plot_precision_recall(curve, chosen=0.5)
    >>> [label.get_text() for label in axes.get_legend().get_texts()]
    ['tuned, over thresholds', 'chosen: threshold 0.5']
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
    ax.set_title(title, fontsize="medium", loc="left")
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
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a rate over the threshold.

    Parameters
    ----------
    curve, chosen, base, base_curve, title : as in `plot_precision_recall`
    metric : ``f1``, ``precision``, ``recall`` or ``false_alarms_per_hour``
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> curve = {
    ...     "confidence_threshold": np.array([0.3, 0.5, 0.7]),
    ...     "precision": np.array([0.6, 0.8, 0.9]),
    ...     "recall": np.array([0.9, 0.8, 0.5]),
    ...     "f1": np.array([0.72, 0.8, 0.64]),
    ... }
    >>> axes = plot_over_threshold(curve, "f1", chosen=0.5)
    >>> len(axes.lines) > 0
    True
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
        ax.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
        ax.set_ylim(bottom=0)
        ax.set_ylabel("False alarms per hour")
    else:
        ax.set(ylim=(0, 1.02), ylabel={"f1": "F1 (0 to 1)"}.get(metric, f"{metric.capitalize()} (0 to 1)"))
    ax.set_title(title, fontsize="medium", loc="left")
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small")
    return ax


def plot_recordings(
    names: Sequence[str],
    tuned: Sequence[Counts],
    base: Sequence[Counts],
    *,
    metric: str = "f1",
    title: str = "",
    what: str = "recording",
    sides: tuple[str, str] = ("before", "tuned"),
    ax: Axes | None = None,
) -> Axes:
    """Draw a rate of each recording, or group of them, before and after tuning.

    Parameters
    ----------
    names : of the recordings
    tuned, base : Counts of each
    metric : as in `plot_over_threshold`
        A recording without a known rate has no marks, like F1 if there are neither calls nor events.
    title : str, optional
        Which recordings these are, like ``Recordings set aside``.
    what : str, name of a row, like ``recording`` or ``group``
    sides : names of the marks of `base` and of `tuned`
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> from anemone_lib.evaluation import Counts
    >>> before, after = [Counts(4, 6, 3, 60.0), Counts(5, 5, 4, 60.0)], [Counts(4, 4, 3, 60.0), Counts(5, 5, 5, 60.0)]
    >>> axes = plot_recordings(["a.wav", "b.wav"], after, before)
    >>> [label.get_text()[:5] for label in axes.get_yticklabels()]
    ['a.wav', 'b.wav']
    """
    ax = ax or new_axes((7, 1.4 + 0.28 * len(names)))
    rows = np.arange(len(names))[::-1]
    after, before = (np.array([getattr(one, metric) for one in counts]) for counts in (tuned, base))
    ax.hlines(rows, np.fmin(after, before), np.fmax(after, before), color="0.7", linewidth=2, zorder=1)
    ax.scatter(before, rows, color=BASE, marker="s", label=sides[0], zorder=2)
    ax.scatter(after, rows, color=CHOSEN, marker="o", label=sides[1], zorder=3)
    shown = [name if len(name) <= 42 else f"{name[:20]}…{name[-20:]}" for name in names]
    calls = [f"{name}  ({one.n_reference})" for name, one in zip(shown, tuned, strict=True)]
    ax.set_yticks(rows, calls, fontsize="small")
    ax.set_ylim(-0.8, len(names) - 0.2)
    if metric == "false_alarms_per_hour":
        ax.set_xlim(left=0)
        ax.set_xlabel("False alarms per hour")
    else:
        ax.set(xlim=(-0.02, 1.02), xlabel={"f1": "F1 (0 to 1)"}.get(metric, f"{metric.capitalize()} (0 to 1)"))
    heading = f"{what.capitalize()} (bouts of calls in it)"
    ax.set_title(f"{title}: {heading.lower()}" if title else heading, fontsize="medium", loc="left")
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

    Examples
    --------
    >>> from anemone_lib.evaluation import trace_thresholds
    >>> axes = plot_threshold_curve(trace_thresholds(np.array([False, True]), np.array([0.2, 0.9])), label="mine")
    >>> len(axes.lines) > 0
    True
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
    """Draw how often a probability is true; on the diagonal, it is true as often as it says.

    Parameters
    ----------
    curves : Reliability by the name for the legend
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> from anemone_lib.evaluation import measure_reliability
    >>> reliability = measure_reliability(np.array([True, False, True]), np.array([0.9, 0.2, 0.7]))
    >>> axes = plot_reliability({"anemonefish": reliability})
    >>> len(axes.lines) > 0
    True
    """
    ax = ax or new_axes((5, 4.5))
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfect")
    for (name, curve), colour, style, marker in zip(
        curves.items(), cycle(SERIES), cycle(STYLES), cycle("os^D"), strict=False
    ):
        filled = curve.n > 0
        ax.plot(
            curve.mean_probability[filled],
            curve.frequency[filled],
            color=colour,
            linestyle=style,
            marker=marker,
            label=f"{name} (error {curve.expected_calibration_error:.3f})",
        )
    ax.set(xlabel="Probability by the model", ylabel="How often it is true", xlim=(0, 1.02), ylim=(0, 1.02))
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small", loc="upper left")
    return ax


def plot_confusion(matrix: np.ndarray, classes: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw how often the model confused the classes.

    Parameters
    ----------
    matrix : np.ndarray [shape=(n_classes, n_classes)], int; row: class of the label, column: class of the model
    classes : their names
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> axes = plot_confusion(np.array([[8, 2], [1, 9]]), ["noise", "anemonefish"])
    >>> [label.get_text() for label in axes.get_xticklabels()]
    ['noise', 'anemonefish']
    """
    ax = ax or new_axes((1.8 + 1.2 * len(classes), 1.2 + 0.9 * len(classes)))
    part = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    ax.imshow(part, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), n in np.ndenumerate(matrix):
        colour = "white" if part[row, column] > 0.5 else "black"
        ax.text(column, row, f"{part[row, column]:.0%}\n({n})", ha="center", va="center", color=colour)
    ax.set_xticks(range(len(classes)), classes)
    ax.set_yticks(range(len(classes)), classes)
    ax.set(xlabel="Class by the model", ylabel="Class by the label")
    return ax


def plot_history(history: Mapping[str, Sequence[float]], *, ax: Axes | None = None) -> Axes:
    """Draw the loss during training, for the training windows and for the windows set aside.

    Parameters
    ----------
    history : ``loss`` and ``val_loss`` by epoch, as Keras keeps them
        Or ``validation``, the average precision of the windows set aside, which has its own axis.
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> axes = plot_history({"loss": [0.9, 0.6, 0.5], "val_loss": [1.0, 0.7, 0.7]})
    >>> len(axes.lines)
    2
    """
    ax = ax or new_axes((6, 3.5))
    epochs = np.arange(1, len(history["loss"]) + 1)
    ax.plot(epochs, history["loss"], color=CHOSEN, marker=".", label="trained on")
    if "val_loss" in history:
        ax.plot(
            epochs, history["val_loss"], color=EVENT_COLOUR, linestyle="--", marker="s", markersize=3, label="set aside"
        )
    if len(precision := history.get("validation", ())) == len(epochs):
        beside = ax.twinx()
        beside.plot(epochs, precision, color=EVENT_COLOUR, linestyle="--", marker="s", markersize=3)
        beside.set(ylabel="Average precision", ylim=(0, 1.02))
        ax.plot([], [], color=EVENT_COLOUR, linestyle="--", marker="s", markersize=3, label="set aside (right)")
    ax.set(xlabel="Epoch", ylabel="Loss (cross-entropy)", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small")
    return ax


def plot_learning_curve(
    curves: Mapping[tuple[str, str], Mapping[int, float]], *, part: str = "test", ax: Axes | None = None
) -> Axes:
    """Draw average precision over the number of training calls: a colour for each class, a line style for each start.

    Parameters
    ----------
    curves : mapping of (class, start) to mapping of calls a class to average precision
    part : str, the part of the split on which it was measured
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> axes = plot_learning_curve({("grunt", "shipped"): {5: 0.6, 20: 0.8}, ("grunt", "none"): {5: 0.4, 20: 0.8}})
    >>> [label.get_text() for label in axes.get_legend().get_texts()]
    ['grunt, start: shipped', 'grunt, start: none']
    """
    ax = ax or new_axes((6, 4))
    names = list(dict.fromkeys(name for name, _ in curves))
    starts = list(dict.fromkeys(start for _, start in curves))
    for (name, start), own in curves.items():
        style = STYLES[starts.index(start) % len(STYLES)]
        colour = SERIES[names.index(name) % len(SERIES)]
        ax.plot(list(own), list(own.values()), style, color=colour, marker=".", label=f"{name}, start: {start}")
    numbers = sorted({number for own in curves.values() for number in own})
    ax.set_xscale("log")
    ax.set_xticks(numbers, [str(number) for number in numbers])
    ax.set_xticks([], minor=True)
    ax.set(xlabel="Calls a class learnt from, at most", ylabel=f"Average precision, {part} part", ylim=(0, 1.02))
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small")
    return ax
