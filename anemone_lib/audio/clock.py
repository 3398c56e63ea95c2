"""When a recording began: from what the recorder wrote into the file, or from the file's name.

*Conventions.* `read_clock` looks in these places, in this order, and takes the first start time that it finds:

1. the caller: ``start_time``, or ``start_time_format`` for the name;
2. what recorders write into the file, or beside it: the comment of an AudioMoth, GUANO, Wildlife Acoustics'
   ``wamd``, the log of a SoundTrap;
3. the file's name (the table of makers is in ``docs/clocks.md``);
4. the origination date of a broadcast WAV, and tags such as ``DATE`` and ``CREATION_TIME``.

A clock that states its own offset from UTC (``+1000``, ``Z``, ``(UTC-3)``) wins over the time zone that the caller
gives, and a note says so. A date that does not exist is not used, nor the date of a clock that was never set.

The result is an instant with a constant offset from UTC, because a recorder's clock does not change to daylight saving
time.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from anemone_lib.audio.clock_format import FIRST_YEAR, read_by_format
from anemone_lib.errors import AudioError


@dataclass(frozen=True)
class Clock:
    """When a recording began, and how that is known.

    Attributes
    ----------
    start_time : datetime with a constant offset from UTC, or None if it is not known
    source : str, where it was found, in words; empty if nowhere
    notes : tuple of str, which dates were not used, and which won over the caller's time zone

    Examples
    --------
    >>> read_clock("20230210_060000.wav", timezone="Asia/Tokyo").start_time.isoformat()
    '2023-02-10T06:00:00+09:00'
    >>> read_clock("reef.wav").start_time is None
    True
    """

    start_time: datetime | None = None
    source: str = ""
    notes: tuple[str, ...] = ()


def read_clock(
    name: str,
    comments: Mapping[str, str] | None = None,
    *,
    timezone: str | None = None,
    start_time: datetime | str | None = None,
    start_time_format: str | None = None,
) -> Clock:
    """Find when a recording began.

    Parameters
    ----------
    name : str, the file's name
    comments : mapping of str to str, text found in the file, by key
    timezone : str, optional
        Time zone of clocks that do not state theirs, like ``"Asia/Tokyo"`` or ``"+09:00"``; UTC by default.
    start_time : datetime or str, optional
        The start, if the caller knows it, like ``"2023-02-10 00:00:01+09:00"``.
    start_time_format : str, optional
        How dates are written in the name, in the codes of `datetime.strptime`, like ``"%d-%m-%Y %Hh%M"``; other
        text before and after it is ignored.

    Returns
    -------
    clock : Clock

    Raises
    ------
    AudioError
        The time zone does not exist, or the start or the format cannot be read.

    Examples
    --------
    >>> read_clock("20210521T000000+1000_Spyglass.flac").start_time.isoformat()
    '2021-05-21T00:00:00+10:00'
    >>> read_clock("67416073.210610033655.wav", timezone="Asia/Tokyo").start_time.isoformat()
    '2021-06-10T03:36:55+09:00'
    >>> read_clock("dive 3, 7 May 2023 14h05.wav", start_time_format="%d %B %Y %Hh%M").start_time.isoformat()
    '2023-05-07T14:05:00+00:00'
    """
    zone = parse_zone(timezone or "UTC")
    if start_time is not None:
        return Clock(_fix_zone(_parse_start(start_time), zone), "the start that was given")
    if start_time_format is not None:
        found = read_by_format(name, start_time_format)
        if found is None:
            note = f"the name has no date of the form {start_time_format!r}, so the start is not known"
            return Clock(notes=(note,))
        return Clock(_fix_zone(found, zone), f"the name, by {start_time_format!r}")
    unset = ""
    for moment, source in _find_moments(name, comments or {}):
        if not FIRST_YEAR <= moment.year <= datetime.now(UTC).year + 1:
            unset = (
                unset or f"{source} says {moment:%Y-%m-%d %H:%M:%S}: the clock was not set, so this date is not used"
            )
            continue
        notes: tuple[str, ...] = (unset,) if unset else ()
        if moment.tzinfo is not None and timezone and _fix_zone(moment.replace(tzinfo=None), zone) != moment:
            notes += (f"{source} states {spell_offset(moment)}, which counts; the time zone {timezone} does not",)
        if moment.tzinfo is None and not _exists(moment, zone):
            notes += (
                f"{source} says {moment:%Y-%m-%d %H:%M:%S}, which the clocks of {timezone} leave out as summer time "
                "begins: the recorder's clock does not follow summer time; give its offset from UTC as the time zone",
            )
        return Clock(_fix_zone(moment, zone), source, notes)
    return Clock(notes=(unset,) if unset else ())


def parse_zone(name: str) -> tzinfo:
    """Return the time zone of a name like ``Asia/Tokyo`` or an offset like ``+09:00``.

    Raises
    ------
    AudioError
        There is no such time zone.
    """
    if found := re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d\d))?", name):
        if (offset := _make_offset(*found.groups())) is not None:
            return timezone(offset)
    else:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            if name == "UTC":
                return UTC
    raise AudioError(f"timezone is {name!r}; give a name like Asia/Tokyo or an offset like +09:00")


def spell_offset(moment: datetime) -> str:
    """Write the offset of a clock: ``UTC``, ``UTC+10:00``, ``UTC−03:30``.

    >>> spell_offset(datetime(2023, 2, 10, tzinfo=timezone(timedelta(hours=-3.5))))
    'UTC−03:30'
    """
    minutes = round((moment.utcoffset() or timedelta()).total_seconds() / 60)
    sign = "−" if minutes < 0 else "+"
    return "UTC" if minutes == 0 else f"UTC{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _fix_zone(moment: datetime, zone: tzinfo) -> datetime:
    """Give a moment without an offset the constant offset that the zone has at that moment."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    offset = moment.utcoffset() or timedelta()
    return moment.astimezone(UTC if not offset else timezone(offset))


def _exists(moment: datetime, zone: tzinfo) -> bool:
    """Tell whether the clocks of a time zone show a moment: they leave out an hour as summer time begins."""
    return moment.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment


def _parse_start(start: datetime | str) -> datetime:
    if isinstance(start, datetime):
        return start
    try:
        return datetime.fromisoformat(start.strip())
    except ValueError:
        raise AudioError(
            f"start_time is {start!r}; give a date and a time like 2023-02-10 00:00:01 or 2023-02-10T00:00:01+09:00"
        ) from None


# ---------------------------------------------------------------------- what files and names say


def _find_moments(name: str, comments: Mapping[str, str]) -> Iterator[tuple[datetime, str]]:
    """Yield the moments at which the recording may have begun, the best first, each with its source in words."""
    keys = {key.lower(): text for key, text in comments.items()}
    for text in keys.values():
        if moment := _read_audiomoth_comment(text):
            yield moment, "the AudioMoth's comment in the file"
    for key, source in _IN_FILE:
        if moment := _read_iso(keys.get(key, "")):
            yield moment, source
    for moment in _read_name(name):
        yield moment, "the name"
    if moment := _read_audiomoth_name(name):
        yield moment, "the name"
    if moment := _read_iso(keys.get("origination", "")):
        yield moment, "the origination date in the file"
    for key in _TAGS:
        if moment := _read_iso(keys.get(key, "")):
            yield moment, f"the tag {key} in the file"


#: What recorders write into the file, by the key that `anemone_lib.audio.metadata` and the decoders give it.
_IN_FILE = (
    ("soundtrap_start", "the SoundTrap's log beside the file"),
    ("guano_timestamp", "the GUANO metadata in the file"),
    ("wamd_timestamp", "the wamd metadata in the file"),
    ("harp", "the HARP's directory of raw files in the file"),
)

#: Tags with the time of a recording, in small letters; a date without a time of day is not enough.
_TAGS = (
    *("start_time", "starttime", "recording_start", "datetimeoriginal", "date_time_original", "recording_date"),
    *("date_recorded", "recorded_date", "timestamp", "datetime", "date", "tdrc", "icrd", "creation_time"),
    *("creationtime", "creation_date", "com.apple.quicktime.creationdate"),
)

_AUDIOMOTH_COMMENT = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))? (\d\d)/(\d\d)/(\d{4})"
    r"(?: \((UTC)(?:([+-])(\d{1,2})(?::(\d\d))?)?\))?"
)
_AUDIOMOTH_HEX = re.compile(r"([0-9A-F]{8})T?\.[A-Z0-9]+", re.IGNORECASE)
#: The first AudioMoth was sold in 2017, and named its files by their seconds until 2018; later ones could still.
_AUDIOMOTH_YEARS = range(2016, 2036)


def _read_audiomoth_comment(text: str) -> datetime | None:
    if not (found := _AUDIOMOTH_COMMENT.search(text)):
        return None
    hour, minute, second, fraction, day, month, year, utc, *offset = found.groups()
    moment = _make_moment(year, month, day, hour, minute, second, fraction)
    if moment is None or not utc:
        return moment
    shift = _make_offset(*offset) if offset[0] else timedelta()
    return None if shift is None else moment.replace(tzinfo=timezone(shift))


def _read_audiomoth_name(name: str) -> datetime | None:
    """Hexadecimal seconds since 1970, in UTC: the names of the first AudioMoths."""
    if not (found := _AUDIOMOTH_HEX.fullmatch(name)):
        return None
    moment = datetime.fromtimestamp(int(found.group(1), 16), UTC)
    return moment if moment.year in _AUDIOMOTH_YEARS else None


# An offset after a time: Z, _Z, +1000, _-0500, (UTC-3), UTC+5:30, UTC+5.5. A minus and two digits are an offset only
# after a T, a space or "UTC"; elsewhere they number the parts of a recording.
_OFFSET = (
    r"(?:[_\- ]?\(?(?:(?P<utc>Z(?![A-Za-z0-9])|(?:UTC|GMT)(?![A-Za-z0-9+\-]))"
    r"|(?P<prefix>UTC|GMT)?(?P<sign>[+\-−])(?P<hours>\d\d?)"
    r"(?:(?P<mark>[:\-])?(?P<minutes>\d\d)|(?(prefix)\.(?P<part>\d\d?)|(?!)))?"
    r"(?!\d|[.:]\d))\)?)?"
)
_FRACTION = r"(?:[.,](?P<fraction>\d{1,3}|\d{6}|\d{9})(?=$|[^\d]))?"
_HALF = r"(?:[_\- .]?(?P<half>[AaPp])[Mm](?![A-Za-z0-9]))?"
_DATE = r"(?P<year>(?:19|20)\d\d)(?P<dash>[-_.]?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
_SEPARATOR = r"(?P<separator>[_\-$ .]{0,2}T|[_\-$ .]{1,2}|-birdnet(?:-[A-Za-z0-9_]+)?-)"
_TIME = r"(?P<hour>\d\d)(?P<colon>[-_:.h]?)(?P<minute>\d\d)[-_:.m]?(?P<second>\d\d)"
_STAMPS = tuple(
    re.compile(rf"(?<!\d)(?={pattern})")
    for pattern in (
        # 20230210_000001.WAV, 20120615$210000, 20191001T040002.000Z, 2019-10-01T04-00-02, 2010-06-22-20-01-07
        rf"{_DATE}{_SEPARATOR}{_TIME}(?!\d){_FRACTION}{_HALF}{_OFFSET}",
        # SoundTrap: 67416073.210610033655.wav and 1678032935_181112190000.wav
        r"(?<=\d[._])(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d)(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)(?=[._]|$)",
        # 20190920004248
        r"(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)(?!\d)"
        rf"{_FRACTION}{_HALF}{_OFFSET}",
        # HARP, WISPR, gliders: CINMS17B_d03_111226_000500, WISPR_230504_195202, sg639_230411-221029.038
        r"(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d)(?P<separator>[_\-$T])(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
        rf"(?!\d){_FRACTION}{_HALF}{_OFFSET}",
        # 20170116_1130_, 2017-01-16_11-30
        rf"{_DATE}{_SEPARATOR}(?P<hour>\d\d)[-_:.h]?(?P<minute>\d\d)(?!\d){_HALF}{_OFFSET}",
        # 201701161130
        r"(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)(?P<hour>\d\d)(?P<minute>\d\d)(?!\d)" + _OFFSET,
    )
)
# An offset that stands by itself in a name: multi_UTCm5_20170528_110000.aif
_OFFSET_ALONE = re.compile(
    r"(?<![A-Za-z])(?:UTC|GMT)(?P<sign>[mp+\-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?(?![.]?\d)"
)
# PAMGuard writes thousandths of a second behind an underscore; elsewhere such digits number parts.
_PAMGUARD = re.compile(r"pam[^_]*_.*\d{6}_(\d{3})(?:\.[^.]*)?", re.IGNORECASE)


def _read_name(name: str) -> Iterator[datetime]:
    for pattern in _STAMPS:
        for found in pattern.finditer(name):
            parts = found.groupdict()
            year = parts["year"]
            year = f"20{year}" if len(year) == 2 else year
            if int(year) > datetime.now(UTC).year + 1:  # another number
                continue
            month, day, hour, minute, second = (
                parts.get(key) or "0" for key in ("month", "day", "hour", "minute", "second")
            )
            if parts.get("half") and 1 <= int(hour) <= 12:  # more, or 0, is of a clock with 24 hours
                hour = str(int(hour) % 12 + 12 * (parts["half"] in "Pp"))
            thousandths = _PAMGUARD.fullmatch(name)
            fraction = parts.get("fraction") or (thousandths[1] if thousandths else None)
            moment = _make_moment(year, month, day, hour, minute, second, fraction)
            if moment is None:
                continue
            zone = _read_zone(parts, name)
            yield moment.replace(tzinfo=zone) if zone else moment


def _read_zone(parts: Mapping[str, str | None], name: str) -> tzinfo | None:
    if parts.get("utc"):
        return UTC
    if sign := parts.get("sign"):
        minutes = parts.get("minutes")
        if part := parts.get("part"):  # of an hour
            minutes = f"{round(60 * float(f'0.{part}')):02d}"
        spelled_out = parts.get("prefix") or (parts.get("separator") or "").endswith(("T", " "))
        if sign == "+" or (minutes and parts.get("mark") != "-") or spelled_out:
            offset = _make_offset(sign, parts["hours"] or "", minutes)
            if offset is not None:
                return timezone(offset)
    if alone := _OFFSET_ALONE.search(name):
        sign, hours, minutes = alone.groups()
        offset = _make_offset("-" if sign in "m-" else "+", hours, minutes)
        return None if offset is None else timezone(offset)
    return None


_ISO = re.compile(
    r"\s*(\d{4})[-:/_. ]?(\d\d)[-:/_. ]?(\d\d)[T _]?\s*(\d\d)[-:_. ]?(\d\d)(?:[-:_. ]?(\d\d)(?:[.,](\d{1,9}))?)?"
    r"\s*(Z|UTC|GMT|([+-])(\d\d?):?(\d\d)?)?\s*"
)


def _read_iso(text: str) -> datetime | None:
    """Read a date and time of day as metadata write them, with or without an offset."""
    if not (found := _ISO.fullmatch(text)):
        return None
    year, month, day, hour, minute, second, fraction, zone, *offset = found.groups()
    moment = _make_moment(year, month, day, hour, minute, second or "0", fraction)
    if moment is None or not zone:
        return moment
    shift = _make_offset(*offset) if offset[0] else timedelta()
    return moment if shift is None else moment.replace(tzinfo=timezone(shift) if shift else UTC)


def _make_moment(
    year: str, month: str, day: str, hour: str, minute: str, second: str, fraction: str | None = None
) -> datetime | None:
    """Make a moment of a date and a time; None if there is no such day or second."""
    microsecond = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        return datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), microsecond)
    except ValueError:
        return None


def _make_offset(sign: str | None, hours: str | None, minutes: str | None) -> timedelta | None:
    """Make an offset from UTC; None if no place on Earth has it."""
    shift = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if int(minutes or 0) not in (0, 15, 30, 45):
        return None
    if sign in ("-", "−"):
        return -shift if shift <= timedelta(hours=12) else None
    return shift if shift <= timedelta(hours=14) else None
