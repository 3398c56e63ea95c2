"""Recordings: from bytes to samples, and when they began.

`open_recording` is where to start: it gives a `Recording`, read by range and never held whole. `sources` reads bytes,
`decoders` and `wav` turn them into samples, `clock` finds when a recording began, `playback` cuts clips to listen to.
Imports only the base modules (config, errors, files, provenance).
"""

from anemone_lib.audio.clock import Clock, read_clock
from anemone_lib.audio.finding import Finding, FoundRecording, find_recordings
from anemone_lib.audio.playback import cut_clip
from anemone_lib.audio.recording import AUDIO_SUFFIXES, Gap, Recording, open_recording

__all__ = [
    "AUDIO_SUFFIXES",
    "Clock",
    "Finding",
    "FoundRecording",
    "Gap",
    "Recording",
    "cut_clip",
    "find_recordings",
    "open_recording",
    "read_clock",
]
