"""The chunks of WAV, RIFX and RF64 files, and which of their sizes are true.

*What is believed.* A size is believed where what follows makes sense to the end of the file: chunk after chunk, each
with a name and a size that leads to the next, the last one ending where the file ends. Four letters alone decide
nothing: samples spell words, too. Where nothing makes sense, the audio goes on to the end of the file, or to the chunks
at its end that do.
"""

import re
import struct
from collections.abc import Iterator

from anemone_lib.audio.sources import Source, read_around

#: Bytes at the end of a file in which chunks are looked for, where the size of the audio is not believed.
TAIL_BYTES = 1 << 16
#: Bytes after the audio that are no chunks: so few are left out, more are audio that the header forgot.
STRAY_BYTES = 1024
#: Bytes in which the audio is looked for after a chunk whose size leads nowhere, or the next of joined files.
SEARCH_BYTES, JOINED_BYTES = 1 << 20, 1 << 28
#: Chunks in a chain that are followed.
MAX_CHUNKS = 400


_KNOWN = (
    *(b"fmt ", b"data", b"LIST", b"bext", b"fact", b"cue ", b"smpl", b"inst", b"JUNK", b"junk", b"PAD ", b"FLLR"),
    *(b"iXML", b"guan", b"wamd", b"harp", b"id3 ", b"ID3 ", b"_PMX", b"PEAK", b"levl", b"cart", b"axml", b"ds64"),
    *(b"plst", b"adtl", b"DISP", b"umid", b"chna", b"minf", b"elm1", b"regn", b"ovwf", b"acid", b"qlty", b"mext"),
)
_TAIL = re.compile(b"|".join(re.escape(name) for name in _KNOWN if name not in (b"fmt ", b"data", b"ds64")))
_NEXT_FILE = re.compile(rb"RI?F[F6].{4}WAVE(?:fmt |ds64|JUNK|bext|LIST)", re.DOTALL)


class Chunks:
    """The chunks of a WAV file, with the sizes that make sense."""

    def __init__(self, source: Source) -> None:
        self._source, self._size = source, source.size
        magic = source.read_at(0, 4)
        self.order = ">" if magic == b"RIFX" else "<"
        self.container = "RF64" if magic in (b"RF64", b"BW64") else "WAV"
        self.warnings: list[str] = []
        self._sound: dict[int, bool] = {}
        self._long_size = 0
        self._doubt: tuple[str, int, int] | None = None  # what is odd about the last data chunk

    def _header(self, position: int) -> tuple[bytes, int] | None:
        head = self._source.read_at(position, 8)
        return struct.unpack(self.order + "4sI", head) if len(head) == 8 else None

    def walk(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield name, place of the body and size of every chunk, of joined files too."""
        position, seen_data = 12, False
        for _ in range(MAX_CHUNKS):
            header = self._header(position)
            if header is None:
                return
            name, size = header
            body = position + 8
            if self._begins_file(position):
                position, seen_data = position + 12, False
                continue
            if name == b"ds64":
                self._long_size = struct.unpack("<Q", self._source.read_at(body + 8, 8).ljust(8, b"\0"))[0]
            if name == b"data":
                size = self._data_size(body, size)
                seen_data = True
                yield name, body, size
                position = self._after(body, size)
                continue
            if not _is_name(name) or (seen_data and not self._makes_sense(position, 0)):
                return
            if body + size <= self._size or name in _KNOWN:
                yield name, body, min(size, SEARCH_BYTES, self._size - body)
            position = self._after(body, size) if seen_data else self._towards_audio(body, size)

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
        head = self._source.read_at(position, 12)
        return head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE"

    def _makes_sense(self, position: int, depth: int) -> bool:
        """Tell whether chunks follow each other from here to the end of the file."""
        if self._size - position in (0, 1):
            return True
        if position > self._size or depth > MAX_CHUNKS:
            return False
        if position not in self._sound:
            self._sound[position] = False  # until it is known
            self._sound[position] = self._follows(position, depth)
        return self._sound[position]

    def _follows(self, position: int, depth: int) -> bool:
        header = self._header(position)
        if header is None:
            return False
        name, size = header
        if self._begins_file(position):
            return True
        if not _is_name(name):
            return False
        body, rest = position + 8, self._size - position - 8
        if size > rest:
            return name in _KNOWN and name not in (b"data", b"fmt ") and rest < TAIL_BYTES and depth == 0
        return any(self._makes_sense(after, depth + 1) for after in _ends(body, size))

    def _after(self, body: int, size: int) -> int:
        """Return where the chunk after this one begins, with or without a pad byte."""
        ends = _ends(body, size)
        return next((end for end in ends if self._makes_sense(end, 0)), ends[0])

    def _towards_audio(self, body: int, size: int) -> int:
        """Return where the chunk after this one begins, or the audio, where its size leads nowhere."""
        ends = _ends(body, size)
        for end in ends:
            if self._makes_sense(end, 0):
                return end
        for end in ends:
            header = self._header(end)
            if header and header[0] in _KNOWN:
                return end
        header = self._header(ends[0])
        if header and _is_name(header[0]):
            return ends[0]
        content, _ = read_around(self._source, body, SEARCH_BYTES)
        for word in (b"fmt \x10\0\0\0", b"fmt \x12\0\0\0", b"fmt \x28\0\0\0", b"data"):
            if (at := content.find(word)) >= 0:
                self.warnings.append(f"a chunk of {size:,} bytes in the header is damaged; read on after it")
                return body + at
        return ends[0]

    # ------------------------------------------------------------------ how much audio there is

    def _data_size(self, body: int, claimed: int) -> int:
        """Return how many bytes of audio there are."""
        present = self._size - body
        if self.container == "RF64" and claimed == 0xFFFFFFFF:
            claimed = self._long_size
        for size in range(claimed, present + 1, 1 << 32):
            if size == 0 and present < 8:
                continue
            if any(self._makes_sense(end, 0) for end in _ends(body, size)):
                if size != claimed:
                    self._doubt = "the header's size wrapped around at 4 GiB; read to the real end, {present}", 0, size
                return size
        size = self._end_of_audio(body, min(claimed, present)) - body
        unknown = claimed >= 0xFFFFFFFF - 0xFFFF or (self.container == "RF64" and not claimed)
        if claimed and not unknown and claimed < size and self._is_padding(body + claimed, body + size):
            self._doubt = "{n_bytes} bytes after the audio that the header claims were left out", claimed, size
            return claimed
        if unknown:
            text = "the header gives no length; read to the end of the file, {present}"
        elif claimed == 0:
            text = "the header claims no audio; read to the end of the file, {present}"
        elif claimed > size:
            text = (
                "the header claims {claimed} of audio, the file holds {present}: it was cut short, or the recorder "
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
        """Tell whether bytes after the audio are a few stray ones, or zeros that fill a file."""
        if stop - start <= STRAY_BYTES:
            return True
        for place in (start, (start + stop) // 2, stop - TAIL_BYTES):
            if read_around(self._source, max(start, place), min(TAIL_BYTES, stop - start))[0].strip(b"\0"):
                return False
        return True

    def _end_of_audio(self, body: int, claimed: int) -> int:
        """Find where the audio ends: where another file begins, at chunks that end where the file ends, or there."""
        start, position = self._size, body
        while position < min(self._size, body + JOINED_BYTES):
            block, _ = read_around(self._source, position, 16 << 20)
            if found := _NEXT_FILE.search(block):
                return position + found.start()
            position += max(1, len(block) - 32)
            if position + 32 >= self._size:
                break
        begin = max(body + claimed if claimed < self._size - body else body, self._size - TAIL_BYTES)
        tail, _ = read_around(self._source, begin, TAIL_BYTES)
        for found in _TAIL.finditer(tail):
            position = begin + found.start()
            header = self._header(position)
            if header and header[1] <= self._size - position - 8 and self._makes_sense(position, 1):
                return position
        return start


def _ends(body: int, size: int) -> list[int]:
    """Places where the next chunk may begin: after a pad byte, if the size is odd, or without it."""
    return [body + size] if size % 2 == 0 else [body + size + 1, body + size]


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= letter < 127 for letter in name)
