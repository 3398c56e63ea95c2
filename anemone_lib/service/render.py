"""The result in any format, as bytes, and the names of its files. The functions that write files write it."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anemone_lib.detection.detections import FORMATS, Detections

#: The files of a result: format → (end of the name, media type). If there are several channels, the name has a number.
RESULT_FILES = {
    "json": (".json", "application/json"),
    "csv": (".events.csv", "text/csv"),
    "raven": (".selections.txt", "text/plain"),
    "audacity": (".audacity.txt", "text/plain"),
    "png": (".png", "image/png"),
    "scores": (".scores.npz", "application/zip"),
}


def name_result_file(kind: str, part: str = "") -> str:
    """Return the name under which a store has one file of a result. A downloaded file has the recording's name.

    Parameters
    ----------
    kind : str, a format of `RESULT_FILES`
    part : str, that of `Detections`: empty, or a channel's like ``.channel2``

    Examples
    --------
    >>> name_result_file("csv", ".channel2")
    'result.channel2.events.csv'
    """
    return f"result{part}{RESULT_FILES[kind][0]}"


def parse_result_file(name: str) -> tuple[str, str] | None:
    """Return the format and the part from a name by `name_result_file`; None for any other name.

    Examples
    --------
    >>> parse_result_file("result.channel2.events.csv"), parse_result_file("error.json")
    (('csv', '.channel2'), None)
    """
    for kind, (suffix, _) in RESULT_FILES.items():
        if match := re.fullmatch(rf"result((?:\.channel[1-9][0-9]*)?){re.escape(suffix)}", name):
            return kind, match[1]
    return None


def join_channels(found: Sequence[Detections]) -> dict[str, Any]:
    """Return the result of a recording, or the results of each of its channels.

    Parameters
    ----------
    found : sequence of Detections, of one recording

    Returns
    -------
    result : dict, as `Detections.to_dict` returns it, or with one of these for each channel under ``channels``
    """
    if found[0].of_each_channel:
        return {"channels": [detections.to_dict() for detections in found]}
    return found[0].to_dict()


def list_channels(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results in the output of `join_channels`: one, or one for each channel.

    Examples
    --------
    >>> list_channels({"events": []}), list_channels({"channels": [{"events": []}, {"events": []}]})
    ([{'events': []}], [{'events': []}, {'events': []}])
    """
    return list(result.get("channels") or [result])


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
