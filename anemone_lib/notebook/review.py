"""A panel to review events in a notebook: look, listen, accept or reject.

*Conventions.* An event is shown before a verdict on it is taken. The buttons and the label field are made anew for
every event and belong to it, so that a click that arrives late is a verdict on the event that was seen. Letters are
taken one after the other, each for the event that is shown when its turn comes. The panel opens recordings itself, so
that nothing that a notebook closes is closed under it.
"""

import copy
import html
import weakref
from collections.abc import Callable
from typing import Any

from anemone_lib.audio.channels import Channel
from anemone_lib.audio.playback import cut_clip, to_wav
from anemone_lib.audio.recording import Recording, open_recording
from anemone_lib.errors import AudioError
from anemone_lib.plots.axes import to_png
from anemone_lib.plots.event import plot_event
from anemone_lib.review.book import VerdictBook

#: Speeds of the playback: slow playback tells pulses apart, fast playback lifts low calls to what is heard well.
SPEEDS = {"0.25×": 0.25, "0.5×": 0.5, "1×": 1.0, "2×": 2.0}
#: Seconds that are shown and heard before and after an event.
CONTEXTS = {"1 s": 1.0, "3 s": 3.0, "10 s": 10.0}
#: Buttons of events before the present one that still listen, for clicks that are on their way.
KEPT = 3


class ReviewPanel:
    """A panel to review events in a notebook: look, listen, and click or type a letter.

    Parameters
    ----------
    review : Review or Survey
    recording : Recording, optional
        That of a `Review`, open; the panel opens it again for itself. A `Survey` names its recordings.
    speed : float, of the playback, as in `cut_clip`
    context : float >= 0, in seconds, shown and heard before and after an event
    blind : bool
        Confidences and precision are hidden, so that they do not sway the reviewer.
    timezone, channel : as in `open_recording`, for the recordings of a `Survey`

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
    >>> with open_recording(path) as recording:
    ...     review = Review.of(detect(recording), path.with_suffix(".review.selections.txt"))
    ...     panel = ReviewPanel(review, recording)  # the last line of a cell shows it: panel.widget
    >>> panel.accept()
    >>> len(review.open_events) < len(review.events)
    True
    >>> panel.close()
    """

    def __init__(
        self,
        review: VerdictBook,
        recording: Recording | None = None,
        *,
        speed: float = 1.0,
        context: float = 1.0,
        blind: bool = False,
        timezone: str | None = None,
        channel: Channel = "mean",
    ) -> None:
        import ipywidgets

        self.review, self._given, self._blind = review, recording, blind
        self._options: dict[str, Any] = {"target_sr": review.config.target_sr, "timezone": timezone, "channel": channel}
        self._opened: tuple[str, Recording] | None = None
        self._close: Callable[[], Any] = lambda: None
        self._shown: Any = None
        self._names: list[str] = []
        self._kept: list[list[Any]] = []
        open_events = review.open_events
        self._position = review.events.index(open_events[0]) if open_events else 0
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        narrow = {"layout": ipywidgets.Layout(width="auto")}
        self.status, self.problem = ipywidgets.HTML(), ipywidgets.HTML()
        self.verdict: ipywidgets.HBox = ipywidgets.HBox(layout=row)
        self.keys = ipywidgets.Text(
            placeholder="type here", description="keys:", layout=ipywidgets.Layout(width="14em")
        )
        self.keys.style.description_width = "initial"
        self.keys.observe(self._take_keys, "value")
        self.hint = ipywidgets.HTML()
        self.speed = ipywidgets.Dropdown(
            options={f"{speed:g}×": speed} | SPEEDS, value=speed, description="speed", **narrow
        )
        self.context = ipywidgets.Dropdown(
            options={f"{context:g} s": context} | CONTEXTS, value=context, description="context", **narrow
        )
        self.loop = ipywidgets.Checkbox(description="loop", indent=False, **narrow)
        self.autoplay = ipywidgets.Checkbox(description="play at once", indent=False, **narrow)
        self.sound = ipywidgets.Audio(format="wav", autoplay=False, loop=False, controls=True)
        self.picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(width="100%", max_width="960px"))
        for choice in (self.speed, self.context):
            choice.observe(lambda _: self._try(self._show), "value")
        for box in (self.loop, self.autoplay):
            box.observe(self._set_playback, "value")
        self.widget: ipywidgets.VBox = ipywidgets.VBox(
            [
                self.status,
                self.problem,
                self.verdict,
                ipywidgets.HBox([self.keys, self.hint], layout=row),
                ipywidgets.HBox([self.sound, self.speed, self.loop, self.autoplay, self.context], layout=row),
                self.picture,
            ]
        )
        self._try(self._show)

    @property
    def event(self) -> Any:
        """The event that is shown; None where there is none, or it could not be shown."""
        return self._shown

    def accept(self) -> None:
        """Accept the event that is shown, and go on."""
        self._try(lambda: self._decide(self._shown, self.review.target))

    def reject(self) -> None:
        """Reject the event that is shown, and go on."""
        self._try(lambda: self._decide(self._shown, self.review.rejected_label))

    def undo(self) -> None:
        """Undo the last verdict and show its event."""
        self._try(self._undo)

    def next(self) -> None:
        """Show the next event."""
        self._try(lambda: self._go(self._position + 1))

    def previous(self) -> None:
        """Show the previous event."""
        self._try(lambda: self._go(self._position - 1))

    def close(self) -> None:
        """Close the recording that the panel has opened; it is opened again where it is needed."""
        self._close()
        self._opened = None

    # ------------------------------------------------------------------ acts

    def _try(self, act: Callable[[], None]) -> None:
        """Act, and show what goes wrong in the panel, where the reviewer looks."""
        try:
            act()
            self.problem.value = ""
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be seen
            text = html.escape(f"{type(error).__name__}: {error}")
            self.problem.value = f'<b style="color:#b3261e">This did not work, and nothing was saved: {text}</b>'

    def _decide(self, event: Any, label: str) -> None:
        if event is None:
            if self.review.events:
                raise ValueError("no event is shown, so you cannot judge it; go to another event (n, p)")
            return
        self.review.relabel(event, label)
        if label not in (self.review.target, self.review.rejected_label, *self._names):
            self._names = [*self._names, label][-9:]
        if event is self._shown:
            self._go(self._position + 1)
        else:  # a click that came late: the verdict is on the event that was seen
            self._describe()

    def _name(self, event: Any, label: str) -> None:
        if label.strip():
            self._decide(event, " ".join(label.split()))

    def _undo(self) -> None:
        event = self.review.undo()
        self._go(self._position if event is None else self.review.events.index(event))

    def _go(self, position: int) -> None:
        self._position = max(0, min(position, len(self.review.events) - 1))
        self._show()

    def _take_keys(self, change: Any) -> None:
        """Take the letters that are new; the field is never emptied here, because more may be on their way."""
        old, new = change["old"] or "", change["new"] or ""
        same = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        acts = {"a": self.accept, "r": self.reject, "u": self.undo, "n": self.next, "p": self.previous}
        for letter in new[same:].lower():
            if letter in acts:
                acts[letter]()
            elif letter.isdigit() and 0 < int(letter) <= len(self._names):
                name = self._names[int(letter) - 1]
                self._try(lambda name=name: self._decide(self._shown, name))  # type: ignore[misc]

    def _set_playback(self, _: Any) -> None:
        self.sound.loop, self.sound.autoplay = self.loop.value, self.autoplay.value

    # ------------------------------------------------------------------ what is shown

    def _show(self) -> None:
        """Show the event at the position: sound and picture first, and only then take verdicts on it."""
        self._shown = None
        if not self.review.events:
            self.status.value = "<b>No events to review.</b>"
            return
        event = self.review.events[self._position]
        try:
            recording, margin = self._open(event), self.context.value
            samples, rate = cut_clip(recording, event.start_time, event.end_time, margin=margin, speed=self.speed.value)
            sound = to_wav(samples, rate)
            figure = plot_event(recording, event.start_time, event.end_time, self.review.config, margin=margin)
            picture = to_png(figure, dpi=160)
        except Exception:
            self.sound.value, self.picture.value, self.verdict.children = b"", b"", ()
            self.status.value = f"<b>Event {self._position + 1} of {len(self.review.events)}</b> cannot be shown"
            raise
        self.sound.value, self.picture.value = sound, picture
        self._shown = event
        self._offer(event)
        self._describe()

    def _open(self, event: Any) -> Recording:
        """The event's recording, opened by the panel for itself."""
        name = getattr(event, "recording", "")
        if self._opened is None or self._opened[0] != name:
            self.close()
            try:
                own = open_recording(name, **self._options) if self._given is None else copy.copy(self._given)
                self._close = weakref.finalize(self, own.close)
            except AudioError:
                if self._given is None:
                    raise
                own = self._given  # opened from a file object: there is no other way to it
            self._opened = name, own
        return self._opened[1]

    def _offer(self, event: Any) -> None:
        """Make the buttons and the label field of an event."""
        import ipywidgets

        made = []
        acts: tuple[tuple[str, str, Callable[[], None]], ...] = (
            ("Accept (a)", "success", lambda: self._decide(event, self.review.target)),
            ("Reject (r)", "danger", lambda: self._decide(event, self.review.rejected_label)),
            ("Undo (u)", "", self._undo),
            ("Previous (p)", "", lambda: self._go(self._position - 1)),
            ("Next (n)", "", lambda: self._go(self._position + 1)),
        )
        for text, style, act in acts:
            button = ipywidgets.Button(description=text, button_style=style, layout=ipywidgets.Layout(width="auto"))
            button.on_click(lambda _, act=act: self._try(act))
            made.append(button)
        label = ipywidgets.Text(placeholder="what else it is, then Enter", description="something else:")
        label.style.description_width = "initial"
        label.continuous_update = False
        label.observe(lambda change: self._try(lambda: self._name(event, change["new"])), "value")
        self.verdict.children = (*made, label)
        self._kept.append([*made, label])
        while len(self._kept) > KEPT:
            for widget in self._kept.pop(0):
                widget.close()

    def _describe(self) -> None:
        """Say which event is shown, its label, and how far the review is."""
        review, event = self.review, self.review.events[self._position]
        recording = getattr(event, "recording", "")
        about = [html.escape(review.get_label(event)), f"{event.start_time:.2f} to {event.end_time:.2f} s"]
        if recording:
            about.insert(0, html.escape(recording.rpartition("/")[2]))
        if not self._blind:
            kind = getattr(event, "kind", "event")
            confidence = event.confidence if hasattr(event, "confidence") else event.mean_confidence
            about += [f"confidence {confidence:.2f}"] + (["no event was detected here"] if kind == "window" else [])
        precision, low, high, n = review.measure_precision()
        judged = len(review.events) - len(review.open_events)
        about.append(f"{judged} reviewed" if judged else "no verdict yet")
        if n and not self._blind:
            about[-1] += f", precision so far {precision:.0%} ({low:.0%} to {high:.0%})"
        if not review.open_events:
            about.append("<b>all events have a verdict</b>")
        self.status.value = f"<b>Event {self._position + 1} of {len(review.events)}</b>: {' · '.join(about)}"
        names = "".join(f" · {k} {html.escape(name)}" for k, name in enumerate(self._names, start=1))
        self.hint.value = f"<small>a accept · r reject · u undo · n next · p previous{names}</small>"
