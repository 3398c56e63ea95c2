"""The frames of MP3, MP2 and AAC (ADTS): streams without a container, found by their headers.

Every frame has its own size and a fixed number of samples. There is no index, and the number of frames in a header at
the start can be an estimate, or the number of another file. So the frames are followed from one to the next, to the end
of the data. If the next frame is not at its place, the stream is damaged, and the program searches for the next two
frames that follow each other. The formats are those of ISO 11172-3, 13818-3 and 13818-7.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from anemone_lib.audio.sources import REMOTE_BLOCK_BYTES, Source, read_around

#: Bytes at the start in which the first frames of a stream are searched.
SEARCH_BYTES = 1 << 16
#: Number of frames that must follow each other in a stream.
SURE_FRAMES = 4

_BIT_RATES_KBPS = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_RATES_HZ = (44_100, 48_000, 32_000)
_ADTS_RATES_HZ = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)


class Frame(NamedTuple):
    """The header of a frame."""

    codec: str
    kind: int  # the bits that do not change within a stream
    size: int  # bytes
    samples: int
    sample_rate: int
    lead: int  # bytes before the main data: header, checksum, side information
    mono: bool


def read_frame_header(head: bytes) -> Frame | None:
    """Read the header of an MPEG audio or ADTS frame.

    Parameters
    ----------
    head : bytes, at least 7

    Returns
    -------
    frame : Frame, or None if these bytes are no header

    Examples
    --------
    >>> read_frame_header(bytes.fromhex("fffb94c0000000")).samples
    1152
    """
    if len(head) < 7 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:  # ADTS
        rate = head[2] >> 2 & 15
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        lead = 7 if head[1] & 1 else 9
        if rate >= len(_ADTS_RATES_HZ) or size <= lead:
            return None
        kind = 1 << 30 | (head[1] & 8) << 16 | (head[2] & 0xFD) << 8 | head[3] & 0xC0
        return Frame("aac", kind, size, 1024 * ((head[6] & 3) + 1), _ADTS_RATES_HZ[rate], lead, False)
    version, layer = (2.5, 0, 2, 1)[head[1] >> 3 & 3], 4 - (head[1] >> 1 & 3)
    bit_rate, rate, padding, mode = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1, head[3] >> 6
    if not version or layer == 4 or bit_rate in (0, 15) or rate == 3 or head[3] & 3 == 2:
        return None
    first = version == 1
    kbps = _BIT_RATES_KBPS[1 if first else 2, layer][bit_rate]
    sample_rate = _MPEG_RATES_HZ[rate] >> (0 if first else 1 if version == 2 else 2)
    samples = 384 if layer == 1 else 1152 if layer == 2 or first else 576
    if layer == 1:
        size = (12_000 * kbps // sample_rate + padding) * 4
    else:
        size = samples // 8 * 1000 * kbps // sample_rate + padding
    mono = mode == 3
    side = 0 if layer < 3 else ((17 if mono else 32) if first else (9 if mono else 17))
    lead = 4 + (0 if head[1] & 1 else 2) + side
    kind = (head[1] & 0xFE) << 8 | head[2] & 0x0C
    return Frame(f"mp{layer}float" if layer < 3 else "mp3float", kind, size, samples, sample_rate, lead, mono)


class _Window:
    """The bytes of a source around a place that only moves forward."""

    def __init__(self, source: Source) -> None:
        self._source, self._base, self._bytes = source, 0, b""
        self.unreadable = 0

    def get(self, position: int, n_bytes: int) -> bytes:
        """Return bytes from a place, which must not lie before the last one by more than what is kept."""
        start = position - self._base
        if start < 0 or start + n_bytes > len(self._bytes):
            content, unreadable = read_around(self._source, position, max(n_bytes, REMOTE_BLOCK_BYTES))
            self.unreadable += sum(stop - begin for begin, stop in unreadable)
            self._base, self._bytes, start = position, content, 0
        return self._bytes[start : start + n_bytes]


def find_frames(source: Source) -> tuple[int, Frame] | None:
    """Find where a stream of frames begins.

    Returns
    -------
    position, first : int and Frame, or None if `SURE_FRAMES` frames do not follow each other near the start
    """
    window = _Window(source)
    return _find_frames(window, source.size, _skip_tags(window, 0))


def _find_frames(window: _Window, size: int, place: int) -> tuple[int, Frame] | None:
    """Find frames that follow each other, not far behind a place."""
    begin = place
    while begin < place + SEARCH_BYTES:
        block = window.get(begin, SEARCH_BYTES)
        at = block.find(b"\xff")
        if at < 0:
            if len(block) < SEARCH_BYTES:
                return None
            begin += len(block)
            continue
        begin += at
        first = read_frame_header(window.get(begin, 7))
        if first:
            position = begin
            for _ in range(SURE_FRAMES):
                frame = read_frame_header(window.get(position, 7))
                if frame is None or frame.kind != first.kind:
                    break
                position += frame.size
            else:
                return begin, first
            if position >= size > begin and position - begin > 2 * first.size:
                return begin, first  # a stream of few frames
        begin += 1
    return None


def _skip_tags(window: _Window, position: int) -> int:
    """Return the place after ID3, APE and Lyrics3 tags."""
    while True:
        head = window.get(position, 32)
        if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            position += 10 + size + (10 if head[5] & 0x10 else 0)
        elif head[:3] == b"TAG":
            position += 128
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            size = int.from_bytes(head[12:16], "little")
            position += size + (32 if head[23] & 0x80 and head[23] & 0x20 else 32 if not head[23] & 0x20 else 0)
        else:
            return position


@dataclass
class Step:
    """A frame, or bytes that belong to no frame."""

    frame: Frame | None
    content: bytes
    junk: int = 0  # bytes


class Steps:
    """Follow the frames of a source from one to the next.

    Parameters
    ----------
    source : Source
    begin, first : from `find_frames`

    Attributes
    ----------
    unreadable : int, bytes that the disk could not read
    other : int or None, where a stream of another kind begins that was joined and is not followed
    """

    def __init__(self, source: Source, begin: int, first: Frame) -> None:
        self._source, self._begin, self._kind = source, begin, first.kind
        self._window = _Window(source)
        self.other: int | None = None

    @property
    def unreadable(self) -> int:
        """Bytes that the disk could not read, so far."""
        return self._window.unreadable

    def __iter__(self) -> Iterator[Step]:
        """Yield the frames to the end of the source, and the bytes between them."""
        window, kind, position = self._window, self._kind, self._begin
        start = _skip_tags(window, 0)
        if position > start:
            yield Step(None, b"", junk=position - start)
        frame = read_frame_header(window.get(position, 7))
        while position < self._source.size:
            if frame is not None and frame.kind == kind:
                content = window.get(position, frame.size + 7)
                following = read_frame_header(content[frame.size :])
                end = position + frame.size
                whole = len(content) >= frame.size
                if whole and (
                    (following and following.kind == kind) or end >= self._source.size or _skip_tags(window, end) > end
                ):
                    yield Step(frame, content[: frame.size])
                    position, frame = end, following
                    continue
            after = _skip_tags(window, position)
            if after > position:
                position, frame = after, read_frame_header(window.get(after, 7))
                continue
            resumed = self._resume(position + 1)
            if resumed == self._source.size and (joined := _find_frames(_Window(self._source), resumed, position)):
                self.other = resumed = joined[0]
            if frame is not None and frame.kind == kind and position + frame.size == self.other:
                yield Step(frame, window.get(position, frame.size))  # the last before the joined stream
            elif resumed > position:
                yield Step(None, b"", junk=resumed - position)
            if self.other is not None:
                return
            position, frame = resumed, read_frame_header(window.get(resumed, 7))

    def _resume(self, position: int) -> int:
        """Return where the next two frames are that follow each other, or the end."""
        window, kind = self._window, self._kind
        size = self._source.size
        while position < size:
            block = window.get(position, 1 << 14)
            at = block.find(b"\xff")
            if at < 0:
                position += len(block) or size
                continue
            position += at
            frame = read_frame_header(window.get(position, 7))
            if frame is not None and frame.kind == kind:
                following = read_frame_header(window.get(position + frame.size, 7))
                if following is not None and following.kind == kind:
                    return position
                if position + frame.size == size:
                    return position
            position += 1
        return size
