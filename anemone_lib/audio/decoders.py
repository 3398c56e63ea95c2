"""From the bytes of a recording to frames of samples, by range.

*Conventions.* A frame is one sample of every channel. A decoder gives `sample_rate` in Hz, `channels`, `n_frames`
(counted from the data, not believed from a header), `warnings`, `comments` (text found beside the audio) and
``read(start, stop)``, which returns frames `start` to `stop` as float32 in [-1, 1], shape ``(n, channels)``, the same
bits however the range was cut.

Three decoders: plain PCM in WAV and RF64 is read in `anemone_lib.audio.wav`; what else libsndfile knows goes there; and
what it refuses goes to FFmpeg through PyAV.
"""

import tempfile
import threading
from typing import Any, Protocol

import numpy as np

from anemone_lib.audio.sources import Source, open_as_file
from anemone_lib.audio.wav import MAX_SAMPLE_RATE_HZ, PcmDecoder, read_wav_layout
from anemone_lib.errors import AudioError

#: A frame count that no check of the data supports is not believed beyond this many bytes a frame.
COUNT_BLOCK_FRAMES = 1 << 18


#: No packet that FFmpeg could not decode stands for more samples than this (FLAC's largest block).
MAX_PACKET_FRAMES = 1 << 16


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
            self._file = soundfile.SoundFile(str(source.path) if source.path else open_as_file(source))
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
        with av.open(str(source.path) if source.path else open_as_file(source), mode="r") as container:
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
            with av.open(str(source.path) if source.path else open_as_file(source), mode="r") as container:
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
