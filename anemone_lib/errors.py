"""The errors of the package, as one tree.

::

    AnemoneError
    ├── ConfigError       a setting is unknown, out of range, or contradicts another (also a ValueError)
    ├── AudioError        a recording cannot be found, opened or decoded, or holds no audio
    │   ├── ChannelError  it has no such channel (also a ConfigError)
    │   ├── LimitError    it would become more than the caller allows, or take longer
    │   └── NoRoomError   the disk has no room for the decoded copy that it needs
    ├── ModelError        a model bundle is missing, damaged, or does not fit the configuration
    ├── AnnotationError   a table of annotations or events cannot be read
    └── ScoresError       cached scores are damaged or belong to another recording, model or setting

Every message names the offending value, what is allowed, and the way out.
"""


class AnemoneError(Exception):
    """Base of all errors that Anemone raises on purpose."""


class ConfigError(AnemoneError, ValueError):
    """A setting is unknown, out of range, or contradicts another."""


class AudioError(AnemoneError):
    """A recording cannot be found, opened or decoded, or holds no audio."""


class ChannelError(AudioError, ConfigError):
    """A recording has no such channel."""


class LimitError(AudioError):
    """A recording would become more than the caller allows, or take longer than there is time."""


class NoRoomError(AudioError):
    """The disk has no room for the decoded copy that a recording needs."""


class ModelError(AnemoneError):
    """A model bundle is missing, damaged, or does not fit the configuration."""


class AnnotationError(AnemoneError):
    """A table of annotations or events cannot be read."""


class ScoresError(AnemoneError):
    """Cached scores are damaged or belong to another recording, model or setting."""


def spell_number(number: float, digits: int = 3) -> str:
    """Spell a number with so many digits that count, and never in powers of ten where it is large.

    >>> spell_number(0.012345), spell_number(99.96, 2), spell_number(-680.4), spell_number(123_456)
    ('0.0123', '100', '-680', '123,000')
    """
    return f"{float(f'{number:.{digits}g}'):,.15g}"


def spell_count(number: int, noun: str, plural: str = "") -> str:
    """Spell a number of things, for messages: ``1 row``, ``2 rows``.

    >>> spell_count(1, "event"), spell_count(1200, "event"), spell_count(2, "entry", "entries")
    ('1 event', '1,200 events', '2 entries')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def spell_duration(seconds: float) -> str:
    """Write a duration for people, in the units that suit its length.

    >>> [spell_duration(seconds) for seconds in (12.34, 60, 125, 179.7, 7260, 86_400, 4_444_560)]
    ['12.3 s', '60 s', '2 min 5 s', '3 min', '2 h 1 min', '24 h', '1,234.6 h']
    """
    if seconds < 120:
        return f"{spell_number(seconds)} s"
    if seconds >= 36_000:
        return f"{seconds / 3600:,.1f}".removesuffix(".0") + " h"
    whole = round(seconds) if seconds < 3600 else 60 * round(seconds / 60)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
