"""The fields of a request, from a form, a query or JSON → its options; what is wrong with them, in words."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from anemone_lib.service.models import Options, S3Reference
from anemone_lib.service.problems import Problem

#: Names by FastAPI of the places of a field.
SOURCES = ("body", "query", "path", "header")
#: Names by pydantic of the error that a body is missing or is no object.
NO_OBJECT = ("missing", "model_type", "model_attributes_type", "dict_type")
M = TypeVar("M", bound=BaseModel)


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
    return parse_model(Options, read_config(fields))


def read_config(fields: Mapping[str, Any]) -> dict[str, Any]:
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
    """Return the problem for wrong fields.

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
        shown = value if isinstance(value, int | float) and not isinstance(value, bool) else repr(_shorten(value))
        where = ".".join(str(part) for part in place)
        if error["type"] == "missing" and where:
            said = f"{where} is missing"
        elif error["type"] == "extra_forbidden":
            said = f"{where} is not known here; leave it out"
        is_said = " is " in said or (error["type"] == "value_error" and isinstance(value, dict))
        lines.append(said if is_said or not where else f"{where} is {str(shown)[:100]}: {said}")
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
    raise ValueError(f"{name} is not a number in JSON")


def _refuse_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a key twice, because programs disagree on which of the values counts."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
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


def format_s3_uri(reference: S3Reference) -> str:
    """Return the ``s3://`` address of an object.

    Examples
    --------
    >>> format_s3_uri(S3Reference(s3_bucket="reef-input", s3_key="2023/a b.wav"))
    's3://reef-input/2023/a%20b.wav'
    """
    return f"s3://{reference.s3_bucket}/{quote(reference.s3_key)}"
