"""A panel with sliders for the event settings, and the events that they give in annotated recordings."""

import time
from collections.abc import Sequence
from typing import Any

from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import decide_events
from anemone_lib.errors import spell_count
from anemone_lib.evaluation.rates import format_rate, total
from anemone_lib.notebook.review import to_png
from anemone_lib.tuning.recordings import AnnotatedRecording, count_recordings


class TuningPanel:
    """A panel with sliders for the event settings; every move decides the events of annotated recordings again.

    Parameters
    ----------
    recordings : sequence of AnnotatedRecording, at least one
    config : InferenceConfig, the first values of the sliders
    labels, bout_gap : as in `anemone_lib.tuning.recordings.count_recordings`

    Attributes
    ----------
    widget : ipywidgets.VBox, to be displayed
    config : InferenceConfig, the present values of the sliders
    decided_in : float, seconds that the last decision took

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_dataset
    >>> folder = mkdtemp()
    >>> _ = write_dataset(folder, n_recordings=2, duration=5, sample_rate=8000)
    >>> from anemone_lib.scoring import load_classifier
    >>> from anemone_lib.tuning import find_annotated_recordings, score_annotated_recordings
    >>> config = InferenceConfig()
    >>> recordings = score_annotated_recordings(
    ...     find_annotated_recordings(folder), classifier=load_classifier(), config=config, cache=mkdtemp()
    ... )
    >>> panel = TuningPanel(recordings, config)  # the last line of a cell shows it: panel.widget
    >>> panel.config == config
    True
    """

    def __init__(
        self,
        recordings: Sequence[AnnotatedRecording],
        config: InferenceConfig,
        *,
        labels: Sequence[str] | None = None,
        bout_gap: float | None = None,
    ) -> None:
        import ipywidgets

        self._recordings, self._labels, self._bout_gap = list(recordings), labels, bout_gap
        self.config, self.decided_in = config, 0.0
        wide = {"style": {"description_width": "12em"}, "layout": ipywidgets.Layout(width="36em")}
        longest = max(5.0, config.min_event_duration, config.min_gap_duration)
        self.sliders = {
            "confidence_threshold": ipywidgets.FloatSlider(min=0, max=1, step=0.01, **wide),
            "smoothing_window": ipywidgets.IntSlider(min=1, max=max(21, config.smoothing_window), step=2, **wide),
            "min_gap_duration": ipywidgets.FloatSlider(min=0, max=longest, step=0.1, **wide),
            "min_event_duration": ipywidgets.FloatSlider(min=0, max=longest, step=0.1, **wide),
        }
        self._recording = ipywidgets.Dropdown(
            options=[(one.name, k) for k, one in enumerate(self._recordings)], description="recording shown", **wide
        )
        bouts = [len(one.bouts(labels=labels or [config.target_class], bout_gap=bout_gap)) for one in self._recordings]
        self._recording.value = bouts.index(max(bouts))  # the one with most calls
        self._status = ipywidgets.HTML()
        self._picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="960px"))
        for name, slider in self.sliders.items():
            slider.value = getattr(config, name)
            slider.description = name
            slider.observe(self._moved, "value")
        self._recording.observe(self._moved, "value")
        self.widget: ipywidgets.VBox = ipywidgets.VBox(
            [*self.sliders.values(), self._recording, self._status, self._picture]
        )
        self._show()

    def _moved(self, _: Any) -> None:
        self.config = self.config.replace(**{name: slider.value for name, slider in self.sliders.items()})
        self._show()

    def _show(self) -> None:
        began = time.perf_counter()
        counts = count_recordings(self._recordings, self.config, labels=self._labels, bout_gap=self._bout_gap)
        self.decided_in = time.perf_counter() - began
        pooled, hours = total(counts), total(counts).duration / 3600
        names = ("Precision", "Recall", "F1")
        rates = " · ".join(f"{name} {format_rate(getattr(pooled, name.lower()), '.3f')}" for name in names)
        self._status.value = (
            f"<b>{spell_count(pooled.n_estimated, 'event')}</b> in "
            f"{spell_count(len(self._recordings), 'recording')} ({hours:.2g} h), "
            f"{pooled.n_matched} of {spell_count(pooled.n_reference, 'bout')} found · {rates} · "
            f"{format_rate(pooled.false_alarms_per_hour)} false alarms per hour · "
            f"decided in {1000 * self.decided_in:.0f} ms"
        )
        self._picture.value = self._draw_track()

    def _draw_track(self) -> bytes:
        """Draw the probability in the recording that is shown, with its events and annotations."""
        from anemone_lib.plots.axes import ANNOTATED, EVENT_COLOUR, new_axes
        from anemone_lib.plots.recording import plot_probabilities

        shown, config = self._recordings[self._recording.value], self.config
        ax = plot_probabilities(
            shown.scores,
            target_class=config.target_class,
            confidence_threshold=config.confidence_threshold,
            smoothing_window=config.smoothing_window,
            ax=new_axes((9.5, 2.4)),
        )
        bouts = shown.bouts(labels=self._labels or [config.target_class], bout_gap=self._bout_gap)
        events = [(event.start_time, event.duration) for event in decide_events(shown.scores, config)]
        annotated = [(start, end - start) for start, end in bouts]
        above = ax.get_xaxis_transform()
        ax.broken_barh(events, (0, 0.92), transform=above, color=EVENT_COLOUR, alpha=0.3, label="event")
        ax.broken_barh(annotated, (0.95, 0.05), transform=above, color=ANNOTATED, label="annotated bout")
        ax.figure.legend(loc="outside upper center", ncols=5, frameon=False, fontsize="small")
        return to_png(ax.figure)
