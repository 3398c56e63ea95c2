"""Plain PCM and float samples in WAV, RIFX and RF64 files.

Read here rather than by libsndfile because recorders leave headers that lie (a size of 0 after a dead battery, one
wrapped at 4 GiB, one past the end), and because it needs no more than the bytes of its range, and no lock.
"""

import struct
from dataclasses import dataclass, field

import numpy as np

from anemone_lib.audio.metadata import TEXT_CHUNKS, chunk_comments
from anemone_lib.audio.sources import Source
from anemone_lib.errors import AudioError

#: A sample rate above this is a damaged header, not a hydrophone.
MAX_SAMPLE_RATE_HZ = 10_000_000


@dataclass
class WavLayout:
    """Where the samples of a WAV file lie, and how they are written."""

    sample_rate: int
    channels: int
    dtype: np.dtype
    sample_bytes: int
    offset: int
    n_frames: int
    format: str
    warnings: list[str] = field(default_factory=list)
    comments: dict[str, str] = field(default_factory=dict)


def read_wav_layout(source: Source) -> WavLayout | None:
    """Walk the chunks of a WAV, RIFX or RF64 file.

    Returns
    -------
    layout : WavLayout, or None where the file is not plain PCM and better left to libsndfile

    Raises
    ------
    AudioError
        The file ends before its audio starts.
    """
    order = ">" if source.read_at(0, 4) == b"RIFX" else "<"
    container = "RF64" if source.read_at(0, 4) in (b"RF64", b"BW64") else "WAV"
    position, fmt, data, long_size = 12, b"", None, 0
    comments: dict[str, str] = {}
    while position + 8 <= source.size:
        name, size = struct.unpack(order + "4sI", source.read_at(position, 8))
        body = position + 8
        if name == b"ds64":
            long_size = struct.unpack("<Q", source.read_at(body + 8, 8).ljust(8, b"\0"))[0]
        elif name == b"fmt ":
            fmt = source.read_at(body, min(size, 40))
        elif name in TEXT_CHUNKS and size < 1 << 20:
            comments.update(chunk_comments(name, source.read_at(body, size)))
        elif name == b"data":
            data = (body, long_size if size == 0xFFFFFFFF and long_size else size)
            break
        elif not _is_chunk_name(name):
            break
        position = body + size + size % 2
    if len(fmt) < 16 or data is None:
        return None
    tag, channels, sample_rate, _, block, bits = struct.unpack(order + "HHIIHH", fmt[:16])
    if tag == 0xFFFE and len(fmt) >= 26:
        tag = struct.unpack(order + "H", fmt[24:26])[0]
    kinds = {(1, 8): "u1", (1, 16): "i2", (1, 24): "i4", (1, 32): "i4", (3, 32): "f4", (3, 64): "f8"}
    kind = kinds.get((tag, bits))
    if kind is None or channels == 0 or block != channels * bits // 8:
        return None
    if not 0 < sample_rate <= MAX_SAMPLE_RATE_HZ:
        raise AudioError(f"{source.name} claims {sample_rate} Hz; its header is damaged")
    offset, claimed = data
    size, warnings = _true_data_size(source, offset, claimed, block * sample_rate)
    if size % block:
        warnings.append(f"the last {size % block} bytes are less than one frame and were left out")
    trailing = source.read_at(offset + size + size % 2, 1 << 16) if size == claimed else b""
    while len(trailing) >= 8:
        name, length = struct.unpack(order + "4sI", trailing[:8])
        if name in TEXT_CHUNKS:
            comments.update(chunk_comments(name, trailing[8 : 8 + length]))
        trailing = trailing[8 + length + length % 2 :]
    return WavLayout(
        sample_rate=sample_rate,
        channels=channels,
        dtype=np.dtype(order + kind),
        sample_bytes=bits // 8,
        offset=offset,
        n_frames=size // block,
        format=f"{container} {'float' if tag == 3 else 'PCM'} {bits}-bit",
        warnings=warnings,
        comments=comments,
    )


def _true_data_size(source: Source, offset: int, claimed: int, bytes_per_s: int) -> tuple[int, list[str]]:
    """Compare the size a header claims for its audio with what is there."""
    present = source.size - offset

    def seconds(n_bytes: int) -> str:
        return f"{n_bytes / bytes_per_s:.6g} s"

    if claimed > present:
        if claimed >= 0xFFFFFFFF - 0xFFFF:  # written by a streaming encoder that could not go back
            return present, [f"the header gives no length; read to the end of the file, {seconds(present)}"]
        return present, [
            f"the header claims {seconds(claimed)} of audio, the file holds {seconds(present)}: "
            "it was cut short, or the recorder stopped before it finished the header"
        ]
    rest = present - claimed
    if claimed == 0 and rest and not _is_chunk_name(source.read_at(offset, 4)):
        return present, [f"the header claims no audio; read to the end of the file, {seconds(present)}"]
    wraps = rest >> 32
    if wraps:
        true = claimed + (wraps << 32)
        return true, [f"the header's size wrapped around at 4 GiB; read to the real end, {seconds(true)}"]
    padded = claimed + claimed % 2
    if rest > 1 and not _is_chunk_name(source.read_at(offset + padded, 4)):
        return claimed, [
            f"{rest} bytes ({seconds(rest)} if they were audio) after the audio that the header claims were left out"
        ]
    return claimed, []


def _is_chunk_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= letter < 127 for letter in name)


class PcmDecoder:
    """Plain PCM or float samples at a known place in a WAV file."""

    def __init__(self, source: Source, layout: WavLayout) -> None:
        if layout.n_frames == 0:
            raise AudioError(f"{source.name} has a header but no audio; the recorder may have stopped at once")
        self._source, self._layout = source, layout
        self.sample_rate, self.channels, self.n_frames = layout.sample_rate, layout.channels, layout.n_frames
        self.format, self.warnings, self.comments = layout.format, layout.warnings, layout.comments

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames `start` to `stop`, float32, shape (stop - start, channels)."""
        layout = self._layout
        frame_bytes = layout.channels * layout.sample_bytes
        content = self._source.read_at(layout.offset + start * frame_bytes, (stop - start) * frame_bytes)
        if len(content) < (stop - start) * frame_bytes:
            raise AudioError(f"{self._source.name} became shorter while it was read")
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
