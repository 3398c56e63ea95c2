"""Pictures for the panels: one event, and the decisions of the settings in a part of a recording."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from anemone_lib.audio.recording import Recording
from anemone_lib.config import InferenceConfig
from anemone_lib.plots.axes import ANNOTATED, EVENT_COLOUR, new_figure, shorten
from anemone_lib.plots.recording import plot_probabilities
from anemone_lib.plots.spectrogram import LEVEL_LABEL, draw_spectrogram
from anemone_lib.scoring.scores import Scores


def plot_event(
    recording: Recording,
    start_time: float,
    end_time: float,
    config: InferenceConfig,
    *,
    margin: float = 1.0,
) -> Figure:
    """Draw the spectrogram of an event and of the time before and after it, with a scale of levels.

    Parameters
    ----------
    recording : Recording
    start_time, end_time : float, in seconds
        Marked by bars.
    config : InferenceConfig, whose `n_fft`, `hop_length` and `fmax_hz` are read
    margin : float >= 0, in seconds, shown before and after

    Returns
    -------
    figure : matplotlib.figure.Figure

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000)
    >>> from anemone_lib import open_recording
    >>> with open_recording(path) as recording:
    ...     figure = plot_event(recording, 4.0, 5.0, InferenceConfig())
    >>> [round(float(value), 3) for value in figure.axes[0].get_xlim()]
    [3.0, 6.0]
    """
    figure = new_figure((9.6, 3.6))
    ax, rate = figure.subplots(), recording.sample_rate
    first = max(0, round((start_time - margin) * rate))
    stop = min(recording.n_samples, round((end_time + margin) * rate))
    image = draw_spectrogram(ax, recording.read, recording.n_samples, rate, first, stop, config)
    for time in (start_time, end_time):
        ax.axvline(time, color=EVENT_COLOUR, linewidth=2)
    ax.set_title(shorten(recording.name), fontsize="medium", parse_math=False)
    figure.colorbar(image, ax=ax, label=LEVEL_LABEL, pad=0.01)
    return figure


def plot_decisions(
    recording: Recording | None,
    scores: Scores,
    config: InferenceConfig,
    *,
    start_time: float,
    end_time: float,
    events: Sequence[Sequence[float]],
    bouts: Sequence[Sequence[float]],
) -> Figure:
    """Draw a part of a recording: annotated bouts and events as strips, the spectrogram, and the probability.

    Parameters
    ----------
    recording : Recording, or None for no spectrogram
    scores : Scores
    config : InferenceConfig
    start_time, end_time : float, in seconds
    events, bouts : sequences of (start, end), in seconds

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    figure = new_figure((9.6, 2.6 if recording is None else 4.6))
    heights = [0.5, 2.4] if recording is None else [0.5, 2.4, 1.6]
    strip, *rest = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    for k, (spans, colour) in enumerate(((events, EVENT_COLOUR), (bouts, ANNOTATED))):
        strip.broken_barh([(start, end - start) for start, end in spans], (k + 0.1, 0.8), color=colour)
    strip.set(ylim=(0, 2), yticks=(0.5, 1.5), yticklabels=("events", "annotated"))
    strip.tick_params(axis="x", bottom=False, labelbottom=False)
    if recording is not None:
        rate = recording.sample_rate
        first, stop = round(start_time * rate), min(recording.n_samples, round(end_time * rate))
        draw_spectrogram(
            rest[0], recording.read, recording.n_samples, rate, first, stop, config, subtract_background=True
        )
        rest[0].set_xlabel("")
    plot_probabilities(
        scores,
        target_class=config.target_class,
        confidence_threshold=config.confidence_threshold,
        smoothing_window=config.smoothing_window,
        start_time=start_time,
        end_time=end_time,
        ax=rest[-1],
    )
    figure.suptitle(shorten(scores.recording_name), fontsize="medium", parse_math=False)
    return figure
