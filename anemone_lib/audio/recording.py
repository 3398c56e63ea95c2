"""Recordings: any source as mono float32, by sample range.

`open_recording` gives a `Recording`, which never holds the audio: ``read(start, stop)`` decodes the range, takes the
mean of the channels (as librosa does) or one of them, and resamples to `target_sr` if it is given. Every range gives
the same samples, bit for bit: resampling works on a fixed grid of blocks, and each block is read with enough of its
neighbours that the filter never meets an edge.

Samples that are not finite, or that could not be decoded, are returned as NaN, and the windows that contain them are
reported as skipped. They are never replaced by silence.
"""

import math
import os
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np

from anemone_lib.audio.channels import Channel, check_channel, compare_channels, describe_channels
from anemone_lib.audio.clock import Clock, read_clock
from anemone_lib.audio.decoders import open_decoder
from anemone_lib.audio.gaps import find_reason
from anemone_lib.audio.metadata import read_sidecar, read_tags
from anemone_lib.audio.sources import hash_source, open_source
from anemone_lib.audio.spool import DecodeLimits
from anemone_lib.errors import AudioError
from anemone_lib.files import spell_name

#: Suffixes of recordings in a folder that is searched; a file with any suffix can be opened by its name.
AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".w64", ".rf64", ".caf", ".au"),
    *(".m4a", ".mp4", ".aac", ".mp2", ".webm", ".mka", ".mkv", ".ts"),
)


#: Input samples in a resampling block, at least.
RESAMPLE_BLOCK_SAMPLES = 1 << 16


#: Samples, at the lower of the two rates, that a block shares with each neighbour; soxr's HQ filter is shorter.
RESAMPLE_CONTEXT_SAMPLES = 1 << 11


#: A float sample above this, 180 dB over full scale, counts as damaged, as one that is not a number.
MAX_AMPLITUDE = 1e9


#: Samples, at the lower of the two rates, on each side of a gap that the resampling filter changes.
RESAMPLE_BLUR_SAMPLES = 64

NOT_FINITE = "the samples are not finite numbers, or could not be decoded"


def open_recording(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    target_sr: int | None = None,
    timezone: str | None = None,
    start_time: datetime | str | None = None,
    start_time_format: str | None = None,
    name: str | None = None,
    channel: Channel = "mean",
    limits: DecodeLimits | None = None,
) -> "Recording":
    """Open a recording without reading it.

    Parameters
    ----------
    source : path, ``file://`` or ``s3://`` address, or binary file object
        WAV, RF64, W64, AIFF, FLAC, OGG, MP3, M4A, AAC, WebM, Matroska, MPEG-TS and more, of any length.
    target_sr : int > 0, in Hz, or None
        Resample to this rate; None keeps the recording's own.
    timezone : str, optional
        Time zone of the time in the file name, like ``"Asia/Tokyo"`` or ``"+09:00"``, for names and metadata that
        do not state their offset; UTC by default.
    start_time : datetime or str, optional
        The start of the recording, like ``"2023-02-10 00:00:01"``; it wins over the name and the file.
    start_time_format : str, optional
        How dates are written in the name, in the codes of `datetime.strptime`, if it is not one of the usual ways.
    name : str, optional
        The recording's name, if the source does not have it, as for an uploaded file.
    channel : int from 1, ``"mean"`` or ``"loudest"``
        Which of several hydrophones is read: one by its number, the mean of all, or the one with the highest level.
    limits : DecodeLimits, optional
        How large the recording may become when it is decoded.

    Returns
    -------
    recording : Recording

    Raises
    ------
    AudioError
        The recording does not exist, or it cannot be decoded; the message says what was found.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> with open_recording(path) as recording:
    ...     first_second = recording.read(0, recording.sample_rate)
    ...     print(recording.duration, recording.start_time.isoformat(), first_second.shape)
    10.0 2023-02-10T06:00:00+00:00 (16000,)
    """
    return Recording(
        source,
        target_sr=target_sr,
        timezone=timezone,
        start_time=start_time,
        start_time_format=start_time_format,
        name=name,
        channel=channel,
        limits=limits,
    )


class Recording:
    """A recording, read by sample range; see `open_recording`.

    Attributes
    ----------
    name : str, the file's name
    sample_rate : int, in Hz, after resampling
    original_sample_rate : int, in Hz, in the file
    n_samples : int, counted from the data, at `sample_rate`
    channels : int, in the file
    channel : int or str, the choice that was given
    pauses : tuple of Pause, times that were not recorded: the clock counts them, the audio does not
    format : str, container and encoding
    start_time : datetime by the recorder's clock, with its offset from UTC, or None if it is not known
    clock : Clock, the start, where it was found, and which dates were not used
    warnings : tuple of str, what is wrong with the file, and what the program did about it

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> recording = open_recording(path, target_sr=8000)
    >>> recording.original_sample_rate, recording.sample_rate, recording.n_samples
    (16000, 8000, 80000)
    >>> recording.read(0, 4).dtype
    dtype('float32')
    >>> recording.close()
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        *,
        target_sr: int | None = None,
        timezone: str | None = None,
        start_time: datetime | str | None = None,
        start_time_format: str | None = None,
        name: str | None = None,
        channel: Channel = "mean",
        limits: DecodeLimits | None = None,
    ) -> None:
        if target_sr is not None and target_sr <= 0:
            raise AudioError(f"target_sr is {target_sr}; it must be a positive number of Hz, or None")
        clock: dict[str, Any] = {
            "timezone": timezone,
            "start_time": start_time,
            "start_time_format": start_time_format,
        }
        self._options: dict[str, Any] = {"target_sr": target_sr, "name": name, "channel": channel, **clock}
        self._source = open_source(source)
        self._source.name = spell_name(name or self._source.name)
        try:
            self._decoder = open_decoder(self._source, limits)
        except BaseException:
            self._source.close()
            raise
        self.pauses = tuple(getattr(self._decoder, "pauses", ()))
        try:
            self.clock = self._read_clock(clock)
            self.warnings = (*self._decoder.warnings, *self.clock.notes)
            self._choose(channel)
        except BaseException:
            self.close()
            raise
        self.name = self._source.name
        self.channels = self._decoder.channels
        self.format = self._decoder.format
        self.original_sample_rate = self._decoder.sample_rate
        self.sample_rate = target_sr or self.original_sample_rate
        self.start_time = self.clock.start_time
        common = math.gcd(self.sample_rate, self.original_sample_rate)
        self._up, self._down = self.sample_rate // common, self.original_sample_rate // common
        self.n_samples = -(-self._decoder.n_frames * self._up // self._down)

    def _read_clock(self, clock: Mapping[str, Any]) -> Clock:
        """Find the start by the name and the text in the file; read rarer tags if it is still not known."""
        name = self._source.name.rpartition("/")[2]
        comments = {**self._decoder.comments, **read_sidecar(self._source.path)}
        found = read_clock(name, comments, **clock)
        has_tags = not self._decoder.format.startswith(("WAV", "RF64"))
        if found.start_time is None and clock["start_time_format"] is None and has_tags:
            return read_clock(name, {**read_tags(self._source), **self._decoder.comments}, **clock)
        return found

    def _choose(self, channel: Channel) -> None:
        """Decide which channel is read, and warn of what the mean of all hides."""
        decoder = self._decoder
        self.channel = check_channel(channel, decoder.channels, self._source.name)
        self._column = self.channel - 1 if isinstance(self.channel, int) else None
        if decoder.channels == 1:
            self._column = 0
        elif self._column is None:
            levels, correlations = compare_channels(decoder.read, decoder.n_frames, decoder.sample_rate)
            if self.channel == "loudest":
                self._column = int(levels.argmax())
            elif decoder.n_frames >= decoder.sample_rate // 10:
                self.warnings += tuple(describe_channels(levels, correlations))

    @property
    def channel_read(self) -> str:
        """The channel that is read: ``mean``, or its number from 1."""
        return "mean" if self._column is None else str(self._column + 1)

    @property
    def location(self) -> str | None:
        """Path or address by which the recording can be opened again, or None if there is none."""
        return self._source.location

    def explain_loss(self, start: int, stop: int) -> str:
        """Say why some samples from `start` to `stop` are NaN."""
        first, last = start * self._down // self._up, -(-stop * self._down // self._up)
        default = getattr(self._decoder, "default_reason", NOT_FINITE)
        return find_reason(self._decoder.lost, first, max(last, first + 1), default)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of the file's bytes; bytes that the disk cannot read count as zeros."""
        return hash_source(self._source)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the samples from `start` to `stop`.

        Parameters
        ----------
        start, stop : int, 0 <= start <= stop <= n_samples
            In samples at `sample_rate`.

        Returns
        -------
        samples : np.ndarray [shape=(stop - start,)], float32
            Of the chosen channel; NaN where the recording has no finite or no decodable sample.
        """
        if not 0 <= start <= stop <= self.n_samples:
            raise AudioError(f"samples {start} to {stop} of {self.name} were asked for; it has {self.n_samples}")
        if start == stop:
            return np.zeros(0, np.float32)
        if self._up == self._down:
            return self._read_mono(start, stop)
        return self._read_resampled(start, stop)

    def _read_mono(self, start: int, stop: int) -> np.ndarray:
        frames = self._decoder.read(start, stop)
        column = self._column
        mono = frames.mean(axis=1, dtype=np.float32) if column is None else np.ascontiguousarray(frames[:, column])
        if getattr(self._decoder, "bounded", False):  # whole numbers are always finite
            return mono
        with np.errstate(invalid="ignore"):
            if not (mono.max() <= MAX_AMPLITUDE and mono.min() >= -MAX_AMPLITUDE):  # true for NaN, too
                mono = np.where(np.abs(mono) <= MAX_AMPLITUDE, mono, np.float32(np.nan))
        return mono

    def _read_resampled(self, start: int, stop: int) -> np.ndarray:
        import soxr

        n_frames, up, down = self._decoder.n_frames, self._up, self._down
        low = max(1.0, down / up)  # original samples a sample at the lower rate
        block = down * -(-RESAMPLE_BLOCK_SAMPLES // down)
        context = down * math.ceil(RESAMPLE_CONTEXT_SAMPLES * low / down)
        block_out, context_out = block // down * up, context // down * up
        samples = np.empty(stop - start, np.float32)
        for k in range(start // block_out, -(-stop // block_out)):
            first, last = k * block - context, (k + 1) * block + context
            padded = np.zeros(last - first, np.float32)
            inside = slice(max(0, first), min(n_frames, last))
            padded[inside.start - first : inside.stop - first] = self._read_mono(inside.start, inside.stop)
            holes = np.isnan(padded)
            has_holes = bool(holes.any())
            if has_holes:
                padded[holes] = 0
            resampled = soxr.resample(padded, self.original_sample_rate, self.sample_rate, quality="HQ")
            resampled = resampled[context_out : context_out + block_out]
            if has_holes:
                resampled[self._find_blurred(holes, low)[context_out : context_out + block_out]] = np.nan
            begin, end = max(start, k * block_out), min(stop, (k + 1) * block_out)
            samples[begin - start : end - start] = resampled[begin - k * block_out : end - k * block_out]
        return samples

    def _find_blurred(self, holes: np.ndarray, low: float) -> np.ndarray:
        """Find the resampled samples that the filter computed from gaps."""
        reach = math.ceil(RESAMPLE_BLUR_SAMPLES * low)
        edges = np.flatnonzero(np.diff(holes.astype(np.int8), prepend=0, append=0))
        blurred = np.zeros(len(holes) // self._down * self._up, bool)
        for start, stop in edges.reshape(-1, 2):
            first = max(0, (start - reach) * self._up // self._down)
            blurred[first : -(-(stop + reach) * self._up // self._down)] = True
        return blurred

    def close(self) -> None:
        """Close the file; the recording cannot be read afterwards."""
        self._decoder.close()
        self._source.close()

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recording {self.name}: {self.duration:.6g} s at {self.sample_rate} Hz, {self.format}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Be sent to another process as an address, and be opened there again."""
        if self._source.location is None:
            raise AudioError(
                f"{self.name} was opened from a file object, which no other process can reach; "
                "open it by its path, or score it in threads"
            )
        return _reopen, (self._source.location, self._options)


def _reopen(location: str, options: Mapping[str, Any]) -> Recording:
    return Recording(location, **options)
