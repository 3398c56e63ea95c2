"""What an instance of the service is told by its environment or the command line."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError

#: Audio in one call of /predict. Lambda takes and gives 6 MB, of which base64 takes a quarter.
MAX_AUDIO_BYTES = 4_500_000
#: An answer as Lambda counts it: the JSON of the proxy event that holds it.
MAX_ANSWER_BYTES = 6_000_000
#: What API Gateway waits for an answer; the last seconds are for writing it.
MAX_ANSWER_S = 29.0
#: The largest recording of a job.
MAX_JOB_BYTES = 5 << 30


@dataclass(frozen=True)
class Settings:
    """Where the model is, which settings are in force, where jobs lie, who may call.

    Attributes
    ----------
    config : settings of inference; None takes those the model was trained with
    config_problem : what is wrong with the settings; every request is then answered with it
    fingerprint : str, which `config` must have; empty accepts any
    model : path of a bundle; empty takes the one in S3 or the demonstration model
    model_bucket, model_key : the bundle in S3
    model_sha256 : str, of the model file that runs; empty accepts any
    model_version : str, the model's name in results; empty takes the model's own
    input_bucket, output_bucket : S3 buckets of recordings and of results; empty keeps both in `store`
    state_machine_arn : what works on jobs; empty works on them in local processes
    store : folder of jobs where there are no buckets
    cors_allowed_origins : origins whose pages may call, ``*`` for all
    limits : bool, hold every request to what Lambda and API Gateway let through
    """

    config: InferenceConfig | None = None
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

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings from environment variables (`os.environ` by default)."""
        environ = os.environ if environ is None else environ
        config, problem = None, ""
        try:
            if any(environ.get(name.upper()) for name in InferenceConfig.model_fields):
                config = InferenceConfig.from_env(environ)
        except ConfigError as error:
            problem = str(error)
        buckets = environ.get("S3_INPUT_BUCKET", ""), environ.get("S3_OUTPUT_BUCKET", "")
        if bool(buckets[0]) != bool(buckets[1]):
            problem = problem or "set both S3_INPUT_BUCKET and S3_OUTPUT_BUCKET, or neither"
        origins = environ.get("CORS_ALLOWED_ORIGINS", "").split(",")
        return cls(
            config=config,
            config_problem=problem,
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
            cors_allowed_origins=tuple(origin.strip() for origin in origins if origin.strip()),
        )

    @property
    def buckets(self) -> tuple[str, ...]:
        """Buckets that a request may name."""
        return tuple(name for name in (self.input_bucket, self.output_bucket) if name)
