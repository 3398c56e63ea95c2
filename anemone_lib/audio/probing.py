"""Describe a recording by its header only, for an inventory of many thousands of recordings.

*Conventions.* The length of plain samples is counted in the data, as `open_recording` does. For other formats, the
length comes from the header; their frames are counted when they are analysed. If the header does not say enough, the
recording is opened in full.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anemone_lib.audio.clock import Clock, read_clock
from anemone_lib.audio.flac_frames import find_stream
from anemone_lib.audio.gaps import add_pauses
from anemone_lib.audio.layouts import read_layout
from anemone_lib.audio.metadata import read_sidecar, read_tags
from anemone_lib.audio.recording import open_recording
from anemone_lib.audio.sources import Source, open_source, read_around
from anemone_lib.files import spell_name

#: Bytes of the middle and of the end that are compared to find copies of a recording.
SAMPLE_BYTES = 1 << 14
_GAIN = re.compile(
    r"\bat (?:gain setting )?([\w-]+)(?: gain(?: setting)?)? while\b|\b(\w+) gain setting", re.IGNORECASE
)


@dataclass(frozen=True)
class Probe:
    """The description of a recording by its header.

    Attributes
    ----------
    size : int, in bytes
    format : str, container and encoding
    sample_rate : int, in Hz
    channels : int
    duration : float, in seconds
    elapsed : float, in seconds: the duration with the pauses of the recorder
    clock : Clock, when it began
    notes : tuple of str, what is odd about the file
    by_range : bool, whether its middle can be read without the audio before it
    gain : str, as the recorder wrote it; empty if it did not
    sample : str, a check sum of some of the bytes: if it differs, the recordings differ

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> probe = probe_recording(path)
    >>> probe.duration, probe.format, probe.by_range, probe.clock.source
    (10.0, 'WAV PCM 16-bit', True, 'the name')
    """

    size: int
    format: str
    sample_rate: int
    channels: int
    duration: float
    elapsed: float
    clock: Clock
    notes: tuple[str, ...] = ()
    by_range: bool = False
    gain: str = ""
    sample: str = ""


def probe_recording(source: Any, *, name: str | None = None, **clock: Any) -> Probe:
    """Read the header of a recording.

    Parameters
    ----------
    source : path, address, or binary file object
    name : str, optional
        The recording's name, if the source does not have it.
    **clock : `timezone`, `start_time` and `start_time_format`, as in `open_recording`

    Returns
    -------
    probe : Probe

    Raises
    ------
    AudioError
        The recording does not exist, or it cannot be decoded.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import numpy as np
    >>> import soundfile
    >>> path = Path(mkdtemp(), "reef.flac")
    >>> soundfile.write(path, np.zeros(8000), 4000)
    >>> probe = probe_recording(path, start_time="2023-02-10 06:00:00", timezone="+09:00")
    >>> probe.sample_rate, probe.duration, probe.clock.start_time.isoformat()
    (4000, 2.0, '2023-02-10T06:00:00+09:00')
    """
    opened = open_source(source)
    try:
        opened.name = spell_name(name or opened.name)
        middle = max(0, opened.size // 2 - SAMPLE_BYTES)
        parts = [read_around(opened, at, SAMPLE_BYTES)[0] for at in (middle, max(0, opened.size - SAMPLE_BYTES))]
        sample = hashlib.blake2b(b"".join([str(opened.size).encode(), *parts]), digest_size=16).hexdigest()
        found = _look_at_plain(opened) or _look_at_flac(opened) or _look_at_container(opened)
        if found is not None:
            comments = {**found.pop("comments"), **read_sidecar(opened.path)}
            began = read_clock(opened.name.rpartition("/")[2], comments, **clock)
            about = {"elapsed": found["duration"], "clock": began, "gain": find_gain(comments), **found}
            return Probe(size=opened.size, sample=sample, **{**about, "notes": (*about.get("notes", ()), *began.notes)})
    finally:
        opened.close()
    with open_recording(source, name=name, **clock) as recording:
        return Probe(
            size=opened.size,
            format=recording.format,
            sample_rate=recording.original_sample_rate,
            channels=recording.channels,
            duration=recording.duration,
            elapsed=add_pauses(recording.duration, recording.pauses),
            clock=recording.clock,
            notes=recording.warnings,
            sample=sample,
        )


def find_gain(comments: Mapping[str, str]) -> str:
    """Find the recorder's gain in the text of a file, as an AudioMoth writes it; empty if there is none.

    >>> find_gain({"ICMT": "Recorded at 06:00:00 10/02/2023 (UTC) by AudioMoth 24F31901 at medium gain while"})
    'medium'
    >>> find_gain({"ICMT": "Recorded at 06:00:00 10/02/2023 by AudioMoth 0FE0 at gain setting 2 while"})
    '2'
    """
    for text in comments.values():
        if "AudioMoth" in text and (found := _GAIN.search(text)):
            return found[1] or found[2]
    return ""


def _look_at_plain(source: Source) -> dict[str, Any] | None:
    """Describe a WAV, AIFF, CAF or AU file of plain samples; None for any other file."""
    layout = read_layout(source)
    if layout is None or not layout.encoding.kind or not layout.n_frames:
        return None
    duration = layout.n_frames / layout.encoding.sample_rate
    return {
        "format": layout.format,
        "sample_rate": layout.encoding.sample_rate,
        "channels": layout.encoding.channels,
        "duration": duration,
        "elapsed": add_pauses(duration, layout.pauses),
        "notes": tuple(layout.warnings),
        "by_range": True,
        "comments": layout.comments,
    }


def _look_at_flac(source: Source) -> dict[str, Any] | None:
    stream = find_stream(source)
    if stream is None or not (stream.total and stream.sample_rate):
        return None
    return {
        "format": "FLAC",
        "sample_rate": stream.sample_rate,
        "channels": stream.channels,
        "duration": stream.total / stream.sample_rate,
        "comments": read_tags(source),
    }


def _look_at_container(source: Source) -> dict[str, Any] | None:
    """Describe a container by FFmpeg, without decoding it."""
    import av

    from anemone_lib.audio.ffmpeg import OPTIONS
    from anemone_lib.audio.sources import open_as_file

    try:
        with av.open(open_as_file(source), mode="r", options=OPTIONS) as container:
            stream = container.streams.audio[0]
            if not container.duration or not stream.rate:
                return None
            return {
                "format": f"{container.format.name} {stream.codec_context.name}",
                "sample_rate": int(stream.rate),
                "channels": int(stream.codec_context.channels),
                "duration": container.duration / 1e6,
                "comments": {**container.metadata, **stream.metadata},
            }
    except (av.FFmpegError, OSError, ValueError, AttributeError, IndexError):
        return None
