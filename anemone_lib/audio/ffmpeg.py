"""OGG, M4A, WebM, Matroska, MPEG-TS, CAF and more, decoded once and in order by FFmpeg.

Seeking in these streams is not exact, and their length is known only at the end. So they are decoded to a temporary
file, packet by packet. If a packet is damaged, only this packet is lost, and the timestamps of the stream give the time
of the next one. If the timestamps jump forward, that time is lost, and reported as a gap.
"""

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np

from anemone_lib.audio.gaps import Lost, join_lost
from anemone_lib.audio.pcm import MAX_SAMPLE_RATE_HZ
from anemone_lib.audio.sources import DecoderError, Source, open_as_file, read_around
from anemone_lib.audio.spool import DecodeLimits, Spool
from anemone_lib.errors import AudioError, spell_number

#: FFmpeg's names of the containers that are opened: audio containers that name no other files or addresses.
CONTAINERS = (
    *("aac", "aiff", "au", "caf", "flac", "matroska", "webm", "mov", "mp4", "m4a"),
    *("mp3", "mpegts", "ogg", "w64", "wav", "wv", "ape", "tta", "amr"),
)
#: Options of every FFmpeg demuxer: only these containers, and no file or address except the recording itself.
OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none", "err_detect": "crccheck+explode"}
#: A jump of the timestamps that is shorter is rounding, seconds; a jump that is longer is a damaged timestamp.
MIN_JUMP_S, MAX_JUMP_S = 0.05, 86400.0
#: A jump that is longer needs `GLITCH_S` of audio after it, seconds; and the most jumps that are reported one by one.
SURE_JUMP_S, SHOWN_JUMPS = 60.0, 3
#: Times in a row that the demuxer may fail to read on.
MAX_FAILURES = 100
#: Bytes of a file that are searched at once.
BLOCK_BYTES = 1 << 22
#: Frames on either side of a jump by which its size is measured.
SURE_FRAMES = 32
#: A damaged timestamp is followed by a right one within this time, seconds.
GLITCH_S = 2.0
#: An OGG stream that begins later than this was cut out of another stream, seconds.
MAX_LATE_START_S = 10.0
#: Frames after a loss that a lossy codec decodes wrongly, because it lacks the frames before; other codecs: one frame.
SETTLE_S = {"opus": 0.08, "vorbis": 0.0}
LOSSLESS = ("pcm", "flac", "alac", "wavpack", "ape", "tta", "adpcm")

#: Channels of a frame that PyAV shows as arrays of their own.
MAX_PLANES = 8

DAMAGED = "a damaged part could not be decoded"
MISSING = "missing in the file: its timestamps jump here"


@dataclass
class _Jump:
    """A jump of the timestamps before a decoded frame, in samples, and whether something there was damaged."""

    frame: int  # in the order of decoding, of those with a timestamp
    stored: int  # samples before it
    size: int
    damaged: bool
    start: float = 0.0  # seconds, when the first frame was due


class FfmpegDecoder:
    """A recording that FFmpeg decodes, once and in order.

    Parameters
    ----------
    source : Source
    limits : DecodeLimits

    Raises
    ------
    AudioError
        FFmpeg does not know the format, there is no audio, or the recording passes a limit.
    """

    def __init__(self, source: Source, limits: DecodeLimits) -> None:
        import av

        self.warnings: list[str] = []
        self.lost: list[Lost] = []
        self._damaged = self._changed = 0
        self._stopped = ""  # why the demuxer read no further
        self._jumps: list[_Jump] = []
        self._offsets = array("q")  # of every frame: its timestamp less the samples before it
        self._settling: list[Lost] = []  # stored frames that are not right yet
        # While decoding, in seconds: the first timestamp, and the next that is due; in samples: of the last frame, and
        # of those to come that are not right yet; and whether, and for how long, all was damaged since the last good
        # frame.
        self._first: float | None = None
        self._due: float | None = None
        self._last, self._settle, self._broken, self._failed_s = 0, 0, False, 0.0
        self._name, self._limits = source.name, limits
        self._spool = Spool(source.name, limits)
        try:
            with av.open(open_as_file(source), mode="r", options=OPTIONS) as container:
                if not container.streams.audio:
                    raise DecoderError(f"{source.name} has no audio stream")
                stream = container.streams.audio[0]
                if stream.codec_context is None:
                    raise DecoderError(f"FFmpeg has no decoder for what is in {source.name}")
                self.format = f"{container.format.name.split(',')[0]} {getattr(stream.codec_context, 'name', '?')}"
                self.comments = {**container.metadata, **stream.metadata}
                self._paged = container.format.name == "ogg"
                stream.codec_context.options = {"err_detect": "crccheck+explode"}
                self._decode(container, stream, source)
            if self._spool.n_stored == 0:
                raise DecoderError(f"FFmpeg could decode nothing in {source.name}")
            self.sample_rate, self.channels = self._spool.sample_rate, self._spool.channels
            self._arrange()
        except (av.FFmpegError, AttributeError, OverflowError, ValueError, IndexError) as error:
            self._spool.close()
            raise DecoderError(f"FFmpeg says: {getattr(error, 'strerror', None) or error}") from None
        except BaseException:
            self._spool.close()
            raise

    def _decode(self, container: Any, stream: Any, source: Source) -> None:
        """Decode every packet of the stream, and note where its timestamps jump."""
        codec, base = stream.codec_context, stream.time_base
        self._settle_s = 0.0 if codec.name.startswith(LOSSLESS) else SETTLE_S.get(codec.name)
        due: float | None = None  # seconds, when the next packet is
        for packet in self._read_packets(container, stream, source):
            self._limits.check_time(self._name)
            time = None if packet.pts is None or base is None else float(packet.pts * base)
            duration = float((packet.duration or 0) * base) if base else 0.0
            late = time is not None and due is not None and time - due > MIN_JUMP_S
            if (late or self._broken) and self._spool.n_stored:
                codec.flush_buffers()
            if time is not None:
                due = time + duration
            frames = self._decode_packet(packet)
            for frame in frames:
                if self._fits(frame):
                    self._take(frame, codec)
                else:
                    self._note_damage()
            if not frames and self._broken:
                self._failed_s += duration

    def _note_damage(self) -> None:
        self._broken = True
        self._damaged += 1

    def _decode_packet(self, packet: Any) -> list[Any]:
        """Decode a packet; a damaged packet gives no frames."""
        import av

        try:
            frames = list(packet.decode())
        except (av.FFmpegError, OverflowError, MemoryError, ValueError):
            self._note_damage()
            return []
        if packet.is_corrupt:
            self._note_damage()
            return []
        return frames

    def _take(self, frame: Any, codec: Any) -> None:
        """Store a frame, and note whether its timestamp is the expected one."""
        spool, rate = self._spool, frame.sample_rate
        time = None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
        if self._first is None and time is not None:
            self._first = time
            if self._paged and 0 < time <= MAX_LATE_START_S:  # OGG counts from 0: the first pages are lost
                self._first, self._due = 0.0, _read_pre_skip(codec)
        jump = 0.0 if time is None or self._due is None else time - self._due
        settling = frame.samples if self._settle_s is None else round(self._settle_s * rate)
        if abs(jump) >= MIN_JUMP_S or (self._broken and jump > 0):
            place = len(self._offsets), spool.n_stored
            self._jumps.append(_Jump(*place, round(jump * rate), self._broken or self._paged, self._due or 0.0))
            if self._paged and jump > 0:  # FFmpeg counts on from the last good page for one packet
                self._settling.append(Lost(spool.n_stored - self._last, spool.n_stored, DAMAGED))
            if jump > 0 or self._broken:  # back to the start is another stream that was joined
                self._settle = settling
        elif self._broken and self._due is not None:
            self._settle = settling
        if self._settle > 0:
            n = min(self._settle, frame.samples)
            self._settling.append(Lost(spool.n_stored, spool.n_stored + n, DAMAGED))
            self._settle -= n
        self._broken, self._failed_s, self._last = False, 0.0, frame.samples
        if time is not None:
            offset = round((time - (self._first or 0.0)) * rate) - spool.n_stored
            self._offsets.append(max(-(1 << 62), min(1 << 62, offset)))
            self._due = time + frame.samples / rate
        elif self._due is not None:
            self._due += frame.samples / rate
        spool.append(convert_frame(frame, frame.layout.nb_channels), rate)

    def _read_packets(self, container: Any, stream: Any, source: Source) -> Any:
        """Yield the packets of the stream; after an error of the demuxer, go on if it can."""
        import av

        failures, why = 0, ""
        packets = container.demux(stream)
        while failures <= MAX_FAILURES:
            try:
                packet = next(packets)
                failures = 0 if packet.size else failures  # the last one is empty, and says that no more follow
                yield packet
            except (StopIteration, av.EOFError):
                break
            except av.FFmpegError as error:
                failures, why = failures + 1, error.strerror or str(error)
                packets = container.demux(stream)
        if failures > MAX_FAILURES or (failures and self._paged and _is_joined(source)):
            self._stopped = why

    def _fits(self, frame: Any) -> bool:
        """Return whether a frame has the sample rate of the frames before; refuse a change that lasts."""
        spool, rate, n_channels = self._spool, frame.sample_rate, frame.layout.nb_channels
        if not spool.n_stored:
            return 0 < rate <= MAX_SAMPLE_RATE_HZ
        if rate != spool.sample_rate:
            self._changed += frame.samples
            if self._changed > GLITCH_S * rate:
                raise AudioError(
                    f"the sample rate of {self._name} changes from {spool.sample_rate} to {rate} Hz after "
                    f"{spool.n_stored / spool.sample_rate:.6g} s; split it there"
                )
            return False
        self._changed = 0
        if n_channels != spool.channels:
            if n_channels > MAX_PLANES:
                return False
            text = f"the number of channels is not always {spool.channels}; other parts are the mean of their channels"
            if text not in self.warnings:
                self.warnings.append(text)
        return True

    def _arrange(self) -> None:
        """Put the decoded frames in their place on the timeline."""
        rate, spans, shift = self.sample_rate, list[Lost](), 0
        for jump in self._find_believed_jumps():
            start = jump.stored + shift
            spans.append(Lost(start, start + jump.size, DAMAGED if jump.damaged else MISSING))
            shift += jump.size
        if self._broken and 0 < self._failed_s <= MAX_JUMP_S:  # no good frame came after the last damage
            end = self._spool.n_stored + shift
            spans.append(Lost(end, end + round(self._failed_s * rate), DAMAGED))
        self.n_frames = self._spool.arrange(spans)
        self.lost = join_lost([*spans, *(self._move_to_timeline(span, spans) for span in self._settling)])
        if damaged := [span for span in self.lost if span.reason == DAMAGED]:
            seconds = sum(span.stop - span.start for span in damaged) / rate
            places = "one place" if len(damaged) == 1 else f"{len(damaged)} places"
            self.warnings.append(f"the file is damaged in {places}; {spell_number(seconds)} s are lost")
        if self._stopped:
            self.warnings.append(
                f"FFmpeg reads no further than {self.n_frames / rate:.6g} s ({self._stopped}): what follows is left "
                "out; if it is a stream that was joined and is written in another way, split the file there"
            )
        missing = [span for span in spans if span.reason == MISSING]
        for span in missing[:SHOWN_JUMPS]:
            self.warnings.append(
                f"{(span.stop - span.start) / rate:.6g} s are missing in the file from {span.start / rate:.6g} s "
                "on: its timestamps jump there; what follows is at its true time"
            )
        if len(missing) > SHOWN_JUMPS:
            self.warnings.append(f"its timestamps jump {len(missing) - SHOWN_JUMPS} times more")

    def _find_believed_jumps(self) -> list[_Jump]:
        """Return the jumps forward, measured by the frames around them, without those of wrong timestamps."""
        rate, jumps = self.sample_rate, self._jumps
        for number, jump in enumerate(jumps):
            # One frame's timestamp may be off by part of a frame: look at those around.
            begin = max(jumps[number - 1].frame if number else 0, jump.frame - SURE_FRAMES)
            end = min([jump.frame + SURE_FRAMES, *(later.frame for later in jumps[number + 1 : number + 2])])
            before, after = self._offsets[begin : jump.frame], self._offsets[jump.frame : end]
            if jump.frame == 0:
                before.append(round(jump.start * rate))
            if before and after:
                jump.size = round(float(np.median(after) - np.median(before)))
        silent = [jump for jump in jumps if not jump.damaged and jump.size > 0]
        if len(silent) > max(SHOWN_JUMPS, len(self._offsets) // 4):
            self.warnings.append(
                "the timestamps in the file make no sense and are ignored; the file is read without gaps"
            )
            self._failed_s, self._settling = 0.0, []
            return []
        believed, k = list[_Jump](), 0
        while k < len(jumps):
            jump = jumps[k]
            following = jumps[k + 1] if k + 1 < len(jumps) else None
            kept = (following.stored if following else self._spool.n_stored) - jump.stored
            k += 1
            if following and kept < GLITCH_S * rate and abs(jump.size + following.size) < MIN_JUMP_S * rate:
                k += 1  # one wrong timestamp, out and back
                continue
            if jump.size <= 0:
                continue
            if jump.size > MAX_JUMP_S * rate or (jump.size > SURE_JUMP_S * rate and kept < GLITCH_S * rate):
                self.warnings.append(
                    f"the timestamps jump by {jump.size / rate:,.0f} s near {jump.stored / rate:.6g} s; taken for "
                    "damaged, the audio is read on without a gap"
                )
                continue
            believed.append(jump)
        return believed

    @staticmethod
    def _move_to_timeline(span: Lost, spans: list[Lost]) -> Lost:
        """Move a span of stored frames to where they are on the timeline."""
        shift = 0
        for lost in spans:
            if lost.start - shift > span.start:
                break
            shift += lost.stop - lost.start
        return Lost(span.start + shift, span.stop + shift, span.reason)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames `start` to `stop`, float32, shape (stop - start, channels)."""
        frames = self._spool.read(start, stop)
        blank(frames, start, self.lost)
        return frames

    def close(self) -> None:
        """Remove the temporary file."""
        self._spool.close()


def _is_joined(source: Source) -> bool:
    """Tell whether an OGG file has a stream that begins behind another."""
    joined = b"OggS\0\2"  # the first page of a stream
    blocks = range(len(joined), source.size, BLOCK_BYTES)
    return any(joined in read_around(source, place, BLOCK_BYTES + len(joined))[0] for place in blocks)


def _read_pre_skip(codec: Any) -> float:
    """Return the seconds that an Opus stream counts before its audio begins."""
    head = codec.extradata or b""
    return int.from_bytes(head[10:12], "little") / 48_000 if head[:8] == b"OpusHead" else 0.0


def blank(frames: np.ndarray, start: int, lost: list[Lost]) -> None:
    """Set lost samples to NaN, in place; `start` is the place of the first frame."""
    for span in lost:
        first, last = max(0, span.start - start), min(len(frames), span.stop - start)
        if first < last:
            frames[first:last] = np.nan


def convert_frame(frame: Any, n_channels: int) -> np.ndarray:
    """Return the samples of an FFmpeg frame, shape (n, channels), in [-1, 1]."""
    import av

    if frame.format.is_planar and n_channels > MAX_PLANES:  # PyAV would read past the end of their list
        frame = av.AudioResampler(format="flt").resample(frame)[0]
    samples = frame.to_ndarray()
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, n_channels)
    if samples.dtype.kind == "u":
        return (samples.astype(np.float32) - 128) / np.float32(128)
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / np.float32(2.0 ** (8 * samples.dtype.itemsize - 1))
    return samples.astype(np.float32)
