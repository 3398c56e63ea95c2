"""From the bytes of a recording to frames of samples, by range.

*Conventions.* A frame is one sample of every channel. A decoder gives `sample_rate` in Hz, `channels`, `n_frames`
(counted from the data, not believed from a header), `warnings`, `comments` (text found beside the audio) and
``read(start, stop)``, which returns frames `start` to `stop` as float32 in [-1, 1], shape ``(n, channels)``, the same
bits however the range was cut.

Three decoders: plain PCM in WAV and RF64 is read here, because recorders leave headers that lie (a size of 0 after a
dead battery, one wrapped at 4 GiB) and because it needs no more than the bytes of its range; everything else that
libsndfile knows goes there; what it refuses goes to FFmpeg through PyAV, once, into a temporary file.
"""

import struct
import tempfile
import threading
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from anemone_lib.errors import AudioError
from anemone_lib.sources import Source, as_file

#: A frame count that no check of the data supports is not believed beyond this many bytes a frame.
COUNT_BLOCK_FRAMES = 1 << 18
#: No packet that FFmpeg could not decode stands for more samples than this (FLAC's largest block).
MAX_PACKET_FRAMES = 1 << 16
#: A sample rate above this is a damaged header, not a hydrophone.
MAX_SAMPLE_RATE_HZ = 10_000_000


class Decoder(Protocol):
    """What turns the bytes of one recording into frames."""

    sample_rate: int
    channels: int
    n_frames: int
    format: str
    warnings: list[str]
    comments: dict[str, str]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames `start` to `stop`, float32, shape (stop - start, channels)."""
        ...

    def close(self) -> None:
        """Let go of what is held open."""
        ...


def open_decoder(source: Source) -> Decoder:
    """Find the decoder for a source.

    Raises
    ------
    AudioError
        The source is empty, is not audio, or no decoder reads it.
    """
    if source.size == 0:
        raise AudioError(f"{source.name} is empty: 0 bytes; was it copied to the end?")
    head = source.read_at(0, 12)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        layout = read_wav_layout(source)
        if layout is not None:
            return PcmDecoder(source, layout)
    try:
        return SndfileDecoder(source)
    except AudioError as refused:
        try:
            decoder = FfmpegDecoder(source)
        except AudioError as error:
            raise AudioError(
                f"{source.name} cannot be decoded: {_reason(refused)}; {_reason(error)}. "
                "Known are WAV, RF64, W64, AIFF, FLAC, OGG, MP3, M4A, AAC and WebM"
            ) from None
        if head[:4] == b"fLaC":
            decoder.warnings.append(f"{_reason(refused)}; decoded by FFmpeg instead")
        return decoder


def _reason(error: AudioError) -> str:
    return str(error).rstrip(". ")


# ---------------------------------------------------------------------- WAV


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
        elif name in (b"LIST", b"bext") and size < 1 << 20:
            comments.update(_wav_comments(name, source.read_at(body, size)))
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
        if name in (b"LIST", b"bext"):
            comments.update(_wav_comments(name, trailing[8 : 8 + length]))
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


def _wav_comments(name: bytes, body: bytes) -> dict[str, str]:
    """Text of a LIST INFO or a broadcast extension chunk."""
    if name == b"bext":
        date = body[320:338].decode("ascii", "replace").strip("\0 ")
        return {"origination": date} if len(date) == 18 else {}
    found, position = {}, 4
    if body[:4] != b"INFO":
        return {}
    while position + 8 <= len(body):
        key, size = struct.unpack("<4sI", body[position : position + 8])
        text = body[position + 8 : position + 8 + size].split(b"\0")[0].decode("utf-8", "replace").strip()
        if text:
            found[key.decode("ascii", "replace")] = text
        position += 8 + size + size % 2
    return found


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


# ---------------------------------------------------------------------- a temporary file


class Spool:
    """Mono samples in a temporary file, 4 bytes each, removed on close: what can only be decoded in order."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="anemone-")  # noqa: SIM115 closed in close()
        self._lock = threading.Lock()
        self.n_frames = 0

    def append(self, samples: np.ndarray) -> None:
        """Add float32 samples at the end."""
        self._file.write(samples.tobytes())
        self.n_frames += len(samples)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames `start` to `stop`, float32, shape (stop - start, 1)."""
        with self._lock:
            self._file.seek(start * 4)
            content = self._file.read((stop - start) * 4)
        return np.frombuffer(content, np.float32).reshape(-1, 1)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


# ---------------------------------------------------------------------- libsndfile


class SndfileDecoder:
    """What libsndfile reads: FLAC, OGG, MP3, AIFF, W64, AU, and the odder WAV encodings."""

    def __init__(self, source: Source) -> None:
        import soundfile

        self._source = source
        self._lock = threading.Lock()
        self._errors = (soundfile.LibsndfileError, RuntimeError, ValueError, OverflowError)
        try:
            self._file = soundfile.SoundFile(str(source.path) if source.path else as_file(source))
        except self._errors as error:
            raise AudioError(f"libsndfile says: {getattr(error, 'error_string', error)}") from None
        self.sample_rate, self.channels = int(self._file.samplerate), int(self._file.channels)
        self.format = f"{self._file.format} {self._file.subtype}"
        self.warnings: list[str] = []
        self.comments = {
            key: text for key, text in self._file.copy_metadata().items() if isinstance(text, str) and text
        }
        if not 0 < self.sample_rate <= MAX_SAMPLE_RATE_HZ:
            raise AudioError(f"{source.name} claims {self.sample_rate} Hz; its header is damaged")
        claimed = int(self._file.frames)
        # A lossy decoder's rounding depends on where it began, and a seek is not exact: decode those once, in order.
        self._spool = Spool() if self._file.format in ("OGG", "MP3") else None
        if self._spool is None and self._is_last(claimed):
            self.n_frames = claimed
        else:
            self.n_frames = self._decode_all()
        if self.n_frames == 0:
            raise AudioError(f"no audio could be decoded in {source.name}")
        if self.n_frames != claimed and claimed < 1 << 60:
            self.warnings.append(
                f"the header claims {claimed} samples, {self.n_frames} could be decoded "
                f"({self.n_frames / self.sample_rate:.6g} s)"
            )
        if self._file.format == "FLAC":
            more = _flac_end(source)
            if more is not None and more > self.n_frames:
                raise AudioError(f"the header claims {self.n_frames} samples, the stream goes on to {more}")

    def _is_last(self, claimed: int) -> bool:
        """Tell whether the last frame that the header claims can be decoded."""
        if claimed <= 0 or claimed > self._source.size * 4096:  # no codec packs 4096 frames into a byte
            return False
        try:
            self._file.seek(claimed - 1)
            return len(self._file.read(1, dtype="float32")) == 1
        except self._errors:
            return False

    def _decode_all(self) -> int:
        """Decode to the end, or to the first damage; return how many frames came."""
        block, n_frames = np.empty((COUNT_BLOCK_FRAMES, self.channels), np.float32), 0
        try:
            self._file.seek(0)
            while n := len(self._file.read(out=block)):
                n_frames += n
                if self._spool is not None:
                    self._spool.append(block[:n].mean(axis=1, dtype=np.float32))
        except self._errors as error:
            self.warnings.append(f"decoding stopped at {n_frames / self.sample_rate:.6g} s: {error}")
        return n_frames

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames `start` to `stop`, float32, shape (stop - start, channels)."""
        if self._spool is not None:
            return self._spool.read(start, stop)
        frames = np.full((stop - start, self.channels), np.nan, np.float32)
        with self._lock:
            try:
                if self._file.tell() != start:
                    self._file.seek(start)
                frames[len(self._file.read(dtype="float32", out=frames)) :] = np.nan
            except self._errors:
                frames[:] = np.nan  # reported as skipped
        return frames

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._spool is not None:
            self._spool.close()


def _flac_end(source: Source) -> int | None:
    """Sample after the last frame of a FLAC stream, told by the stream itself; none if it does not tell."""
    import av

    try:
        with av.open(str(source.path) if source.path else as_file(source), mode="r") as container:
            stream = container.streams.audio[0]
            if stream.time_base is None:
                return None
            container.seek(max(0, (container.duration or 0) - 1), any_frame=True)
            ends = [p.pts + (p.duration or 0) for p in container.demux(stream) if p.pts is not None]
            return round(float(max(ends) * stream.time_base * stream.rate)) if ends else None
    except (av.FFmpegError, IndexError, ValueError, OverflowError):
        return None


# ---------------------------------------------------------------------- FFmpeg


class FfmpegDecoder:
    """What only FFmpeg reads (M4A, AAC, WebM, damaged FLAC): decoded once, in order, to mono.

    Seeking in these streams is not exact, and their length is known only at the end.
    """

    def __init__(self, source: Source) -> None:
        import av

        self.warnings: list[str] = []
        self._spool = Spool()
        self.sample_rate = self.channels = 0
        try:
            with av.open(str(source.path) if source.path else as_file(source), mode="r") as container:
                if not container.streams.audio:
                    raise AudioError(f"{source.name} holds no audio stream")
                stream = container.streams.audio[0]
                self.format = f"{container.format.name} {getattr(stream.codec_context, 'name', '?')}"
                self.comments = {**container.metadata, **stream.metadata}
                self._decode(source, container, stream)
        except (av.FFmpegError, AttributeError, OverflowError, ValueError) as error:
            self._spool.close()
            raise AudioError(f"FFmpeg says: {getattr(error, 'strerror', None) or error}") from None
        except AudioError:
            self._spool.close()
            raise
        self.n_frames = self._spool.n_frames
        if self.n_frames == 0:
            self._spool.close()
            raise AudioError(f"no audio could be decoded in {source.name}")

    def _decode(self, source: Source, container: Any, stream: Any) -> None:
        import av

        damaged, lost = 0, 0
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                n_channels, rate = frame.layout.nb_channels, frame.sample_rate
                if self.sample_rate and rate != self.sample_rate:
                    raise AudioError(
                        f"the sample rate of {source.name} changes from {self.sample_rate} to {rate} Hz after "
                        f"{self._spool.n_frames / self.sample_rate:.6g} s; split it there"
                    )
                if self.channels and n_channels != self.channels:
                    self.warnings.append(
                        f"the number of channels changes from {self.channels} to {n_channels} after "
                        f"{self._spool.n_frames / self.sample_rate:.6g} s; each part is the mean of its channels"
                    )
                self.sample_rate, self.channels = rate, n_channels
                if damaged and frame.pts is not None:
                    missing = round(float((frame.pts - (stream.start_time or 0)) * frame.time_base * rate))
                    missing -= self._spool.n_frames
                    if 0 < missing <= damaged * MAX_PACKET_FRAMES:
                        self._spool.append(np.full(missing, np.nan, np.float32))
                        lost += missing
                samples = _as_float32(frame, n_channels)
                self._spool.append(samples.mean(axis=1, dtype=np.float32))
        if damaged:
            self.warnings.append(
                f"{damaged} damaged packets could not be decoded; {lost} samples in their place are skipped"
            )

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames `start` to `stop`, float32, shape (stop - start, 1)."""
        return self._spool.read(start, stop)

    def close(self) -> None:
        """Remove the temporary file."""
        self._spool.close()


def _as_float32(frame: Any, n_channels: int) -> np.ndarray:
    """Samples of an FFmpeg frame, shape (n, channels), in [-1, 1]."""
    samples = frame.to_ndarray()
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, n_channels)
    if samples.dtype.kind == "u":
        return (samples.astype(np.float32) - 128) / np.float32(128)
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / np.float32(2.0 ** (8 * samples.dtype.itemsize - 1))
    return samples.astype(np.float32)
