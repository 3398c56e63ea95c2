"""The bytes of a recording, wherever they lie: a file, an S3 object, an open binary file.

A source has a name and a size and reads any range. This module does not interpret the bytes, and reads only the range
that is needed.
"""

import hashlib
import io
import os
import stat
import threading
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from anemone_lib.audio.s3_client import open_s3_client
from anemone_lib.errors import AudioError
from anemone_lib.files import spell_name

HASH_BLOCK_BYTES = 1 << 20
REMOTE_BLOCK_BYTES = 1 << 20
#: Unreadable bytes are found in pieces of this size, a sector of a disk.
SECTOR_BYTES = 4096


class DecoderError(AudioError):
    """A decoder cannot read a recording; another decoder may be able to."""


class UnreadableError(AudioError):
    """Bytes of a recording cannot be read, though they should be there."""


class Source(Protocol):
    """Bytes that several threads can read at any place at the same time."""

    name: str
    size: int
    path: Path | None
    #: Path or address that opens the same bytes in another process, or None.
    location: str | None

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Return up to `n_bytes` from `offset`; fewer only at the end.

        Raises
        ------
        UnreadableError
            The system cannot read them: a damaged sector, a network share that is gone. `read_around` reads the rest.
        """
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class FileSource:
    """A file on disk."""

    def __init__(self, path: Path) -> None:
        if why := refuse_special_file(path):  # opening a pipe waits until somebody writes into it
            raise AudioError(f"cannot open {path}: {why}")
        try:
            self._file = path.open("rb", buffering=0)
            self.size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise AudioError(f"cannot open {path}: {error.strerror or error}") from None
        self.name = path.name
        # If the name is not valid text, decoders cannot open it; they read the file through this object.
        self.path: Path | None = path if spell_name(str(path)) == str(path) else None
        self.location: str | None = os.path.abspath(path)
        self._lock = threading.Lock()

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Return up to `n_bytes` from `offset`; fewer only at the end."""
        parts = []
        while n_bytes > 0:
            try:
                if hasattr(os, "pread"):
                    part = os.pread(self._file.fileno(), n_bytes, offset)
                else:
                    with self._lock:
                        self._file.seek(offset)
                        part = self._file.read(n_bytes) or b""
            except OSError as error:
                raise _report_unreadable(self.name, offset, error) from None
            if not part:
                break
            parts.append(part)
            offset, n_bytes = offset + len(part), n_bytes - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class OpenFileSource:
    """A binary file object that somebody else opened and will close."""

    path: Path | None = None
    location: str | None = None

    def __init__(self, file: BinaryIO) -> None:
        try:
            self.size = file.seek(0, io.SEEK_END)
        except (OSError, AttributeError, ValueError) as error:
            raise AudioError(f"a file object must be open, binary and seekable: {error}") from None
        self.name = Path(str(getattr(file, "name", "recording"))).name
        self._file = file
        self._lock = threading.Lock()

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Return up to `n_bytes` from `offset`; fewer only at the end."""
        with self._lock:
            try:
                self._file.seek(offset)
                content = self._file.read(n_bytes)
            except OSError as error:
                raise _report_unreadable(self.name, offset, error) from None
        if not isinstance(content, bytes | bytearray | memoryview):
            raise AudioError(f"{self.name} was opened as text; open it in binary mode, like open(path, 'rb')")
        return bytes(content)

    def close(self) -> None:
        """Leave the file to its owner."""


class RemoteSource:
    """Bytes on another machine: every range is a request, which takes time and can cost money."""

    path: Path | None = None


class S3Source(RemoteSource):
    """An object in S3, read by byte range, never downloaded as a whole; public objects need no credentials."""

    def __init__(self, uri: str) -> None:
        try:
            import boto3
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError:
            raise AudioError(f"reading {uri} needs boto3: pip install 'anemone-lib[serve]'") from None
        parts = urlsplit(uri)
        self._bucket, self._key = parts.netloc, unquote(parts.path.removeprefix("/"))
        self._errors = (BotoCoreError, ClientError)
        self.name = Path(self._key).name
        self.location: str | None = uri
        try:
            self._client: Any = open_s3_client(boto3)
            head = self._client.head_object(Bucket=self._bucket, Key=self._key)
        except self._errors as error:
            raise AudioError(f"cannot open {uri}: {error}") from None
        self.size, self.etag = int(head["ContentLength"]), str(head["ETag"])

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Return up to `n_bytes` from `offset`; fewer only at the end."""
        if n_bytes <= 0 or offset >= self.size:
            return b""
        last = min(offset + n_bytes, self.size) - 1
        try:
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._key, Range=f"bytes={offset}-{last}", IfMatch=self.etag
            )
            return answer["Body"].read()
        except self._errors as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") == "PreconditionFailed":
                raise AudioError(f"{self.location} was replaced while it was read; send the request again") from None
            raise AudioError(f"cannot read {self.location}: {error}") from None

    def close(self) -> None:
        """Nothing is held open."""


class JoinedSource:
    """Bytes followed by ranges of another source: a corrected header before the audio of a file."""

    path: Path | None = None
    location: str | None = None

    def __init__(self, source: Source, head: bytes, ranges: list[tuple[int, int]]) -> None:
        self._source, self._head, self._ranges = source, head, ranges
        self.name, self.size = source.name, len(head) + sum(n_bytes for _, n_bytes in ranges)

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Return up to `n_bytes` from `offset`; fewer only at the end."""
        stop = min(offset + n_bytes, self.size)
        parts, begin = [self._head[offset:stop]], len(self._head)
        for place, size in self._ranges:
            first, last = max(offset, begin), min(stop, begin + size)
            if first < last:
                parts.append(self._source.read_at(place + first - begin, last - first))
            begin += size
        return b"".join(parts)

    def close(self) -> None:
        """Leave the other source to its owner."""


class WebSource(RemoteSource):
    """An object behind ``https://`` or ``gs://``, read by byte range through fsspec; without credentials."""

    def __init__(self, address: str) -> None:
        self.location: str | None = address
        self.name = Path(unquote(urlsplit(address).path)).name
        try:
            self._files, self._path = open_file_system(address)
            size = self._files.info(self._path).get("size")
        except FileNotFoundError:
            raise AudioError(f"cannot open {address}: it does not exist") from None
        except Exception as error:  # noqa: BLE001 each file system has errors of its own
            raise AudioError(f"cannot open {address}: {error or type(error).__name__}") from None
        if size is None:
            raise AudioError(f"cannot open {address}: the server does not say how large it is; download it first")
        self.size = int(size)

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Return up to `n_bytes` from `offset`; fewer only at the end."""
        if n_bytes <= 0 or offset >= self.size:
            return b""
        stop = min(offset + n_bytes, self.size)
        try:
            content: bytes = self._files.cat_file(self._path, start=offset, end=stop)
        except Exception as error:  # noqa: BLE001 each file system has errors of its own
            raise AudioError(f"cannot read {self.location}: {error or type(error).__name__}") from None
        if len(content) != stop - offset:
            raise AudioError(
                f"cannot read {self.location}: {stop - offset:,} bytes were asked for, {len(content):,} came; "
                "the server may not answer by range: download it first"
            )
        return content

    def close(self) -> None:
        """Nothing is held open."""


def open_file_system(address: str) -> tuple[Any, str]:
    """Return the fsspec file system of an ``https://`` or ``gs://`` address, without credentials, and the path in it.

    Raises
    ------
    AudioError
        fsspec, or the package that it needs for such addresses, is not installed.
    """
    try:
        if urlsplit(address).scheme == "gs":
            # The registered file system first asks by gRPC for the kind of the bucket, which can take a minute.
            from gcsfs.core import GCSFileSystem

            return GCSFileSystem(token="anon"), address.removeprefix("gs://")
        import fsspec

        return fsspec.core.url_to_fs(address)
    except ImportError:
        raise AudioError(f"reading {address} needs fsspec: pip install 'anemone-lib[archive]'") from None


def open_source(source: str | os.PathLike[str] | BinaryIO) -> Source:
    """Open a path, a ``file://``, ``s3://``, ``gs://`` or ``https://`` address, or a binary file object.

    Raises
    ------
    AudioError
        It does not exist, cannot be read, or is not something that can be opened.
    """
    if isinstance(source, str) and "://" in source:
        parts = urlsplit(source)
        if parts.scheme == "s3":
            return S3Source(source)
        if parts.scheme in ("http", "https", "gs"):
            return WebSource(source)
        if parts.scheme != "file":
            raise AudioError(f"cannot open {source}: give a path, a file://, s3://, gs:// or https:// address")
        source = unquote(parts.path, errors="surrogateescape")
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            raise AudioError(f"{path} is a folder; give the recordings in it")
        return FileSource(path)
    if hasattr(source, "read"):
        return OpenFileSource(source)
    raise AudioError(f"cannot open a {type(source).__name__}; give a path, an address or a binary file object")


def refuse_special_file(path: str | os.PathLike[str]) -> str:
    """Say why a path cannot be a recording: it is a pipe, a device or a socket. Empty for other paths."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    kinds = {
        stat.S_IFIFO: "a pipe (FIFO)",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }
    kind = kinds.get(stat.S_IFMT(mode))
    return f"it is {kind}, which cannot be read twice; save what comes out of it to a file" if kind else ""


def _report_unreadable(name: str, offset: int, error: OSError) -> UnreadableError:
    return UnreadableError(f"{name} cannot be read at byte {offset:,}: {error.strerror or error}")


def read_around(source: Source, offset: int, n_bytes: int) -> tuple[bytes, list[tuple[int, int]]]:
    """Read a range; bytes that cannot be read become zeros.

    Parameters
    ----------
    source : Source
    offset, n_bytes : int >= 0

    Returns
    -------
    content : bytes, fewer than `n_bytes` only at the end of the source
    unreadable : list of (start, stop), bytes of the source, in whole sectors except at the edges of the range
    """
    try:
        return source.read_at(offset, n_bytes), []
    except UnreadableError:
        pass
    stop = min(offset + n_bytes, source.size)
    parts: list[bytes] = []
    unreadable: list[tuple[int, int]] = []
    while offset < stop:
        end = min(stop, offset - offset % SECTOR_BYTES + SECTOR_BYTES)
        try:
            part = source.read_at(offset, end - offset)
        except UnreadableError:
            part = bytes(end - offset)
            if unreadable and unreadable[-1][1] == offset:
                unreadable[-1] = (unreadable[-1][0], end)
            else:
                unreadable.append((offset, end))
        parts.append(part)
        if len(part) < end - offset:
            break
        offset = end
    return b"".join(parts), unreadable


def hash_source(source: Source) -> str:
    """SHA-256 (hex) of all bytes of a source, read block by block.

    Bytes that cannot be read count as zeros, so the digest is the digest of a rescued copy by ``ddrescue``.
    """
    digest = hashlib.sha256()
    offset = 0
    while block := read_around(source, offset, HASH_BLOCK_BYTES)[0]:
        digest.update(block)
        offset += len(block)
    return digest.hexdigest()


class SourceFile(io.RawIOBase):
    """A source as a read-only binary file, for decoders that need a file."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte; return where that is."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        """Return the byte that is read next."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, with zeros for bytes that cannot be read; return how many bytes were there."""
        content, _ = read_around(self._source, self._position, len(buffer))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)


def open_as_file(source: Source) -> io.BufferedReader:
    """Return a source as a buffered binary file."""
    return io.BufferedReader(SourceFile(source), buffer_size=REMOTE_BLOCK_BYTES)
