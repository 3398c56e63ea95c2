"""Local copies of objects in S3 that cannot be read by byte range."""

import errno
import os
import tempfile
import threading
from hashlib import sha256
from pathlib import Path

from anemone_lib.audio.sources import S3Source, Source
from anemone_lib.errors import AudioError, NoRoomError

#: First bytes of the formats whose samples can be read by byte range: WAV, RF64, W64, AIFF, FLAC.
RANGE_FORMATS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"fLaC")

_copying = threading.Lock()


def copy_nearby(source: str, *, etag: str | None = None) -> str:
    """Return an address whose byte ranges can be read fast: the source itself, or a copy in the temporary folder.

    WAV, RF64, W64, AIFF and FLAC in S3 are read by byte range. A recording in another format must be decoded from its
    start, so its object is downloaded, once for all tasks on one machine. The copy belongs to one version of the
    object, named by its ETag: an object that was replaced is downloaded anew.

    Parameters
    ----------
    source : path or ``s3://`` address
    etag : str, optional
        What the object must have.

    Returns
    -------
    address : str

    Raises
    ------
    AudioError
        There is no such object, or it was replaced by another.
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
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            while block := remote.read_at(offset, 8 << 20):
                offset += file.write(block)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
