"""The settings of inference, `InferenceConfig`.

People write settings in four forms: the parameters of a notebook (keyword arguments), a file (YAML, JSON, or the tfvars
JSON that Terraform loads), the Terraform variable ``inference_config``, and environment variables in upper case. Each
form becomes the same frozen object. Its fingerprints are computed from the object, never from a text, because Terraform
rewrites numbers (``1.0`` becomes ``1``) and drops unknown attributes without a message.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from anemone_lib.errors import ConfigError
from anemone_lib.files import write_text

#: Settings that decide only the events; cached scores stay valid when they change.
EVENT_FIELDS = (
    "confidence_threshold",
    "target_class",
    "min_event_duration",
    "min_gap_duration",
    "smoothing_window",
)

#: The sample rate for which the defaults of the transform are made, Hz.
DEFAULT_RATE_HZ = 48_000

ClassName = Annotated[str, StringConstraints(pattern=r"^[^\s,][^,]*$")]


class InferenceConfig(BaseModel):
    """Every setting of inference; the defaults are those of the Terraform interface.

    Raises
    ------
    ConfigError
        An unknown name, a value out of range, or two settings that contradict each other. The message names the
        value and what is allowed.

    Examples
    --------
    >>> config = InferenceConfig(confidence_threshold=0.7)
    >>> config.replace(smoothing_window=3).smoothing_window
    3
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fmax_hz: float = Field(
        2000.0, ge=10, le=500_000, description="Highest frequency shown to the model, in Hz, 10 to 500000."
    )
    n_fft: int = Field(
        1024,
        ge=16,
        le=65_536,
        multiple_of=2,
        description="Samples per short-time Fourier transform, an even number from 16 to 65536.",
    )
    hop_length: int = Field(256, description="Samples between two frames, between 1 and n_fft.")
    width_pixels: int = Field(256, ge=8, le=2048, description="Width of the model's image, 8 to 2048 pixels.")
    height_pixels: int = Field(256, ge=8, le=2048, description="Height of the model's image, 8 to 2048 pixels.")
    window_duration: float = Field(
        1.0, ge=0.01, le=60, description="Length of what the model sees at once, 0.01 to 60 seconds."
    )
    stride_duration: float = Field(
        0.4,
        ge=0.001,
        le=60,
        description="Time from the start of one window to the next, 0.001 seconds to window_duration.",
    )
    target_sr: int | None = Field(
        None,
        ge=100,
        le=1_000_000,
        description="Resample to this rate, 100 to 1000000 Hz; none keeps the recording's own rate.",
    )
    model_classes: str = Field(
        "noise,anemonefish,biological",
        description="The model's classes in the order of its outputs, separated by commas; at least two.",
    )
    batch_size: int = Field(
        32, ge=1, le=4096, description="Windows given to the model at once, 1 to 4096; never changes a result."
    )
    confidence_threshold: float = Field(
        0.5, ge=0, le=1, description="Smoothed probability from which a window is in an event, 0 to 1."
    )
    target_class: ClassName = Field(
        "anemonefish", description="The class whose events are wanted, one of model_classes."
    )
    min_event_duration: float = Field(
        0.2, ge=0, le=3600, description="Events shorter than this are dropped, 0 to 3600 seconds."
    )
    min_gap_duration: float = Field(
        0.1, ge=0, le=3600, description="Events closer than this become one, 0 to 3600 seconds."
    )
    smoothing_window: int = Field(
        5, ge=1, le=1001, description="Windows in the median filter, an odd number from 1 to 1001."
    )

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ConfigError(_explain(error)) from None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = [name.strip() for name in self.model_classes.split(",")]
        if len(names) < 2 or "" in names or len(set(names)) < len(names):
            raise ValueError(
                f"model_classes is {self.model_classes!r}; it must be two or more different names "
                "separated by commas, like 'noise,anemonefish,biological'"
            )
        object.__setattr__(self, "model_classes", ",".join(names))
        if self.target_class not in names:
            raise ValueError(
                f"target_class is {self.target_class!r}; it must be one of model_classes ({self.model_classes})"
            )
        if not 1 <= self.hop_length <= self.n_fft:
            raise ValueError(f"hop_length is {self.hop_length}; it must be between 1 and n_fft ({self.n_fft})")
        if self.stride_duration > self.window_duration:
            raise ValueError(
                f"stride_duration is {self.stride_duration}; it must be at most window_duration "
                f"({self.window_duration}), or the audio between two windows would not be analysed"
            )
        if self.smoothing_window % 2 == 0:
            raise ValueError(
                f"smoothing_window is {self.smoothing_window}; it must be an odd number from 1 to 1001, "
                f"so that the filter has a middle: try {self.smoothing_window - 1} or {self.smoothing_window + 1}"
            )
        return self

    @classmethod
    def for_sample_rate(cls, sample_rate: int, **settings: Any) -> "InferenceConfig":
        """Return the settings that keep the time and frequency resolution of the defaults at a sample rate.

        The defaults are those of 48 kHz: frames of 21.3 ms, one every 5.3 ms, bins of 46.9 Hz.

        Parameters
        ----------
        sample_rate : int > 0, in Hz, of the recordings
        **settings
            Other settings.

        Returns
        -------
        config : InferenceConfig
            ``n_fft`` is the nearest even number of samples and ``hop_length`` the nearest number, within their limits.

        Examples
        --------
        >>> config = InferenceConfig.for_sample_rate(96_000)
        >>> config.n_fft, config.hop_length
        (2048, 512)
        """
        n_fft, hop_length = fit_transform(sample_rate)
        return cls(**{"n_fft": n_fft, "hop_length": hop_length, **settings})

    @property
    def classes(self) -> tuple[str, ...]:
        """The model's classes, in the order of its outputs."""
        return tuple(self.model_classes.split(","))

    @property
    def grid_settings(self) -> dict[str, float]:
        """The settings that lay the grid of windows, as keywords of `anemone_lib.scoring.lay_grid`."""
        return {"window_duration": self.window_duration, "stride_duration": self.stride_duration}

    @property
    def image_settings(self) -> dict[str, Any]:
        """The settings that draw a window's image, as keywords of `anemone_lib.scoring.draw_images`."""
        names = ("n_fft", "hop_length", "fmax_hz", "height_pixels", "width_pixels")
        return {name: getattr(self, name) for name in names}

    @property
    def event_settings(self) -> dict[str, float | int]:
        """The settings that decide the events of a class, as a model's card keeps them for each class."""
        return {name: getattr(self, name) for name in EVENT_FIELDS if name != "target_class"}

    def replace(self, **changes: Any) -> "InferenceConfig":
        """Return a copy with some settings changed, checked like a new one."""
        return InferenceConfig(**{**self.model_dump(), **changes})

    # ------------------------------------------------------------------ fingerprints

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the canonical JSON of all settings."""
        return _hash_settings(self.model_dump())

    @property
    def scores_fingerprint(self) -> str:
        """SHA-256 (hex) of the settings that decide the probabilities.

        Neither the event settings (`EVENT_FIELDS`) nor ``batch_size`` are in it: scores cached under this
        fingerprint stay valid when those change.
        """
        return _hash_settings(self.model_dump(exclude={*EVENT_FIELDS, "batch_size"}))

    # ------------------------------------------------------------------ files

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "InferenceConfig":
        """Read a configuration file: YAML, JSON, or the tfvars JSON that `save` and the tuning notebook write.

        Parameters
        ----------
        path : path of a ``.yaml``, ``.yml`` or ``.json`` file

        Raises
        ------
        ConfigError
            No such file, not YAML or JSON, a wrong setting, or a tfvars file whose fingerprint does not belong
            to its settings (somebody edited one and not the other).
        """
        import yaml

        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path} is not a text file; a configuration is YAML or JSON") from None
        try:
            content = yaml.safe_load(text) if path.suffix != ".json" else json.loads(text)
        except (yaml.YAMLError, json.JSONDecodeError) as error:
            raise ConfigError(f"{path} is neither YAML nor JSON: {error}") from None
        content = {} if content is None else content
        if not isinstance(content, dict):
            raise ConfigError(f"{path} holds a {type(content).__name__}; it must hold settings by name")
        claimed = None
        if "inference_config" in content:
            claimed = content.get("inference_config_fingerprint")
            content = content["inference_config"]
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            raise ConfigError(f"inference_config in {path} must hold settings by name")
        try:
            config = cls(**content)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        if claimed and claimed != config.fingerprint:
            raise ConfigError(
                f"{path}: inference_config_fingerprint is {claimed}, but its settings have {config.fingerprint}; "
                "the file was edited by hand: write it again with `anemone config to-tfvars` or the tuning notebook"
            )
        return config

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the configuration; the file's name decides the format.

        Parameters
        ----------
        path : ``….tfvars.json`` for Terraform, ``….json``, ``….yaml`` or ``….yml``

        Returns
        -------
        path : pathlib.Path
        """
        path = Path(path)
        if path.name.endswith(".tfvars.json"):
            text = self.to_tfvars()
        elif path.suffix == ".json":
            text = json.dumps(self.model_dump(), indent=2) + "\n"
        elif path.suffix in (".yaml", ".yml"):
            import yaml

            text = yaml.safe_dump(self.model_dump(), sort_keys=False)
        else:
            raise ConfigError(f"cannot tell the format of {path.name}; name it .yaml, .json or .auto.tfvars.json")
        return write_text(path, text)

    def to_tfvars(self) -> str:
        """Return the JSON that Terraform loads: ``inference_config`` and ``inference_config_fingerprint``."""
        content = {
            "inference_config": self.model_dump(),
            "inference_config_fingerprint": self.fingerprint,
        }
        return json.dumps(content, indent=2) + "\n"

    # ------------------------------------------------------------------ parameters of a notebook

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any], **fixed: Any) -> "InferenceConfig":
        """Pick the settings out of a notebook's parameters, as ``InferenceConfig.from_parameters(globals())``.

        Parameters
        ----------
        parameters : mapping of names to values
            Names that are no setting are ignored. None, and an empty text, stand for the default. `model_classes`
            may be a text with commas or a list of names.
        **fixed : settings that count instead of those of `parameters`

        Returns
        -------
        config : InferenceConfig

        Raises
        ------
        ConfigError
            A setting is out of its range.

        Examples
        --------
        >>> parameters = {"folder": "reef", "n_fft": 512, "target_sr": None, "model_classes": ["noise", "anemonefish"]}
        >>> config = InferenceConfig.from_parameters(parameters)
        >>> config.n_fft, config.target_sr, config.model_classes
        (512, None, 'noise,anemonefish')
        """
        settings = {name: parameters[name] for name in cls.model_fields if name in parameters} | fixed
        if isinstance(settings.get("model_classes"), list | tuple):
            settings["model_classes"] = ",".join(map(str, settings["model_classes"]))
        blank = ("", "none", "null")
        present = {n: v for n, v in settings.items() if v is not None and str(v).strip().casefold() not in blank}
        return cls(**present)

    # ------------------------------------------------------------------ environment

    def to_env(self) -> dict[str, str]:
        """Return the settings as environment variables; a setting that is none is left out."""
        return {
            name.upper(): _spell_for_terraform(value) for name, value in self.model_dump().items() if value is not None
        }

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "InferenceConfig":
        """Read the settings from environment variables (`os.environ` by default); absent or empty ones default."""
        environ = os.environ if environ is None else environ
        settings = {name: environ[name.upper()] for name in cls.model_fields if environ.get(name.upper())}
        try:
            return cls(**settings)
        except ConfigError as error:
            raise ConfigError(f"in the environment: {error}") from None


def fit_transform(sample_rate: int) -> tuple[int, int]:
    """Return the ``n_fft`` and ``hop_length`` that last as long at a sample rate as the defaults do at 48 kHz.

    >>> fit_transform(16_000)
    (342, 85)
    """
    if sample_rate <= 0:
        raise ConfigError(f"sample_rate is {sample_rate}; it must be a positive number of Hz")
    n_fft = min(65_536, max(16, 2 * round(512 * sample_rate / DEFAULT_RATE_HZ)))
    return n_fft, min(n_fft, max(1, round(256 * sample_rate / DEFAULT_RATE_HZ)))


def _hash_settings(settings: dict[str, Any]) -> str:
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _spell_for_terraform(value: str | int | float) -> str:
    """Write a value as Terraform's tostring does: without trailing zeros and without an exponent."""
    if isinstance(value, float):
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def _explain(error: ValidationError) -> str:
    """Name each wrong setting, its value, and what is allowed."""
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        field = InferenceConfig.model_fields.get(name)
        if not name:  # the whole message is that of _agree
            lines.append(problem["msg"].removeprefix("Value error, "))
        elif field is None:
            known = ", ".join(InferenceConfig.model_fields)
            lines.append(f"{name} is not a setting; the settings are {known}")
        else:
            what = (field.description or "").rstrip(".")
            lines.append(f"{name} is {problem['input']!r}; allowed: {what[0].lower()}{what[1:]}")
    return "; ".join(lines)
