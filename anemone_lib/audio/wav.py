"""Plain PCM and float samples in WAV, RIFX and RF64 files.

Read here rather than by libsndfile because recorders leave headers that lie (a size of 0 after a dead battery, one
wrapped at 4 GiB, one that was no longer updated, one past the end), and because it needs no more than the bytes of its
range, and no lock.
"""

import struct
import threading
from dataclasses import dataclass, field

import numpy as np

from anemone_lib.audio.gaps import Lost, Pause, join_lost
from anemone_lib.audio.harp import describe_pauses, read_harp
from anemone_lib.audio.metadata import TEXT_CHUNKS, read_chunk
from anemone_lib.audio.sources import Source, read_around
from anemone_lib.audio.wav_chunks import Chunks
from anemone_lib.errors import AudioError

#: A sample rate above this is a damaged header, not a hydrophone.
MAX_SAMPLE_RATE_HZ = 10_000_000
UNREADABLE = "the disk cannot read these bytes of the file"


@dataclass
class WavLayout:
    """Where the samples of a WAV file lie, and how they are written.

    Attributes
    ----------
    segments : (offset, n_frames) of every piece of audio, in order
    pauses : what the clock says was not recorded between pieces
    """

    sample_rate: int
    channels: int
    dtype: np.dtype
    sample_bytes: int
    segments: list[tuple[int, int]]
    format: str
    warnings: list[str] = field(default_factory=list)
    comments: dict[str, str] = field(default_factory=dict)
    pauses: list[Pause] = field(default_factory=list)

    @property
    def n_frames(self) -> int:
        """Frames of all pieces."""
        return sum(n_frames for _, n_frames in self.segments)


def read_wav_layout(source: Source) -> WavLayout | None:
    """Walk the chunks of a WAV, RIFX or RF64 file.

    Returns
    -------
    layout : WavLayout, or None where the file is not plain PCM and better left to libsndfile

    Raises
    ------
    AudioError
        The sample rate is none.
    """
    chunks = Chunks(source)
    encoding: _Encoding | None = None
    spans: list[tuple[int, int]] = []
    comments: dict[str, str] = {}
    harp, warnings, first = b"", list[str](), b""
    for name, body, size in chunks.walk():
        if name == b"fmt ":
            fmt = source.read_at(body, min(size, 40))
            if len(fmt) < 16:
                continue
            found = _Encoding.read(source, fmt, chunks.order)
            if encoding is None:
                encoding, first = found, fmt[:16]
            elif fmt[:16] != first:
                warnings.append(
                    f"from byte {body:,} on, the audio is written in another way; {source.size - body:,} bytes are "
                    "left out: split the file there"
                )
                break
        elif name in TEXT_CHUNKS:
            comments.update(read_chunk(name, source.read_at(body, size)))
        elif name == b"harp":
            harp = source.read_at(body, size)
        elif name == b"data":
            if encoding is None:
                break
            spans.append((body, size))
            chunks.explain(encoding.block * encoding.sample_rate)
    if encoding is None or not encoding.kind or not spans:
        return None
    block = encoding.block
    warnings = [*chunks.warnings, *warnings]
    if len(spans) > 1:
        warnings.append(f"the audio is in {len(spans)} pieces, which follow each other")
    for _, size in spans:
        if size % block:
            warnings.append(f"the last {size % block} bytes are less than one frame and were left out")
    layout = WavLayout(
        sample_rate=encoding.sample_rate,
        channels=encoding.channels,
        dtype=np.dtype(chunks.order + encoding.kind),
        sample_bytes=encoding.bits // 8,
        segments=[(body, size // block) for body, size in spans if size >= block],
        format=f"{chunks.container} {'float' if encoding.kind[0] == 'f' else 'PCM'} {encoding.bits}-bit",
        warnings=warnings,
        comments=comments,
    )
    if harp:
        duration = layout.n_frames / layout.sample_rate
        began, layout.pauses = read_harp(harp, sample_rate=layout.sample_rate, block=block, duration=duration)
        if began is not None:
            layout.comments["harp"] = began.isoformat()
        if layout.pauses:
            layout.warnings.append(describe_pauses(layout.pauses))
    return layout


@dataclass(frozen=True)
class _Encoding:
    """What a format chunk says; `kind` is empty where it is not plain samples."""

    sample_rate: int
    channels: int
    bits: int
    block: int
    kind: str

    @classmethod
    def read(cls, source: Source, fmt: bytes, order: str) -> "_Encoding":
        tag, channels, sample_rate, _, block, bits = struct.unpack(order + "HHIIHH", fmt[:16])
        if tag == 0xFFFE and len(fmt) >= 26:
            tag = struct.unpack(order + "H", fmt[24:26])[0]
        kinds = {(1, 8): "u1", (1, 16): "i2", (1, 24): "i4", (1, 32): "i4", (3, 32): "f4", (3, 64): "f8"}
        kind = kinds.get((tag, bits), "") if channels and block == channels * bits // 8 else ""
        if kind and not 0 < sample_rate <= MAX_SAMPLE_RATE_HZ:
            raise AudioError(f"{source.name} claims {sample_rate} Hz; its header is damaged")
        return cls(sample_rate, channels, bits, max(1, block), kind)


class PcmDecoder:
    """Plain PCM or float samples at known places in a WAV file."""

    def __init__(self, source: Source, layout: WavLayout) -> None:
        if layout.n_frames == 0:
            raise AudioError(f"{source.name} has a header but no audio; the recorder may have stopped at once")
        self._source, self._layout = source, layout
        self.sample_rate, self.channels, self.n_frames = layout.sample_rate, layout.channels, layout.n_frames
        self.format, self.warnings, self.comments = layout.format, layout.warnings, layout.comments
        self.pauses = layout.pauses
        self.bounded = layout.dtype.kind != "f"  # no sample is larger than full scale, or no number
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
        layout = self._layout
        frame_bytes = layout.channels * layout.sample_bytes
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
        layout = self._layout
        if layout.sample_bytes == 3:  # into the upper three bytes of 32 bits
            wide = np.zeros((len(content) // 3, 4), np.uint8)
            low = 0 if layout.dtype.byteorder == ">" else 1
            wide[:, low : low + 3] = np.frombuffer(content, np.uint8).reshape(-1, 3)
            samples: np.ndarray = wide.view(layout.dtype)[:, 0]
        else:
            samples = np.frombuffer(content, layout.dtype)
        if layout.dtype.kind == "f":
            frames = samples.astype(np.float32)
        elif layout.dtype.kind == "u":
            frames = (samples.astype(np.float32) - np.float32(128)) * np.float32(1 / 128)
        else:
            scale = np.float32(2.0 ** (1 - 8 * layout.dtype.itemsize))
            frames = np.multiply(samples, scale, dtype=np.float32, casting="unsafe")
        return frames.reshape(-1, layout.channels)

    def close(self) -> None:
        """Nothing is held open."""
