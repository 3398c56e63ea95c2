"""Dates in the names of recordings, where the caller says how they are written."""

import re
from datetime import UTC, datetime

from anemone_lib.errors import AudioError

#: Underwater recorders have no older recordings; a clock that was never set begins in 1970, 1980 or 2000.
FIRST_YEAR = 1990

_CODES = {
    "Y": r"\d{4}",
    "y": r"\d\d",
    "m": r"\d{1,2}",
    "d": r"\d{1,2}",
    "H": r"\d{1,2}",
    "I": r"\d{1,2}",
    "M": r"\d{1,2}",
    "S": r"\d{1,2}",
    "f": r"\d{1,6}",
    "j": r"\d{1,3}",
    "p": r"[AaPp][Mm]",
    "%": "%",
    "b": r"[^\W\d_]+\.?",
    "B": r"[^\W\d_]+",
    "a": r"[^\W\d_]+\.?",
    "A": r"[^\W\d_]+",
    "Z": r"(?:UTC|GMT)",
    "z": r"(?:Z|[+-]\d\d:?\d\d)",
}


def read_by_format(name: str, layout: str) -> datetime | None:
    """Find a date in a name, in the form that the caller gives.

    Parameters
    ----------
    name : str
    layout : str, in the codes of `datetime.strptime`; other text before and after it is ignored

    Returns
    -------
    moment : datetime, with an offset if the name has one; or None if the name has no such date

    Raises
    ------
    AudioError
        The format has a code that cannot be read, or no day and hour.
    """
    pattern, position = "", 0
    codes = set()
    while position < len(layout):
        if layout[position] == "%" and position + 1 < len(layout):
            code = layout[position + 1]
            if code not in _CODES:
                raise AudioError(
                    f"start_time_format is {layout!r}; %{code} cannot be read, known are %{' %'.join(_CODES)}"
                )
            # What is written without a separator has its full width, so that 20230210 is one date only.
            width = _CODES[code].replace("{1,2}", "{2}") if _touches(layout, position) else _CODES[code]
            pattern += width
            codes.add(code)
            position += 2
        else:
            pattern += re.escape(layout[position])
            position += 1
    if not codes & {"d", "j"} or not codes & {"H", "I"}:
        raise AudioError(f"start_time_format is {layout!r}; it must have a day and an hour, like %Y%m%d_%H%M%S")
    for found in re.finditer(f"(?=({pattern}))", name, re.IGNORECASE):
        try:
            moment = datetime.strptime(found.group(1), layout)
        except ValueError:
            continue
        if moment.tzinfo is None and codes & {"Z"}:
            moment = moment.replace(tzinfo=UTC)
        if moment.year >= FIRST_YEAR:
            return moment
    return None


def _touches(layout: str, position: int) -> bool:
    """Return whether a code is next to another code for digits."""
    before = layout[max(0, position - 2) : position]
    after = layout[position + 2 : position + 4]
    return any(len(code) == 2 and code[0] == "%" and code[1] in "YymdHIMSfj" for code in (before, after))
