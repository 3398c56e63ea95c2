"""The body of a request → an open file and its options.

No body is read past its limit, and no file on disk has a name that a client chose.
"""

import base64
import binascii
import io
import json
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Literal
from urllib.parse import quote

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from starlette.datastructures import UploadFile
from starlette.types import Message

from anemone_lib.service.problems import TOO_LARGE_HINT, Problem
from anemone_lib.service.settings import MAX_AUDIO_BYTES

#: Largest size of the other fields of a multipart body.
MAX_FIELD_BYTES = 64 * 1024
#: A larger body is kept in a temporary file instead of memory.
SPOOL_BYTES = 1 << 20
#: Media types that do not say what the body is, and media types of audio and of containers that may hold audio.
OPAQUE_TYPES = ("", "application/octet-stream", "application/ogg", "binary/octet-stream")
AUDIO_TYPE = re.compile(r"audio/|video/(mp4|webm|ogg|quicktime)$")

#: Which of several hydrophones: a number from 1, or a word.
ChannelChoice = Annotated[str, BeforeValidator(str), StringConstraints(pattern=r"^([1-9][0-9]{0,2}|mean|loudest)$")]
CHANNEL_HELP = "The channel to analyse, if there are several: a number from 1, mean or loudest."

FileKind = Literal["csv", "raven", "audacity", "png"]


class Options(BaseModel):
    """The options of a request: fields of the form, keys of the JSON, or parameters of the query."""

    model_config = ConfigDict(extra="forbid")

    config: dict[str, Any] = Field(
        default={}, description='Event settings that differ from those in force, like {"confidence_threshold": 0.7}.'
    )
    timezone: str = Field("UTC", max_length=64, description="Clock that named the file, like Asia/Tokyo or +09:00.")
    channel: ChannelChoice = Field("mean", description=CHANNEL_HELP)
    files: list[FileKind] = Field(
        default=[], max_length=4, description="More formats of the result, under `files`; the PNG in base64."
    )
    save: bool = Field(False, description="Keep the result in the output bucket; the answer carries its URL.")


class S3Reference(BaseModel):
    """A recording in one of the service's buckets."""

    s3_bucket: Annotated[str, Field(min_length=3, max_length=63)]
    s3_key: Annotated[str, Field(min_length=1, max_length=1024)]


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


def clean_name(name: str | None) -> str:
    """Reduce a client's file name to its last component, without characters that a table cannot hold.

    The name appears in results only. It never names a file on disk.

    Parameters
    ----------
    name : str, optional

    Returns
    -------
    name : str, 1 to 200 characters; ``recording`` if nothing is left

    Examples
    --------
    >>> clean_name("C:\\\\reef\\\\20230210_000001.WAV"), clean_name("../../etc/passwd"), clean_name("")
    ('20230210_000001.WAV', 'passwd', 'recording')
    """
    last = re.split(r"[/\\]", name or "")[-1]
    return re.sub(r"[\x00-\x1f\x7f]", "", last).strip(". ")[-200:] or "recording"


def parse_options(fields: Mapping[str, Any]) -> Options:
    """Read the options of a request.

    Parameters
    ----------
    fields : mapping
        In forms and queries, ``config`` is JSON and ``files`` is a list separated by commas.

    Returns
    -------
    options : Options

    Raises
    ------
    Problem
        422: an unknown option, or a wrong value; 400: ``config`` is not JSON.

    Examples
    --------
    >>> parse_options({"files": "csv, raven", "config": '{"confidence_threshold": 0.7}'}).files
    ['csv', 'raven']
    """
    values = dict(fields)
    if isinstance(values.get("config"), str):
        values["config"] = parse_json(values["config"], "config")
    if isinstance(values.get("files"), str):
        values["files"] = [kind.strip() for kind in values["files"].split(",") if kind.strip()]
    try:
        return Options(**values)
    except ValidationError as error:
        raise Problem(422, "bad_setting", explain_validation(error)) from None


def parse_reference(fields: Mapping[str, Any]) -> S3Reference:
    """Read the place of a recording in S3.

    Parameters
    ----------
    fields : mapping, ``s3_bucket`` and ``s3_key``

    Returns
    -------
    reference : S3Reference

    Raises
    ------
    Problem
        400: a field is missing, unknown or too long.
    """
    try:
        return S3Reference(**fields)
    except ValidationError as error:
        raise Problem(400, "malformed", explain_validation(error)) from None


def explain_validation(error: ValidationError) -> str:
    """Describe the errors of a model on one line.

    Parameters
    ----------
    error : pydantic.ValidationError

    Returns
    -------
    message : str, for each error its place, the value, and what is allowed
    """
    lines = []
    for problem in error.errors(include_url=False):
        place = ".".join(str(part) for part in problem["loc"]) or "the body"
        lines.append(f"{place} is {str(problem.get('input'))[:80]!r}: {problem['msg']}")
    return "; ".join(lines)


def parse_json(text: str | bytes, what: str = "the body") -> Any:
    """Read JSON.

    Parameters
    ----------
    text : str or bytes
    what : str, name of the text for the message

    Returns
    -------
    content : any value that JSON has

    Raises
    ------
    Problem
        400: the text is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "malformed", f"{what} is not JSON: {error}") from None


@asynccontextmanager
async def receive_recording(request: Request, *, limited: bool) -> AsyncIterator[ReceivedRecording]:
    """Receive the recording of a request to /predict, in any of the forms that the route accepts.

    Parameters
    ----------
    request : Request
    limited : bool, whether audio over `MAX_AUDIO_BYTES` is refused

    Yields
    ------
    received : ReceivedRecording
        Its file is open until the end of the ``with`` block.

    Raises
    ------
    Problem
        400: malformed; 413: too large; 415: the body is neither audio nor a form nor JSON.
    """
    limit = MAX_AUDIO_BYTES if limited else None
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    query = dict(request.query_params)
    if media == "multipart/form-data":
        async with read_form(request, limit) as (upload, fields):
            yield ReceivedRecording(upload.file, clean_name(upload.filename), parse_options({**query, **fields}))
    elif media == "application/json":
        body = parse_json(await read_body(request, limit and limit * 4 // 3 + MAX_FIELD_BYTES))
        yield _parse_body(body, query)
    elif AUDIO_TYPE.match(media) or media in OPAQUE_TYPES:
        name = clean_name(query.pop("filename", None))
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as file:
            async for block in read_bounded(request, limit):
                file.write(block)
            if file.tell() == 0:
                raise Problem(400, "malformed", "the body is empty; send the audio as the body or as the field `audio`")
            yield ReceivedRecording(file, name, parse_options(query))  # type: ignore[arg-type]
    else:
        raise report_not_audio(media)


def report_not_audio(media: str) -> Problem:
    """Return the problem for a body of another media type; it names the types that are accepted."""
    return Problem(
        415,
        "not_audio",
        f"the type is {media!r}; send multipart/form-data with the field `audio`, a body of audio/* or "
        "application/octet-stream, or application/json",
    )


def _parse_body(body: Any, query: Mapping[str, Any]) -> ReceivedRecording:
    if not isinstance(body, dict):
        raise Problem(400, "malformed", f"the body is a JSON {type(body).__name__}; it must be an object")
    encoded, name = body.pop("audio_base64", None), body.pop("filename", None)
    if name is not None and not isinstance(name, str):
        raise Problem(400, "malformed", "filename must be a text")
    place = {key: body.pop(key) for key in ("s3_bucket", "s3_key") if key in body}
    options = {**query, **body}
    if (encoded is None) == (not place):
        raise Problem(400, "malformed", "give either audio_base64, or s3_bucket and s3_key")
    if place:
        reference = parse_reference(place)
        return ReceivedRecording(reference, clean_name(name or reference.s3_key), parse_options(options))
    try:
        audio = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise Problem(400, "malformed", f"audio_base64 is not base64: {error}") from None
    if not audio:
        raise Problem(400, "malformed", "audio_base64 is empty")
    return ReceivedRecording(io.BytesIO(audio), clean_name(name), parse_options(options))


@asynccontextmanager
async def read_form(request: Request, limit: int | None) -> AsyncIterator[tuple[UploadFile, dict[str, Any]]]:
    """Read a multipart body: one file in the field ``audio`` (or ``audio_file``, its older name), and small fields."""
    stream = read_bounded(request, limit and limit + MAX_FIELD_BYTES)

    async def receive() -> Message:
        block = await anext(stream, None)
        return {"type": "http.request", "body": block or b"", "more_body": block is not None}

    form = await Request(request.scope, receive).form(max_files=1, max_fields=8, max_part_size=MAX_FIELD_BYTES)
    try:
        fields = {key: value for key, value in form.multi_items() if isinstance(value, str)}
        uploads = {key: value for key, value in form.multi_items() if isinstance(value, UploadFile)}
        upload = uploads.get("audio") or uploads.get("audio_file")
        if upload is None:
            raise Problem(
                400, "malformed", "no file in the field `audio`; with curl: -F audio=@recording.wav (mind the @)"
            )
        media = (upload.content_type or "").partition(";")[0].strip().lower()
        if not AUDIO_TYPE.match(media) and media not in OPAQUE_TYPES:
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


def format_s3_uri(reference: S3Reference) -> str:
    """Return the ``s3://`` address of an object.

    Examples
    --------
    >>> format_s3_uri(S3Reference(s3_bucket="reef-input", s3_key="2023/a b.wav"))
    's3://reef-input/2023/a%20b.wav'
    """
    return f"s3://{reference.s3_bucket}/{quote(reference.s3_key)}"
