"""The result in any format, as bytes. The functions that write files write it."""

import tempfile
from pathlib import Path

from anemone_lib.detection.detections import FORMATS, Detections


def render(detections: Detections, kind: str) -> bytes:
    """Return detections in one format.

    Parameters
    ----------
    detections : Detections
        Its recording must be open if the format is a picture.
    kind : str, one of `anemone_lib.detection.detections.FORMATS`

    Returns
    -------
    content : bytes
    """
    if kind == "json":
        return detections.to_json().encode()
    with tempfile.TemporaryDirectory() as folder:
        return FORMATS[kind](detections, Path(folder) / "result").read_bytes()  # not a name that a client chose
