"""The body of a request → an open file and its options.

No body is read past its limit, and no file on disk has a name that a client chose.
"""

import base64
import binascii
import io
import json
import re
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.types import Message

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
#: Media type of a file in a form, which travels as the form does.
AUDIO_TYPE = re.compile(r"audio/")

#: Where FastAPI says that a field was.
SOURCES = ("body", "query", "path", "header")
#: What pydantic calls a body that is missing, or no object.
NO_OBJECT = ("missing", "model_type", "model_attributes_type", "dict_type")
M = TypeVar("M", bound=BaseModel)


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
    return parse_model(Options, _read_config(fields))


def _read_config(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Read the settings of a form or a query, which are JSON in a text."""
    values = dict(fields)
    if isinstance(values.get("config"), str):
        values["config"] = parse_json(values["config"], "config")
    return values


def parse_model(model: type[M], fields: Mapping[str, Any]) -> M:
    """Read the fields of a request as a model.

    Parameters
    ----------
    model : type of pydantic.BaseModel
    fields : mapping

    Returns
    -------
    content : of the model

    Raises
    ------
    Problem
        422: an option is unknown or wrong; 400: another field is.
    """
    try:
        return model(**fields)
    except ValidationError as error:
        raise explain_validation(error.errors(include_url=False)) from None


def explain_validation(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """Return the problem for fields that are not as they should be.

    Parameters
    ----------
    errors : as pydantic and FastAPI list them

    Returns
    -------
    problem : Problem
        Its message has for each error the place, the value, and what is allowed. 422 if an option is wrong, 404 for a
        wrong path, otherwise 400.
    """
    lines, status, name = [], 400, "malformed"
    for error in errors:
        source, *place = error["loc"] if error["loc"][:1] and error["loc"][0] in SOURCES else ("", *error["loc"])
        if source == "path":
            return Problem(404, "not_found", "no such route; see /docs")
        said, value = str(error["msg"]).removeprefix("Value error, "), error.get("input")
        if error["type"] in NO_OBJECT and not place:
            said = "the body must be an object in JSON; send it with Content-Type: application/json"
        is_unknown_option = error["type"] == "extra_forbidden" and source != "body"
        if source == "query" or (place and place[0] in Options.model_fields) or is_unknown_option:
            status, name = 422, "bad_setting"
        spelled = value if isinstance(value, int | float) and not isinstance(value, bool) else repr(_shorten(value))
        where = ".".join(str(part) for part in place)
        if error["type"] == "missing" and where:
            said = f"{where} is missing"
        elif error["type"] == "extra_forbidden":
            said = f"{where} is not known here; leave it out"
        is_said = " is " in said or (error["type"] == "value_error" and isinstance(value, dict))
        lines.append(said if is_said or not where else f"{where} is {str(spelled)[:100]}: {said}")
    return Problem(status, name, "; ".join(dict.fromkeys(lines))[:1000])


def _shorten(value: Any) -> Any:
    return value[:80] if isinstance(value, str) else type(value).__name__ if value is not None else None


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
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_repetition)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "malformed", f"{what} is not JSON: {error}") from None


def _refuse_constant(name: str) -> Any:
    """Refuse NaN and Infinity, which `json` reads and JSON does not have."""
    raise ValueError(f"{name} is no number of JSON")


def _refuse_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a key twice: readers disagree on which of the values counts."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return content


def collect_fields(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return fields by name; refuse one that is given twice with a Problem (400)."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise Problem(
            400, "malformed", f"{next(n for n in names if names.count(n) > 1)!r} is given twice; give it once"
        )
    return fields


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
    """Refuse a binary body that API Gateway took for text, because what it could not read as text is lost."""
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
    fields = _read_config(collect_fields([*query.items(), *body.items()]))
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


def format_s3_uri(reference: S3Reference) -> str:
    """Return the ``s3://`` address of an object.

    Examples
    --------
    >>> format_s3_uri(S3Reference(s3_bucket="reef-input", s3_key="2023/a b.wav"))
    's3://reef-input/2023/a%20b.wav'
    """
    return f"s3://{reference.s3_bucket}/{quote(reference.s3_key)}"
