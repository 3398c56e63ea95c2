"""When the raw files of a HARP began: the directory in the ``harp`` chunk of an ``.x.wav``, as Triton writes it.

A HARP records by duty cycle: a raw file, a pause, a raw file. The ``.x.wav`` contains the raw files without the pauses,
and a directory of their start times. Seconds count only recorded audio, so they are places in the file; the time of day
comes from the directory.
"""

import struct
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from anemone_lib.audio.gaps import Pause

#: Bytes of the head of the chunk and of an entry of its directory.
HEAD_BYTES, ENTRY_BYTES = 56, 32
#: If the clock jumps by less than this between two raw files, there is no pause, seconds.
MIN_PAUSE_S = 0.1


def read_harp(content: bytes, *, sample_rate: int, block: int, duration: float) -> tuple[datetime | None, list[Pause]]:
    """Read the directory of raw files.

    Parameters
    ----------
    content : bytes, the chunk's body
    sample_rate : int, in Hz, of the audio
    block : int, bytes of a frame of the audio
    duration : float, of the audio, seconds

    Returns
    -------
    began : datetime in UTC, when the first raw file began; None if the directory makes no sense
    pauses : list of Pause, between raw files that do not follow each other
    """
    n_raw = struct.unpack("<H", content[36:38])[0] if len(content) >= HEAD_BYTES else 0
    raw: list[tuple[datetime, float]] = []
    for k in range(min(n_raw, (len(content) - HEAD_BYTES) // ENTRY_BYTES)):
        start = HEAD_BYTES + ENTRY_BYTES * k
        fields = struct.unpack("<6BHIIIIB7x", content[start : start + ENTRY_BYTES])
        year, month, day, hour, minute, second, ticks, _, n_bytes, _, rate, _ = fields
        try:
            when = datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            return None, []
        if rate != sample_rate or not n_bytes:
            return None, []
        raw.append((when + timedelta(milliseconds=ticks), n_bytes / block / rate))
    if not raw:
        return None, []
    pauses, seconds = [], 0.0
    for (begun, length), (following, _) in pairwise(raw):
        seconds += length
        missing = (following - begun).total_seconds() - length
        if missing >= MIN_PAUSE_S and seconds < duration:
            pauses.append(Pause(seconds, missing))
    return raw[0][0], pauses


def describe_pauses(pauses: list[Pause]) -> str:
    """Say that there are pauses, and what the seconds mean."""
    total = sum(pause.duration for pause in pauses)
    n = "1 pause" if len(pauses) == 1 else f"{len(pauses)} pauses"
    return (
        f"recorded with {n}, {total:.6g} s in all, by the clock in the file: times of day include the pauses, seconds "
        "count only recorded audio"
    )
