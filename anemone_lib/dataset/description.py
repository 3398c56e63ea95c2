"""The file ``dataset.yaml`` as an object.

*Conventions.* Paths are relative to the file's folder. The first class is the background: what a window holds that has
no annotation. A label of the tables belongs to a class, or to none (null): then it is neither a call nor background,
and no window that it touches counts as either.

A split names the recordings of each part, or it cuts every recording in time: ``{by: time, fractions: [0.5, 0.15,
0.35]}`` trains on the first half of each, validates on the next 15 % and tests on the rest. A split in time needs few
recordings, and says nothing of recordings of other days or places.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from anemone_lib.audio.channels import Channel, parse_channel
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import fold_label
from anemone_lib.errors import ConfigError
from anemone_lib.files import write_text

#: The parts of a split.
PARTS = ("train", "validation", "test")
Part = Literal["train", "validation", "test"]


class SplitByName(BaseModel):
    """A split that names the recordings of each part, by file name, with or without the extension, or by path.

    Examples
    --------
    >>> SplitByName(train=("reef1", "reef2"), test=("reef3.wav",)).test
    ('reef3.wav',)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    @field_validator("train", "validation", "test", mode="before")
    @classmethod
    def _read_none_as_empty(cls, value: Any) -> Any:
        return () if value is None else [str(name) for name in value] if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _check_disjoint(self) -> Self:
        seen: dict[str, str] = {}
        for part in PARTS:
            for name in getattr(self, part):
                if seen.setdefault(name, part) != part:
                    raise ValueError(f"{name} is in both {seen[name]} and {part}; leave it in one of them")
        return self


class SplitByTime(BaseModel):
    """A split that cuts every recording in time: first to learn from, then to validate on, then to test on.

    Examples
    --------
    >>> SplitByTime(fractions=(0.6, 0.2, 0.2)).by
    'time'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Literal["time"] = "time"
    fractions: tuple[float, float, float] = (0.5, 0.15, 0.35)

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        if min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"fractions are {list(self.fractions)}; they must be 0 or more and add up to 1")
        return self


class Dataset(BaseModel):
    """The content of ``dataset.yaml``.

    Raises
    ------
    ConfigError
        An unknown field, a label of a class that is not there, a split that names a recording twice.

    Examples
    --------
    >>> dataset = Dataset(
    ...     recordings=("recordings/",),
    ...     classes=("noise", "toadfish", "meagre"),
    ...     target_class="meagre",
    ...     labels={"lt": "toadfish", "m": "meagre", "?": None},
    ... )
    >>> dataset.find_class("LT"), dataset.find_class("?")
    ('toadfish', None)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recordings: tuple[str, ...] = Field(description="Folders, patterns (*.wav) or files, relative to this file.")
    annotations: str = Field("same", description="Folder of the tables; same: beside the recordings.")
    verdicts: str | None = Field(
        None, description="Table of the verdicts of a review (CSV): accepted events are annotations, too."
    )
    label_column: str | None = Field(None, description="Column that holds the labels; null: one of the usual names.")
    classes: tuple[str, ...] = Field(description="Names of the classes; the first is the background.")
    target_class: str = Field(description="The class whose events are detected.")
    labels: dict[str, str | None] = Field(
        default_factory=dict, description="Class of each label; null: neither a call nor background."
    )
    group: str = Field(
        "recording",
        description="Recordings that stay on one side of a split: recording, day, site (the folder), or a regular "
        "expression on the path, whose first group (or whole match) names the group.",
    )
    split: SplitByTime | SplitByName = Field(
        default_factory=SplitByTime, description="Names for each part, or {by: time, fractions: [...]}."
    )
    timezone: str = Field("UTC", description="Time zone of the times in file names.")
    channel: int | str = Field("mean", description="Which of several hydrophones: a number from 1, mean or loudest.")
    start_time_format: str | None = Field(None, description="How file names tell the time, like %Y%m%d_%H%M_.")
    settings: dict[str, int | float | str | None] = Field(
        default_factory=dict, description="Score-deciding settings of InferenceConfig that fit these recordings."
    )
    _folder: Path = PrivateAttr(default_factory=Path)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ConfigError("; ".join(_explain(problem) for problem in error.errors())) from None

    @field_validator("recordings", mode="before")
    @classmethod
    def _accept_one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("channel", mode="before")
    @classmethod
    def _check_channel(cls, value: Any) -> Channel:
        try:
            return parse_channel(value)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("channel ").replace("is", "it is", 1)) from None

    @field_validator("labels", mode="before")
    @classmethod
    def _check_labels(cls, value: Any) -> Any:
        return {str(label): name for label, name in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ValueError(
                f"classes is {list(self.classes)}; it must be two or more different names, the background first"
            )
        if self.target_class not in self.classes[1:]:
            raise ValueError(f"target_class is {self.target_class!r}; it must be one of {list(self.classes[1:])}")
        for label, name in self.labels.items():
            if name is not None and name not in self.classes:
                raise ValueError(f"label {label!r} is of class {name!r}; the classes are {list(self.classes)}")
        self.to_config()  # the settings are checked where the file is read
        return self

    @property
    def folder(self) -> Path:
        """The folder that paths are relative to."""
        return self._folder

    @property
    def calls(self) -> tuple[str, ...]:
        """The classes without the background."""
        return self.classes[1:]

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of what the description says, however it is laid out."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def find_class(self, label: str) -> str | None:
        """Return the class of a label; None where it is neither a call nor background.

        Upper and lower case are the same, and so are one blank and several. A label that is the name of a class belongs
        to it.

        Raises
        ------
        ConfigError
            A label that the description does not know.
        """
        folded = fold_label(label)
        for known, name in (*self.labels.items(), *((name, name) for name in self.classes)):
            if fold_label(known) == folded:
                return name
        raise ConfigError(
            f"label {label!r} belongs to no class; the description has {', '.join(map(repr, self.labels))}: "
            f"add it to labels, with null if it is neither a call nor background"
        )

    def to_config(self) -> InferenceConfig:
        """Return the settings as a configuration of inference."""
        fields = {**self.settings, "model_classes": ",".join(self.classes), "target_class": self.target_class}
        return InferenceConfig(**fields)

    def with_folder(self, folder: str | os.PathLike[str]) -> "Dataset":
        """Return the same description, with paths relative to another folder."""
        copied = self.model_copy()
        copied._folder = Path(folder)
        return copied

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Dataset":
        """Read a description.

        Parameters
        ----------
        path : path of a ``.yaml`` file

        Raises
        ------
        ConfigError
            No such file, not YAML, or a wrong field; the message names it.
        """
        path = Path(path)
        try:
            content = _read_yaml(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read the description {path}: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not YAML: {error}") from None
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            raise ConfigError(f"{path} must have fields with names; `anemone dataset init FOLDER` writes one")
        try:
            return cls(**content).with_folder(path.parent)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the description, whole or not at all.

        Raises
        ------
        ConfigError
            The file is there already and `overwrite` is False.
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} exists already; choose another name, or replace it with --overwrite")
        content = self.model_dump(mode="json")
        return write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))


class _NamesLoader(yaml.SafeLoader):
    """YAML in which all but null and merged fields stay text as it is written: 20170116_1130_, 007, no."""

    yaml_implicit_resolvers = {  # noqa: RUF012 as in its parent
        first: [(tag, pattern) for tag, pattern in found if tag.endswith((":null", ":merge"))]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"  # a label may be ~
        return super().construct_mapping(node, deep)


def _read_yaml(text: str) -> Any:
    """Read YAML; only settings and the channel are numbers."""
    content, named = yaml.safe_load(text), yaml.load(text, _NamesLoader)
    if not isinstance(content, dict):
        return content
    return {**named, **{key: content[key] for key in ("settings", "channel") if key in content}}


def _explain(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"] if part not in ("SplitByTime", "SplitByName"))
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"{name} is not a field of a dataset; the fields are {', '.join(Dataset.model_fields)}"
    return f"{name}: {message}" if name else message
