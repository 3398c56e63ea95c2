"""The result of a batch, as one zip file: the files of a small archive."""

import re
import shutil
import zlib
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from anemone_lib.archive.units import DiskFullError
from anemone_lib.errors import ScoresError

#: Names that a result may have in it.
MEMBER = re.compile(
    r"state/state\.sqlite|(scores|noise)/(?!\.)[^/\\]+\.npz|state/stretches/(?!\.)[^/\\]+\.chunks/\d+-\d+\.npy"
)


def pack_result(folder: Path, path: Path) -> None:
    """Write the files that a run left in a folder as one zip file."""
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=1) as packed:
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(folder).as_posix()
            if MEMBER.fullmatch(name):
                packed.write(file, name)


def unpack_result(path: Path, folder: Path) -> None:
    """Write the files of a result into a folder, and nothing outside it.

    Raises
    ------
    ScoresError
        It is damaged, or has a file that does not belong to a result.
    DiskFullError
        There is no room.
    """
    try:
        with ZipFile(path) as packed:
            members = packed.infolist()
            if strange := [one.filename for one in members if not MEMBER.fullmatch(one.filename)]:
                raise ScoresError(f"it has the file {strange[0]!r}, which is none of a result")
            folder.mkdir(parents=True, exist_ok=True)
            if sum(one.file_size for one in members) > shutil.disk_usage(folder).free:
                raise DiskFullError(f"there is no room for a result in {folder}: make room, and run again to go on")
            for one in members:
                target = folder / one.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(one) as content, target.open("wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)
    # zipfile raises RuntimeError for an encrypted file, and a subclass of it for an unknown compression.
    except (BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise ScoresError(f"it is damaged: {error}") from None
