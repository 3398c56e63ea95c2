"""The requests and answers as typed models: the checks and the description in OpenAPI follow from them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic import model_validator as validate_model
from pydantic.fields import FieldInfo

from anemone_lib.audio.clock import parse_zone
from anemone_lib.config import EVENT_FIELDS, InferenceConfig
from anemone_lib.errors import AudioError


def _check_zone(name: str) -> str:
    try:
        parse_zone(name)
    except (AudioError, ValueError) as error:
        raise ValueError(str(error)) from None
    return name


def _check_key(key: str) -> str:
    if key.startswith("/"):
        raise ValueError("a key has no slash at its start; leave it out")
    if len(key.encode()) > 1024:
        raise ValueError("a key has at most 1,024 bytes")
    return key


def _check_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("a number or a list is not base64; send a text")
    return value


def _split_names(value: Any) -> Any:
    if isinstance(value, str):
        return [kind.strip() for kind in value.split(",") if kind.strip()]
    return value


def _repeat_setting(name: str) -> Any:
    """Describe a setting as `InferenceConfig` does, with the same bounds; if missing, the service's value counts."""
    field = FieldInfo(default=None, description=InferenceConfig.model_fields[name].description)
    field.metadata = list(InferenceConfig.model_fields[name].metadata)
    return field


class EventSettings(BaseModel):
    """Event settings that differ from those of the service."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    confidence_threshold: float = _repeat_setting("confidence_threshold")
    target_class: str = _repeat_setting("target_class")
    min_event_duration: float = _repeat_setting("min_event_duration")
    min_gap_duration: float = _repeat_setting("min_gap_duration")
    smoothing_window: int = _repeat_setting("smoothing_window")

    @validate_model(mode="before")
    @classmethod
    def _refuse_others(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            raise ValueError('it must be an object of settings by name, like {"confidence_threshold": 0.7}')
        for name, value in values.items():
            if name not in EVENT_FIELDS:
                raise ValueError(f"{name} cannot be set by a request; only {', '.join(EVENT_FIELDS)} can")
            if name != "target_class" and type(value) not in (int, float):
                raise ValueError(f"{name} is {value!r}; it must be a number")
        return values


Zone = Annotated[str, Field(max_length=64, examples=["Asia/Tokyo", "+09:00"]), AfterValidator(_check_zone)]
#: Which of several hydrophones: a number from 1, or a word.
ChannelChoice = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    StringConstraints(pattern=r"^([1-9][0-9]{0,2}|mean|loudest|each)$"),
]
FileName = Annotated[str, Field(max_length=1024, examples=["20230210_000001.wav"])]
FileKind = Literal["csv", "raven", "audacity", "png"]
BucketName = Annotated[str, Field(min_length=3, max_length=63, examples=["reef-input"])]
ObjectKey = Annotated[
    str, Field(min_length=1, max_length=1024, examples=["2023/20230210_000001.wav"]), AfterValidator(_check_key)
]

_NAME = "Name of the recording, from which the start time is read."
_ZONE = "Time zone of the time in the file name, like Asia/Tokyo or +09:00."
_CHANNEL = "The channel to analyse, if there are several: a number from 1, mean, loudest or each."
_CONFIG = 'Event settings that differ from those of the service, like {"confidence_threshold": 0.7}.'


# ---------------------------------------------------------------------- requests


class Options(BaseModel):
    """The options of a request: fields of the form, keys of the JSON, or parameters of the query."""

    model_config = ConfigDict(extra="forbid")

    config: EventSettings = Field(default_factory=EventSettings, description=_CONFIG)
    timezone: Zone = Field("UTC", description=_ZONE)
    channel: ChannelChoice = Field("mean", description=_CHANNEL)
    files: Annotated[list[FileKind], BeforeValidator(_split_names)] = Field(
        default=[], max_length=4, description="More formats of the result, under `files`; the PNG in base64."
    )
    save: bool = Field(False, description="Keep the result in the output bucket; the answer carries its URL.")


class PredictQuery(BaseModel):
    """Query of ``POST /predict``: the options of a recording that is the body itself, or in a form."""

    model_config = ConfigDict(extra="forbid")

    filename: FileName | None = Field(None, description=_NAME)
    config: str | None = Field(
        None, max_length=4096, description=f"{_CONFIG} As JSON.", examples=['{"confidence_threshold": 0.7}']
    )
    timezone: Zone | None = Field(None, description=_ZONE)
    channel: ChannelChoice | None = Field(None, description=_CHANNEL)
    files: str | None = Field(
        None,
        max_length=100,
        pattern=r"^ *((csv|raven|audacity|png) *(, *|$))+$",
        description="More formats of the result, separated by commas.",
        examples=["csv,raven,audacity,png"],
    )
    save: bool | None = Field(None, description="Keep the result in the output bucket; the answer carries its URL.")


class PredictForm(BaseModel):
    """Form of ``POST /predict``."""

    audio: bytes = Field(description="The recording, as a file. `audio_file` is its older name.")
    config: str | None = Field(None, description=f"{_CONFIG} As JSON.", examples=['{"confidence_threshold": 0.7}'])
    timezone: Zone = Field("UTC", description=_ZONE)
    channel: ChannelChoice = Field("mean", description=_CHANNEL)
    files: str | None = Field(
        None, description="More formats of the result, separated by commas.", examples=["csv,raven"]
    )
    save: bool = Field(False, description="Keep the result in the output bucket; the answer carries its URL.")


class PredictAudio(Options):
    """JSON of ``POST /predict``: the recording itself, in base64."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"audio_base64": "UklGRiQAAABXQVZF", "filename": "20230210_000001.wav"}]}
    )

    audio_base64: Annotated[str, BeforeValidator(_check_text)] = Field(
        min_length=1, description="The recording, in base64."
    )
    filename: FileName | None = Field(None, description=_NAME)


class S3Reference(BaseModel):
    """A recording in one of the service's buckets."""

    s3_bucket: BucketName = Field(description="One of the service's buckets.")
    s3_key: ObjectKey = Field(description="Key of the recording in the bucket.")


class PredictObject(Options, S3Reference):
    """JSON of ``POST /predict``: a recording in one of the service's buckets."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"s3_bucket": "reef-input", "s3_key": "2023/20230210_000001.wav"}]}
    )

    filename: FileName | None = Field(None, description=_NAME)


class JobRequest(BaseModel):
    """Body of ``POST /jobs``: a recording that will be uploaded, or one that is in a bucket of the service."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"filename": "20230210_000001.wav", "size_bytes": 43000044},
                {"s3_bucket": "reef-input", "s3_key": "2023/20230210_000001.wav", "timezone": "Asia/Tokyo"},
            ]
        },
    )

    filename: FileName | None = Field(None, description=_NAME)
    size_bytes: Annotated[int, Field(gt=0, lt=1 << 63, strict=True)] | None = Field(
        None, description="Size of the recording to be uploaded, in bytes."
    )
    s3_bucket: BucketName | None = Field(None, description="One of the service's buckets.")
    s3_key: ObjectKey | None = Field(None, description="Key of the recording in the bucket.")
    config: EventSettings = Field(default_factory=EventSettings, description=_CONFIG)
    timezone: Zone = Field("UTC", description=_ZONE)
    channel: ChannelChoice = Field("mean", description=_CHANNEL)

    @validate_model(mode="after")
    def _name_one_place(self) -> "JobRequest":
        is_in_s3 = self.s3_bucket is not None or self.s3_key is not None
        if is_in_s3 == (self.size_bytes is not None):
            raise ValueError("give either filename and size_bytes, or s3_bucket and s3_key")
        if is_in_s3 and (self.s3_bucket is None or self.s3_key is None):
            raise ValueError("give both s3_bucket and s3_key")
        return self


class UploadedPart(BaseModel):
    """One part that was uploaded to its URL."""

    number: Annotated[int, Field(ge=1, le=10_000, strict=True)] = Field(description="Number of the part, from 1.")
    etag: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        description="Header ETag of the answer to the PUT."
    )


class StartRequest(BaseModel):
    """Body of ``POST /jobs/{id}/start``."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"parts": [{"number": 1, "etag": '"0cc175b9c0f1b6a831c399e269772661"'}]}]},
    )

    parts: list[UploadedPart] = Field(
        default=[], max_length=10_000, description="All parts that were uploaded; none for a recording in S3."
    )

    @validate_model(mode="after")
    def _name_each_once(self) -> "StartRequest":
        numbers = [part.number for part in self.parts]
        if len(set(numbers)) < len(numbers):
            twice = next(number for number in numbers if numbers.count(number) > 1)
            raise ValueError(f"part {twice} is named more than once; name each part once, with one ETag")
        return self


# ---------------------------------------------------------------------- answers


class Error(BaseModel):
    """An error: what is wrong, and what to do."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"error": "no_such_job", "message": "there is no job '0c7f'"}]}
    )

    error: str = Field(description="A short name for programs; it does not change.")
    message: str = Field(description="What is wrong and what to do, for people.")


class Prediction(BaseModel):
    """One window."""

    timestamp: str
    start_time: float
    end_time: float
    class_: str = Field(alias="class")
    confidence: float
    probabilities: dict[str, float]


class FoundEvent(BaseModel):
    """One event."""

    id: str
    class_: str = Field(alias="class")
    start_time: float
    end_time: float
    duration: float
    mean_confidence: float
    max_confidence: float
    num_windows: int
    start_utc: str | None = None
    calls: list[dict[str, Any]] | None = Field(None, description="The calls inside the event, if they were measured.")


class ChannelResult(BaseModel):
    """The result of one channel. If the answer would be over 6 MB, it has only `metadata`."""

    predictions: list[Prediction] | None = None
    events: list[FoundEvent] | None = None
    metadata: dict[str, Any]
    files: dict[str, str] | None = None


class Result(BaseModel):
    """The result. If it is over 6 MB, it is stored, and the answer has only `metadata`, `job_id` and `result_url`.

    Of `channel=each` it has a result for each channel, in their order, under `channels`.
    """

    predictions: list[Prediction] | None = None
    events: list[FoundEvent] | None = None
    metadata: dict[str, Any] | None = None
    files: dict[str, str] | None = None
    channels: list[ChannelResult] | None = Field(None, description="The result of each channel, if `channel` is each.")
    job_id: str | None = None
    result_url: str | None = None


class UploadPart(BaseModel):
    """The URL to which one part is uploaded."""

    number: int
    url: str


class Upload(BaseModel):
    """The URLs of an upload. Every part except the last has `part_bytes` bytes."""

    part_bytes: int
    parts: list[UploadPart]


class Progress(BaseModel):
    """The number of chunks of a job: done, total, and failed."""

    done: int
    total: int | None
    failed: int


class Job(BaseModel):
    """The state of a job."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job_id": "0123456789abcdef0123456789abcdef",
                    "state": "running",
                    "filename": "20230210_000001.wav",
                    "size_bytes": 43000044,
                    "created": "2023-02-11T08:00:00Z",
                    "chunks": {"done": 3, "total": 10, "failed": 0},
                }
            ]
        }
    )

    job_id: str
    state: Literal["uploading", "running", "done", "failed"]
    filename: str | None = None
    size_bytes: int | None = None
    created: str | None = None
    upload: Upload | None = None
    chunks: Progress | None = None
    result_url: str | None = None
    files: dict[str, str] | None = Field(
        None, description="URLs of the result by format; of `channel=each` those of every channel, like `csv.channel2`."
    )
    error: str | None = None
    message: str | None = None


class ModelSummary(BaseModel):
    """What the model's card says about the model, for people."""

    name: str = Field(description="Name of the model.")
    summary: str = Field(description="What it was trained on, and what it was never trained on, in words.")


class Health(BaseModel):
    """The versions, settings and limits of this service."""

    status: Literal["ok"]
    code_version: str
    code_sha256: str
    model_version: str
    model_sha256: str
    model: ModelSummary | None = Field(
        None, description="Name and summary from the card. Null for a model without a card."
    )
    config: dict[str, Any]
    config_fingerprint: str
    limits: dict[str, float | None]
