"""WAV files made chunk by chunk, right or wrong."""

import struct

RATE = 8_000


def chunk(name, body, *, size=None, pad=True):
    """A chunk: its name, its size (true or claimed), its body, and the byte that makes it even."""
    return (
        name + struct.pack("<I", len(body) if size is None else size) + body + (b"\0" if pad and len(body) % 2 else b"")
    )


def fmt(sample_rate=RATE, bits=16):
    """The chunk that says how samples are written."""
    return chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, sample_rate, sample_rate * bits // 8, bits // 8, bits))


def riff(*chunks, size=None, magic=b"RIFF"):
    """A file of chunks."""
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if size is None else size) + body
