"""One recording in, its result out: what ``/predict`` and a direct invocation share."""

import base64
import json
import time
from typing import Any, BinaryIO

from anemone_lib.detection.detections import Detections
from anemone_lib.detection.results import to_json
from anemone_lib.service.engine import Engine
from anemone_lib.service.incoming import Options, S3Reference, s3_uri
from anemone_lib.service.jobs import Jobs, check_object
from anemone_lib.service.problems import Problem
from anemone_lib.service.render import render
from anemone_lib.service.settings import MAX_ANSWER_BYTES
from anemone_lib.service.work import near

#: Bytes a second that are read from S3 at least, in and hashed; what cannot be read in time is not begun.
S3_BYTES_PER_S = 20e6


def predict(
    engine: Engine,
    jobs: Jobs | None,
    source: BinaryIO | S3Reference,
    name: str,
    options: Options,
    *,
    deadline: float | None,
) -> tuple[dict[str, Any], str]:
    """Detect, and spell the result as the request wants it.

    Parameters
    ----------
    engine : Engine
    jobs : Jobs, where results are kept; None if there is no place
    source : what was sent, or where it lies
    name : the recording's
    options : Options
    deadline : of `time.monotonic`, in seconds, or None

    Returns
    -------
    result : dict
    text : the same as JSON

    Raises
    ------
    Problem, AudioError, ConfigError
    """
    engine.ready()
    opened: str | BinaryIO
    if isinstance(source, S3Reference):
        size = check_object(engine.settings.buckets, source)
        if deadline is not None and size > (deadline - time.monotonic()) * S3_BYTES_PER_S:
            raise Problem(
                413, "too_large", f"the object has {size / 1e6:.0f} MB, more than one call can read; use POST /jobs"
            )
        opened = near(s3_uri(source))
    else:
        opened = source
    with engine.detections(
        opened,
        name=name,
        timezone=options.timezone,
        channel=options.channel,
        overrides=options.config,
        deadline=deadline,
    ) as detections:
        result = detections.to_dict()
        if options.files:
            result["files"] = {kind: _as_text(detections, kind) for kind in options.files}
    text = to_json(result)
    too_much = engine.settings.limits and len(text) + text.count('"') > MAX_ANSWER_BYTES
    if not (options.save or too_much):
        return result, text
    if jobs is None:
        raise Problem(
            413, "result_too_large", "the result is over 6 MB, and there is no S3_OUTPUT_BUCKET to keep it in"
        )
    told = jobs.describe(jobs.keep(to_json({k: v for k, v in result.items() if k != "files"}).encode()))
    if too_much:
        result = {"metadata": result["metadata"]}
    result |= {"job_id": told["job_id"], "result_url": told["result_url"]}
    return result, json.dumps(result, ensure_ascii=False)


def _as_text(detections: Detections, kind: str) -> str:
    content = render(detections, kind)
    return base64.b64encode(content).decode() if kind == "png" else content.decode()
