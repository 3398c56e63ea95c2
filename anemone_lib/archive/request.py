"""The request of a run: the recordings, the model, the settings, and the classes of events."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from anemone_lib.archive.sources import Listing, check_sources
from anemone_lib.audio.channels import parse_channel
from anemone_lib.audio.clock import read_clock
from anemone_lib.config import InferenceConfig
from anemone_lib.dataset.description import Dataset
from anemone_lib.scoring.classifier import Classifier, load_classifier
from anemone_lib.scoring.fit import check_fit, choose_config
from anemone_lib.tuning.by_class import choose_decisions

#: Values of `group` of a dataset that are not a regular expression for the site.
_NO_SITE = ("recording", "day", "site")


@dataclass(frozen=True)
class Request:
    """The request of a run.

    Attributes
    ----------
    sources : tuple of str
    model : str, path of the model bundle, or None for the demonstration model
    configs : tuple of InferenceConfig, one a class of events; they differ in event settings only
    timezone, start_time_format : str or None, for recordings of which a manifest says nothing
    channel : str
    site : str or None, a regular expression that finds the site in a recording's path
    noise : bool, whether the levels of every minute are measured
    call_level_db : float or None, level of the reference call at the recorder, in dB with the reference of the levels

    Examples
    --------
    >>> request = make_request(["season"], settings={"confidence_threshold": 0.7})
    >>> request.classes, request.configs[0].confidence_threshold
    (('anemonefish',), 0.7)
    """

    sources: tuple[str, ...]
    model: str | None
    configs: tuple[InferenceConfig, ...]
    timezone: str | None = None
    start_time_format: str | None = None
    channel: str = "mean"
    site: str | None = None
    noise: bool = True
    call_level_db: float | None = None
    classifier: Classifier = field(default=None, compare=False)  # type: ignore[assignment]

    @property
    def config(self) -> InferenceConfig:
        """The settings that decide the scores."""
        return self.configs[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the events."""
        return tuple(config.target_class for config in self.configs)

    @cached_property
    def score_key(self) -> str:
        """The key of scores: the model, the settings that decide them, the channel."""
        return f"{self.classifier.sha256}-{self.config.scores_fingerprint}-{self.channel}"

    @cached_property
    def calls_key(self) -> str:
        """The key of the calls of a recording: the scores and the settings of the events."""
        return f"{self.score_key}-{self.config_sha256}"

    @cached_property
    def config_sha256(self) -> str:
        """SHA-256 (hex) of all settings, of every class."""
        return hashlib.sha256("".join(config.fingerprint for config in self.configs).encode()).hexdigest()

    @property
    def listing(self) -> Listing:
        """The recordings that the sources name."""
        return check_sources(self.sources, self.site, self.channel)

    @property
    def probe_key(self) -> str:
        """The key of what was read from headers: the options on which it depends."""
        return json.dumps([self.timezone, self.start_time_format])

    def describe_clock(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that find the start of a recording: the manifest comes first."""
        start_time = about.get("start_time")
        return {
            "timezone": about.get("timezone") or self.timezone,
            "start_time": start_time,
            "start_time_format": None if start_time else self.start_time_format,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the request as values for JSON, from which `restore_request` makes it again."""
        return {
            "sources": list(self.sources),
            "model": self.model,
            "configs": [config.model_dump() for config in self.configs],
            "timezone": self.timezone,
            "start_time_format": self.start_time_format,
            "channel": self.channel,
            "site": self.site,
            "noise": self.noise,
            "call_level_db": self.call_level_db,
        }


def make_request(
    sources: list[str] | tuple[str, ...],
    *,
    model: str | None = None,
    config: InferenceConfig | None = None,
    dataset: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    timezone: str | None = None,
    start_time_format: str | None = None,
    channel: str = "mean",
    site: str | None = None,
    noise: bool = True,
    call_level_db: float | None = None,
) -> Request:
    """Make a request, and check that its parts fit together.

    Parameters
    ----------
    sources : folders, globs, files, manifests, addresses
    model : path of a model bundle, optional
    config : InferenceConfig, optional
        By default what the model's card says.
    dataset : path of a ``dataset.yaml``, optional
        Its settings, its classes (each has events), its channel, its time zone, and its groups as sites where they are
        a regular expression.
    settings : mapping, optional
        Settings that differ.
    timezone, start_time_format : str, optional
    channel : str
        ``mean``, ``loudest``, or a number from 1.
    site : str, optional
        A regular expression that finds the site in a recording's path: its first group, or all of it.
    noise : bool
        Whether the levels of every minute are measured, too: a third more work at 48 kHz.
    call_level_db : float, optional
        Level of a call at the recorder, in the band of the calls: in dB re 1 µPa where recorders are calibrated, else
        in dB re full scale. Time in which noise would have hidden it is counted; see `anemone_lib.archive.masking`.

    Returns
    -------
    request : Request

    Raises
    ------
    ConfigError, ModelError

    Examples
    --------
    >>> request = make_request(["season/*/*.wav"], timezone="Asia/Tokyo", settings={"smoothing_window": 3})
    >>> request.config.smoothing_window, request.classes
    (3, ('anemonefish',))
    """
    described = Dataset.load(dataset) if dataset is not None else None
    if described is not None:
        timezone = timezone or (described.timezone if described.timezone != "UTC" else None)
        start_time_format = start_time_format or described.start_time_format
        if site is None and described.group not in _NO_SITE:
            site = described.group
        channel = str(described.channel) if channel == "mean" else channel
    parse_channel(channel)
    read_clock("", timezone=timezone, start_time_format=start_time_format)
    classifier = load_classifier(model)
    if config is not None or described is None:
        base = choose_config(config, classifier)
    else:  # the event settings that were best for its target, as every other command takes them
        decisions = classifier.card.decisions if classifier.card else {}
        base = described.to_config().replace(**decisions.get(described.target_class, {}))
    base = base.replace(**(settings or {}))
    check_fit(classifier, base)
    names = described.calls if described is not None else (base.target_class,)
    configs = tuple(
        base if name == base.target_class and described is None else choose_decisions(base, classifier.card, name)
        for name in names
    )
    configs = tuple(one.replace(**{**(settings or {}), "target_class": one.target_class}) for one in configs)
    check_sources(sources, site)
    where = None if model is None else str(Path(model).resolve()) if "://" not in model else model
    options = (timezone, start_time_format, channel, site, noise, call_level_db)
    return Request(tuple(sources), where, configs, *options, classifier)


def restore_request(kept: Mapping[str, Any]) -> Request:
    """Make the request again that `Request.to_dict` described."""
    configs = tuple(InferenceConfig(**one) for one in kept["configs"])
    classifier = load_classifier(kept["model"])
    check_fit(classifier, configs[0])
    options = {name: kept[name] for name in ("model", "timezone", "start_time_format", "channel", "site")}
    options |= {"noise": kept.get("noise", False), "call_level_db": kept.get("call_level_db")}
    return Request(sources=tuple(kept["sources"]), configs=configs, classifier=classifier, **options)
