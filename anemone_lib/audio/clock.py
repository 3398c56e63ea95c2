"""When a recording began: what its name and its metadata say."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from anemone_lib.errors import AudioError

# ---------------------------------------------------------------------- when it was recorded

_STAMPS = (
    # 20230210_000001.WAV, ..._20191001T040002Z.wav, AMAR173.4.20190920T004248Z.wav, 2019-10-01T04-00-02
    (
        re.compile(r"(?<!\d)(\d{4}-?\d\d-?\d\d[_T ]\d\d[-:]?\d\d[-:]?\d\d)(?:\.\d+)?(Z?)(?!\d)"),
        "%Y%m%d%H%M%S",
    ),
    # SoundTrap: 67416073.210610033655.wav, yyMMddHHmmss
    (re.compile(r"(?<=\.)(\d{12})()(?=\.|$)"), "%y%m%d%H%M%S"),
    # 20190920004248
    (re.compile(r"(?<!\d)((?:19|20)\d{12})(Z?)(?!\d)"), "%Y%m%d%H%M%S"),
)


_AUDIOMOTH_HEX = re.compile(r"^([0-9A-F]{8})\.WAV$", re.IGNORECASE)


_AUDIOMOTH_COMMENT = re.compile(
    r"Recorded at (\d\d:\d\d:\d\d)(?:\.\d+)? (\d\d/\d\d/\d{4}) \(UTC(?:([+-]\d{1,2})(?::(\d\d))?)?\)"
)


def find_start_time(name: str, comments: Mapping[str, str], zone: Any) -> datetime | None:
    for text in comments.values():
        if found := _AUDIOMOTH_COMMENT.search(text):
            clock, date, hours, minutes = found.groups()
            offset = timedelta(hours=int(hours or 0))
            offset += math.copysign(1, int(hours or 0)) * timedelta(minutes=int(minutes or 0))
            return _parse(f"{date} {clock}", "%d/%m/%Y %H:%M:%S", timezone(offset))
    for pattern, layout in _STAMPS:
        if found := pattern.search(name):
            digits = re.sub(r"\D", "", found.group(1))
            if when := _parse(digits, layout, UTC if found.group(2) else zone):
                return when
    if found := _AUDIOMOTH_HEX.match(name):
        when = datetime.fromtimestamp(int(found.group(1), 16), UTC)
        return when if 2010 <= when.year <= 2100 else None
    if stamp := comments.get("origination"):
        return _parse(re.sub(r"\D", "", stamp), "%Y%m%d%H%M%S", zone)
    if stamp := comments.get("creation_time"):
        return _parse(re.sub(r"\D", "", stamp)[:14], "%Y%m%d%H%M%S", UTC if stamp.endswith("Z") else zone)
    return None


def _parse(text: str, layout: str, zone: Any) -> datetime | None:
    try:
        when = datetime.strptime(text, layout).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return when if 1950 <= when.year <= 2100 else None


def parse_zone(name: str) -> Any:
    if found := re.fullmatch(r"([+-])(\d\d):?(\d\d)", name):
        minutes = int(found.group(2)) * 60 + int(found.group(3))
        return timezone(timedelta(minutes=minutes if found.group(1) == "+" else -minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        if name == "UTC":
            return UTC
        raise AudioError(f"timezone is {name!r}; give a name like Asia/Tokyo or an offset like +09:00") from None
