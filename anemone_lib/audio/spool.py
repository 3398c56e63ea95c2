"""A temporary file of samples, for formats that can only be decoded in order, and the limits of decoding."""

import tempfile
import threading
import time
from dataclasses import dataclass

import numpy as np

from anemone_lib.audio.gaps import Lost
from anemone_lib.errors import LimitError, NoRoomError, spell_number


@dataclass(frozen=True)
class DecodeLimits:
    """Limits of the size of a decoded recording, because a few kilobytes of some formats are hours of audio.

    Attributes
    ----------
    spool_bytes : int, of the temporary file; 4 bytes a sample and channel
    seconds : float, of audio
    deadline : float or None, the time of `time.monotonic` at which decoding must have ended

    Examples
    --------
    >>> DecodeLimits(seconds=3600.0).spool_bytes == DecodeLimits().spool_bytes
    True
    """

    spool_bytes: int = 64 << 30
    seconds: float = 31 * 86400.0
    deadline: float | None = None

    def check_time(self, name: str) -> None:
        """Refuse to go on after the deadline.

        Raises
        ------
        LimitError
        """
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise LimitError(f"{name} takes too long to decode in one call; cut it, or send it as a job")

    def check_length(self, name: str, n_frames: int, sample_rate: int) -> None:
        """Refuse a recording that is too long.

        Parameters
        ----------
        name : the recording's, for the message
        n_frames : int
        sample_rate : int > 0, in Hz

        Raises
        ------
        LimitError
        """
        if n_frames > self.seconds * sample_rate:
            raise LimitError(f"{name} is longer than {self.seconds:,.0f} s, more than is allowed; cut it")


@dataclass(frozen=True)
class _Piece:
    """Frames of the timeline that are in the file from `stored` on."""

    start: int
    stop: int
    stored: int


class Spool:
    """Decoded frames in a temporary file, which `close` removes; lost frames take no room in it.

    Parameters
    ----------
    name : the recording's, for messages
    limits : DecodeLimits
    """

    def __init__(self, name: str, limits: DecodeLimits) -> None:
        self._name, self._limits = name, limits
        self._file = tempfile.TemporaryFile(prefix="anemone-")  # noqa: SIM115 closed in close()
        self._lock = threading.Lock()
        self.channels = self.sample_rate = 0
        self.n_stored = 0
        self._pieces: list[_Piece] | None = None

    def append(self, frames: np.ndarray, sample_rate: int) -> None:
        """Add frames at the end.

        Parameters
        ----------
        frames : np.ndarray [shape=(n, channels)], float32
            If they have another number of channels than the first frames, their mean goes to every channel.
        sample_rate : int, in Hz

        Raises
        ------
        LimitError, NoRoomError
            A limit is passed; the disk is full.
        """
        if not self.channels:
            self.channels, self.sample_rate = frames.shape[1], sample_rate
        elif frames.shape[1] != self.channels:
            frames = np.repeat(frames.mean(axis=1, dtype=np.float32, keepdims=True), self.channels, axis=1)
        self.n_stored += len(frames)
        limits = self._limits
        if self.n_stored * self.channels * 4 > limits.spool_bytes:
            raise LimitError(
                f"{self._name} is over {spell_number(limits.spool_bytes / 1e9)} GB when decoded, more than is allowed; "
                "cut it"
            )
        limits.check_length(self._name, self.n_stored, self.sample_rate)
        limits.check_time(self._name)
        try:
            self._file.write(np.ascontiguousarray(frames, np.float32).tobytes())
        except OSError as error:
            raise NoRoomError(
                f"no room to decode {self._name} in {tempfile.gettempdir()}: {error.strerror or error}; "
                "set TMPDIR to a folder on a larger disk"
            ) from None

    def arrange(self, lost: list[Lost]) -> int:
        """Put the stored frames on the timeline, in order, around the lost frames; return the length of the timeline.

        Raises
        ------
        LimitError
            With the lost frames, the recording is too long.
        """
        n_lost = sum(span.stop - span.start for span in lost)
        self._limits.check_length(self._name, self.n_stored + n_lost, self.sample_rate)
        pieces, stored, position = [], 0, 0
        for span in lost:
            pieces.append(_Piece(position, span.start, stored))
            stored += span.start - position
            position = span.stop
        pieces.append(_Piece(position, position + self.n_stored - stored, stored))
        self._pieces = [piece for piece in pieces if piece.stop > piece.start]
        return position + self.n_stored - stored

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames `start` to `stop` of the timeline, float32, shape (stop - start, channels)."""
        assert self._pieces is not None
        frames = np.full((stop - start, self.channels), np.nan, np.float32)
        frame_bytes = 4 * self.channels
        for piece in self._pieces:
            first, last = max(start, piece.start), min(stop, piece.stop)
            if first < last:
                with self._lock:
                    self._file.seek((piece.stored + first - piece.start) * frame_bytes)
                    content = self._file.read((last - first) * frame_bytes)
                frames[first - start : last - start] = np.frombuffer(content, np.float32).reshape(-1, self.channels)
        return frames

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
