"""From the bytes of a recording to frames of samples, by range.

*Conventions.* A frame is one sample of every channel. A decoder gives `sample_rate` in Hz, `channels`, `n_frames`
(counted in the data, not taken from a header), `warnings`, `comments` (text found beside the audio), and
``read(start, stop)``, which returns frames `start` to `stop` as float32 in [-1, 1], shape ``(n, channels)``, the same
bits however the range was cut. Lost samples are NaN, and `lost` says why, as far as it is known at that time.

| module | what | how |
|---|---|---|
| `anemone_lib.audio.pcm` | plain samples, µ-law and A-law in WAV, RIFX, RF64, W64, AIFF, AU, CAF | by byte range |
| `anemone_lib.audio.flac` | FLAC | by frame: an index of the frames' headers |
| `anemone_lib.audio.mpeg` | MP3, MP2, AAC without a container | once, in order, to a temporary file |
| `anemone_lib.audio.ffmpeg` | OGG, M4A, WebM, Matroska, MPEG-TS, … | the same, by the containers' timestamps |
| `SndfileDecoder`, here | ADPCM and other rare encodings | libsndfile, by range, with a corrected header |
"""

import threading
from typing import Protocol

import numpy as np

from anemone_lib.audio.ffmpeg import FfmpegDecoder
from anemone_lib.audio.flac import FlacDecoder
from anemone_lib.audio.flac_frames import find_stream
from anemone_lib.audio.gaps import Lost
from anemone_lib.audio.layouts import read_layout
from anemone_lib.audio.mpeg import FrameDecoder
from anemone_lib.audio.mpeg_frames import find_frames
from anemone_lib.audio.pcm import MAX_SAMPLE_RATE_HZ, PcmDecoder
from anemone_lib.audio.sources import DecoderError, Source, open_as_file
from anemone_lib.audio.spool import DecodeLimits
from anemone_lib.audio.wav import rewrite_wav
from anemone_lib.errors import AudioError

#: Frames that are decoded at once when all are counted.
COUNT_BLOCK_FRAMES = 1 << 18
#: First bytes of files that are no bare stream of MP3 or AAC frames, although some bytes in them can look like it.
_CONTAINERS = (
    b"RIFF",
    b"RIFX",
    b"RF64",
    b"BW64",
    b"riff",
    b"FORM",
    b"OggS",
    b"fLaC",
    b"caff",
    b".snd",
    b"\x1aE\xdf\xa3",
)
_MPEG_SUFFIXES = (".mp3", ".mp2", ".mpga", ".aac", ".adts")


class Decoder(Protocol):
    """A decoder: it turns the bytes of one recording into frames."""

    sample_rate: int
    channels: int
    n_frames: int
    format: str
    warnings: list[str]
    comments: dict[str, str]
    lost: list[Lost]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames `start` to `stop`, float32, shape (stop - start, channels)."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


def open_decoder(source: Source, limits: DecodeLimits | None = None) -> Decoder:
    """Find the decoder for a source.

    Parameters
    ----------
    source : Source
    limits : DecodeLimits, optional

    Raises
    ------
    AudioError
        The source is empty, is not audio, or no decoder reads it.
    LimitError
        It is more than the limits allow. Without limits, plain samples may be of any length: they are as long as the
        file is large, which what is compressed need not be.
    """
    decoder = _choose_decoder(source, limits or DecodeLimits())
    if limits is not None or not isinstance(decoder, PcmDecoder):
        try:
            (limits or DecodeLimits()).check_length(source.name, decoder.n_frames, decoder.sample_rate)
        except BaseException:
            decoder.close()
            raise
    return decoder


def _choose_decoder(source: Source, limits: DecodeLimits) -> Decoder:
    if source.size == 0:
        raise AudioError(f"{source.name} is empty: 0 bytes; was it copied to the end?")
    head = source.read_at(0, 12)
    layout = read_layout(source)
    if layout is not None and layout.encoding.kind:
        return PcmDecoder(source, layout)
    stream = find_stream(source)
    if stream is not None:
        return FlacDecoder(source, stream)
    if not head.startswith(_CONTAINERS) and head[4:8] != b"ftyp":
        sure = head[:3] == b"ID3" or head[:1] == b"\xff" or source.name.lower().endswith(_MPEG_SUFFIXES)
        frames = find_frames(source) if sure else None
        if frames is not None:
            return FrameDecoder(source, *frames, limits)
    reasons = []
    if layout is not None and layout.warnings and layout.segments:
        try:
            decoder = SndfileDecoder(rewrite_wav(source, layout), limits)
        except DecoderError as error:
            reasons.append(str(error).rstrip(". "))
        else:
            decoder.warnings, decoder.comments = [*layout.warnings, *decoder.warnings], layout.comments
            return decoder
    for kind in (SndfileDecoder, FfmpegDecoder):
        try:
            return kind(source, limits)
        except DecoderError as error:
            reasons.append(str(error).rstrip(". "))
    if head[4:8] == b"ftyp" and "Invalid data" in reasons[-1]:
        raise AudioError(
            f"{source.name} cannot be decoded: it is an M4A or MP4 file whose index is missing, damaged or "
            "out of place. The recorder stopped before it wrote the index, or the file has bytes too few or too many. "
            "Tools such as untrunc rebuild the index from another recording of the same recorder"
        )
    raise AudioError(
        f"{source.name} cannot be decoded: {'; '.join(reasons)}. "
        "Known are WAV, RF64, W64, AIFF, FLAC, OGG, MP3, M4A, AAC, WebM, Matroska and MPEG-TS"
    )


class SndfileDecoder:
    """ADPCM and other encodings that are not plain samples, read by range by libsndfile."""

    def __init__(self, source: Source, limits: DecodeLimits) -> None:
        import soundfile

        self._source, self._limits = source, limits
        self._lock = threading.Lock()
        self._errors = (soundfile.LibsndfileError, RuntimeError, ValueError, OverflowError)
        head = source.read_at(0, 4)
        if head.startswith((b"OggS", b"ID3", b"\xff")):
            raise DecoderError("libsndfile stops at the first damage of an MP3 or OGG stream")
        try:
            self._file = soundfile.SoundFile(str(source.path) if source.path else open_as_file(source))
        except self._errors as error:
            said = str(getattr(error, "error_string", error))
            # libsndfile gives this message also for an MP3 without a frame.
            said = "Format not recognised." if said.startswith("File does not exist") else said
            raise DecoderError(f"libsndfile says: {said}") from None
        try:
            self._look(source)
        except BaseException:
            self._file.close()
            raise

    def _look(self, source: Source) -> None:
        self.sample_rate, self.channels = int(self._file.samplerate), int(self._file.channels)
        self.format = f"{self._file.format} {self._file.subtype}"
        self.warnings: list[str] = []
        self.lost: list[Lost] = []
        if self._file.format in ("MP3", "OGG"):
            raise DecoderError("libsndfile stops at the first damage of an MP3 or OGG stream")
        metadata = self._file.copy_metadata()
        self.comments = {key: text for key, text in metadata.items() if isinstance(text, str) and text}
        if not 0 < self.sample_rate <= MAX_SAMPLE_RATE_HZ:
            raise AudioError(f"{source.name} claims {self.sample_rate} Hz; its header is damaged")
        claimed = int(self._file.frames)
        self.n_frames = claimed if self._is_last(claimed) else self._count()
        if self.n_frames == 0:
            raise DecoderError(f"no audio could be decoded in {source.name}")
        if self.n_frames != claimed and claimed < 1 << 60:
            self.warnings.append(
                f"the file should have {claimed / self.sample_rate:.6g} s of audio, "
                f"{self.n_frames / self.sample_rate:.6g} s could be decoded"
            )

    def _is_last(self, claimed: int) -> bool:
        """Return whether the last frame that the header claims can be decoded."""
        if claimed <= 0 or claimed > self._source.size * 4096:  # no codec packs 4096 frames into a byte
            return False
        try:
            self._file.seek(claimed - 1)
            return len(self._file.read(1, dtype="float32")) == 1
        except self._errors:
            return False

    def _count(self) -> int:
        """Decode to the end, or to the first damage; return the number of frames."""
        block, n_frames = np.empty((COUNT_BLOCK_FRAMES, self.channels), np.float32), 0
        try:
            self._file.seek(0)
            while n := len(self._file.read(out=block)):
                n_frames += n
                self._limits.check_length(self._source.name, n_frames, self.sample_rate)
                self._limits.check_time(self._source.name)
        except self._errors as error:
            self.warnings.append(f"decoding stopped at {n_frames / self.sample_rate:.6g} s: {error}")
        return n_frames

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames `start` to `stop`, float32, shape (stop - start, channels)."""
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
