"""Local copies of objects in S3 that cannot be read by byte range."""

import tempfile
import threading
from hashlib import sha256
from pathlib import Path

#: First bytes of the formats whose samples can be read by byte range: WAV, RF64, W64, AIFF, FLAC.
RANGE_FORMATS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"fLaC")

_spooling = threading.Lock()


def copy_nearby(source: str) -> str:
    """Return an address whose byte ranges can be read fast: the source itself, or a copy in the temporary folder.

    WAV, RF64, W64, AIFF and FLAC in S3 are read by byte range. A recording in another format must be decoded from its
    start, so its object is downloaded, once for all tasks on one machine.

    Parameters
    ----------
    source : path or ``s3://`` address

    Returns
    -------
    address : str

    Examples
    --------
    >>> copy_nearby("/data/reef.mp3")
    '/data/reef.mp3'
    """
    if not source.startswith("s3://"):
        return source
    from anemone_lib.audio.sources import S3Source

    remote = S3Source(source)
    if remote.read_at(0, 4) in RANGE_FORMATS:
        return source
    path = Path(tempfile.gettempdir()) / "anemone-recordings" / sha256(source.encode()).hexdigest()
    with _spooling:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            for old in path.parent.iterdir():  # the temporary folder of a function is small
                old.unlink(missing_ok=True)
            incomplete, offset = path.with_suffix(".part"), 0
            with incomplete.open("wb") as file:
                while block := remote.read_at(offset, 8 << 20):
                    offset += file.write(block)
            incomplete.replace(path)
    return str(path)
