"""Measure the sound of a recording apart from the calls: levels, snapping shrimp, tones of engines.

`describe_noise` is where to start; `minutes` has bands, third octaves and hybrid millidecades of every minute, `levels`
measures power by time and frequency for pictures of any length.
Imports audio and what lies below it.
"""

from anemone_lib.soundscape.minutes import Minutes, calibrate, measure_minutes
from anemone_lib.soundscape.noise import NoiseContext, describe_noise, lay_bands

__all__ = [
    "Minutes",
    "NoiseContext",
    "calibrate",
    "describe_noise",
    "lay_bands",
    "measure_minutes",
]
