"""Text that recorders and programs leave beside the samples: chunks of WAV files, tags of other containers.

*Conventions.* Text comes as ``{key: text}``. Chunks of LIST INFO keep their four letters (``ICMT``, ``ICRD``); the
dates of other chunks are ``origination`` (broadcast WAV), ``guano_timestamp`` and ``wamd_timestamp``. Damaged
metadata give less text, never an error, because the samples do not depend on them.
"""

import re
import struct
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from anemone_lib.audio.sources import Source, open_as_file

#: WAV chunks whose text is read.
TEXT_CHUNKS = (b"LIST", b"bext", b"guan", b"wamd")
#: The field of a ``wamd`` chunk with the start of the recording.
_WAMD_START = 0x05
#: Attributes of a SoundTrap's log that say when the recording began, and bytes of the log that are looked through.
_SOUNDTRAP, _MAX_LOG_BYTES = re.compile(r'SamplingStartTime(UTC|Local|SubS)\s*=\s*"([^"]*)"'), 1 << 20


def read_chunk(name: bytes, body: bytes) -> dict[str, str]:
    """Read the text of one chunk of a WAV file.

    Parameters
    ----------
    name : bytes, one of `TEXT_CHUNKS`
    body : bytes

    Returns
    -------
    comments : dict of str to str

    Examples
    --------
    >>> read_chunk(b"guan", b"GUANO|Version: 1.0\\nTimestamp: 2017-04-14T04:18:51-04:00\\n")
    {'guano_timestamp': '2017-04-14T04:18:51-04:00'}
    """
    readers = {b"LIST": _read_info, b"bext": _read_bext, b"guan": _read_guano, b"wamd": _read_wamd}
    return readers[name](body) if name in readers else {}


def _read_info(body: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 4
    if body[:4] != b"INFO":
        return found
    while position + 8 <= len(body):
        key, size = struct.unpack("<4sI", body[position : position + 8])
        text = _decode_text(body[position + 8 : position + 8 + size])
        if text:
            found[key.decode("ascii", "replace")] = text
        position += 8 + size + size % 2
    return found


def _read_bext(body: bytes) -> dict[str, str]:
    found = {
        "description": _decode_text(body[:256]),
        "origination": body[320:338].decode("ascii", "replace").strip("\0 "),
    }
    if len(found["origination"]) == 18:  # the date and the time of day follow each other
        found["origination"] = f"{found['origination'][:10]} {found['origination'][10:]}"
    return {key: text for key, text in found.items() if text}


def _read_guano(body: bytes) -> dict[str, str]:
    for line in body.decode("utf-8", "replace").replace("\0", "").splitlines():
        key, _, text = line.partition(":")
        if key.strip().lower() == "timestamp" and text.strip():
            return {"guano_timestamp": text.strip()}
    return {}


def _read_wamd(body: bytes) -> dict[str, str]:
    position = 0
    while position + 6 <= len(body):
        field, size = struct.unpack("<HI", body[position : position + 6])
        if field == _WAMD_START:
            return {"wamd_timestamp": _decode_text(body[position + 6 : position + 6 + size])}
        position += 6 + size
    return {}


def _decode_text(content: bytes) -> str:
    return content.split(b"\0")[0].decode("utf-8", "replace").strip()


def read_sidecar(path: Path | None) -> dict[str, str]:
    """Read the start of a SoundTrap recording from the log beside it: ``67416073.210610033655.log.xml``.

    Returns
    -------
    comments : dict with ``soundtrap_start``, with the offset of the clock that named the file; else empty
    """
    log = path.with_name(f"{path.stem}.log.xml") if path else None
    try:
        if log is None or not log.is_file():
            return {}
        with log.open("rb") as file:
            text = file.read(_MAX_LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return {}
    found = dict(reversed(_SOUNDTRAP.findall(text)))  # the first of each counts
    try:
        began = datetime.fromisoformat(found["UTC"]).replace(tzinfo=UTC)
        began += timedelta(microseconds=int(found.get("SubS", "0").split()[0]))
        if "Local" in found:
            shift = datetime.fromisoformat(found["Local"]).replace(tzinfo=None) - began.replace(tzinfo=None)
            began = began.astimezone(timezone(timedelta(minutes=15 * round(shift.total_seconds() / 900))))
    except (KeyError, ValueError, IndexError, OverflowError):
        return {}
    return {"soundtrap_start": began.isoformat()}


def read_tags(source: Source) -> dict[str, str]:
    """Read the tags of a FLAC, OGG, MP3 or MP4 file, also those that the decoder does not know.

    Returns
    -------
    tags : dict of str to str, empty if the file cannot be opened
    """
    import av

    from anemone_lib.audio.ffmpeg import OPTIONS

    tags: dict[str, str] = {}
    try:
        with av.open(open_as_file(source), mode="r", options=OPTIONS) as container:
            tags.update(container.metadata)
            for stream in container.streams.audio:
                tags.update(stream.metadata)
    except (av.FFmpegError, OSError, ValueError, AttributeError):
        return {}
    return tags
