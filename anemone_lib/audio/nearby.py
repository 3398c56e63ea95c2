"""Local copies of objects in S3 that cannot be read by byte range."""

import errno
import tempfile
import threading
from hashlib import sha256
from pathlib import Path

from anemone_lib.audio.sources import S3Source, Source
from anemone_lib.errors import AudioError, NoRoomError
from anemone_lib.files import write_atomically

#: First bytes of the formats whose samples can be read by byte range: WAV, RF64, W64, AIFF, FLAC.
RANGE_FORMATS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"fLaC")

#: Suffixes of recordings that are copied and decoded whole before they are read, and of those that are only copied.
DECODED_SUFFIXES = (".mp3", ".mp2", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".webm", ".mka", ".mkv", ".ts")
COPIED_SUFFIXES = (".caf", ".au")
#: How many times as large a recording is when it is decoded: 4 bytes a sample at 48 kHz, from 64 kbit/s for a channel.
DECODED_TIMES = 24

_copying = threading.Lock()


def find_largest(name: str, *, room_bytes: int) -> int | None:
    """Return how large a recording in S3 may be so that its copy and its decoded samples have room.

    Parameters
    ----------
    name : of the recording; its suffix tells its format
    room_bytes : int, size of the temporary folder

    Returns
    -------
    size_bytes : int, or None if the format is read by byte range, or if the suffix is not known

    Examples
    --------
    >>> find_largest("reef.mp3", room_bytes=6_000_000_000)
    240000000
    >>> find_largest("reef.wav", room_bytes=6_000_000_000) is None
    True
    """
    suffix = Path(name).suffix.lower()
    if suffix in DECODED_SUFFIXES:
        return room_bytes // (1 + DECODED_TIMES)
    return room_bytes if suffix in COPIED_SUFFIXES else None


def copy_nearby(source: str, *, etag: str | None = None) -> str:
    """Return an address that can be read fast by byte range: the source itself, or a copy in the temporary folder.

    WAV, RF64, W64, AIFF and FLAC in S3 are read by byte range. A recording in another format must be decoded from its
    start, so its object is downloaded, once for all tasks on one machine. The copy belongs to one version of the
    object, named by its ETag: an object that was replaced is downloaded again.

    Parameters
    ----------
    source : path or ``s3://`` address
    etag : str, optional
        The ETag that the object must have.

    Returns
    -------
    address : str

    Raises
    ------
    AudioError
        The object does not exist, or it was replaced.
    NoRoomError
        The disk has no room for the copy.

    Examples
    --------
    >>> copy_nearby("/data/reef.mp3")
    '/data/reef.mp3'
    """
    if not source.startswith("s3://"):
        return source
    remote = S3Source(source)
    if etag is not None and remote.etag != etag:
        raise AudioError(f"{source} was replaced after it was named; name it again")
    if remote.read_at(0, 4) in RANGE_FORMATS:
        return source
    version = f"{source} {remote.etag} {remote.size}"
    path = Path(tempfile.gettempdir()) / "anemone-recordings" / sha256(version.encode()).hexdigest()
    with _copying:
        if path.exists():
            return str(path)
        try:
            _download(remote, path)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoRoomError(
                    f"the disk of {path.parent} has no room for a copy of {source}; make room there"
                ) from None
            raise
    return str(path)


def _download(remote: Source, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.iterdir():  # the temporary folder of a function is small
        old.unlink(missing_ok=True)
    offset = 0
    with write_atomically(path) as file:
        while block := remote.read_at(offset, 8 << 20):
            offset += file.write(block)
