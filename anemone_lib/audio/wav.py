"""WAV, RIFX, RF64 and W64 files: the description of the audio in their chunks."""

import struct
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from anemone_lib.audio.chunks import Chunks, Form
from anemone_lib.audio.harp import describe_pauses, read_harp
from anemone_lib.audio.metadata import TEXT_CHUNKS, read_chunk
from anemone_lib.audio.pcm import Encoding, Layout, lay_out
from anemone_lib.audio.sources import JoinedSource, Source

#: Bytes at the start, in the middle and at the end of the audio that show how its samples lie.
PEEK_BYTES = 1 << 16
_KINDS = {
    (1, 8): "u1",
    (1, 16): "i2",
    (1, 24): "i4",
    (1, 32): "i4",
    (3, 32): "f4",
    (3, 64): "f8",
    (6, 8): "alaw",
    (7, 8): "ulaw",
}


def read_wav(source: Source, form: Form) -> Layout | None:
    """Walk the chunks of a WAV, RIFX, RF64 or W64 file.

    Returns
    -------
    layout : Layout, or None if there is no audio; its kind of samples is empty if they are not plain

    Raises
    ------
    AudioError
        The sample rate is 0 or impossibly high.
    """
    chunks = Chunks(source, form)
    encoding: Encoding | None = None
    spans: list[tuple[int, int]] = []
    comments: dict[str, str] = {}
    harp, changed, head = b"", "", b""
    for name, body, size in chunks.walk():
        if name == b"fmt ":
            fmt = source.read_at(body, min(size, 1024))
            if len(fmt) < 16:
                continue
            if encoding is None:
                encoding, head = _read_format(fmt, form.order).check(source.name), fmt
            elif fmt[:16] != head[:16]:
                changed = (
                    f"from byte {body:,} on, the audio is written in another way; {source.size - body:,} bytes are "
                    "left out: split the file there"
                )
                break
        elif name in TEXT_CHUNKS:
            comments.update(read_chunk(name, source.read_at(body, size)))
        elif name == b"harp":
            harp = source.read_at(body, size)
        elif name == form.audio:
            if encoding is None:
                break
            spans.append((body, size))
            chunks.explain(_compute_bytes_per_s(encoding, head, form.order))
    if encoding is None or not spans:
        return None
    warnings = [*chunks.warnings, changed] if changed else chunks.warnings
    if encoding.kind == "i4" and encoding.sample_bytes == 4 and _count_valid_bits(head, form.order) == 24:
        encoding = replace(encoding, low=_lies_low(source, spans, form.order))
    layout = lay_out(encoding, spans, container=form.container, warnings=warnings, comments=comments)
    layout.head = head
    if harp and encoding.kind:
        rate, duration = encoding.sample_rate, layout.n_frames / encoding.sample_rate
        began, layout.pauses = read_harp(harp, sample_rate=rate, block=encoding.block, duration=duration)
        if began is not None:
            layout.comments["harp"] = began.isoformat()
        if layout.pauses:
            layout.warnings.append(describe_pauses(layout.pauses))
    return layout


def rewrite_wav(source: Source, layout: Layout) -> Source:
    """Give audio that is not plain samples a correct header, so that libsndfile reads all of it."""
    block = layout.encoding.block
    size = sum(n_blocks * block for _, n_blocks in layout.segments)
    head = b"WAVEfmt " + struct.pack("<I", len(layout.head)) + layout.head + b"\0" * (len(layout.head) % 2)
    head += b"data" + struct.pack("<I", min(size, 0xFFFFFFFF))
    head = b"RIFF" + struct.pack("<I", min(len(head) + size, 0xFFFFFFFF)) + head
    return JoinedSource(source, head, [(offset, n_blocks * block) for offset, n_blocks in layout.segments])


def _read_format(fmt: bytes, order: str) -> Encoding:
    tag, channels, sample_rate, _, block, bits = struct.unpack(order + "HHIIHH", fmt[:16])
    if tag == 0xFFFE and len(fmt) >= 26:
        tag = struct.unpack(order + "H", fmt[24:26])[0]
    if tag == 1 and bits == 24 and block == 4 * channels:  # of which one byte is not used
        bits = 32
    kind = _KINDS.get((tag, bits), "") if channels and block == channels * bits // 8 else ""
    return Encoding(sample_rate, channels, kind, bits // 8, order, max(1, block))


def _count_valid_bits(fmt: bytes, order: str) -> int:
    """Bits of a sample that are used, of those that it takes in the file."""
    extensible = fmt[:2] in (b"\xfe\xff", b"\xff\xfe") and len(fmt) >= 20
    at = 18 if extensible else 14
    return int(struct.unpack(order + "H", fmt[at : at + 2])[0])


def _lies_low(source: Source, spans: Sequence[tuple[int, int]], order: str) -> bool:
    """Tell whether 24 bits lie in the lower three of four bytes, where the standard has the upper three."""
    used = False
    for body, size in spans:
        for place in (0, size // 8 * 4, max(0, size - PEEK_BYTES) // 4 * 4):
            content = source.read_at(body + place, min(PEEK_BYTES, size - place) // 4 * 4)
            samples = np.frombuffer(content[: len(content) // 4 * 4], np.uint8).reshape(-1, 4)
            lowest, top = samples[:, 0 if order == "<" else 3], samples[:, 3 if order == "<" else 0]
            if not np.isin(top, (0, 0xFF)).all():
                return False
            used = used or bool(lowest.any())
    return used


def _compute_bytes_per_s(encoding: Encoding, head: bytes, order: str) -> int:
    if encoding.kind:
        return encoding.block * encoding.sample_rate
    return max(1, struct.unpack(order + "I", head[8:12])[0])
