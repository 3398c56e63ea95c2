"""Objects in a folder or an S3 bucket: whole writes, conditional writes, uploads in parts.

*Conventions.* A key is a path with ``/``, made by the service and never by a client. ``create`` writes only where
nothing is and tells whether it did: of several workers exactly one succeeds. An object is there whole or not at all.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from anemone_lib.service.problems import Problem

#: Seconds for which an address that S3 signed can be used (less if the signer's own session ends before).
UPLOAD_EXPIRES_S = 12 * 3600
RESULT_EXPIRES_S = 3600


class MissingObject(Exception):
    """There is no object under this key."""


class Store(Protocol):
    """What jobs need of a place for objects."""

    def read(self, key: str) -> bytes:
        """Return an object.

        Raises
        ------
        MissingObject
        """
        ...

    def write(self, key: str, content: bytes, *, media_type: str = "application/octet-stream") -> None:
        """Write an object, over what is there."""
        ...

    def create(self, key: str, content: bytes) -> bool:
        """Write an object unless there is one; tell whether it was written."""
        ...

    def size(self, key: str) -> int:
        """Return an object's bytes.

        Raises
        ------
        MissingObject
        """
        ...

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with a prefix, in order."""
        ...

    def address(self, key: str) -> str:
        """Return what `anemone_lib.open_recording` opens the object by."""
        ...

    def url(self, key: str, *, file_name: str) -> str | None:
        """Return where a client can fetch the object; None if through the service's own route."""
        ...

    def begin_upload(self, key: str) -> str:
        """Begin an upload in parts; return its id."""
        ...

    def part_url(self, key: str, upload_id: str, number: int) -> str | None:
        """Return where a client can put a part; None if through the service's own route."""
        ...

    def complete_upload(self, key: str, upload_id: str, etags: dict[int, str], *, part_bytes: int) -> None:
        """Make the parts one object; nothing happens if they are already.

        Raises
        ------
        Problem
            400: a part is missing, or is not the one that was uploaded.
        """
        ...


def exists(store: Store, key: str) -> bool:
    """Tell whether there is an object under a key."""
    try:
        store.size(key)
    except MissingObject:
        return False
    return True


class FolderStore:
    """Objects as files under a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def path(self, key: str) -> Path:
        """Return the file of a key, which lies under the folder."""
        path = self._root / key
        if not path.resolve().is_relative_to(self._root):
            raise MissingObject(key)
        return path

    def read(self, key: str) -> bytes:
        """Return an object."""
        try:
            return self.path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise MissingObject(key) from None

    def write(self, key: str, content: bytes, *, media_type: str = "application/octet-stream") -> None:
        """Write an object, over what is there."""
        temporary = self._temporary(key, content)
        temporary.replace(self.path(key))

    def create(self, key: str, content: bytes) -> bool:
        """Write an object unless there is one; tell whether it was written."""
        temporary = self._temporary(key, content)
        try:
            os.link(temporary, self.path(key))
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True

    def _temporary(self, key: str, content: bytes) -> Path:
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        return Path(name)

    def size(self, key: str) -> int:
        """Return an object's bytes."""
        path = self.path(key)
        if not path.is_file():
            raise MissingObject(key)
        return path.stat().st_size

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with a prefix (here: a folder), in order."""
        folder = self.path(prefix)
        names = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        return sorted(path.relative_to(self._root).as_posix() for path in names)

    def address(self, key: str) -> str:
        """Return the file's path."""
        return str(self.path(key))

    def url(self, key: str, *, file_name: str) -> str | None:
        """Return None: the service serves the file itself."""
        return None

    def begin_upload(self, key: str) -> str:
        """Make room for the parts."""
        self.path(f"{key}.parts").mkdir(parents=True, exist_ok=True)
        return "local"

    def part_url(self, key: str, upload_id: str, number: int) -> str | None:
        """Return None: the service takes the part itself."""
        return None

    async def take_part(self, key: str, number: int, content: AsyncIterator[bytes], *, offset: int) -> str:
        """Write a part to its place in the object to be; return its ETag.

        Parts may come at the same time and more than once; the ETag is written last, so that a part that broke off
        is not taken for whole.
        """
        if exists(self, key):
            raise Problem(409, "already_started", "the upload is complete; create a new job for another recording")
        told = self.path(f"{key}.parts/{number}.json")
        told.unlink(missing_ok=True)
        digest, n_bytes = hashlib.md5(usedforsecurity=False), 0
        with os.fdopen(os.open(self._unfinished(key), os.O_WRONLY | os.O_CREAT, 0o644), "wb") as file:
            file.seek(offset)
            async for block in content:
                file.write(block)
                digest.update(block)
                n_bytes += len(block)
        etag = f'"{digest.hexdigest()}"'
        self.write(f"{key}.parts/{number}.json", json.dumps({"etag": etag, "size": n_bytes}).encode())
        return etag

    def _unfinished(self, key: str) -> Path:
        return self.path(f"{key}.parts/unfinished")

    def complete_upload(self, key: str, upload_id: str, etags: dict[int, str], *, part_bytes: int) -> None:
        """Make the parts one object; nothing happens if they are already."""
        if exists(self, key):
            return
        for number in range(1, max(etags) + 1):
            try:
                part = json.loads(self.read(f"{key}.parts/{number}.json"))
            except MissingObject:
                raise Problem(400, "upload_incomplete", f"part {number} was not uploaded") from None
            if etags.get(number, "").strip('"') != part["etag"].strip('"'):
                raise Problem(400, "upload_incomplete", f"part {number} has the ETag {part['etag']}; upload it again")
            if number < max(etags) and part["size"] != part_bytes:
                raise Problem(400, "upload_incomplete", f"part {number} has {part['size']} bytes, not {part_bytes}")
        self._unfinished(key).replace(self.path(key))


class S3Store:
    """Objects in an S3 bucket."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    @cached_property
    def _s3(self) -> Any:
        """boto3 takes as long to import as everything else together, so it is when it is needed."""
        import boto3
        from botocore.config import Config

        return boto3.client("s3", config=Config(signature_version="s3v4", retries={"mode": "standard"}))

    @property
    def _error(self) -> type[Any]:
        return self._s3.exceptions.ClientError

    def read(self, key: str) -> bytes:
        """Return an object."""
        try:
            return bytes(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        except self._error as error:
            raise self._told(error, key) from None

    def write(self, key: str, content: bytes, *, media_type: str = "application/octet-stream") -> None:
        """Write an object, over what is there."""
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=content, ContentType=media_type)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object unless there is one; tell whether it was written."""
        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=content, IfNoneMatch="*")
        except self._error as error:
            # 412: there is one; 409: somebody else is writing it at this moment
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
                return False
            raise
        return True

    def size(self, key: str) -> int:
        """Return an object's bytes."""
        try:
            return int(self._s3.head_object(Bucket=self._bucket, Key=key)["ContentLength"])
        except self._error as error:
            raise self._told(error, key) from None

    def _told(self, error: Any, key: str) -> Exception:
        return MissingObject(key) if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404 else error

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with a prefix, in order."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def address(self, key: str) -> str:
        """Return the object's ``s3://`` address."""
        return f"s3://{self._bucket}/{key}"

    def url(self, key: str, *, file_name: str) -> str | None:
        """Return an address that S3 signed."""
        disposition = f'attachment; filename="{file_name}"'
        given = {"Bucket": self._bucket, "Key": key, "ResponseContentDisposition": disposition}
        return str(self._s3.generate_presigned_url("get_object", Params=given, ExpiresIn=RESULT_EXPIRES_S))

    def begin_upload(self, key: str) -> str:
        """Begin a multipart upload; return its id."""
        return str(self._s3.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"])

    def part_url(self, key: str, upload_id: str, number: int) -> str | None:
        """Return an address that S3 signed."""
        given = {"Bucket": self._bucket, "Key": key, "UploadId": upload_id, "PartNumber": number}
        return str(self._s3.generate_presigned_url("upload_part", Params=given, ExpiresIn=UPLOAD_EXPIRES_S))

    def complete_upload(self, key: str, upload_id: str, etags: dict[int, str], *, part_bytes: int) -> None:
        """Make the parts one object; nothing happens if they are already."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(etags.items())]
        try:
            self._s3.complete_multipart_upload(
                Bucket=self._bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )
        except self._error as error:
            code = error.response["Error"]["Code"]
            if code == "NoSuchUpload" and exists(self, key):
                return
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise
            raise Problem(
                400, "upload_incomplete", f"S3 cannot put the parts together ({code}); upload what is missing again"
            ) from None
