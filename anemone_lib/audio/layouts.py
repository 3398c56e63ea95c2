"""AIFF, CAF and AU files: where their plain samples lie, even if the sizes in their headers are wrong."""

import math
import struct
from collections.abc import Callable, Iterator

from anemone_lib.audio.chunks import STRAY_BYTES, Chunks, Form, find_form
from anemone_lib.audio.pcm import Encoding, Layout, lay_out
from anemone_lib.audio.sources import Source, read_around
from anemone_lib.audio.wav import read_wav

_AIFF_KINDS = {
    b"fl32": ("f4", ">"),
    b"FL32": ("f4", ">"),
    b"fl64": ("f8", ">"),
    b"FL64": ("f8", ">"),
    b"raw ": ("u1", ">"),
    b"ulaw": ("ulaw", ">"),
    b"ULAW": ("ulaw", ">"),
    b"alaw": ("alaw", ">"),
    b"ALAW": ("alaw", ">"),
    b"sowt": ("i", "<"),
    b"42ni": ("i", "<"),
    b"23ni": ("i", "<"),
    b"in24": ("i", ">"),
    b"in32": ("i", ">"),
    b"NONE": ("i", ">"),
    b"twos": ("i", ">"),
}
_AIFF_TEXT = {b"NAME": "title", b"AUTH": "artist", b"(c) ": "copyright", b"ANNO": "comment"}
_AU_KINDS = {
    1: ("ulaw", 1),
    2: ("i1", 1),
    3: ("i2", 2),
    4: ("i4", 3),
    5: ("i4", 4),
    6: ("f4", 4),
    7: ("f8", 8),
    27: ("alaw", 1),
}
#: A size in an AU file that means that the size is not known.
_AU_UNKNOWN = 0xFFFFFFFF
HeadReader = Callable[[bytes], Encoding | None]
_WHOLE = {1: "i1", 2: "i2", 3: "i4", 4: "i4"}


def read_layout(source: Source) -> Layout | None:
    """Find the plain samples of a WAV, RF64, W64, AIFF, CAF or AU file.

    Returns
    -------
    layout : Layout, or None if it is no such file; its kind of samples is empty if they are not plain

    Raises
    ------
    AudioError
        The sample rate is 0 or impossibly high.
    """
    form = find_form(source)
    if form is None:
        return _read_au(source) if source.read_at(0, 4) in (b".snd", b"dns.") else None
    if form.container == "AIFF":
        return _read_pieces(source, form, b"COMM", _read_comm, inset=8)
    if form.container == "CAF":
        return _read_pieces(source, form, b"desc", _read_desc, inset=4)
    return read_wav(source, form)


def _read_pieces(source: Source, form: Form, head: bytes, read_head: HeadReader, inset: int) -> Layout | None:
    """Walk the chunks of an AIFF or CAF file; `inset` bytes come before the samples in the chunk of audio."""
    chunks = Chunks(source, form)
    first, encoding = b"", None
    spans: list[tuple[int, int]] = []
    comments: dict[str, str] = {}
    changed: list[str] = []
    for name, body, size in chunks.walk():
        if name == head:
            content = source.read_at(body, min(size, 1024))
            if not first:
                first, encoding = content, read_head(content)
                if encoding is not None:
                    encoding.check(source.name)
            elif read_head(content) != encoding:
                changed.append(
                    f"from byte {body:,} on, the audio is written in another way; {source.size - body:,} bytes are "
                    "left out: split the file there"
                )
                break
        elif name == form.audio:
            skip = inset
            if form.container == "AIFF":
                offset = int.from_bytes(source.read_at(body, 4), "big")
                skip += offset if offset < 1 << 16 else 0
            spans.append((body + skip, max(0, size - skip)))
            if encoding is not None:
                chunks.explain(encoding.block * encoding.sample_rate)
        elif name in _AIFF_TEXT:
            comments[_AIFF_TEXT[name]] = source.read_at(body, size).split(b"\0")[0].decode("utf-8", "replace").strip()
        elif name == b"info":
            comments.update(_read_info(source.read_at(body, size)))
    if encoding is None or not spans:
        return None
    chunks.explain(encoding.block * encoding.sample_rate)
    warnings = [*chunks.warnings, *changed]
    return lay_out(encoding, spans, container=form.container, warnings=warnings, comments=comments)


def _read_comm(content: bytes) -> Encoding | None:
    """Read the chunk COMM of an AIFF file."""
    if len(content) < 18:
        return None
    channels, _, bits, exponent, mantissa = struct.unpack(">hIhHQ", content[:18])
    rate = math.ldexp(mantissa, (exponent & 0x7FFF) - 16383 - 63) if exponent & 0x7FFF < 16383 + 64 else 0
    kind, order = _AIFF_KINDS.get(content[18:22] or b"NONE", ("", ">"))
    return _make_encoding(rate, channels, kind, bits, order)


def _read_desc(content: bytes) -> Encoding | None:
    """Read the chunk desc of a CAF file."""
    if len(content) < 32:
        return None
    rate, name, flags, _, _, channels, bits = struct.unpack(">d4sIIIII", content[:32])
    kind = {b"lpcm": "f" if flags & 1 else "i", b"ulaw": "ulaw", b"alaw": "alaw"}.get(name, "")
    kind = f"f{bits // 8}" if kind == "f" else kind
    return _make_encoding(rate, channels, kind, bits, "<" if flags & 2 else ">")


def _make_encoding(rate: float, channels: int, kind: str, bits: int, order: str) -> Encoding | None:
    """Return the encoding, or None if the samples are not plain."""
    if kind in ("ulaw", "alaw"):
        n_bytes = 1
    elif bits % 8 or kind not in ("i", "u1", "f4", "f8"):
        return None
    else:
        n_bytes = bits // 8
    if kind == "i":
        kind = _WHOLE.get(n_bytes, "")
    if not kind or channels < 1 or not math.isfinite(rate) or (kind[0] == "f" and n_bytes != int(kind[1])):
        return None
    return Encoding(round(rate), channels, kind, n_bytes, order, channels * n_bytes)


def _read_info(body: bytes) -> dict[str, str]:
    words = [word.decode("utf-8", "replace").strip() for word in body[4:].split(b"\0")]
    return {key: text for key, text in zip(words[::2], words[1::2], strict=False) if key and text}


def _read_au(source: Source) -> Layout | None:
    """Read the header of an AU file, or of several that were joined."""
    spans: list[tuple[int, int]] = []
    warnings: list[str] = []
    encoding = _read_au_header(source, 0)
    if encoding is None:
        return None
    encoding.check(source.name)
    for start, end in _split_au(source):
        if _read_au_header(source, start) != encoding:
            warnings.append(
                f"from byte {start:,} on, the audio is written in another way; {source.size - start:,} bytes are left "
                "out: split the file there"
            )
            break
        offset, claimed = struct.unpack(_find_au_order(source) + "II", source.read_at(start + 4, 8))
        body = start + offset
        present = max(0, end - body)
        if claimed == present or (0 < present - claimed <= STRAY_BYTES and claimed):
            present = claimed
        elif claimed != _AU_UNKNOWN:
            per_s = encoding.block * encoding.sample_rate
            warnings.append(
                f"the header claims {claimed / per_s:.6g} s of audio, the file has {present / per_s:.6g} s; read to "
                "the real end"
            )
        spans.append((body, present))
    return lay_out(encoding, spans, container="AU", warnings=warnings)


def _find_au_order(source: Source) -> str:
    return ">" if source.read_at(0, 4) == b".snd" else "<"


def _read_au_header(source: Source, start: int) -> Encoding | None:
    order = _find_au_order(source)
    head = source.read_at(start, 24)
    if len(head) < 24:
        return None
    _, offset, _, code, rate, channels = struct.unpack(order + "4sIIIII", head)
    if code not in _AU_KINDS or not channels or not 24 <= offset <= 1 << 20:
        return None
    kind, n_bytes = _AU_KINDS[code]
    return Encoding(rate, channels, kind, n_bytes, order, channels * n_bytes)


def _split_au(source: Source) -> Iterator[tuple[int, int]]:
    """Yield where each of the joined files begins and ends: another header follows at the claimed size."""
    start = 0
    while True:
        offset, claimed = struct.unpack(_find_au_order(source) + "II", source.read_at(start + 4, 8))
        following = start + offset + claimed
        magic = source.read_at(0, 4)
        if claimed == _AU_UNKNOWN or source.read_at(following, 4) != magic or not _read_au_header(source, following):
            following = _find_au(source, start + offset)
        yield start, following
        if following >= source.size:
            return
        start = following


def _find_au(source: Source, position: int) -> int:
    """Return where another AU file with the same encoding begins, or where the file ends."""
    magic, encoding = source.read_at(0, 4), source.read_at(12, 12)
    while position < source.size:
        block, _ = read_around(source, position, 16 << 20)
        at = block.find(magic)
        while at >= 0:
            if source.read_at(position + at + 12, 12) == encoding:
                return position + at
            at = block.find(magic, at + 1)
        position += max(1, len(block) - 24) if position + len(block) < source.size else len(block)
    return source.size
