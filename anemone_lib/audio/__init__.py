"""Recordings: from bytes to samples, and when they began.

`open_recording` is where to start: it gives a `Recording`, read by range and never held whole. `sources` reads bytes;
`decoders` chooses what turns them into samples (`pcm`, `flac`, `mpeg`, `ffmpeg`, libsndfile); `channels` chooses which
of them are read; `probing` reads headers alone; `clock` finds when a recording began; `playback` cuts clips to listen
to; what is lost is a gap with a reason (`gaps`). Imports only the base modules (config, errors, files, provenance).
"""

from anemone_lib.audio.clock import Clock, read_clock
from anemone_lib.audio.finding import Finding, FoundRecording, find_recordings
from anemone_lib.audio.gaps import Gap, Pause
from anemone_lib.audio.playback import cut_clip
from anemone_lib.audio.probing import Probe, probe_recording
from anemone_lib.audio.recording import AUDIO_SUFFIXES, Recording, open_recording
from anemone_lib.audio.spool import DecodeLimits

__all__ = [
    "AUDIO_SUFFIXES",
    "Clock",
    "DecodeLimits",
    "Finding",
    "FoundRecording",
    "Gap",
    "Pause",
    "Probe",
    "Recording",
    "cut_clip",
    "find_recordings",
    "open_recording",
    "probe_recording",
    "read_clock",
]
