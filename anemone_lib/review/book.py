"""The content of every review: the label of each event, which is the verdict on it, and its earlier labels."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anemone_lib.config import InferenceConfig
from anemone_lib.evaluation.rates import compute_wilson_interval


class VerdictBook(ABC):
    """The labels of the events under review; `save`, which a review defines, is called after every change.

    Parameters
    ----------
    events : sequence of Event or ReviewItem, in the order of the review
    config : InferenceConfig, of which the target class is read
    """

    def __init__(self, events: Sequence[Any], config: InferenceConfig) -> None:
        self.config = config
        self.events = list(events)
        self._labels = {event.id: self.open_label for event in events}
        self._history: list[tuple[str, str]] = []

    @property
    def target(self) -> str:
        """The class whose events are reviewed: the label of an accepted one."""
        return self.config.target_class

    @property
    def open_label(self) -> str:
        """The label of an event without a verdict."""
        return f"{self.target}?"

    @property
    def rejected_label(self) -> str:
        """The label of an event that is not the target class."""
        return f"not {self.target}"

    def get_label(self, event: Any) -> str:
        """Return the label of an event, which is its verdict."""
        return self._labels[event.id]

    def accept(self, event: Any) -> None:
        """Say that an event is of the target class, and save."""
        self.relabel(event, self.target)

    def reject(self, event: Any) -> None:
        """Say that an event is not of the target class, and save."""
        self.relabel(event, self.rejected_label)

    def reopen(self, event: Any) -> None:
        """Take a verdict back."""
        self.relabel(event, self.open_label)

    def relabel(self, event: Any, label: str) -> None:
        """Say what an event is, and save; where it cannot be saved, the verdict is as before."""
        label = " ".join(label.split())
        if not label:
            raise ValueError("the label is empty; say what the event is, or reopen it")
        if event.id not in self._labels:
            raise ValueError(f"event {event.id} is not among those under review")
        before = self._labels[event.id]
        self._labels[event.id] = label
        try:
            self.save()
        except BaseException:
            self._labels[event.id] = before
            raise
        self._history.append((event.id, before))

    def undo(self) -> Any:
        """Take the last verdict back; return its event, or None if there is none."""
        if not self._history:
            return None
        event_id, label = self._history[-1]
        before, self._labels[event_id] = self._labels[event_id], label
        try:
            self.save()
        except BaseException:
            self._labels[event_id] = before
            raise
        self._history.pop()
        return next(event for event in self.events if event.id == event_id)

    @property
    def open_events(self) -> list[Any]:
        """Events without a verdict, in order."""
        return [event for event in self.events if self.get_label(event) == self.open_label]

    def measure_precision(self) -> tuple[float, float, float, int]:
        """Compute the part of the events with a verdict that were accepted.

        Returns
        -------
        precision, low, high : float, with the 95 % Wilson interval; NaN, 0 and 1 before the first verdict
        n : int, events with a verdict
        """
        verdicts = [self.get_label(event) for event in self.events if getattr(event, "kind", "event") == "event"]
        verdicts = [label for label in verdicts if label != self.open_label]
        accepted = sum(label == self.target for label in verdicts)
        return (
            accepted / len(verdicts) if verdicts else float("nan"),
            *compute_wilson_interval(accepted, len(verdicts)),
            len(verdicts),
        )

    def describe_precision(self) -> str:
        """Say how many events have a verdict, and how many of these are calls, in one line for people."""
        precision, low, high, n = self.measure_precision()
        n_events = sum(getattr(event, "kind", "event") == "event" for event in self.events)
        reviewed = f"{n} of {n_events} events reviewed"
        if not n:
            return f"{reviewed}: no verdict yet"
        return f"{reviewed}: precision {precision:.2f} ({low:.2f} to {high:.2f})"

    def describe(self) -> list[str]:
        """Describe what the verdicts show about the detector, one sentence a line."""
        return [self.describe_precision()]

    @abstractmethod
    def save(self) -> Path:
        """Write the verdicts, whole or not at all: `Review` in a table of one recording, `Survey` in one of many."""
