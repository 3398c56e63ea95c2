"""The chunks of WAV, RIFX, RF64, W64, AIFF and CAF files, and which of their sizes are true.

*Which sizes are true.* A size is taken as true if the bytes after it are chunks up to the end of the file: each chunk
has a name and a size that leads to the next chunk, and the last one ends where the file ends. Four letters alone are no
proof of a chunk, because samples can look like letters. If no size is true, the audio goes on to the end of the file,
or to valid chunks at its end.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from anemone_lib.audio.sources import Source, read_around

#: Bytes at the end of a file in which chunks are searched if the size of the audio is not true.
TAIL_BYTES = 1 << 16
#: Bytes after the audio that are no chunks: up to this number are left out; more than this are audio.
STRAY_BYTES = 1024
#: Bytes in which the audio is searched after a chunk with a wrong size, or the next of joined files.
SEARCH_BYTES, JOINED_BYTES = 1 << 20, 1 << 28
#: Chunks that do not show that the audio has ended.
_BEFORE_AUDIO = (b"fmt ", b"data", b"ds64", b"COMM", b"SSND", b"desc")
#: Chunks that are followed; more are no recording.
MAX_CHUNKS = 100_000


_KNOWN = (
    *(b"fmt ", b"data", b"LIST", b"bext", b"fact", b"cue ", b"smpl", b"inst", b"JUNK", b"junk", b"PAD ", b"FLLR"),
    *(b"iXML", b"guan", b"wamd", b"harp", b"id3 ", b"ID3 ", b"_PMX", b"PEAK", b"levl", b"cart", b"axml", b"ds64"),
    *(b"plst", b"adtl", b"DISP", b"umid", b"chna", b"minf", b"elm1", b"regn", b"ovwf", b"acid", b"qlty", b"mext"),
)


@dataclass(frozen=True)
class Form:
    """The format of the chunks of one container.

    Attributes
    ----------
    container : str, its name
    header : format of `struct` of a chunk's name and size
    audio : bytes, the name of the chunk of audio
    first : int, where the first chunk begins
    begins, joined : compiled patterns, what a file of this form begins with: at its place, and looked for in audio
    landmarks : patterns of chunks that come before the audio, searched after a wrong size
    known : names of chunks
    unknown : range of sizes that mean that the size is not known
    pad : int, the place of a chunk is a multiple of it; 1 if there are no pad bytes
    whole : bool, the size is that of the chunk with its header
    """

    container: str
    header: str
    audio: bytes
    first: int
    begins: re.Pattern[bytes]
    joined: re.Pattern[bytes]
    landmarks: tuple[bytes, ...]
    known: tuple[bytes, ...]
    unknown: range
    pad: int = 2
    whole: bool = False

    @property
    def order(self) -> str:
        """Of the bytes of a number."""
        return self.header[0]

    @property
    def header_bytes(self) -> int:
        """Of a chunk."""
        return struct.calcsize(self.header)

    def place_after(self, body: int, size: int) -> list[int]:
        """Places where the next chunk may begin: filled up, if the size is odd, or not."""
        end = body + size
        return [end] if size % self.pad == 0 else [end + -size % self.pad, end]


def _compile(begins: bytes, chunks: bytes = b"") -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    return re.compile(begins, re.DOTALL), re.compile(begins + chunks, re.DOTALL)


@cache
def _compile_tail(known: tuple[bytes, ...]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(re.escape(name) for name in known if name not in _BEFORE_AUDIO))


_FMT = (b"fmt \x10\0\0\0", b"fmt \x12\0\0\0", b"fmt \x28\0\0\0", b"data")
_NOT_KNOWN_32 = range(0xFFFFFFFF - 0xFFFF, 1 << 32)
#: The last twelve bytes of the names of W64 chunks; the first four are those of WAV.
_W64_RIFF, _W64_WAVE = bytes.fromhex("2E91CF11A5D628DB04C10000"), bytes.fromhex("F3ACD3118CD100C04F8EDB8A")
_W64_LIST, _W64_MARK = bytes.fromhex("2F91CF11A5D628DB04C10000"), bytes.fromhex("5662F7AB2D39D21186C700C04F8EDB8A")
_W64_KNOWN = (*_KNOWN, b"list", b"mark", b"riff")
_AIFF_KNOWN = (
    *(b"COMM", b"SSND", b"FVER", b"NAME", b"AUTH", b"(c) ", b"ANNO", b"COMT", b"MARK", b"INST", b"MIDI", b"APPL"),
    *(b"ID3 ", b"PEAK", b"CHAN", b"basc", b"trns", b"cate", b"bext", b"FLLR", b"SAXL"),
)
_CAF_KNOWN = (
    *(b"desc", b"data", b"pakt", b"kuki", b"chan", b"info", b"free", b"edct", b"mark", b"regn", b"midi", b"ovvw"),
    *(b"peak", b"strg", b"umid", b"uuid"),
)


def find_form(source: Source) -> Form | None:
    """Find the form of a file's chunks by its first bytes; None if it has none of these forms."""
    head = source.read_at(0, 40)
    magic, kind = head[:4], head[8:12]
    if kind == b"WAVE" and magic in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        order = ">" if magic == b"RIFX" else "<"
        begins = _compile(rb"(?:RIFF|RIFX|RF64|BW64).{4}WAVE", rb"(?:fmt |ds64|JUNK|bext|LIST)")
        container = "RF64" if magic in (b"RF64", b"BW64") else "WAV"
        return Form(container, order + "4sI", b"data", 12, *begins, _FMT, _KNOWN, _NOT_KNOWN_32)
    if magic == b"riff" and head[4:16] == _W64_RIFF:
        begins = _compile(re.escape(b"riff" + _W64_RIFF) + rb".{8}wave" + re.escape(_W64_WAVE))
        marks = (b"fmt " + _W64_WAVE, b"data" + _W64_WAVE)
        return Form("W64", "<16sQ", b"data", 40, *begins, marks, _W64_KNOWN, range(1 << 62, 1 << 64), pad=8, whole=True)
    if magic == b"FORM" and kind in (b"AIFF", b"AIFC"):
        begins = _compile(rb"FORM.{4}AIF[FC]", rb"(?:COMM|FVER|NAME|ANNO|COMT|ID3 |MARK|CHAN|PEAK)")
        return Form("AIFF", ">4sI", b"SSND", 12, *begins, (b"COMM\0\0\0", b"SSND"), _AIFF_KNOWN, _NOT_KNOWN_32)
    if magic == b"caff":
        begins = _compile(rb"caff\0\x01\0\0desc")
        unknown = range(1 << 62, 1 << 64)
        return Form("CAF", ">4sQ", b"data", 8, *begins, (b"desc\0\0", b"data"), _CAF_KNOWN, unknown, pad=1)
    return None


class Chunks:
    """The chunks of a file, with the sizes that make sense."""

    def __init__(self, source: Source, form: Form) -> None:
        self._source, self._size = source, source.size
        self._form = form
        self._tail = _compile_tail(form.known)
        self.warnings: list[str] = []
        self._sound: dict[int, bool] = {}
        self._long_size = 0
        self._doubt: tuple[str, int, int] | None = None  # what is odd about the last data chunk

    def _read_header(self, position: int) -> tuple[bytes, int] | None:
        form = self._form
        head = self._source.read_at(position, form.header_bytes)
        if len(head) < form.header_bytes:
            return None
        name, size = struct.unpack(form.header, head)
        if len(name) == 16:  # of a W64 file
            name = name[:4] if name[4:] in (_W64_WAVE, _W64_LIST) else b"mark" if name == _W64_MARK else name[4:8]
        return name, max(0, size - form.header_bytes) if form.whole and size not in form.unknown else size

    def walk(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield name, place of the body and size of every chunk, also of files that were joined."""
        position, seen_data, form = self._form.first, False, self._form
        for _ in range(MAX_CHUNKS):
            header = self._read_header(position)
            if header is None:
                return
            name, size = header
            body = position + form.header_bytes
            if self._begins_file(position):
                position, seen_data = position + form.first, False
                continue
            if name == b"ds64":
                self._long_size = struct.unpack("<Q", self._source.read_at(body + 8, 8).ljust(8, b"\0"))[0]
            if name == form.audio:
                size = self._measure_data(body, size)
                seen_data = True
                yield name, body, size
                position = self._find_next(body, size)
                continue
            if not _is_name(name) or (seen_data and not self._makes_sense(position)):
                return
            if body + size <= self._size or name in form.known:
                yield name, body, min(size, SEARCH_BYTES, self._size - body)
            position = self._find_next(body, size) if seen_data else self._find_next_or_audio(body, size)
        self.warnings.append(f"the file has more than {MAX_CHUNKS:,} chunks; what follows them is left out")

    def explain(self, bytes_per_s: int) -> None:
        """Say in a warning what is odd about the last data chunk."""
        if self._doubt is None:
            return
        text, claimed, present = self._doubt
        self._doubt = None
        self.warnings.append(
            text.format(
                claimed=f"{claimed / bytes_per_s:.6g} s",
                present=f"{present / bytes_per_s:.6g} s",
                rest=f"{abs(present - claimed) / bytes_per_s:.6g} s",
                n_bytes=f"{abs(present - claimed):,}",
            )
        )

    # ------------------------------------------------------------------ what makes sense

    def _begins_file(self, position: int) -> bool:
        return self._form.begins.match(self._source.read_at(position, 64)) is not None

    def _makes_sense(self, position: int, *, whole: bool = False) -> bool:
        """Tell whether chunks follow each other from here to the end of the file.

        Only the chunk here may be cut off by the end of the file, and not where it must be `whole`.
        """
        came_from, waiting = {position: -1}, [position]
        while waiting and len(came_from) <= MAX_CHUNKS:
            place = waiting.pop()
            if place not in self._sound:
                following = self._follow(place, may_be_cut=place == position and not whole)
                if following is not None:
                    fresh = [after for after in following if after not in came_from]
                    came_from.update(dict.fromkeys(fresh, place))
                    waiting += reversed(fresh)
                    continue
                self._sound[place] = True
            if self._sound[place]:
                while place >= 0:
                    self._sound[place] = True
                    place = came_from[place]
                return True
        self._sound.update(dict.fromkeys(came_from, False))
        return False

    def _follow(self, position: int, *, may_be_cut: bool) -> list[int] | None:
        """Return where the chunk after the one here may begin, nowhere if there is none here; None at a good end."""
        if 0 <= self._size - position < max(2, self._form.pad):
            return None
        header = self._read_header(position)
        if header is None:
            return []
        name, size = header
        if self._begins_file(position):
            return None
        if not _is_name(name):
            return []
        body = position + self._form.header_bytes
        rest = self._size - body
        if size > rest:
            last = name in self._form.known and name not in _BEFORE_AUDIO and rest < TAIL_BYTES and may_be_cut
            return None if last else []
        return self._form.place_after(body, size)

    def _find_next(self, body: int, size: int) -> int:
        """Return where the chunk after this one begins, with or without a pad byte."""
        ends = self._form.place_after(body, size)
        return next((end for end in ends if self._makes_sense(end)), ends[0])

    def _find_next_or_audio(self, body: int, size: int) -> int:
        """Return where the next chunk begins; after a wrong size, where the audio begins."""
        ends = self._form.place_after(body, size)
        for end in ends:
            if self._makes_sense(end):
                return end
        for end in ends:
            header = self._read_header(end)
            if header and header[0] in self._form.known:
                return end
        header = self._read_header(ends[0])
        if header and _is_name(header[0]):
            return ends[0]
        content, _ = read_around(self._source, body, SEARCH_BYTES)
        for word in self._form.landmarks:
            if (at := content.find(word)) >= 0:
                self.warnings.append(f"a chunk of {size:,} bytes in the header is damaged; read on after it")
                return body + at
        return ends[0]

    # ------------------------------------------------------------------ how much audio there is

    def _measure_data(self, body: int, claimed: int) -> int:
        """Return how many bytes of audio there are."""
        present = self._size - body
        form = self._form
        if form.container == "RF64" and claimed == 0xFFFFFFFF:
            claimed = self._long_size
        wraps = 1 << (32 if form.header.endswith("I") else 63)
        for size in range(claimed, present + 1, wraps):
            if size == 0 and present < 8:
                continue
            if any(self._makes_sense(end) for end in form.place_after(body, size)):
                if size != claimed:
                    self._doubt = "the header's size wrapped around at 4 GiB; read to the real end, {present}", 0, size
                return size
        size = self._end_of_audio(body, min(claimed, present)) - body
        unknown = claimed in form.unknown or (form.container == "RF64" and not claimed)
        if claimed and not unknown and claimed < size and self._is_padding(body + claimed, body + size):
            self._doubt = "{n_bytes} bytes after the audio that the header claims were left out", claimed, size
            return claimed
        if unknown:
            text = "the header gives no length; read to the end of the file, {present}"
        elif claimed == 0:
            text = "the header claims no audio; read to the end of the file, {present}"
        elif claimed > size:
            text = (
                "the header claims {claimed} of audio, the file has {present}: it was cut short, or the recorder "
                "stopped before it finished the header"
            )
        else:
            text = (
                "the header claims {claimed} of audio, but {rest} more follow; read to the end of the file, {present}: "
                "the recorder stopped before it finished the header"
            )
        self._doubt = text, claimed, size
        return size

    def _is_padding(self, start: int, stop: int) -> bool:
        """Return whether the bytes after the audio are only a few, or zeros that fill the file."""
        if stop - start <= STRAY_BYTES:
            return True
        for place in (start, (start + stop) // 2, stop - TAIL_BYTES):
            if read_around(self._source, max(start, place), min(TAIL_BYTES, stop - start))[0].strip(b"\0"):
                return False
        return True

    def _end_of_audio(self, body: int, claimed: int) -> int:
        """Find where the audio ends: at the next joined file, at the chunks at the end of the file, or at the end."""
        start, position = self._size, body
        while position < min(self._size, body + JOINED_BYTES):
            block, _ = read_around(self._source, position, 16 << 20)
            if found := self._form.joined.search(block):
                return position + found.start()
            position += max(1, len(block) - 64)
            if position + 64 >= self._size:
                break
        begin = max(body + claimed if claimed < self._size - body else body, self._size - TAIL_BYTES)
        tail, _ = read_around(self._source, begin, TAIL_BYTES)
        for found in self._tail.finditer(tail):
            position = begin + found.start()
            header = self._read_header(position)
            if (
                header
                and header[1] <= self._size - position - self._form.header_bytes
                and self._makes_sense(position, whole=True)
            ):
                return position
        return start


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= letter < 127 for letter in name)
