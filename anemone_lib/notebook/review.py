"""A panel to review events in a notebook: look, listen, accept or reject."""

import html
import io
from typing import Any

import numpy as np

from anemone_lib.audio.playback import cut_clip
from anemone_lib.audio.recording import Recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Event
from anemone_lib.review.verdicts import Review


class ReviewPanel:
    """A panel to review events in a notebook: look, listen, and click or type a letter.

    Parameters
    ----------
    review : Review
    recording : Recording, open
    speed : float, of the playback, as in `cut_clip`

    Attributes
    ----------
    widget : ipywidgets.VBox, to be displayed

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import detect, open_recording
    >>> from anemone_lib.review import Review
    >>> recording = open_recording(path)
    >>> review = Review.of(detect(recording), path.with_suffix(".review.selections.txt"))
    >>> panel = ReviewPanel(review, recording)  # the last line of a cell shows it: panel.widget
    >>> panel.accept()
    >>> len(review.open_events) < len(review.events)
    True
    >>> recording.close()
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
        """The event that is shown; None without events."""
        return self.review.events[self._position] if self.review.events else None

    def accept(self) -> None:
        """Accept the event that is shown, and go on."""
        self._decide(self.review.target)

    def reject(self) -> None:
        """Reject the event that is shown, and go on."""
        self._decide(self.review.rejected_label)

    def undo(self) -> None:
        """Undo the last verdict and show its event."""
        event = self.review.undo()
        if event is not None:
            self._position = self.review.events.index(event)
        self._show()

    def next(self) -> None:
        """Show the next event."""
        self._position = min(self._position + 1, max(0, len(self.review.events) - 1))
        self._show()

    def previous(self) -> None:
        """Show the previous event."""
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
        samples, rate = cut_clip(self._recording, event.start_time, event.end_time, speed=self._speed)
        self._sound.value = to_wav(samples, rate)
        self._picture.value = draw_event(self._recording, event, review.config)


def to_wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return samples as a WAV file of 16 bits, for a widget."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def draw_event(recording: Recording, event: Event, config: InferenceConfig) -> bytes:
    """Draw an event with a second before and after, as PNG."""
    from anemone_lib.plots.recording import plot_events

    return to_png(plot_events(recording, [event], config, margin=1.0))


def to_png(figure: Any) -> bytes:
    """Return a figure as PNG, for a widget."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
