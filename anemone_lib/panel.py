"""Panels for notebooks: review events by button or letter; turn the settings and see what they find."""

import html
import io
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from anemone_lib.audio import Recording
from anemone_lib.config import InferenceConfig
from anemone_lib.evaluation import total
from anemone_lib.events import Event
from anemone_lib.review import Review
from anemone_lib.scores import events_of
from anemone_lib.sweep import Sample
from anemone_lib.tuning import count_samples

#: Highest rate that every browser plays, in Hz.
MAX_PLAYED_HZ = 48_000


def clip_to_hear(
    recording: Recording, start_time: float, end_time: float, *, margin: float = 0.5, speed: float = 1.0
) -> tuple[np.ndarray, int]:
    """Cut a clip that a browser plays, as loud as can be without being overdriven.

    Parameters
    ----------
    recording : Recording
    start_time, end_time : float, in seconds
    margin : float >= 0, in seconds, heard before and after
    speed : float > 0
        2 plays twice as fast and an octave higher: calls at 100 Hz that small loudspeakers swallow become audible;
        0.5 tells the pulses of a train apart.

    Returns
    -------
    samples : np.ndarray [shape=(n,)], float32 in [-1, 1]
    sample_rate : int, at most `MAX_PLAYED_HZ`
    """
    if not speed > 0:
        raise ValueError(f"speed is {speed}; it must be more than 0: 1 is as recorded, 2 an octave higher")
    import soxr

    rate = recording.sample_rate
    first = max(0, round((start_time - margin) * rate))
    stop = min(recording.n_samples, round((end_time + margin) * rate))
    samples = np.nan_to_num(recording.read(first, stop))
    samples = samples - samples.mean() if len(samples) else samples
    played = round(rate * speed)
    if played > MAX_PLAYED_HZ:
        samples, played = soxr.resample(samples, played, MAX_PLAYED_HZ), MAX_PLAYED_HZ
    peak = float(np.abs(samples).max(initial=0))
    return (samples * np.float32(0.9 / peak if peak else 1)).astype(np.float32), played


class ReviewPanel:
    """The review in a notebook: look, listen, click or type a letter.

    Parameters
    ----------
    review : Review
    recording : Recording, open
    speed : float, of the playback, as in `clip_to_hear`

    Attributes
    ----------
    widget : ipywidgets.VBox, to be displayed
    """

    KEYS = "a accept · r reject · u undo · n next · p previous"

    def __init__(self, review: Review, recording: Recording, *, speed: float = 1.0) -> None:
        import ipywidgets

        self.review, self._recording, self._speed = review, recording, speed
        open_events = review.open_events
        self._position = review.events.index(open_events[0]) if open_events else 0
        self._picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="640px"))
        self._sound = ipywidgets.Audio(format="wav", autoplay=False, loop=False, controls=True)
        self._status = ipywidgets.HTML()
        self._label = ipywidgets.Text(placeholder="what it is, then Enter", description="something else:")
        self._label.style.description_width = "initial"
        self._key = ipywidgets.Text(placeholder="type here", description="keys:", continuous_update=True)
        self._label.continuous_update = False
        self._label.observe(self._relabel, "value")
        self._key.observe(self._pressed, "value")
        buttons = []
        for text, style, act in (
            ("Accept (a)", "success", self.accept),
            ("Reject (r)", "danger", self.reject),
            ("Undo (u)", "", self.undo),
            ("Previous (p)", "", self.previous),
            ("Next (n)", "", self.next),
        ):
            button = ipywidgets.Button(description=text, button_style=style)
            button.on_click(lambda _, act=act: act())
            buttons.append(button)
        self.widget: ipywidgets.VBox = ipywidgets.VBox(
            [
                self._status,
                self._picture,
                self._sound,
                ipywidgets.HBox(buttons),
                ipywidgets.HBox([self._label, self._key, ipywidgets.HTML(f"<small>{self.KEYS}</small>")]),
            ]
        )
        self._show()

    @property
    def event(self) -> Event | None:
        """The event that is shown; None if there are none."""
        return self.review.events[self._position] if self.review.events else None

    def accept(self) -> None:
        """Accept the event that is shown, and go on."""
        self._decide(self.review.target)

    def reject(self) -> None:
        """Reject the event that is shown, and go on."""
        self._decide(self.review.rejected_label)

    def undo(self) -> None:
        """Take the last verdict back and show its event."""
        event = self.review.undo()
        if event is not None:
            self._position = self.review.events.index(event)
        self._show()

    def next(self) -> None:
        """Show the next event."""
        self._position = min(self._position + 1, max(0, len(self.review.events) - 1))
        self._show()

    def previous(self) -> None:
        """Show the event before."""
        self._position = max(self._position - 1, 0)
        self._show()

    def _decide(self, label: str) -> None:
        if self.event is not None:
            self.review.relabel(self.event, label)
            self.next()

    def _relabel(self, change: Any) -> None:
        if change["new"].strip():
            self._decide(change["new"])
            self._label.value = ""

    def _pressed(self, change: Any) -> None:
        acts = {"a": self.accept, "r": self.reject, "u": self.undo, "n": self.next, "p": self.previous}
        for letter in change["new"].lower():
            if letter in acts:
                acts[letter]()
        if change["new"]:
            self._key.value = ""

    def _show(self) -> None:
        review, event = self.review, self.event
        if event is None:
            self._status.value = "<b>No events to review.</b>"
            return
        precision, low, high, n = review.precision()
        so_far = f"precision so far {precision:.0%} ({low:.0%} to {high:.0%})" if n else "no verdict yet"
        self._status.value = (
            f"<b>Event {self._position + 1} of {len(review.events)}</b>: {html.escape(review.label(event))} · "
            f"{event.start_time:.2f} to {event.end_time:.2f} s · confidence {event.mean_confidence:.2f} · "
            f"{n} reviewed, {so_far}"
        )
        samples, rate = clip_to_hear(self._recording, event.start_time, event.end_time, speed=self._speed)
        self._sound.value = _wav(samples, rate)
        self._picture.value = _picture(self._recording, event, review.config)


class TuningPanel:
    """Sliders for the event settings: what they find in annotated recordings, decided anew at every move.

    Parameters
    ----------
    samples : sequence of Sample, at least one
    config : InferenceConfig, where the sliders stand at first
    labels, bout_gap : as in `anemone_lib.tuning.count_samples`

    Attributes
    ----------
    widget : ipywidgets.VBox, to be displayed
    config : InferenceConfig, as the sliders stand
    decided_in : float, seconds that the last decision took
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        config: InferenceConfig,
        *,
        labels: Sequence[str] | None = None,
        bout_gap: float | None = None,
    ) -> None:
        import ipywidgets

        self._samples, self._labels, self._bout_gap = list(samples), labels, bout_gap
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
            options=[(sample.name, k) for k, sample in enumerate(self._samples)], description="shown:", **wide
        )
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
        counts = count_samples(self._samples, self.config, labels=self._labels, bout_gap=self._bout_gap)
        self.decided_in = time.perf_counter() - began
        pooled, hours = total(counts), total(counts).duration / 3600
        rates = " · ".join(f"{name} {getattr(pooled, name.lower()):.3f}" for name in ("Precision", "Recall", "F1"))
        self._status.value = (
            f"<b>{pooled.n_estimated} events</b> in {len(self._samples)} recordings ({hours:.2g} h), "
            f"{pooled.n_matched} of {pooled.n_reference} bouts found · {rates} · "
            f"{pooled.false_alarms_per_hour:.3g} false alarms per hour · decided in {1000 * self.decided_in:.0f} ms"
        )
        self._picture.value = self._track()

    def _track(self) -> bytes:
        """The probability of the recording that is shown, with its events and annotations."""
        from anemone_lib.charts import ANNOTATED
        from anemone_lib.plotting import EVENT_COLOUR, new_axes, plot_probabilities

        sample, config = self._samples[self._recording.value], self.config
        ax = plot_probabilities(
            sample.scores,
            target_class=config.target_class,
            confidence_threshold=config.confidence_threshold,
            smoothing_window=config.smoothing_window,
            ax=new_axes((9.5, 2.4)),
        )
        bouts = sample.bouts(labels=self._labels or [config.target_class], bout_gap=self._bout_gap)
        events = [(event.start_time, event.duration) for event in events_of(sample.scores, config)]
        called = [(start, end - start) for start, end in bouts]
        above = ax.get_xaxis_transform()
        ax.broken_barh(events, (0, 0.92), transform=above, color=EVENT_COLOUR, alpha=0.3, label="event")
        ax.broken_barh(called, (0.95, 0.05), transform=above, color=ANNOTATED, label="annotated bout")
        ax.figure.legend(loc="outside upper center", ncols=5, frameon=False, fontsize="small")
        return _png(ax.figure)


def _wav(samples: np.ndarray, sample_rate: int) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _picture(recording: Recording, event: Event, config: InferenceConfig) -> bytes:
    from anemone_lib.plotting import plot_events

    return _png(plot_events(recording, [event], config, margin=1.0))


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
