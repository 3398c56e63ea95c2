"""Check that a model and a configuration fit together."""

import math
import os
from collections.abc import Iterable

from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ModelError
from anemone_lib.promotion import Promotion
from anemone_lib.scoring.classifier import Classifier


def choose_config(config: InferenceConfig | str | os.PathLike[str] | None, classifier: Classifier) -> InferenceConfig:
    """Return a configuration or, if it is None, the settings that the model was trained with.

    If the card names a target class and its best event settings, they are used, too.

    Parameters
    ----------
    config : InferenceConfig, path of a file of settings as in `InferenceConfig.load`, or None
    classifier : Classifier

    Returns
    -------
    config : InferenceConfig

    Examples
    --------
    >>> from anemone_lib.scoring import load_classifier
    >>> choose_config(None, load_classifier()).model_classes
    'noise,anemonefish,biological'
    >>> choose_config(InferenceConfig(confidence_threshold=0.7), load_classifier()).confidence_threshold
    0.7
    """
    if config is not None:
        return config if isinstance(config, InferenceConfig) else InferenceConfig.load(config)
    card = classifier.card
    if card is None:
        return InferenceConfig()
    target = card.target_class or InferenceConfig().target_class
    if target not in card.classes:
        target = card.classes[1]
    return InferenceConfig(**{**card.settings, **card.decisions.get(target, {}), "target_class": target})


def fill_event_settings(config: InferenceConfig, classifier: Classifier, *, unset: Iterable[str]) -> InferenceConfig:
    """Take event settings that a person did not give from the model's card.

    Parameters
    ----------
    config : InferenceConfig
    classifier : Classifier
    unset : names of event settings, as in `InferenceConfig.event_settings`

    Returns
    -------
    config : InferenceConfig
        With those that the card has for the target class.

    Examples
    --------
    >>> from anemone_lib.scoring import load_classifier
    >>> config = InferenceConfig(confidence_threshold=0.6)
    >>> config = fill_event_settings(config, load_classifier(), unset=["smoothing_window", "min_gap_duration"])
    >>> config.confidence_threshold, config.smoothing_window, config.min_gap_duration
    (0.6, 3, 1.1)
    """
    own = classifier.card.decisions.get(config.target_class, {}) if classifier.card else {}
    return config.replace(**{name: own[name] for name in unset if name in own})


def choose_promoted(path: str | os.PathLike[str] | None, classifier: Classifier) -> InferenceConfig:
    """Return the settings of a file or, if there is no file, those that the model was trained with.

    Parameters
    ----------
    path : path as in `Promotion.load`, or None
    classifier : Classifier

    Returns
    -------
    config : InferenceConfig

    Raises
    ------
    ConfigError
        The settings were promoted for another model.

    Examples
    --------
    >>> from anemone_lib.scoring import load_classifier
    >>> choose_promoted(None, load_classifier()).target_class
    'anemonefish'
    """
    if path is None:
        return choose_config(None, classifier)
    promotion = Promotion.load(path)
    promotion.check_model(classifier.sha256)
    return promotion.config


def choose_transform(config: InferenceConfig, classifier: Classifier, *, sample_rate: int) -> InferenceConfig:
    """Return the settings with which the windows of a recording are drawn for a model.

    Parameters
    ----------
    config : InferenceConfig
    classifier : Classifier
    sample_rate : int > 0, in Hz, of the windows

    Returns
    -------
    config : InferenceConfig
        If the model's card names a `transform_sr`, ``n_fft`` and ``hop_length`` are scaled (`scale_transform`);
        they depend only on the card and the rate. Otherwise unchanged.

    Examples
    --------
    >>> from anemone_lib.scoring import load_classifier
    >>> scaled = choose_transform(InferenceConfig(), load_classifier(), sample_rate=96_000)
    >>> scaled.n_fft, scaled.hop_length
    (2048, 512)
    """
    card = classifier.card
    if card is None or card.transform_sr is None:
        return config
    names = ("n_fft", "hop_length", "stride_duration")
    own = config.replace(**{name: card.settings[name] for name in names if name in card.settings})
    scaled = scale_transform(own, sample_rate, transform_sr=card.transform_sr)
    return config.replace(n_fft=scaled.n_fft, hop_length=scaled.hop_length)


def scale_transform(config: InferenceConfig, sample_rate: int, *, transform_sr: int | None) -> InferenceConfig:
    """Scale the transform to another sample rate, so that a frame lasts as long.

    Parameters
    ----------
    config : InferenceConfig
    sample_rate : int > 0, in Hz, of the recording
    transform_sr : int > 0, in Hz, or None
        The rate that ``n_fft`` and ``hop_length`` are for; none leaves them as they are.

    Returns
    -------
    config : InferenceConfig
        ``n_fft`` is the nearest even number that has no prime factor above 7, which transforms fast. ``hop_length`` is
        the nearest number of which the stride is a multiple, so that windows share frames, if there is one within an
        eighth; otherwise the nearest number.

    Examples
    --------
    >>> [scale_transform(InferenceConfig(), rate, transform_sr=48_000).n_fft for rate in (8000, 44_100, 192_000)]
    [168, 960, 4096]
    >>> [scale_transform(InferenceConfig(), rate, transform_sr=48_000).hop_length for rate in (8000, 44_100, 192_000)]
    [40, 245, 1024]
    """
    if transform_sr is None or transform_sr == sample_rate:
        return config
    ratio = sample_rate / transform_sr
    length, hop, stride = config.n_fft * ratio, config.hop_length * ratio, round(config.stride_duration * sample_rate)
    even = range(max(16, 2 * int(0.45 * length)), 2 * int(0.55 * length) + 18, 2)
    n_fft = min((n for n in even if _is_fast(n)), key=lambda n: abs(n - length))
    near = range(max(1, math.ceil(hop * 7 / 8)), int(hop * 9 / 8) + 1)
    hop_length = min((n for n in near if stride % n == 0), key=lambda n: abs(n - hop), default=max(1, round(hop)))
    return config.replace(n_fft=min(65_536, n_fft), hop_length=min(65_536, n_fft, hop_length))


def _is_fast(n: int) -> bool:
    """Return whether a number has no prime factor above 7."""
    for factor in (2, 3, 5, 7):
        while n % factor == 0:
            n //= factor
    return n == 1


def check_fit(classifier: Classifier, config: InferenceConfig) -> None:
    """Refuse a configuration that the model was not made for.

    ``stride_duration`` may differ from the card's: it decides where windows lie, not what the model sees in one.

    Raises
    ------
    ModelError
        They do not fit; the message names both sides.

    Examples
    --------
    >>> from anemone_lib.scoring import load_classifier
    >>> try:
    ...     check_fit(load_classifier(), InferenceConfig(n_fft=512))
    ... except ModelError as error:
    ...     print(str(error).partition(";")[0])
    n_fft is 512, the model was trained with 1024
    """
    if len(config.classes) != classifier.n_classes:
        raise ModelError(
            f"the configuration names {len(config.classes)} classes ({config.model_classes}), "
            f"the model answers with {classifier.n_classes}"
        )
    if len(classifier.input_shape) == 3 and classifier.input_shape[:2] != (config.height_pixels, config.width_pixels):
        raise ModelError(
            f"the configuration draws images of {config.height_pixels} × {config.width_pixels} pixels, "
            f"the model takes {classifier.input_shape[0]} × {classifier.input_shape[1]}"
        )
    card = classifier.card
    if card is None:
        return
    if card.classes != config.classes:
        raise ModelError(f"model_classes is {config.model_classes!r}, the model's card says {','.join(card.classes)!r}")
    settings = config.model_dump()
    for name, trained_with in card.settings.items():
        if name not in ("stride_duration", "model_classes") and settings.get(name) != trained_with:
            raise ModelError(
                f"{name} is {settings.get(name)!r}, the model was trained with {trained_with!r}; "
                "change the setting, or train a model for it"
            )
