"""The frames of a FLAC stream: where they are, and how to decode some of them.

Every FLAC frame has its number, a checksum of its header and a checksum of the whole frame, and needs no other frame.
So the headers are enough for an index of the frames. Each frame is decoded separately, its number gives its time, and a
damaged frame is lost alone. RFC 9639 describes the format.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from anemone_lib.audio.ffmpeg import convert_frame
from anemone_lib.audio.pcm import MAX_SAMPLE_RATE_HZ
from anemone_lib.audio.sources import Source, read_around
from anemone_lib.errors import AudioError, LimitError

#: Bytes of the largest header of a frame, and bytes that are read at once to index a stream.
HEADER_BYTES, BLOCK_BYTES = 16, 4 << 20
#: In practice, no frame is larger: 65,535 samples of 8 channels of 32 bits.
MAX_FRAME_BYTES = 1 << 21
#: Frames of a stream, at most: 90 GB of recordings as encoders cut them, and 2 GB of memory.
MAX_FRAMES = 20_000_000
#: Bytes at the start in which a stream is searched.
SEARCH_BYTES = 1 << 16
#: A frame that jumps ahead by more than this counts only if the next frame continues there, seconds.
SURE_JUMP_S = 10.0
#: After this many frames of another sample rate, the stream has changed its rate.
CHANGED_FRAMES = 4

SYNC = re.compile(rb"\xff[\xf8\xf9]")
_RATES_HZ = (0, 88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)


def _make_crc8_table() -> bytes:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value << 1 ^ (0x107 if value & 0x80 else 0)
        table.append(value & 0xFF)
    return bytes(table)


_CRC8 = _make_crc8_table()


class Header(NamedTuple):
    """The header of a FLAC frame."""

    number: int  # of the frame, or of its first sample
    variable: bool  # whether `number` is the number of the sample
    samples: int
    sample_rate: int  # 0: that of the stream
    channels: int


def read_frame_header(head: bytes) -> Header | None:
    """Read the header of a FLAC frame.

    Parameters
    ----------
    head : bytes, `HEADER_BYTES` of them, or fewer at the end of a file

    Returns
    -------
    header : Header, or None if these bytes are no header, or if its checksum is wrong
    """
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8:
        return None
    size_code, rate_code, channel_code = head[2] >> 4, head[2] & 15, head[3] >> 4
    if size_code == 0 or rate_code == 15 or channel_code > 10 or head[3] & 1 or head[3] >> 1 & 7 == 3:
        return None
    lead = head[4]
    extra = 0 if lead < 0x80 else next((n for n in range(1, 7) if not lead << n & 0x40), 0)
    if lead >= 0x80 and (lead < 0xC0 or not extra or lead == 0xFF):
        return None
    number = lead if not extra else lead & (0x3F >> extra)
    at = 5 + extra
    rate_bytes = 1 if rate_code == 12 else 2 if rate_code in (13, 14) else 0
    size_bytes = 1 if size_code == 6 else 2 if size_code == 7 else 0
    end = at + size_bytes + rate_bytes
    if len(head) <= end:
        return None
    for byte in head[5:at]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    crc = 0
    for byte in head[:end]:
        crc = _CRC8[crc ^ byte]
    if crc != head[end]:
        return None
    if size_bytes:
        samples = int.from_bytes(head[at : at + size_bytes], "big") + 1
    else:
        samples = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    coded = int.from_bytes(head[at + size_bytes : end], "big")
    rate = _RATES_HZ[rate_code] if rate_code < 12 else coded * {12: 1000, 13: 1, 14: 10}[rate_code]
    return Header(number, bool(head[1] & 1), samples, rate, 2 if channel_code > 7 else channel_code + 1)


@dataclass
class Stream:
    """The metadata of a FLAC file."""

    info: bytes = b""  # the STREAMINFO block
    audio: int = 0  # where the frames begin, at the earliest
    sample_rate: int = 0
    channels: int = 0
    total: int = 0


def find_stream(source: Source) -> Stream | None:
    """Find a FLAC stream, and read what its metadata says.

    Returns
    -------
    stream : Stream, empty if the metadata is lost but there are frames; None if this is no FLAC file
    """
    head, _ = read_around(source, 0, SEARCH_BYTES)
    position = 0
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
        position = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
        head, _ = read_around(source, position, SEARCH_BYTES)
    if head[:4] == b"fLaC":
        return _read_metadata(source, position)
    if read_frame_header(head[:HEADER_BYTES]) is not None:
        return Stream()
    if source.name.lower().endswith((".flac", ".fla")):
        at = head.find(b"fLaC")
        return Stream() if at < 0 else _read_metadata(source, position + at)
    return None


def _read_metadata(source: Source, position: int) -> Stream:
    stream = Stream(audio=position + 4)
    position += 4
    while position + 4 <= source.size:
        block, _ = read_around(source, position, 4 + 34)
        kind, size = block[0] & 0x7F, int.from_bytes(block[1:4], "big")
        if kind > 6 or position + 4 + size > source.size:
            break
        if kind == 0 and size == 34 and not stream.info:
            stream.info = block[4:38]
            packed = int.from_bytes(stream.info[10:18], "big")
            stream.sample_rate, stream.channels = packed >> 44, (packed >> 41 & 7) + 1
            stream.total = packed & (1 << 36) - 1
            stream.audio = position + 38  # a later block may have a wrong length
        position += 4 + size
        if block[0] & 0x80:
            break
    return stream


def find_usual(sizes: list[int]) -> int:
    """Return the most frequent size of the frames; 0 if there are none."""
    return max(set(sizes), key=sizes.count) if sizes else 0


class FrameIndex:
    """Where the frames of a FLAC file are, and how to decode a range of them."""

    def __init__(self, source: Source, stream: Stream) -> None:
        self._source, self._stream = source, stream
        every, marks = self._scan()
        if not every:
            raise AudioError(f"no FLAC frame was found in {source.name}")
        self.sample_rate = (
            find_usual([header.sample_rate for _, header in every if header.sample_rate]) or stream.sample_rate
        )
        found = [(offset, header) for offset, header in every if header.sample_rate in (0, self.sample_rate)]
        others = [(offset, header) for offset, header in every if header.sample_rate not in (0, self.sample_rate)]
        self.channels = find_usual([header.channels for _, header in found])
        self.changes = sum(header.channels != self.channels for _, header in found) >= CHANGED_FRAMES
        if not 0 < self.sample_rate <= MAX_SAMPLE_RATE_HZ:
            raise AudioError(f"{source.name} claims {self.sample_rate} Hz; its header is damaged")
        if len(others) >= CHANGED_FRAMES:
            first = every[0][1].sample_rate or self.sample_rate
            where = next(k for k, (_, header) in enumerate(every) if header.sample_rate not in (0, first))
            before = sum(header.samples for _, header in every[:where])
            raise AudioError(
                f"the sample rate of {source.name} changes from {first} to {every[where][1].sample_rate} Hz after "
                f"{before / first:.6g} s; split it there"
            )
        self._ends = [offset for offset, _ in found[1:]] + [source.size]
        self._place(found, marks)
        self._drop_unfinished()
        self.n_frames = self._starts[-1] + self._sizes[-1] if self._starts else 0
        self.n_bytes = sum(self._ends[k] - self._offsets[k] for k in range(len(self._offsets)))
        self.rest = source.size - (self._ends[len(self._offsets) - 1] if self._offsets else 0)

    def _scan(self) -> tuple[list[tuple[int, Header]], list[int]]:
        """Find all headers of frames, and where further streams begin."""
        found: list[tuple[int, Header]] = []
        marks: list[int] = []
        position, kept = self._stream.audio, b""
        while True:
            block, _ = read_around(self._source, position + len(kept), BLOCK_BYTES)
            content = kept + block
            last = len(block) < BLOCK_BYTES
            limit = len(content) if last else len(content) - HEADER_BYTES
            for match in SYNC.finditer(content):
                at = match.start()
                if at >= limit:
                    break
                header = read_frame_header(content[at : at + HEADER_BYTES])
                if header is not None:
                    found.append((position + at, header))
            if len(found) > MAX_FRAMES:
                raise LimitError(f"{self._source.name} has over {MAX_FRAMES:,} FLAC frames; cut it, or encode it again")
            at = content.find(b"fLaC")
            while 0 <= at < limit:
                marks.append(position + at)
                at = content.find(b"fLaC", at + 1)
            if last:
                return found, marks
            kept, position = content[limit:], position + limit

    def _place(self, found: list[tuple[int, Header]], marks: list[int]) -> None:
        """Put the frames on the timeline: a frame that occurs twice counts once, and a further stream follows."""
        self._starts: list[int] = []
        self._sizes: list[int] = []
        self._offsets: list[int] = []
        ends: list[int] = []
        base, end, self.parts, mark = 0, 0, 1, 0
        block = find_usual([header.samples for _, header in found[:64] if not header.variable])
        self._largest = max(header.samples for _, header in found)
        for k, (offset, header) in enumerate(found):
            passed = False
            while mark < len(marks) and marks[mark] < offset:
                mark, passed = mark + 1, True
            start = header.number if header.variable else header.number * block
            if passed and start == 0 and end:
                base, self.parts = end, self.parts + 1
            if not self._stream.info and not self._starts:
                base = -start  # cut out of the middle of a stream: the first frame is the start
            start += base
            if start - end > SURE_JUMP_S * self.sample_rate and not self._continues(found, k, block):
                continue
            if start < end:
                continue
            self._starts.append(start)
            self._sizes.append(header.samples)
            self._offsets.append(offset)
            ends.append(self._ends[k])
            end = start + header.samples
        self._ends = ends

    @staticmethod
    def _continues(found: list[tuple[int, Header]], k: int, block: int) -> bool:
        """Tell whether the frame after this one has the number that follows."""
        if k + 1 == len(found):
            return False
        header, following = found[k][1], found[k + 1][1]
        return following.number - header.number == (header.samples if header.variable else 1) and bool(block)

    def _drop_unfinished(self) -> None:
        """Leave out the last frame if the file was cut within it."""
        k = len(self._starts) - 1
        if k < 0 or self._ends[k] < self._source.size:
            return
        if np.isnan(self.read(self._starts[k], self._starts[k] + 1, self.channels)[0, 0]):
            for values in (self._starts, self._sizes, self._offsets, self._ends):
                values.pop()

    def read(self, start: int, stop: int, channels: int) -> np.ndarray:
        """Decode the frames of a range; missing and damaged samples are NaN."""
        import av

        frames = np.full((stop - start, channels), np.nan, np.float32)
        first = max(0, bisect_right(self._starts, start) - 1)
        last = bisect_right(self._starts, stop - 1)
        codec = self._open_codec(av)
        block, base = b"", 0
        for k in range(first, last):
            offset, size = self._offsets[k], min(self._ends[k] - self._offsets[k], MAX_FRAME_BYTES)
            if offset < base or offset + size > base + len(block):
                n_bytes = max(size, min(BLOCK_BYTES, self._ends[last - 1] - offset))
                block, base = read_around(self._source, offset, n_bytes)[0], offset
            packet = av.Packet(block[offset - base : offset - base + size])
            try:
                parts = codec.decode(packet)
            except (av.FFmpegError, ValueError, OverflowError):
                codec = self._open_codec(av)
                try:  # the metadata may be what is wrong
                    parts = self._open_codec(av, info=False).decode(packet)
                except (av.FFmpegError, ValueError, OverflowError):
                    continue
            if not parts or parts[0].samples != self._sizes[k]:
                continue
            samples = convert_frame(parts[0], parts[0].layout.nb_channels)
            if samples.shape[1] != channels:
                samples = np.repeat(samples.mean(axis=1, dtype=np.float32, keepdims=True), channels, axis=1)
            at = self._starts[k] - start
            inside = slice(max(0, at), min(len(frames), at + len(samples)))
            if inside.start < inside.stop:
                frames[inside] = samples[inside.start - at : inside.stop - at]
        return frames

    def _open_codec(self, av: Any, *, info: bool = True) -> Any:
        """Return FFmpeg's decoder of single frames, which refuses those whose checksums are wrong."""
        codec = av.CodecContext.create("flac", "r")
        if self._stream.info and info:
            size = self._largest.to_bytes(2, "big") if self._largest < 1 << 16 else b"\xff\xff"
            codec.extradata = size + size + bytes(6) + self._stream.info[10:]
        codec.options = {"err_detect": "crccheck+explode"}
        return codec
