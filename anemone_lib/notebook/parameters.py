"""Read lists and pairs from the parameters of a notebook, and from options of the command line."""

from collections.abc import Mapping
from typing import Any

import yaml

from anemone_lib.errors import ConfigError


def parse_list(value: Any) -> list[Any]:
    """Read a list as people write it in a notebook's parameter or on a command line.

    Parameters
    ----------
    value : a list, a text with commas, a text that is a YAML list, or None (no items)

    Examples
    --------
    >>> parse_list("anemonefish, grunt") == parse_list("[anemonefish, grunt]") == ["anemonefish", "grunt"]
    True
    >>> parse_list("[{stride_duration: 0.2}]")
    [{'stride_duration': 0.2}]
    """
    if isinstance(value, list | tuple):
        return list(value)
    text = "" if value is None else str(value).strip()
    if not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    return _read_yaml(text, list, "a, b or [a, b]")


def parse_mapping(value: Any) -> dict[str, Any]:
    """Read pairs as people write them in a notebook's parameter or on a command line.

    Parameters
    ----------
    value : a dict, a text of ``name=value`` with commas, a text that is a YAML mapping, or None (no pairs)

    Examples
    --------
    >>> parse_mapping("pulse_train=biological, boat=noise") == parse_mapping("{pulse_train: biological, boat: noise}")
    True
    """
    if isinstance(value, Mapping):
        return dict(value)
    text = "" if value is None else str(value).strip()
    if text.startswith("{"):
        return _read_yaml(text, dict, "a=b, c=d or {a: b, c: d}")
    parts = [part.partition("=") for part in parse_list(text)]
    if wrong := [name for name, equals, _ in parts if not equals]:
        raise ConfigError(f"{wrong[0]!r} has no value; write pairs as label=class, separated by commas")
    return {name.strip(): value.strip() for name, _, value in parts}


def _read_yaml(text: str, kind: type, example: str) -> Any:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        content = None
    if not isinstance(content, kind):
        raise ConfigError(f"{text!r} cannot be read; write {example}")
    return content
