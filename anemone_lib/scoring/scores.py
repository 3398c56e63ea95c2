"""The scores of a recording, and how they are stored on disk: completely or not at all.

`Scores` holds the probabilities of every window of a recording and where they come from. A `ScoreCache` keeps the
chunks of a recording while it is scored, and its scores afterwards.
"""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np

from anemone_lib.audio.gaps import Gap, Pause, add_pauses
from anemone_lib.errors import ScoresError
from anemone_lib.files import write_atomically
from anemone_lib.scoring.condition import N_MEASURES
from anemone_lib.scoring.windows import WindowGrid

FORMAT = "anemone-scores-1"


@dataclass(frozen=True)
class Chunk:
    """A run of consecutive windows, `first` to `stop` (exclusive), scored as one piece of work.

    Examples
    --------
    >>> chunk = Chunk(index=1, first=128, stop=256)
    >>> chunk.stop - chunk.first
    128
    """

    index: int
    first: int
    stop: int


@dataclass(frozen=True, eq=False)
class ChunkScores:
    """The scores of one chunk.

    Attributes
    ----------
    probabilities : np.ndarray [shape=(n_windows, n_classes)], float32
        NaN in the rows of windows that were skipped.
    measures : np.ndarray [shape=(n_windows, 5)], float32
        Of the sound itself: see `anemone_lib.scoring.condition.measure`.

    Examples
    --------
    >>> scored = ChunkScores(np.full((10, 3), 1 / 3, np.float32), np.zeros((10, N_MEASURES), np.float32))
    >>> ChunkScores.from_array(scored.to_array()).probabilities.shape
    (10, 3)
    """

    probabilities: np.ndarray
    measures: np.ndarray

    def to_array(self) -> np.ndarray:
        """Return both in one array, as they are stored: ``(n_windows, n_classes + 5)``, float32."""
        return np.concatenate([self.probabilities, self.measures], axis=1)

    @classmethod
    def from_array(cls, array: np.ndarray) -> "ChunkScores":
        """Make the object from the array of `to_array`."""
        return cls(array[:, :-N_MEASURES], array[:, -N_MEASURES:])


@dataclass(frozen=True, eq=False)
class Scores:
    """The probabilities of every window of a recording, and where they come from.

    Attributes
    ----------
    probabilities : np.ndarray [shape=(n_windows, n_classes)], float32
        Rows sum to 1, except for a model of overlapping classes; the row of a skipped window is NaN.
    classes : names of the columns
    grid : WindowGrid
    skipped : intervals that no scored window covers, each with its reason
    recording_name, recording_sha256 : str
    start_time : datetime in UTC, or None
    model_sha256, model_version, scores_fingerprint : str
    warnings : what is wrong with the recording and its sound
    channel : the channel that was analysed: ``mean``, or its number from 1
    n_channels : number of channels in the file; 0 if it is not known
    pauses : times that were not recorded; `find_utc` counts them

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> grid = WindowGrid(n_samples=16_000, sample_rate=8000, window_samples=8000, stride_samples=8000)
    >>> scores = Scores(np.array([[0.9, 0.1], [0.2, 0.8]], np.float32), ("noise", "anemonefish"), grid)
    >>> scores.start_times.tolist(), scores.duration
    ([0.0, 1.0], 2.0)
    >>> path = scores.save(Path(mkdtemp(), "reef.npz"))
    >>> bool((Scores.load(path).probabilities == scores.probabilities).all())
    True
    """

    probabilities: np.ndarray
    classes: tuple[str, ...]
    grid: WindowGrid
    skipped: tuple[Gap, ...] = ()
    recording_name: str = ""
    recording_sha256: str = ""
    start_time: datetime | None = None
    model_sha256: str = ""
    model_version: str = ""
    scores_fingerprint: str = ""
    warnings: tuple[str, ...] = field(default=())
    channel: str = "mean"
    n_channels: int = 0
    pauses: tuple[Pause, ...] = ()

    @property
    def n_windows(self) -> int:
        """Number of windows, skipped ones included."""
        return len(self.probabilities)

    @property
    def sample_rate(self) -> int:
        """Samples a second that the windows were cut from, in Hz."""
        return self.grid.sample_rate

    @property
    def start_times(self) -> np.ndarray:
        """Start of every window [shape=(n_windows,)], in seconds."""
        return self.grid.start_times

    @property
    def end_times(self) -> np.ndarray:
        """End of every window [shape=(n_windows,)], in seconds, never past the recording's end."""
        return self.grid.end_times

    @property
    def duration(self) -> float:
        """Length of the recording, in seconds."""
        return self.grid.n_samples / self.grid.sample_rate

    def find_utc(self, seconds: float) -> datetime | None:
        """Return the time of day at a time of the recording, with the pauses before it; None if it is not known."""
        if self.start_time is None:
            return None
        return self.start_time + timedelta(seconds=add_pauses(seconds, self.pauses))

    @property
    def analysed_duration(self) -> float:
        """Seconds that at least one scored window covers: `duration` without the skipped parts."""
        return self.duration - sum(gap.end_time - gap.start_time for gap in self.skipped)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write to an ``.npz`` file, completely or not at all.

        About 12 bytes a window: 2.6 MB for a day of three classes at the usual stride.
        """
        about = {
            "format": FORMAT,
            "classes": self.classes,
            "grid": asdict(self.grid),
            "skipped": [asdict(gap) for gap in self.skipped],
            "recording_name": self.recording_name,
            "recording_sha256": self.recording_sha256,
            "start_time": self.start_time.isoformat() if self.start_time else None,
            "model_sha256": self.model_sha256,
            "model_version": self.model_version,
            "scores_fingerprint": self.scores_fingerprint,
            "warnings": self.warnings,
            "channel": self.channel,
            "n_channels": self.n_channels,
            "pauses": [asdict(pause) for pause in self.pauses],
        }
        path = Path(path)
        with write_atomically(path) as file:
            np.savez(file, probabilities=self.probabilities, about=np.array(json.dumps(about)))
        return path

    @classmethod
    def load(cls, source: str | os.PathLike[str] | BinaryIO, *, name: str = "") -> "Scores":
        """Read what `save` wrote.

        Parameters
        ----------
        source : path, or an open binary file
        name : str, optional
            Name of an open file in messages.

        Raises
        ------
        ScoresError
            No such file, damaged, or written by another version.
        """
        path = name or source
        try:
            with ExitStack() as stack:
                file = stack.enter_context(open(source, "rb")) if isinstance(source, str | os.PathLike) else source
                content = stack.enter_context(np.load(file, allow_pickle=False))
                about = json.loads(str(content["about"]))
                probabilities = content["probabilities"]
            if about.pop("format") != FORMAT:
                raise ScoresError(f"{path} was written by another version; delete it and score again")
            start_time = about.pop("start_time")
            return cls(
                probabilities=probabilities,
                classes=tuple(about.pop("classes")),
                grid=WindowGrid(**about.pop("grid")),
                skipped=tuple(Gap(**gap) for gap in about.pop("skipped")),
                start_time=datetime.fromisoformat(start_time) if start_time else None,
                warnings=tuple(about.pop("warnings")),
                pauses=tuple(Pause(**pause) for pause in about.pop("pauses", ())),
                **about,
            )
        except FileNotFoundError:
            raise ScoresError(f"there are no scores at {path}") from None
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise ScoresError(f"the scores in {path} are damaged ({error}); delete them and score again") from None


def forget_use(scores: Scores, notes: Sequence[str]) -> Scores:
    """Return scores as they are stored: without the name, clock and notes of the file."""
    warnings = tuple(note for note in scores.warnings if note not in notes)
    return replace(scores, recording_name="", start_time=None, warnings=warnings)


def recall_use(scores: Scores, name: str, start_time: datetime | None, notes: Sequence[str]) -> Scores:
    """Return stored scores with the name, clock and notes of the present file."""
    return replace(scores, recording_name=name, start_time=start_time, warnings=(*notes, *scores.warnings))


def name_scores(recording_sha256: str, model_sha256: str, scores_fingerprint: str, channel: str = "mean") -> str:
    """Name the scores of a recording by its content, the model, the settings and the channel.

    >>> name_scores("a" * 64, "b" * 64, "c" * 64, "2")
    'aaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-cccccccccccccccc-c2'
    """
    channels = () if channel == "mean" else (f"c{channel}",)
    return "-".join((recording_sha256[:16], model_sha256[:16], scores_fingerprint[:16], *channels))


class ScoreCache:
    """Chunks while a recording is being scored, its scores afterwards."""

    def __init__(self, folder: str | os.PathLike[str], key: str) -> None:
        self._path = Path(folder) / f"{key}.npz"
        self._chunks = Path(folder) / f"{key}.chunks"

    def load_scores(self) -> Scores | None:
        """Return the finished scores, if there are any."""
        return Scores.load(self._path) if self._path.exists() else None

    def load_chunk(self, chunk: Chunk, n_classes: int) -> ChunkScores | None:
        """Return a finished chunk; None if it does not exist or is not complete."""
        path = self._locate_chunk(chunk)
        if not path.exists():
            return None
        try:
            kept = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        whole = kept.shape == (chunk.stop - chunk.first, n_classes + N_MEASURES)
        return ChunkScores.from_array(kept) if whole else None

    def keep(self, chunk: Chunk, scored: ChunkScores) -> None:
        """Keep a finished chunk."""
        with write_atomically(self._locate_chunk(chunk)) as file:
            np.save(file, scored.to_array())

    def finish(self, scores: Scores) -> None:
        """Keep the scores, and delete the chunks."""
        scores.save(self._path)
        self.drop_chunks()

    def drop_chunks(self) -> None:
        """Delete the chunks."""
        for path in self._chunks.glob("*.npy"):
            path.unlink(missing_ok=True)
        if self._chunks.exists():
            self._chunks.rmdir()

    def _locate_chunk(self, chunk: Chunk) -> Path:
        return self._chunks / f"{chunk.first:08d}-{chunk.stop:08d}.npy"
