"""Plain samples at known places in a file: PCM, float, µ-law and A-law, read by byte range.

Our own code reads them, not libsndfile, for two reasons. Headers from recorders can be wrong: a size of 0 after a dead
battery, a size that wrapped at 4 GiB, that was no longer updated, or that goes past the end. And our code reads only
the bytes of the range, without a lock. `anemone_lib.audio.chunks` says which sizes are true; `anemone_lib.audio.wav`
and `anemone_lib.audio.layouts` say where the samples lie.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from anemone_lib.audio.gaps import Lost, Pause, join_lost
from anemone_lib.audio.sources import Source, read_around
from anemone_lib.errors import AudioError, spell_count

#: A sample rate above this comes from a damaged header.
MAX_SAMPLE_RATE_HZ = 10_000_000
UNREADABLE = "the disk cannot read these bytes of the file"


@dataclass(frozen=True)
class Encoding:
    """The encoding of samples in a file.

    Attributes
    ----------
    sample_rate : int, in Hz
    channels : int
    kind : str, type of the samples as numpy writes it (``i2``, ``u1``, ``f4``), ``ulaw`` or ``alaw``; empty if they are
        not plain samples
    sample_bytes : int, 3 if ``i4`` is written in 24 bits
    order : "<" or ">"
    block : int, bytes of a frame, or of a block of samples that are not plain
    low : bool, whether 24 bits lie in the lower three of four bytes
    """

    sample_rate: int
    channels: int
    kind: str
    sample_bytes: int
    order: str
    block: int
    low: bool = False

    def check(self, name: str) -> "Encoding":
        """Refuse an impossible sample rate."""
        if self.kind and not 0 < self.sample_rate <= MAX_SAMPLE_RATE_HZ:
            raise AudioError(f"{name} claims {self.sample_rate:g} Hz; its header is damaged")
        return self

    @property
    def dtype(self) -> np.dtype:
        """Type of the samples as they are stored."""
        return np.dtype("u1" if self.kind in ("ulaw", "alaw") else self.order + self.kind)

    @cached_property
    def table(self) -> np.ndarray | None:
        """The value of each byte of µ-law and A-law [shape=(256,)], float32."""
        if self.kind not in ("ulaw", "alaw"):
            return None
        code = np.arange(256) ^ (0xFF if self.kind == "ulaw" else 0x55)
        exponent, mantissa = code >> 4 & 7, code & 15
        if self.kind == "ulaw":
            level, negative = ((mantissa << 3) + 132 << exponent) - 132, code >= 128
        else:
            level = (mantissa << 4) + 8 + np.where(exponent > 0, 256, 0) << np.maximum(exponent - 1, 0)
            negative = code < 128
        return (np.where(negative, -level, level) / 32768).astype(np.float32)

    def describe(self, container: str) -> str:
        """Describe the encoding in words, like ``WAV PCM 16-bit``."""
        words = {"ulaw": "µ-law", "alaw": "A-law"}
        bits = f"{8 * self.sample_bytes}-bit"
        return f"{container} {words.get(self.kind) or f'float {bits}' * (self.kind[:1] == 'f') or f'PCM {bits}'}"


@dataclass
class Layout:
    """Where the samples of a file lie, and how they are written.

    Attributes
    ----------
    encoding : Encoding
    segments : (offset, n_frames) of every piece of audio, in order
    format : str, container and encoding in words
    pauses : tuple of Pause, times between pieces that were not recorded, by the clock
    head : bytes, the format chunk of a WAV file, if the samples are not plain
    """

    encoding: Encoding
    segments: list[tuple[int, int]]
    format: str
    warnings: list[str] = field(default_factory=list)
    comments: dict[str, str] = field(default_factory=dict)
    pauses: list[Pause] = field(default_factory=list)
    head: bytes = b""

    @property
    def n_frames(self) -> int:
        """Frames of all pieces."""
        return sum(n_frames for _, n_frames in self.segments)


def lay_out(
    encoding: Encoding,
    spans: Sequence[tuple[int, int]],
    *,
    container: str,
    warnings: Sequence[str] = (),
    comments: dict[str, str] | None = None,
) -> Layout:
    """Make a layout from places and sizes in bytes, with warnings about them."""
    warnings, block = list(warnings), encoding.block
    if len(spans) > 1:
        warnings.append(f"the audio is in {len(spans)} pieces, which follow each other")
    for _, size in spans:
        if size % block:
            rest = spell_count(size % block, "byte")
            warnings.append(f"the last {rest} {'is' if size % block == 1 else 'are'} less than one frame: left out")
    segments = [(body, size // block) for body, size in spans if size >= block]
    return Layout(encoding, segments, encoding.describe(container), warnings, comments or {})


class PcmDecoder:
    """Plain PCM or float samples at known places in a file."""

    def __init__(self, source: Source, layout: Layout) -> None:
        if layout.n_frames == 0:
            raise AudioError(f"{source.name} has a header but no audio; the recorder may have stopped at once")
        self._source, self._layout = source, layout
        self._encoding = encoding = layout.encoding
        self.sample_rate, self.channels, self.n_frames = encoding.sample_rate, encoding.channels, layout.n_frames
        self.format, self.warnings, self.comments = layout.format, layout.warnings, layout.comments
        self.pauses = layout.pauses
        self.bounded = encoding.dtype.kind != "f"  # no sample is larger than full scale, or no number
        self.lost: list[Lost] = []
        self._lock = threading.Lock()

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames `start` to `stop`, float32, shape (stop - start, channels)."""
        parts, begin = [], 0
        for offset, n_frames in self._layout.segments:
            first, last = max(start, begin), min(stop, begin + n_frames)
            if first < last:
                parts.append(self._read(offset, first - begin, last - begin, begin))
            begin += n_frames
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _read(self, offset: int, start: int, stop: int, begin: int) -> np.ndarray:
        """Read frames of one piece, which starts at a byte of the file and at a frame of the recording."""
        frame_bytes = self._encoding.block
        offset += start * frame_bytes
        content, unreadable = read_around(self._source, offset, (stop - start) * frame_bytes)
        if len(content) < (stop - start) * frame_bytes:
            raise AudioError(f"{self._source.name} became shorter while it was read")
        frames = self._decode(content)
        for first_byte, last_byte in unreadable:
            first, last = (first_byte - offset) // frame_bytes, -(-(last_byte - offset) // frame_bytes)
            frames[first:last] = np.nan
            place = begin + start
            with self._lock:
                self.lost = join_lost([*self.lost, Lost(place + first, place + last, UNREADABLE)])
        return frames

    def _decode(self, content: bytes) -> np.ndarray:
        encoding, dtype = self._encoding, self._encoding.dtype
        if encoding.sample_bytes == 3:  # into the upper three bytes of 32 bits
            wide = np.zeros((len(content) // 3, 4), np.uint8)
            low = 0 if encoding.order == ">" else 1
            wide[:, low : low + 3] = np.frombuffer(content, np.uint8).reshape(-1, 3)
            samples: np.ndarray = wide.view(dtype)[:, 0]
        else:
            samples = np.frombuffer(content, dtype)
            samples = np.left_shift(samples, 8) if encoding.low else samples
        if encoding.table is not None:
            frames = encoding.table[samples]
        elif dtype.kind == "f":
            with np.errstate(over="ignore"):
                frames = samples.astype(np.float32)
            frames[~np.isfinite(frames)] = np.nan  # infinite, or too large: no sound
        elif dtype.kind == "u":
            frames = (samples.astype(np.float32) - np.float32(128)) * np.float32(1 / 128)
        else:
            scale = np.float32(2.0 ** (1 - 8 * dtype.itemsize))
            frames = np.multiply(samples, scale, dtype=np.float32, casting="unsafe")
        return frames.reshape(-1, encoding.channels)

    def close(self) -> None:
        """Nothing is held open."""
