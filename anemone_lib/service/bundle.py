"""Downloads the model bundle from S3 into the temporary folder, once."""

import hashlib
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from anemone_lib.errors import ModelError
from anemone_lib.files import write_atomically
from anemone_lib.scoring.bundle import read_card


def fetch_bundle(bucket: str, key: str) -> Path:
    """Download a model, its card and its backbone. Of a ``.tflite`` and a ``.keras`` file, the ``.tflite`` is taken.

    Parameters
    ----------
    bucket, key : str
        The key ends in ``.keras``, ``.tflite`` or ``.json``.

    Returns
    -------
    path : pathlib.Path
        The model file. Its folder has a name made from the ETags of the objects: a changed model has another path,
        and a model that was downloaded before is not downloaded again.

    Raises
    ------
    ModelError
        There is no such object, or S3 refuses to return it.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    stem = str(PurePosixPath(key).with_suffix(""))
    candidates = [key] if key.endswith(".tflite") else [f"{stem}.tflite", f"{stem}.keras"]
    s3 = boto3.client("s3")
    try:
        found = [(candidate, etag) for candidate in candidates if (etag := _find_etag(s3, bucket, candidate))]
        if not found:
            looked = " and ".join(f"s3://{bucket}/{candidate}" for candidate in candidates)
            raise ModelError(f"no model at {looked}; upload the bundle, or correct S3_MODEL_BUCKET and S3_MODEL_KEY")
        model_key, model_etag = found[0]
        card_key = f"{stem}.json"
        card_etag = _find_etag(s3, bucket, card_key)
        name = hashlib.sha256(f"{model_key} {model_etag} {card_etag}".encode()).hexdigest()[:32]
        folder = Path(tempfile.gettempdir()) / "anemone-models" / name
        folder.mkdir(parents=True, exist_ok=True)
        if card_etag:
            card = read_card(_download(s3, bucket, card_key, folder / PurePosixPath(card_key).name))
            if card and card.backbone:
                _fetch_backbone(s3, bucket, str(PurePosixPath(key).with_name(card.backbone.file)), folder)
        return _download(s3, bucket, model_key, folder / PurePosixPath(model_key).name)
    except (BotoCoreError, ClientError) as error:
        raise ModelError(f"cannot read the model at s3://{bucket}/{key}: {error}") from None


def _fetch_backbone(s3: Any, bucket: str, key: str, folder: Path) -> None:
    if not key.endswith(".tflite"):
        raise ModelError(
            f"the backbone s3://{bucket}/{key} is a SavedModel, a folder; from S3 only a model whose backbone is a "
            ".tflite is served"
        )
    if not _find_etag(s3, bucket, key):
        raise ModelError(f"no backbone at s3://{bucket}/{key}; upload the bundle whole")
    _download(s3, bucket, key, folder / PurePosixPath(key).name)


def _find_etag(s3: Any, bucket: str, key: str) -> str | None:
    """Return the ETag of an object; None if there is no object."""
    from botocore.exceptions import ClientError

    try:
        return str(s3.head_object(Bucket=bucket, Key=key)["ETag"])
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise


def _download(s3: Any, bucket: str, key: str, path: Path) -> Path:
    if not path.exists():
        with write_atomically(path) as file:
            s3.download_fileobj(bucket, key, file)
    return path
