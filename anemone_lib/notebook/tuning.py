"""A panel with sliders for the event settings, and the events that they give in annotated recordings."""

import html
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from anemone_lib.audio.channels import Channel
from anemone_lib.audio.playback import cut_clip, to_wav
from anemone_lib.audio.recording import open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import decide_events
from anemone_lib.errors import AnemoneError, spell_number
from anemone_lib.evaluation.rates import Counts, add_counts, format_rate
from anemone_lib.plots.axes import to_png
from anemone_lib.plots.event import plot_decisions
from anemone_lib.tuning.recordings import AnnotatedRecording, count_recordings
from anemone_lib.tuning.search import Tuning

#: Seconds of a recording that are shown and played.
SHOWN_S = 30.0
#: What a slider counts in.
UNITS = {
    "confidence_threshold": "0 to 1",
    "smoothing_window": "windows",
    "min_gap_duration": "s",
    "min_event_duration": "s",
}


class TuningPanel:
    """A panel with sliders for the event settings; every move decides the events of annotated recordings again.

    Parameters
    ----------
    recordings : sequence of AnnotatedRecording, at least one
    config : InferenceConfig, the first values of the sliders
    labels, bout_gap : as in `anemone_lib.tuning.recordings.count_recordings`
    tuning : Tuning, optional
        Recordings that were tuned on and recordings set aside are then counted apart, and a button promotes.
    paths : mapping of a recording's name to its path, optional
        The part of the recording that is shown then has its spectrogram and its sound.
    promote_to : path of a folder, optional, where the button writes the settings
    repeat : mapping, optional
        What `Tuning.promote` needs to write the command that repeats the search: `recordings`, `annotations`,
        `label_column`, `channel`, `model`.

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
        tuning: Tuning | None = None,
        paths: Mapping[str, str | os.PathLike[str]] | None = None,
        promote_to: str | os.PathLike[str] | None = None,
        repeat: Mapping[str, Any] | None = None,
    ) -> None:
        import ipywidgets

        self._recordings, self._labels, self._bout_gap = list(recordings), labels or [config.target_class], bout_gap
        self._tuning, self._paths = tuning, dict(paths or {})
        self._promote_to, self._repeat = promote_to, dict(repeat or {})
        self._channel: Channel = self._repeat.get("channel", "mean")
        self.config, self.decided_in = config, 0.0
        self._bouts = [one.join_bouts(labels=self._labels, bout_gap=bout_gap) for one in self._recordings]
        wide = {"style": {"description_width": "16em"}, "layout": ipywidgets.Layout(width="40em")}
        longest = max(5.0, config.min_event_duration, config.min_gap_duration)
        self.sliders = {
            "confidence_threshold": ipywidgets.FloatSlider(min=0, max=1, step=0.01, **wide),
            "smoothing_window": ipywidgets.IntSlider(min=1, max=max(21, config.smoothing_window), step=2, **wide),
            "min_gap_duration": ipywidgets.FloatSlider(min=0, max=longest, step=0.1, **wide),
            "min_event_duration": ipywidgets.FloatSlider(min=0, max=longest, step=0.1, **wide),
        }
        names = [(f"{one.name}{self._describe_use(one)}", k) for k, one in enumerate(self._recordings)]
        self.recording = ipywidgets.Dropdown(options=names, description="recording shown", **wide)
        self.recording.value = max(range(len(names)), key=lambda k: len(self._bouts[k]))  # the one with most calls
        self.start = ipywidgets.FloatSlider(
            min=0, step=1, description="shown from (s)", continuous_update=False, **wide
        )
        self.status, self.said = ipywidgets.HTML(), ipywidgets.HTML()
        self.sound = ipywidgets.Audio(format="wav", autoplay=False, loop=False)
        self.picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(width="100%", max_width="960px"))
        for name, slider in self.sliders.items():
            slider.value = getattr(config, name)
            slider.description = f"{name} ({UNITS[name]})"
            slider.observe(self._take_sliders, "value")
        self._choose(None)
        self.recording.observe(self._choose, "value")
        self.start.observe(self._shift, "value")
        rows = [*self.sliders.values(), self.status, self.recording, self.start, self.picture]
        rows += [self.sound] if self._paths else []
        if tuning is not None and promote_to is not None:
            self.force = ipywidgets.Checkbox(description="force", indent=False, layout=ipywidgets.Layout(width="auto"))
            self.promote = ipywidgets.Button(
                description="Promote these settings", layout=ipywidgets.Layout(width="auto")
            )
            self.promote.on_click(lambda _: self._write())
            rows += [ipywidgets.HBox([self.promote, self.force]), self.said]
        self.widget: ipywidgets.VBox = ipywidgets.VBox(rows)
        self._show()

    def _describe_use(self, one: AnnotatedRecording) -> str:
        if self._tuning is None:
            return ""
        return " (set aside)" if any(one is other for other in self._tuning.held_out) else " (tuned on)"

    # ------------------------------------------------------------------ acts

    def _take_sliders(self, _: Any) -> None:
        self.config = self.config.replace(**{name: slider.value for name, slider in self.sliders.items()})
        self._show()

    def _choose(self, change: Any) -> None:
        """Take another recording, from shortly before its first call."""
        k = self.recording.value
        duration, bouts = self._recordings[k].scores.duration, self._bouts[k]
        self.start.unobserve_all("value")
        self.start.value, self.start.max = 0, max(0.0, duration - SHOWN_S)
        self.start.value = min(self.start.max, max(0.0, bouts[0][0] - 5)) if len(bouts) else 0
        self.start.observe(self._shift, "value")
        self._shift(change)

    def _shift(self, change: Any) -> None:
        """Play another part, and show it once the panel is made."""
        one = self._recordings[self.recording.value]
        if one.name in self._paths:
            with open_recording(self._paths[one.name], target_sr=self.config.target_sr, channel=self._channel) as sound:
                self.sound.value = to_wav(*cut_clip(sound, *self._get_span(), margin=0))
        if change is not None:
            self.picture.value = self._draw()

    def _get_span(self) -> tuple[float, float]:
        duration = self._recordings[self.recording.value].scores.duration
        return self.start.value, min(duration, self.start.value + SHOWN_S)

    def _write(self) -> None:
        """Promote, or say in one sentence why not."""
        tuning = self._tuning
        assert tuning is not None
        assert self._promote_to is not None
        if self.config != tuning.config:  # by hand: no command finds them again
            tuning = replace(tuning, config=self.config, by_hand=True)
        try:
            paths = tuning.promote(self._promote_to, force=self.force.value, **self._repeat)
            self.said.value = f"Promoted: {html.escape(', '.join(str(path) for path in paths))}"
        except (AnemoneError, OSError) as error:
            self.said.value = f'<b style="color:#b3261e">{html.escape(str(error))}</b>'

    # ------------------------------------------------------------------ what is shown

    def _show(self) -> None:
        began = time.perf_counter()
        groups = {"all": self._recordings}
        if self._tuning is not None:
            groups = {"tuned on": self._tuning.tuned_on, "set aside": self._tuning.held_out}
        counts = {
            name: count_recordings(some, self.config, labels=self._labels, bout_gap=self._bout_gap)
            for name, some in groups.items()
        }
        self.decided_in = time.perf_counter() - began
        heads = ("recordings", "hours", "bouts", "events", "bouts found", "precision", "recall", "F1", "false alarms/h")
        cells = [[name, len(some), *_list_rates(add_counts(some))] for name, some in counts.items()]
        rows = "".join(f"<tr>{''.join(f'<td>{value}</td>' for value in row)}</tr>" for row in cells)
        titles = "".join(f"<th>{head}</th>" for head in ("", *heads))
        self.status.value = (
            "<style>.anemone-rates {font-size: 85%; line-height: 1.4} .anemone-rates :is(td, th) {padding: 0 0.4em; "
            "text-align: right} .anemone-rates td:first-child {white-space: nowrap}</style>"
            f"<table class=anemone-rates><tr>{titles}</tr>{rows}</table>"
            f"<small>decided in {1000 * self.decided_in:.0f} ms</small>"
        )
        self.picture.value = self._draw()

    def _draw(self) -> bytes:
        """Draw the spectrogram and the probability of what is shown, with events and annotations."""
        k = self.recording.value
        shown, config, (start, end) = self._recordings[k], self.config, self._get_span()
        events = [(event.start_time, event.end_time) for event in decide_events(shown.scores, config)]
        about = {"start_time": start, "end_time": end, "events": events, "bouts": self._bouts[k].tolist()}
        if shown.name not in self._paths:
            return to_png(plot_decisions(None, shown.scores, config, **about))
        with open_recording(self._paths[shown.name], target_sr=config.target_sr, channel=self._channel) as sound:
            return to_png(plot_decisions(sound, shown.scores, config, **about))


def _list_rates(counts: Counts) -> list[str]:
    """The cells of one row of the table, without the number of recordings."""
    return [
        spell_number(counts.duration / 3600, 2),
        str(counts.n_reference),
        str(counts.n_estimated),
        str(counts.n_matched),
        *(format_rate(getattr(counts, name), ".3f") for name in ("precision", "recall", "f1")),
        format_rate(counts.false_alarms_per_hour),
    ]
