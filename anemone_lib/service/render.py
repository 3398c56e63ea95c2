"""A result in every spelling, as bytes; by the functions that write it to files."""

import tempfile
from pathlib import Path

from anemone_lib.detection.detections import FORMATS, Detections


def render(detections: Detections, kind: str) -> bytes:
    """Spell detections.

    Parameters
    ----------
    detections : Detections, their recording open where a picture is wanted
    kind : one of `anemone_lib.detection.detections.FORMATS`
    """
    if kind == "json":
        return detections.to_json().encode()
    with tempfile.TemporaryDirectory() as folder:
        return FORMATS[kind](detections, Path(folder) / "result").read_bytes()  # never the client's name
