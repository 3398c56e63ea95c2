"""Events to look at and listen to: those of the highest and of the lowest confidence, and some at random."""

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from anemone_lib.archive import page
from anemone_lib.audio.playback import cut_clip
from anemone_lib.audio.recording import Recording, open_recording
from anemone_lib.errors import AnemoneError

if TYPE_CHECKING:
    import pandas as pd

#: Seconds before and after an event that are shown and heard.
MARGIN_S = 0.75


#: The longest clip, in seconds: longer events are cut, so that the page stays small.
LONGEST_S = 6.0


def pick_events(events: "pd.DataFrame", n: int, *, seed: int = 0) -> dict[str, "pd.DataFrame"]:
    """Pick events of the highest and the lowest confidence, and others at random.

    Parameters
    ----------
    events : pandas.DataFrame, with ``id``, ``recording``, ``start_s`` and ``max_confidence``
    n : int > 0, of each kind
    seed : int, of the random events

    Returns
    -------
    picked : dict of pandas.DataFrame, by their headings; no event is in two of them

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"id": list("abcde"), "recording": "x.wav", "start_s": range(5)})
    >>> table["max_confidence"] = [0.6, 0.9, 0.5, 0.8, 0.7]
    >>> {name: rows["id"].tolist() for name, rows in pick_events(table, 2).items()}
    {'The surest': ['b', 'd'], 'The least sure': ['c', 'a'], 'A random sample': ['e']}
    """
    ordered = events.sort_values(["max_confidence", "recording", "start_s"], ascending=[False, True, True])
    surest, rest = ordered.iloc[:n], ordered.iloc[n:]
    least = rest.iloc[::-1].iloc[:n]
    others = rest.iloc[: max(0, len(rest) - n)]
    drawn = np.random.default_rng(seed).permutation(len(others))[:n]
    return {"The surest": surest, "The least sure": least, "A random sample": others.iloc[np.sort(drawn)]}


def show_events(
    events: "pd.DataFrame",
    sources: dict[str, str],
    *,
    settings: dict[str, Any],
    open_with: Callable[[str], Recording] = open_recording,
) -> str:
    """Make cards of events: picture, sound, and facts.

    Parameters
    ----------
    events : pandas.DataFrame, rows of an archive's table
    sources : dict of recording to the path or address that opens it
    settings : dict, the settings of the pictures: ``n_fft``, ``hop_length``, ``fmax_hz``
    open_with : callable (path) -> Recording

    Returns
    -------
    html : str
        A recording that cannot be read any more has cards that say so.

    Examples
    --------
    >>> import pandas as pd
    >>> lost = pd.DataFrame({"recording": ["x.wav"], "site": "reef", "class": "fish", "start_s": 1.0, "end_s": 2.0,
    ...     "max_confidence": 0.9, "start_local": pd.NaT, "verdict": None})
    >>> "no longer here" in show_events(lost, {}, settings={})
    True
    """
    cards: dict[Any, str] = {}
    for recording, rows in events.groupby("recording", sort=True):
        try:
            if str(recording) not in sources:
                raise AnemoneError("the recording is no longer here")
            with open_with(sources[str(recording)]) as opened:
                for index, row in rows.iterrows():
                    cards[index] = _show(row, opened, settings)
        except (AnemoneError, OSError) as error:
            for index, row in rows.iterrows():
                cards.setdefault(index, _frame(row, page.make_paragraph(f"No picture and no sound: {error}.")))
    return f"<div class='cards'>{''.join(cards[index] for index in events.index)}</div>"


def _show(row: Any, recording: Recording, settings: dict[str, Any]) -> str:
    from anemone_lib.plots.axes import new_axes
    from anemone_lib.plots.spectrogram import plot_spectrogram

    end = min(float(row["end_s"]), float(row["start_s"]) + LONGEST_S)
    rate = recording.sample_rate
    first = max(0, round((float(row["start_s"]) - MARGIN_S) * rate))
    stop = min(recording.n_samples, round((end + MARGIN_S) * rate))
    axes = new_axes((3.6, 2.4))
    plot_spectrogram(recording.read(first, stop), rate, start_time=first / rate, ax=axes, **settings)
    for edge in (row["start_s"], row["end_s"]):
        axes.axvline(float(edge), color="#D55E00", linewidth=1.2, linestyle="--")
    about = f"Spectrogram of an event of {row['class']} at {row['site']}, confidence {row['max_confidence']:.2f}"
    samples, played = cut_clip(recording, float(row["start_s"]), end, margin=MARGIN_S)
    heard = page.make_player(samples, played, label=f"Sound of the event, confidence {row['max_confidence']:.2f}")
    return _frame(row, page.make_image(axes.figure, alt=about, photo=True) + heard)


def _frame(row: Any, content: str) -> str:
    """Put the picture, the sound and the facts of an event into a card."""
    when = row["start_local"]
    moment = f"{when:%Y-%m-%d %H:%M:%S}, recorder's clock" if when == when else "no clock"
    said = f" · reviewed: {row['verdict']}" if isinstance(row["verdict"], str) else ""
    lines = (
        f"<p><strong>{row['max_confidence']:.2f}</strong> · {escape(str(row['class']))} · {escape(str(row['site']))}"
        f"{escape(said)}</p><p>{escape(moment)}</p>"
        f"<p class='soft'>{escape(str(row['recording']))}, {row['start_s']:.1f} to {row['end_s']:.1f} s</p>"
    )
    return f"<article class='card'>{content}{lines}</article>"
