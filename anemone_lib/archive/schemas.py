"""The columns of the tables of an archive, and what each means.

*Conventions.* A value that is not known is null, never NaN, 0 or an empty text. Times of day are written twice, in UTC
and by the recorder's own clock (without a zone: the difference of both is the offset).
"""

from collections.abc import Mapping

import pyarrow as pa

_UTC, _LOCAL = pa.timestamp("ms", "UTC"), pa.timestamp("ms")
_TEXT, _NUMBER, _COUNT, _LEVEL = pa.string(), pa.float64(), pa.int32(), pa.float32()


def _make_schema(*columns: tuple[str, pa.DataType, str]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, metadata={"meaning": meaning}) for name, kind, meaning in columns])


#: One row an event, by site, recording and start.
EVENTS = _make_schema(
    ("id", _TEXT, "Identifier of the event. The same recording and the same event give the same id."),
    ("site", _TEXT, "Where the recorder was: from the manifest, or the folder of the recording."),
    ("recording", _TEXT, "Path of the recording below the source."),
    ("start_utc", _UTC, "Start in UTC; null where nothing says when the recording began."),
    ("end_utc", _UTC, "End in UTC."),
    ("start_local", _LOCAL, "Start by the recorder's own clock."),
    ("end_local", _LOCAL, "End by the recorder's own clock."),
    ("start_s", _NUMBER, "Start, in seconds from the start of the recording."),
    ("end_s", _NUMBER, "End, in seconds from the start of the recording."),
    ("class", _TEXT, "Class of the event."),
    ("confidence", pa.float32(), "Mean of the smoothed probability over the event's windows, 0 to 1."),
    ("max_confidence", pa.float32(), "Highest smoothed probability of the event's windows, 0 to 1."),
    ("windows", _COUNT, "Number of windows that reached the threshold."),
    (
        "calls",
        _COUNT,
        "Number of calls in the event, also 0; null where they were not measured: `notes` of `recordings` says why.",
    ),
    ("peak_hz", _NUMBER, "Median peak frequency of the calls, in Hz; null without calls."),
    (
        "level_db",
        _NUMBER,
        "Median level of the calls in their band, in dB re 1 µPa where `recordings` has a `calibration_db`, else in dB "
        "re full scale; null without calls.",
    ),
    ("snr_db", _NUMBER, "Median level of the calls over the noise around them, in dB; null without calls."),
    ("model", _TEXT, "Version of the model, and the first 12 digits of its SHA-256."),
    ("config", _TEXT, "First 12 digits of the SHA-256 of the settings."),
    ("verdict", _TEXT, "What a person said of the event in a review; null where nobody did."),
)

#: One row an interval, by site, recording and start; together the intervals of a recording are the whole of it.
EFFORT = _make_schema(
    ("site", _TEXT, "Where the recorder was."),
    ("recording", _TEXT, "Path of the recording below the source."),
    ("start_utc", _UTC, "Start of the interval in UTC; null where nothing says when the recording began."),
    ("end_utc", _UTC, "End of the interval in UTC."),
    ("start_local", _LOCAL, "Start by the recorder's own clock."),
    ("end_local", _LOCAL, "End by the recorder's own clock."),
    ("start_s", _NUMBER, "Start, in seconds from the start of the recording; null where nothing could be opened."),
    ("end_s", _NUMBER, "End, in seconds from the start of the recording."),
    ("analysed", pa.bool_(), "True where at least one window was scored; false where the interval was skipped."),
    ("reason", _TEXT, "Why the interval was skipped; null where it was analysed."),
    (
        "masked_s",
        _NUMBER,
        "Seconds in minutes whose noise would have hidden the reference call, that of the first class: `masking` in "
        "archive.json has its level, and the noise above which the model, by its card, finds less than half of such "
        "calls. Null where noise was not measured, or the card does not tell.",
    ),
    ("gain", _TEXT, "Gain of the recorder, as the file states it; null where it does not."),
    (
        "dead_s",
        _NUMBER,
        "Seconds in which every sample has one value: nothing was heard there; null where not known.",
    ),
    ("clipped", _NUMBER, "Share of the samples at full scale, 0 to 1; null where not known."),
)

#: One row a site, hour and class, by site and time; hours without effort have no row.
HOURS = _make_schema(
    ("site", _TEXT, "Where the recorder was."),
    ("hour_utc", _UTC, "Start of the hour in UTC."),
    ("hour_local", _LOCAL, "Start of the hour by the recorder's own clock."),
    ("class", _TEXT, "Class of the events that are counted. With several classes an hour has a row for each."),
    ("effort_s", _NUMBER, "Seconds that were analysed; of several recorders at a site, together."),
    ("skipped_s", _NUMBER, "Seconds that were recorded and skipped."),
    ("events", _COUNT, "Number of events that start in the hour."),
    ("calls", _COUNT, "Number of calls in these events; null where calls were not measured."),
    ("occupancy", _NUMBER, "Part of the effort that is in an event, 0 to 1; null without effort."),
    (
        "noise_low_db",
        _NUMBER,
        "10th percentile of the level a minute in the band of the calls, in dB; null: not known.",
    ),
    ("noise_db", _NUMBER, "Median level a minute in the band of the calls, in dB; null where it was not measured."),
    ("noise_high_db", _NUMBER, "90th percentile of the level a minute in the band of the calls, in dB."),
    ("noise_reference", _TEXT, "What 0 dB is: `full scale`, or `1 µPa` where the recorder is calibrated."),
    ("sun_altitude_deg", _NUMBER, "Altitude of the sun in the middle of the hour, in degrees; null without a place."),
    ("moon_phase_deg", _NUMBER, "Phase of the moon, in degrees: 0 is new, 90 the first quarter, 180 full."),
    ("moon_illumination", _NUMBER, "Part of the moon's disc that is lit, 0 to 1."),
)

#: One row a minute of a recording, by site, recording and start.
MINUTES = _make_schema(
    ("site", _TEXT, "Where the recorder was."),
    ("recording", _TEXT, "Path of the recording below the source."),
    ("start_utc", _UTC, "Start of the minute in UTC; null where nothing says when the recording began."),
    ("start_local", _LOCAL, "Start by the recorder's own clock."),
    ("start_s", _NUMBER, "Start, in seconds from the start of the recording."),
    ("seconds", _NUMBER, "Audio that could be read, 0 to 60 s; the last minute of a recording has at least 1 s."),
    ("sample_rate_hz", _COUNT, "Sample rate that was measured, in Hz: levels reach to half of it."),
    (
        "reference",
        _TEXT,
        "What 0 dB is: `full scale` (a mean square of 1), or `1 µPa` where the recorder is calibrated.",
    ),
    (
        "calls_db",
        _LEVEL,
        "Level in the band of the calls of the first class, in dB; null where nothing could be read.",
    ),
    ("below_db", _LEVEL, "Level from 20 to 300 Hz, in dB: flow, boats."),
    ("above_db", _LEVEL, "Level from 1 to 2 kHz, in dB."),
    ("shrimp_db", _LEVEL, "Level from 2 to 20 kHz, or to half the sample rate, in dB; null where that is less."),
    (
        "third_octaves_db",
        pa.list_(_LEVEL),
        "Level in each third octave (decidecade, IEC 61260), in dB; the n-th has its centre at 10^((n + 12) / 10) Hz.",
    ),
    (
        "millidecades_db",
        pa.list_(_LEVEL),
        "Mean level of a hertz in each hybrid millidecade (Martin et al. 2021), in dB, in steps of 1/128 dB; the edges "
        "are those of `anemone_lib.soundscape.minutes.lay_millidecades(sample_rate_hz / 2)`.",
    ),
)

#: One row a recording, by site, start and path.
RECORDINGS = _make_schema(
    ("recording", _TEXT, "Path of the recording below the source."),
    ("source", _TEXT, "Path or address that opens it."),
    ("site", _TEXT, "Where the recorder was: from the manifest, or the folder of the recording."),
    ("recorder", _TEXT, "Which recorder it was: from the manifest; null where nothing tells."),
    ("size_bytes", pa.int64(), "Size in bytes; null where it could not be found."),
    ("format", _TEXT, "Container and encoding."),
    ("sample_rate_hz", pa.int32(), "Sample rate in Hz."),
    ("channels", pa.int32(), "Number of channels."),
    ("duration_s", _NUMBER, "Length in seconds."),
    ("start_utc", _UTC, "When it began, in UTC; null where nothing tells."),
    ("start_local", _LOCAL, "When it began, by the recorder's own clock."),
    ("clock", _TEXT, "Where the time at which it began was found."),
    ("gap_before_s", _NUMBER, "Seconds between the end of the recording before it, at the same site, and its start."),
    ("overlap_s", _NUMBER, "Seconds that it shares with the recording before it, at the same site."),
    ("duplicate_of", _TEXT, "The recording that has the same bytes, which counts instead of this one."),
    ("calibration_db", _NUMBER, "Level of full scale in dB re 1 µPa, from the manifest; null where it is not known."),
    ("latitude", _NUMBER, "Latitude of the site in degrees, north positive, from the manifest."),
    ("longitude", _NUMBER, "Longitude of the site in degrees, east positive, from the manifest."),
    ("sha256", _TEXT, "SHA-256 of the file's bytes; null where it was not analysed."),
    ("status", _TEXT, "`found`, `analysed`, `duplicate` or `failed`."),
    ("problem", _TEXT, "Why it could not be opened or analysed."),
    ("notes", _TEXT, "What was odd about the file and the sound in it."),
)

#: Name → schema, for every table.
SCHEMAS: Mapping[str, pa.Schema] = {
    "events": EVENTS,
    "effort": EFFORT,
    "hours": HOURS,
    "minutes": MINUTES,
    "recordings": RECORDINGS,
}
