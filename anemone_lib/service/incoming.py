"""The body of a request → an open file and its options.

No body is read past its limit, and no file on disk has a name that a client chose.
"""

import base64
import binascii
import io
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.types import Message

from anemone_lib.service.fields import clean_name, collect_fields, parse_json, parse_model, parse_options, read_config
from anemone_lib.service.models import Options, PredictAudio, PredictObject, PredictQuery, S3Reference
from anemone_lib.service.problems import TOO_LARGE_HINT, Problem

#: Largest size of the other fields of a multipart body.
MAX_FIELD_BYTES = 64 * 1024
#: A larger body is kept in a temporary file instead of memory.
SPOOL_BYTES = 1 << 20
#: Media types of a body that is the recording itself. API Gateway must know each, or it spoils the body: the list
#: `binary_media_types` in Terraform has the same, and multipart/form-data.
BODY_TYPES = (
    *("application/octet-stream", "application/ogg", "binary/octet-stream"),
    *("audio/aac", "audio/aiff", "audio/basic", "audio/flac", "audio/m4a", "audio/mp3", "audio/mp4", "audio/mpeg"),
    *("audio/ogg", "audio/opus", "audio/vnd.wave", "audio/wav", "audio/wave", "audio/webm", "audio/x-aiff"),
    *("audio/x-caf", "audio/x-flac", "audio/x-m4a", "audio/x-wav"),
    *("video/mp4", "video/ogg", "video/quicktime", "video/webm"),
)
#: Media type of a file in a form.
AUDIO_TYPE = re.compile(r"audio/")


@dataclass
class ReceivedRecording:
    """The recording of a request.

    Attributes
    ----------
    source : binary file that holds it, or S3Reference
    name : str, a file name without a folder
    options : Options
    """

    source: BinaryIO | S3Reference
    name: str
    options: Options


@asynccontextmanager
async def receive_recording(
    request: Request, query: PredictQuery, *, limit: int | None
) -> AsyncIterator[ReceivedRecording]:
    """Receive the recording of a request to /predict, in any of the forms that the route accepts.

    Parameters
    ----------
    request : Request
    query : PredictQuery
    limit : int or None, bytes of audio, over which it is refused

    Yields
    ------
    received : ReceivedRecording
        Its file is open until the end of the ``with`` block.

    Raises
    ------
    Problem
        400: malformed; 413: too large; 415: the body is neither audio nor a form nor JSON; 422: an option is wrong.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    values = query.model_dump(exclude_none=True)
    collect_fields(request.query_params.multi_items())
    asked = values.pop("filename", None)
    if media == "multipart/form-data":
        refuse_text(request, media)
        async with read_form(request, limit) as (upload, fields):
            options = parse_options(collect_fields([*values.items(), *fields]))
            yield ReceivedRecording(upload.file, clean_name(asked or upload.filename), options)
    elif media == "application/json":
        body = parse_json(await read_body(request, limit and limit * 4 // 3 + MAX_FIELD_BYTES))
        yield _parse_body(body, values, asked)
    elif media in BODY_TYPES or not media:
        refuse_text(request, media)
        options = parse_options(values)
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as file:
            async for block in read_bounded(request, limit):
                file.write(block)
            if file.tell() == 0:
                raise Problem(400, "malformed", "the body is empty; send the audio as the body or as the field `audio`")
            yield ReceivedRecording(file, clean_name(asked), options)  # type: ignore[arg-type]
    else:
        raise report_not_audio(media)


def refuse_text(request: Request, media: str) -> None:
    """Refuse a binary body that API Gateway has read as text, because it has lost the bytes that are no text."""
    event = request.scope.get("aws.event") or {}
    if event.get("body") and not event.get("isBase64Encoded"):
        raise report_not_audio(media)


def report_not_audio(media: str) -> Problem:
    """Return the problem for a body of another media type; it names the types that are accepted."""
    return Problem(
        415,
        "not_audio",
        f"the type is {media!r}; send multipart/form-data with the field `audio`, a body of application/octet-stream "
        "or of a type of audio like audio/wav or audio/flac, or application/json",
    )


def _parse_body(body: Any, query: Mapping[str, Any], asked: str | None) -> ReceivedRecording:
    if not isinstance(body, dict):
        raise Problem(400, "malformed", f"the body is a JSON {type(body).__name__}; it must be an object")
    is_in_s3 = "s3_bucket" in body or "s3_key" in body
    if ("audio_base64" in body) == is_in_s3:
        raise Problem(400, "malformed", "give either audio_base64, or s3_bucket and s3_key")
    fields = read_config(collect_fields([*query.items(), *body.items()]))
    if is_in_s3:
        place = parse_model(PredictObject, fields)
        reference = S3Reference(s3_bucket=place.s3_bucket, s3_key=place.s3_key)
        return ReceivedRecording(reference, clean_name(asked or place.filename or place.s3_key), place)
    content = parse_model(PredictAudio, fields)
    try:
        audio = base64.b64decode(content.audio_base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem(400, "malformed", f"audio_base64 is not base64: {error}") from None
    return ReceivedRecording(io.BytesIO(audio), clean_name(asked or content.filename), content)


@asynccontextmanager
async def read_form(request: Request, limit: int | None) -> AsyncIterator[tuple[UploadFile, list[tuple[str, Any]]]]:
    """Read a multipart body: one file in the field ``audio`` (or ``audio_file``, its older name), and small fields."""
    stream = read_bounded(request, limit and limit + MAX_FIELD_BYTES)

    async def receive() -> Message:
        block = await anext(stream, None)
        return {"type": "http.request", "body": block or b"", "more_body": block is not None}

    form = await Request(request.scope, receive).form(max_files=1, max_fields=8, max_part_size=MAX_FIELD_BYTES)
    try:
        fields = [(key, value) for key, value in form.multi_items() if isinstance(value, str)]
        uploads = {key: value for key, value in form.multi_items() if isinstance(value, UploadFile)}
        upload = uploads.get("audio") or uploads.get("audio_file")
        if upload is None:
            raise Problem(
                400, "malformed", "no file in the field `audio`; with curl: -F audio=@recording.wav (mind the @)"
            )
        media = (upload.content_type or "").partition(";")[0].strip().lower()
        if not AUDIO_TYPE.match(media) and media not in BODY_TYPES and media:
            raise report_not_audio(media)
        if limit and (upload.size or 0) > limit:
            raise report_too_large(limit)
        yield upload, fields
    finally:
        await form.close()


async def read_body(request: Request, limit: int | None) -> bytes:
    """Read a whole body; refuse it with a Problem (413) if it is larger than the limit in bytes."""
    return b"".join([block async for block in read_bounded(request, limit)])


async def read_bounded(request: Request, limit: int | None) -> AsyncIterator[bytes]:
    """Yield a body as it arrives; refuse it with a Problem (413) when it passes the limit in bytes."""
    announced = request.headers.get("content-length", "")
    if limit is not None and announced.isdigit() and int(announced) > limit:
        raise report_too_large(limit)
    n_bytes = 0
    async for block in request.stream():
        n_bytes += len(block)
        if limit is not None and n_bytes > limit:
            raise report_too_large(limit)
        if block:
            yield block


def report_too_large(limit: int) -> Problem:
    """Return the problem for a body that is too large; it names the limit in bytes and the way out."""
    return Problem(413, "too_large", f"the body is over {limit / 1e6:.1f} MB; {TOO_LARGE_HINT}")
