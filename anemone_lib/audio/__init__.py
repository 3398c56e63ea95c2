"""Recordings: from bytes to samples, and when they began.

`open_recording` is where to start: it gives a `Recording`, read by range and never held whole. `sources` reads bytes,
`decoders` and `wav` turn them into samples, `clock` finds when a recording began, `playback` cuts clips to listen to.
Imports only the base modules (config, errors, files, provenance).
"""

from anemone_lib.audio.playback import cut_clip
from anemone_lib.audio.recording import AUDIO_SUFFIXES, Gap, Recording, open_recording

__all__ = [
    "AUDIO_SUFFIXES",
    "Gap",
    "Recording",
    "cut_clip",
    "open_recording",
]
