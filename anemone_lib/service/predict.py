"""Analyse one recording of a request. The route ``/predict`` and a direct invocation of the function use this."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from anemone_lib.audio.nearby import copy_nearby
from anemone_lib.detection.detections import Detections
from anemone_lib.detection.results import to_json
from anemone_lib.service.engine import Engine
from anemone_lib.service.fields import format_s3_uri
from anemone_lib.service.jobs import Jobs, check_object
from anemone_lib.service.models import Options, S3Reference
from anemone_lib.service.problems import Problem
from anemone_lib.service.render import join_channels, list_channels, render

#: Slowest speed, in bytes a second, at which objects in S3 are read and hashed. An object that needs longer than the
#: deadline allows is refused before the work begins.
S3_BYTES_PER_S = 20e6
#: Seconds before the deadline that are kept for writing the answer.
RESERVE_S = 3.0


def predict(
    engine: Engine,
    jobs: Jobs | None,
    source: BinaryIO | S3Reference,
    name: str,
    options: Options,
    *,
    deadline: float | None,
    count_sharing: Callable[[], int] = lambda: 1,
) -> tuple[dict[str, Any], str]:
    """Detect the events of a recording and write the result in the formats that the request names.

    Parameters
    ----------
    engine : Engine
    jobs : Jobs or None
        Where large results are stored.
    source : binary file or S3Reference
    name : str, of the recording
    options : Options
    deadline : float or None
        Time of `time.monotonic` in seconds at which the work must end.
    count_sharing : callable, returns how many requests work now, with this one

    Returns
    -------
    result : dict
    text : the same as JSON

    Raises
    ------
    Problem, AudioError, ConfigError
        The work is refused, the recording cannot be decoded, or a setting is wrong.
    """
    engine.load()
    opened: str | BinaryIO
    if isinstance(source, S3Reference):
        size, etag = check_object(engine.settings.buckets, source)
        if deadline is not None and size > (deadline - time.monotonic()) * S3_BYTES_PER_S:
            raise Problem(
                413, "too_large", f"the object has {size / 1e6:.0f} MB, more than one call can read; use POST /jobs"
            )
        opened = copy_nearby(format_s3_uri(source), etag=etag)
    else:
        opened = source
    with engine.open_detections(
        opened,
        name=name,
        timezone=options.timezone,
        channel=options.channel,
        overrides=options.config.model_dump(exclude_unset=True),
        deadline=deadline,
        count_sharing=count_sharing,
    ) as found:
        result = join_channels(found)
        for own, detections in zip(list_channels(result), found, strict=True):
            if options.files:
                own["files"] = {kind: _render_text(detections, kind) for kind in options.files}
    text = to_json(result)
    is_too_large = engine.settings.limits and len(text) + text.count('"') > engine.settings.max_answer_bytes
    if not (options.save or is_too_large):
        return result, text
    if jobs is None:
        raise Problem(
            413, "result_too_large", "the result is over 6 MB, and there is no S3_OUTPUT_BUCKET to keep it in"
        )
    description = jobs.describe(jobs.keep(to_json(_keep(result, lambda name: name != "files")).encode()))
    if is_too_large:
        result = _keep(result, lambda name: name == "metadata")
    result |= {name: description[name] for name in ("job_id", "result_url")}
    return result, json.dumps(result, ensure_ascii=False)


def _keep(result: dict[str, Any], is_kept: Callable[[str], bool]) -> dict[str, Any]:
    """Return a result, or those of the channels, with some of the keys."""
    kept = [{name: value for name, value in own.items() if is_kept(name)} for own in list_channels(result)]
    return {"channels": kept} if "channels" in result else kept[0]


def _render_text(detections: Detections, kind: str) -> str:
    content = render(detections, kind)
    return base64.b64encode(content).decode() if kind == "png" else content.decode()


def measure_work(result: dict[str, Any]) -> dict[str, float]:
    """Return the work of a call, for its log and metrics: ``windows``, ``audio_s`` and ``detect_s`` of all channels.

    Parameters
    ----------
    result : dict, as `predict` returns it
    """
    names = {"windows": "total_windows", "audio_s": "audio_duration", "detect_s": "processing_time"}
    every = [own["metadata"] for own in list_channels(result)]
    return {name: sum(metadata[key] for metadata in every) for name, key in names.items()}


def compute_deadline(seconds: float) -> float:
    """Return the time at which the work on an answer must end.

    Parameters
    ----------
    seconds : float, after which the client must have the answer

    Returns
    -------
    deadline : float, of `time.monotonic` in seconds; `RESERVE_S` earlier, for writing the answer
    """
    return time.monotonic() + seconds - RESERVE_S
