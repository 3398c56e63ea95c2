"""The settings of a running service, from its environment or from the command line."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anemone_lib.audio.spool import DecodeLimits
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError

#: Largest audio of one call of /predict. Lambda accepts and returns 6 MB, and base64 needs a quarter of it.
MAX_AUDIO_BYTES = 4_500_000
#: The same for `anemone serve`: a minute at 48 kHz in two channels of 16 bits.
LOCAL_AUDIO_BYTES = 12_000_000
#: Largest answer, as Lambda counts it: the JSON of the proxy event that holds the answer.
MAX_ANSWER_BYTES = 6_000_000
#: Seconds that API Gateway waits for an answer.
MAX_ANSWER_S = 29.0
#: The largest recording of a job.
MAX_JOB_BYTES = 5 << 30


@dataclass(frozen=True)
class Settings:
    """Where the model is, which inference settings are used, where jobs are stored, who may call.

    Attributes
    ----------
    config : InferenceConfig or None; None uses the settings with which the model was trained
    unset : tuple of str, event settings that `config` has only by default; those on the model's card are used
    config_problem : str, what is wrong with the settings; it is then the answer to every request
    fingerprint : str, which `config` must have; empty accepts any
    model : str, path of a bundle; empty uses the bundle in S3, or else the demonstration model
    model_bucket, model_key : str, the bundle in S3
    model_sha256 : str, the digest that the bundle must have; empty accepts any
    model_version : str, the name of the model in results; empty uses the name in the bundle
    input_bucket, output_bucket : str, S3 buckets of recordings and of results; empty stores both in `store`
    state_machine_arn : str, the state machine that works on jobs; empty uses local processes
    store : pathlib.Path or None, folder of jobs if there are no buckets
    cors_allowed_origins : tuple of str, the origins whose pages may call; ``*`` allows all
    limits : bool, whether the limits of Lambda and API Gateway apply to every request
    max_answer_bytes : int, size of the largest answer if `limits` apply
    max_audio_bytes : int, largest audio of one call of /predict if `limits` apply
    max_audio_s : float, seconds of audio that one recording may have
    max_decoded_bytes : int, size of the temporary file into which one recording may be decoded
    max_requests : int, calls of /predict that may be under way at once; others are answered 503
    allowed_hosts : tuple of str, names by which a local service may be called besides its address; ``*`` allows all
    jobs_expire_days : float, age at which a local job is removed
    """

    config: InferenceConfig | None = None
    unset: tuple[str, ...] = ()
    config_problem: str = ""
    fingerprint: str = ""
    model: str = ""
    model_bucket: str = ""
    model_key: str = ""
    model_sha256: str = ""
    model_version: str = ""
    input_bucket: str = ""
    output_bucket: str = ""
    state_machine_arn: str = ""
    store: Path | None = None
    cors_allowed_origins: tuple[str, ...] = ()
    limits: bool = True
    max_answer_bytes: int = MAX_ANSWER_BYTES
    max_audio_bytes: int = MAX_AUDIO_BYTES
    max_audio_s: float = 31 * 86400.0
    max_decoded_bytes: int = 16 << 30
    max_requests: int = 256
    allowed_hosts: tuple[str, ...] = ()
    jobs_expire_days: float = 14.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings from environment variables.

        Parameters
        ----------
        environ : mapping, optional
            By default `os.environ`.

        Returns
        -------
        settings : Settings
            A wrong variable raises nothing here: it becomes `config_problem`.

        Examples
        --------
        >>> Settings.from_env({"ANEMONE_LIMITS": "off", "CORS_ALLOWED_ORIGINS": "https://reef.example"}).limits
        False
        """
        environ = os.environ if environ is None else environ
        config, problem = None, ""
        unset: tuple[str, ...] = ()
        try:
            if any(environ.get(name.upper()) for name in InferenceConfig.model_fields):
                config = InferenceConfig.from_env(environ)
                unset = tuple(name for name in config.event_settings if not environ.get(name.upper()))
        except ConfigError as error:
            problem = str(error)
        buckets = environ.get("S3_INPUT_BUCKET", ""), environ.get("S3_OUTPUT_BUCKET", "")
        if bool(buckets[0]) != bool(buckets[1]):
            problem = problem or "set both S3_INPUT_BUCKET and S3_OUTPUT_BUCKET, or neither"
        numbers, wrong = _read_numbers(
            max_audio_bytes=environ.get("ANEMONE_MAX_AUDIO_BYTES"),
            max_audio_s=environ.get("ANEMONE_MAX_AUDIO_S"),
            max_decoded_bytes=environ.get("ANEMONE_MAX_DECODED_BYTES"),
            max_requests=environ.get("ANEMONE_MAX_REQUESTS"),
            jobs_expire_days=environ.get("ANEMONE_JOBS_EXPIRE_DAYS"),
        )
        return cls(
            config=config,
            unset=unset,
            config_problem=problem or wrong,
            fingerprint=environ.get("INFERENCE_CONFIG_FINGERPRINT", ""),
            model=environ.get("MODEL_LOCAL_PATH", ""),
            model_bucket=environ.get("S3_MODEL_BUCKET", ""),
            model_key=environ.get("S3_MODEL_KEY", ""),
            model_sha256=environ.get("MODEL_SHA256", ""),
            model_version=environ.get("MODEL_VERSION", ""),
            input_bucket=buckets[0],
            output_bucket=buckets[1],
            state_machine_arn=environ.get("STATE_MACHINE_ARN", ""),
            store=Path(environ["ANEMONE_STORE"]) if environ.get("ANEMONE_STORE") else None,
            limits=environ.get("ANEMONE_LIMITS", "on") != "off",
            cors_allowed_origins=_split(environ.get("CORS_ALLOWED_ORIGINS", "")),
            allowed_hosts=_split(environ.get("ANEMONE_ALLOWED_HOSTS", "")),
            **numbers,
        )

    @property
    def buckets(self) -> tuple[str, ...]:
        """The buckets that a request may name."""
        return tuple(name for name in (self.input_bucket, self.output_bucket) if name)

    @property
    def decode_limits(self) -> DecodeLimits:
        """The limits of the size of a decoded recording, without a deadline."""
        return DecodeLimits(spool_bytes=self.max_decoded_bytes, seconds=self.max_audio_s)


def _read_numbers(**texts: str | None) -> tuple[dict[str, Any], str]:
    """Read numbers above 0 from texts; return the numbers, and what is wrong with the first that is none."""
    numbers, wrong = {}, ""
    for name, text in texts.items():
        if text:
            try:
                numbers[name] = float(text) if name.endswith(("_s", "_days")) else int(text)
                if not 0 < numbers[name] < 1e15:
                    raise ValueError
            except ValueError:
                numbers.pop(name, None)
                wrong = wrong or f"ANEMONE_{name.upper()} is {text!r}; it must be a number above 0"
    return numbers, wrong


def _split(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
