"""The store of one computer: objects are files under a folder."""

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from anemone_lib.errors import spell_number
from anemone_lib.service.problems import FULL, Problem, report_full_disk
from anemone_lib.service.stores import MissingObject, exists

#: Bytes that are copied at once when parts become one object.
COPY_BLOCK_BYTES = 8 << 20
#: Bytes of an upload that are written at once.
WRITE_BYTES = 1 << 20
#: Start of the names of unfinished files.
TEMPORARY = ".anemone-"
#: Bytes of the disk that uploads leave free.
SPARE_BYTES = 256 << 20


class FolderStore:
    """Objects as files under a folder.

    One server process writes the uploads of a folder. Several processes may read, write and create objects.

    Parameters
    ----------
    root : pathlib.Path
        The folder. It is made when the first object is written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._completing = threading.Lock()

    def get_path(self, key: str) -> Path:
        """Return the path of a key's file.

        Raises
        ------
        MissingObject
            The path would be outside the folder.
        """
        path = self._root / key
        if not path.resolve().is_relative_to(self._root):
            raise MissingObject(key)
        return path

    def read(self, key: str) -> bytes:
        """Return the content of an object."""
        try:
            return self.get_path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise MissingObject(key) from None

    def write(self, key: str, content: bytes, *, media_type: str = "application/octet-stream") -> None:
        """Write an object. An object with the same key is replaced."""
        path = self.get_path(key)
        _make_folder(path.parent)
        with _open_temporary(path.parent) as (file, temporary):
            file.write(content)
            file.close()
            temporary.replace(path)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object if the key is free; return whether it was written."""
        path = self.get_path(key)
        _make_folder(path.parent)
        with _open_temporary(path.parent) as (file, temporary):
            file.write(content)
            file.close()
            return _link_if_free(temporary, path)

    def delete(self, prefix: str) -> None:
        """Remove every object under a prefix, which here is a folder, or one object by its key."""
        if not prefix.strip("/"):
            raise ValueError("a store is not removed as a whole")
        path = self.get_path(prefix)
        if path.is_file():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path, ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Remove files that a process began and did not finish. No other process may write into the folder."""
        for path in self._root.rglob(f"{TEMPORARY}*"):
            path.unlink(missing_ok=True)

    def find_ages(self, prefix: str) -> dict[str, float]:
        """Return the time of the last change in each folder under a prefix, as `time.time` counts."""
        ages = {}
        for folder in self.get_path(prefix).glob("*/"):
            with contextlib.suppress(FileNotFoundError):  # removed at this moment
                ages[folder.name] = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
        return ages

    def check_room(self, n_bytes: int) -> None:
        """Refuse an upload that the disk has no room for.

        Raises
        ------
        Problem
            507: there is not enough room, or almost none would be left.
        """
        folder = next(path for path in (self._root, *self._root.parents) if path.exists())
        free = shutil.disk_usage(folder).free
        if n_bytes + SPARE_BYTES > free:
            raise Problem(
                507,
                "disk_full",
                f"the upload needs {spell_number(n_bytes / 1e9)} GB, and {spell_number(free / 1e9)} GB are free on "
                f"the disk of {folder}; make room there, or choose another folder with --store",
            )

    def get_size(self, key: str) -> int:
        """Return the size of an object in bytes."""
        path = self.get_path(key)
        if not path.is_file():
            raise MissingObject(key)
        return path.stat().st_size

    def list_keys(self, prefix: str) -> list[str]:
        """Return the keys under a prefix, which here is a folder, sorted."""
        folder = self.get_path(prefix)
        files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        return sorted(path.relative_to(self._root).as_posix() for path in files)

    def get_address(self, key: str) -> str:
        """Return the path of the object's file."""
        return str(self.get_path(key))

    def sign_url(self, key: str, *, file_name: str) -> str | None:
        """Return None: the service serves the file itself."""
        return None

    # ------------------------------------------------------------------ uploads

    # A part is a file ``<key>.parts/<number>.<SHA-256>``. Its name and its content become visible together, so two
    # uploads of one part never mix: each is a separate file, and the client names its file by the ETag.

    def begin_upload(self, key: str) -> str:
        """Make the folder of the parts; return an id."""
        _make_folder(self._get_parts_folder(key))
        return "local"

    def sign_part_url(self, key: str, upload_id: str, number: int) -> str | None:
        """Return None: the service receives the part itself."""
        return None

    async def receive_part(self, key: str, number: int, content: AsyncIterator[bytes]) -> str:
        """Write one part of an upload to a file of its own.

        Parameters
        ----------
        key : str, of the object that the parts will become
        number : int >= 1
        content : the bytes of the part, as they arrive

        Returns
        -------
        etag : str, the SHA-256 of the part between quotation marks; processors hash twice as fast as by S3's MD5

        Raises
        ------
        Problem
            404: the upload was removed; 409: it is complete already, and its bytes do not change any more.
        """
        from starlette.concurrency import run_in_threadpool  # a process that works on jobs needs no web server

        self._refuse_complete_upload(key)
        folder = self._get_parts_folder(key)
        digest = hashlib.sha256()

        def write(blocks: list[bytes]) -> None:
            for block in blocks:
                file.write(block)
                digest.update(block)

        try:
            with _open_temporary(folder) as (file, temporary):
                blocks, n_bytes = list[bytes](), 0
                async for block in content:  # small blocks are written together, in a thread
                    blocks.append(block)
                    n_bytes += len(block)
                    if n_bytes >= WRITE_BYTES:
                        await run_in_threadpool(write, blocks)
                        blocks, n_bytes = [], 0
                write(blocks)
                file.close()
                temporary.replace(folder / f"{number}.{digest.hexdigest()}")
        except FileNotFoundError:  # the upload was completed or removed in the meantime
            self._refuse_complete_upload(key)
            raise Problem(404, "no_such_job", "the job was removed; create a new one") from None
        self._refuse_complete_upload(key)
        return f'"{digest.hexdigest()}"'

    def complete_upload(
        self, key: str, upload_id: str, etags: Mapping[int, str], *, part_bytes: int, size_bytes: int
    ) -> None:
        """Join the uploaded parts into one object. If the object exists, nothing happens."""
        path, folder = self.get_path(key), self._get_parts_folder(key)
        with self._completing:  # requests that come at the same time wait, and then see the object
            if exists(self, key):
                return
            sizes = dict.fromkeys(etags, part_bytes)
            sizes[max(etags)] = size_bytes - (max(etags) - 1) * part_bytes
            parts = [_find_part(folder, number, etags.get(number, ""), size) for number, size in sorted(sizes.items())]
            if len(parts) == 1:
                _copy_part(parts[0], None, 1)
                _link_if_free(parts[0], path)
            else:
                with _open_temporary(path.parent) as (file, temporary):
                    for number, part in enumerate(parts, start=1):
                        _copy_part(part, file, number)
                    file.close()
                    _link_if_free(temporary, path)
            shutil.rmtree(folder, ignore_errors=True)

    def _get_parts_folder(self, key: str) -> Path:
        return self.get_path(f"{key}.parts")

    def _refuse_complete_upload(self, key: str) -> None:
        if exists(self, key):
            raise Problem(409, "already_started", "the upload is complete; create a new job for another recording")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in FULL:
            raise report_full_disk(str(folder)) from None
        raise


@contextmanager
def _open_temporary(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a new hidden file in a folder; if the caller does not rename it, it is removed at the end."""
    try:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=folder)
    except OSError as error:
        if error.errno in FULL:
            raise report_full_disk(str(folder)) from None
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            yield file, Path(name)
    except OSError as error:
        if error.errno in FULL:
            raise report_full_disk(str(folder)) from None
        raise
    finally:
        Path(name).unlink(missing_ok=True)


def _link_if_free(temporary: Path, path: Path) -> bool:
    """Give a complete file its name, if no other file has this name; return whether it did."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    return True


def _find_part(folder: Path, number: int, etag: str, size: int) -> Path:
    """Return the file of one uploaded part, after checking its ETag and its size."""
    part = folder / f"{number}.{os.path.basename(etag.strip(chr(34)))}"
    if not part.is_file():
        others = [f'"{path.suffix[1:]}"' for path in folder.glob(f"{number}.*")]
        if not others:
            raise Problem(400, "upload_incomplete", f"part {number} was not uploaded")
        raise Problem(
            400, "upload_incomplete", f"part {number} has the ETag {' or '.join(sorted(others))}; upload it again"
        )
    if part.stat().st_size != size:
        raise Problem(
            400,
            "upload_incomplete",
            f"part {number} has {part.stat().st_size} bytes, but it must have {size}; upload it again",
        )
    return part


def _copy_part(part: Path, target: BinaryIO | None, number: int) -> None:
    """Check that the stored bytes of a part are those that arrived; copy them to the end of a file, if there is one."""
    digest = hashlib.sha256()
    with part.open("rb") as source:
        while block := source.read(COPY_BLOCK_BYTES):
            if target is not None:
                target.write(block)
            digest.update(block)
    if digest.hexdigest() != part.suffix[1:]:
        part.unlink()
        raise Problem(400, "upload_incomplete", f"part {number} was damaged on the disk; upload it again")
