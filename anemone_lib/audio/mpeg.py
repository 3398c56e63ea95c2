"""MP3, MP2 and AAC without a container: frame by frame, to the end of the data.

`anemone_lib.audio.mpeg_frames` finds the frames. Bytes between frames that belong to no frame count as the number of
frames that usually have this size, so that the audio after them keeps its time. A frame by Xing or LAME at the start
gives the encoder's delay.
"""

from collections import deque
from typing import Any

import numpy as np

from anemone_lib.audio.ffmpeg import DAMAGED, MAX_PLANES, OPTIONS, blank, convert_frame
from anemone_lib.audio.gaps import Lost, join_lost
from anemone_lib.audio.mpeg_frames import Frame, Steps
from anemone_lib.audio.sources import Source, open_as_file
from anemone_lib.audio.spool import DecodeLimits, Spool
from anemone_lib.errors import AudioError, spell_number

#: Frames that are written to the temporary file at once.
BATCH_FRAMES = 256
#: Number of frames over which the mean size is taken.
RECENT_FRAMES = 64
#: Delay of every MPEG decoder in samples; encoders do not count it in their delay.
DECODER_DELAY = 529


class FrameDecoder:
    """MP3, MP2 or AAC frames, decoded once and in order.

    Parameters
    ----------
    source : Source
    begin, first : from `find_frames`
    limits : DecodeLimits

    Raises
    ------
    AudioError
        Nothing can be decoded, or the recording passes a limit.
    """

    def __init__(self, source: Source, begin: int, first: Frame, limits: DecodeLimits) -> None:
        import av

        self.warnings: list[str] = []
        self.comments = _read_tags(source)
        self.lost: list[Lost] = []
        self._first, self._source = first, source
        self._spool = Spool(source.name, limits)
        self._junk: list[tuple[int, int]] = []  # where, in stored frames of samples; how long, in samples
        self._bad: list[Lost] = []  # stored samples that are not right
        self._announced = self._delay = self._padding = 0
        self.format = "AAC ADTS" if first.codec == "aac" else f"MP{first.codec[2]} {first.sample_rate} Hz"
        try:
            self._decode(av, begin, limits)
            if self._spool.n_stored == 0:
                raise AudioError(f"no audio could be decoded in {source.name}")
            self.sample_rate, self.channels = self._spool.sample_rate, self._spool.channels
            self._arrange()
        except BaseException:
            self._spool.close()
            raise

    # ------------------------------------------------------------------ decoding

    def _decode(self, av: Any, begin: int, limits: DecodeLimits) -> None:
        codec = av.CodecContext.create(self._first.codec, "r")
        codec.options = {"err_detect": "crccheck+explode"}
        batch: list[np.ndarray] = []
        rate, reservoir, settled, length = self._first.sample_rate, 1 << 20, True, self._first.samples
        sizes: deque[int] = deque(maxlen=RECENT_FRAMES)
        early, stored, n_frames = 0, 0, 0
        self._steps = Steps(self._source, begin, self._first)
        for step in self._steps:
            limits.check_time(self._source.name)
            frame = step.frame
            if frame is None:
                if sizes:
                    frames_lost = round(step.junk / (sum(sizes) / len(sizes)))
                    self._junk.append((stored, max(1, frames_lost) * length))
                else:
                    early = step.junk
                codec.flush_buffers()
                reservoir, settled = 0, False
                continue
            if self._announces(step.content, frame, first=n_frames == 0):
                continue
            sizes.append(frame.size)
            n_frames += 1
            if early and n_frames == 1:
                lost = round(early / frame.size)
                if lost:
                    self._junk.append((0, lost * length))
                early = 0
            whole = self._has_its_bits(step.content, frame, reservoir)
            reservoir = min(reservoir + frame.size - frame.lead, 1 << 20)
            try:
                decoded = codec.decode(av.Packet(step.content))
            except (av.FFmpegError, OverflowError, ValueError):
                decoded = []
            n = 0
            for part in decoded:
                n_channels = part.layout.nb_channels
                if (n_frames > 1 and stored and part.sample_rate != rate) or n_channels > MAX_PLANES:
                    continue  # what a damaged header of a frame within the frame says
                samples, rate = convert_frame(part, n_channels), part.sample_rate
                if batch and samples.shape[1] != batch[0].shape[1]:
                    self._flush(batch, rate)
                batch.append(samples)
                n += len(samples)
            if n:
                length = n
                if not (whole and settled):
                    self._bad.append(Lost(stored, stored + n, DAMAGED))
                settled = whole
            else:
                self._junk.append((stored, length))
                codec.flush_buffers()
                settled = False
            stored += n
            if len(batch) >= BATCH_FRAMES:
                self._flush(batch, rate)
        self._flush(batch, rate)
        self._frames = n_frames

    def _flush(self, batch: list[np.ndarray], rate: int) -> None:
        if batch:
            self._spool.append(np.concatenate(batch), rate)
            batch.clear()

    @staticmethod
    def _has_its_bits(content: bytes, frame: Frame, reservoir: int) -> bool:
        """Return whether the bytes before, which an MP3 frame may use, are there."""
        if frame.codec != "mp3float":
            return True
        at = 4 if content[1] & 1 else 6
        begins = content[at] << 1 | content[at + 1] >> 7 if content[1] & 8 else content[at]
        return begins <= reservoir

    def _announces(self, content: bytes, frame: Frame, *, first: bool) -> bool:
        """Return whether a frame has no audio, only the number of frames and the encoder's delay; note them."""
        if frame.codec != "mp3float":
            return False
        at = frame.lead - (0 if content[1] & 1 else 2)
        if content[36:40] == b"VBRI":
            return True
        if content[at : at + 4] not in (b"Xing", b"Info"):
            return False
        if first:
            flags, at = int.from_bytes(content[at + 4 : at + 8], "big"), at + 8
            if flags & 1:
                self._announced = int.from_bytes(content[at : at + 4], "big")
                at += 4
            at += (4 if flags & 2 else 0) + (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
            if content[at : at + 4] in (b"LAME", b"Lavf", b"Lavc"):
                both = int.from_bytes(content[at + 21 : at + 24], "big")
                self._delay, self._padding = (both >> 12) + DECODER_DELAY, max(0, (both & 0xFFF) - DECODER_DELAY)
        return True

    def _arrange(self) -> None:
        """Put the decoded frames in their place, without the encoder's delay and padding."""
        length = self._first.samples
        lost = sum(size for _, size in self._junk) // length
        if self._announced and len(self._junk) == 1 and 0 <= self._announced - self._frames <= lost + 3:
            lost = self._announced - self._frames  # exact: of what is between two frames, some was never audio
            self._junk[0] = self._junk[0][0], lost * length
        spans, shift = [], 0
        bad = []
        k = 0
        for span in [*self._bad, None]:
            while k < len(self._junk) and (span is None or self._junk[k][0] <= span.start):
                stored, size = self._junk[k]
                spans.append(Lost(stored + shift, stored + shift + size, DAMAGED))
                shift += size
                k += 1
            if span is not None:
                bad.append(Lost(span.start + shift, span.stop + shift, span.reason))
        spans = join_lost(spans)
        total = self._spool.arrange(spans)
        # Both were counted by the encoder, for a file that is whole.
        self._skip = self._delay if self._delay < total else 0
        whole = self._announced == self._frames + lost
        self.n_frames = total - self._skip - (self._padding if whole and self._padding < total - self._skip else 0)
        moved = [Lost(max(0, s.start - self._skip), s.stop - self._skip, s.reason) for s in (*spans, *bad)]
        self.lost = [s for s in join_lost(moved) if s.start < self.n_frames]
        if self._junk:
            seconds = sum(span.stop - span.start for span in self.lost) / self.sample_rate
            times = "once" if len(self._junk) == 1 else f"in {len(self._junk)} places"
            self.warnings.append(f"the stream of frames is damaged {times}; {spell_number(seconds)} s are lost")
        if self._steps.other is not None:
            self.warnings.append(
                f"from byte {self._steps.other:,} on, the audio is written in another way; "
                f"{self._source.size - self._steps.other:,} bytes are left out: split the file there"
            )
        if self._steps.unreadable:
            self.warnings.append(f"{self._steps.unreadable:,} bytes of the file cannot be read from the disk")

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames `start` to `stop`, float32, shape (stop - start, channels)."""
        frames = self._spool.read(start + self._skip, stop + self._skip)
        blank(frames, start, self.lost)
        return frames

    def close(self) -> None:
        """Remove the temporary file."""
        self._spool.close()


def _read_tags(source: Source) -> dict[str, str]:
    """Text of the tags beside the audio, as FFmpeg reads them."""
    import av

    try:
        with av.open(open_as_file(source), mode="r", options=OPTIONS) as container:
            return {key: text for key, text in container.metadata.items() if text}
    except (av.FFmpegError, ValueError, OverflowError):
        return {}
