"""The mark in each table that this package writes: it keeps the table of a person from being taken for ours, or
overwritten by it.

*Conventions.* A table of detections has the column `DETECTED_BY`; labels for Audacity begin with a label that says the
same. Its value ends in a check sum over all else in the table. So two questions have an answer, whatever a file is
called:

- *Is it what was detected?* `is_detection` of `anemone_lib.tables.reading`: the mark is there.
- *Did a person change it since?* `may_replace`: the check sum fits no more. Such a file is never written over, nor is
  one without the mark.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO

from anemone_lib.errors import ScoresError
from anemone_lib.files import number_path
from anemone_lib.provenance import __version__
from anemone_lib.scoring.scores import Scores

#: The column of a table of detections that says so, and how the first label of Audacity labels begins.
DETECTED_BY = "Detected By"
DETECTED_LABEL = "detected by"
#: What detected the events in files that this package writes.
DETECTOR = f"anemone {__version__}"
_MARK = re.compile(r" #([0-9a-f]{12})(?=$|[\t,\n\"])", re.MULTILINE)
#: Bytes at the beginning of a file that is no table, in which the mark is looked for.
HEAD_BYTES = 1 << 12


def sign_table(text: str, placeholder: str) -> str:
    """Put the check sum of a table into it.

    Parameters
    ----------
    text : str, a table whose every mark is `placeholder`
    placeholder : str, the mark without its check sum

    Returns
    -------
    text : str

    Examples
    --------
    >>> sign_table("a,Detected By\\n1,anemone 1.0\\n", "anemone 1.0")
    'a,Detected By\\n1,anemone 1.0 #8c427944e42b\\n'
    """
    return text.replace(placeholder, f"{placeholder} #{_check_sum(text)}") if placeholder else text


def may_replace(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is what this package wrote, unchanged, or is not there.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp(), "reef.csv")
    >>> may_replace(path)
    True
    >>> _ = path.write_text("start,end,label\\n1,2,pop\\n")
    >>> may_replace(path)
    False
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if head.startswith(b"\x89PNG"):
                return b"anemone" in head
            if re.match(rb'\s*\{\s*"predictions"', head):
                return True
            if head.startswith(b"PK") and _is_of_scores(file):
                return True
            content = head + file.read()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    text = content.decode("utf-8", "replace")
    sums = set(_MARK.findall(text))
    if not sums:  # without rows there is no mark, and nothing of a person's
        return DETECTED_BY in text.partition("\n")[0] and not text.partition("\n")[2].strip()
    return sums == {_check_sum(_MARK.sub("", text))}


#: Of which recording the files are that this process wrote.
_OWNERS: dict[str, str] = {}


def find_free_path(path: str | os.PathLike[str], *, owner: str = "") -> Path:
    """Return the path, or where another's file lies there already, the next that is free: ``reef-2.csv``.

    Another's is the file of a person, and one that this process wrote for another recording of the same name.

    Parameters
    ----------
    path : path of a file
    owner : str, what tells the recording from others, optional

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp(), "reef.events.csv")
    >>> _ = path.write_text("start,end,label\\n1,2,pop\\n")
    >>> find_free_path(path).name
    'reef.events-2.csv'
    """
    path = Path(path)
    number, free = 1, path
    while not may_replace(free) or (free.exists() and _OWNERS.get(str(free.resolve()), owner) != owner):
        number += 1
        free = number_path(path, number)
    if owner:
        _OWNERS[str(free.resolve())] = owner
    return free


def _is_of_scores(file: BinaryIO) -> bool:
    try:
        Scores.load(file)
    except ScoresError:
        return False
    finally:
        file.seek(HEAD_BYTES)
    return True


def _check_sum(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
