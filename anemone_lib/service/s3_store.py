"""The store on AWS: objects are in an S3 bucket."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from anemone_lib.audio.nearby import find_largest
from anemone_lib.service.problems import Problem
from anemone_lib.service.stores import MissingObject, exists

#: Seconds for which a URL that S3 signed can be used; less if the session of the signer ends before.
UPLOAD_EXPIRES_S = 12 * 3600
RESULT_EXPIRES_S = 3600


class S3Store:
    """Objects in an S3 bucket.

    Parameters
    ----------
    bucket : str
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    @cached_property
    def _s3(self) -> Any:
        """The client. It is made at the first use, because the import of boto3 takes longer than all the others."""
        import boto3
        from botocore.config import Config

        # A signed URL of the global host is redirected in every other region, and a signature does not survive that; so
        # the host names the bucket and its region. An endpoint of one's own need not have a host for each bucket.
        has_own_endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        hosts = {
            "addressing_style": "auto" if has_own_endpoint else "virtual",
            "us_east_1_regional_endpoint": "regional",
        }
        return boto3.client("s3", config=Config(signature_version="s3v4", s3=hosts, retries={"mode": "standard"}))

    @property
    def _error(self) -> type[Any]:
        return self._s3.exceptions.ClientError

    def read(self, key: str) -> bytes:
        """Return the content of an object."""
        try:
            return bytes(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        except self._error as error:
            raise _translate_error(error, key) from None

    def write(self, key: str, content: bytes, *, media_type: str = "application/octet-stream") -> None:
        """Write an object. An object with the same key is replaced."""
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=content, ContentType=media_type)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object if the key is free; return whether it was written."""
        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=content, IfNoneMatch="*")
        except self._error as error:
            # 412: the object exists; 409: somebody else is writing it at this moment
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
                return False
            raise
        return True

    def delete(self, prefix: str) -> None:
        """Remove every object whose key begins with a prefix, and every upload that has begun there."""
        uploads = self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=prefix)
        for upload in [one for page in uploads for one in page.get("Uploads", ())]:
            self._s3.abort_multipart_upload(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        keys = self.list_keys(prefix)
        for first in range(0, len(keys), 1000):
            objects = [{"Key": key} for key in keys[first : first + 1000]]
            self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})

    def get_size(self, key: str) -> int:
        """Return the size of an object in bytes."""
        return self.get_version(key)[0]

    def get_version(self, key: str) -> tuple[int, str]:
        """Return the size of an object in bytes, and its ETag."""
        try:
            head = self._s3.head_object(Bucket=self._bucket, Key=key)
        except self._error as error:
            raise _translate_error(error, key) from None
        return int(head["ContentLength"]), str(head["ETag"])

    def list_keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with a prefix, sorted."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def get_address(self, key: str) -> str:
        """Return the object's ``s3://`` address."""
        return f"s3://{self._bucket}/{key}"

    def sign_url(self, key: str, *, file_name: str) -> str | None:
        """Return a URL that S3 signed."""
        disposition = f'attachment; filename="{file_name}"'
        parameters = {"Bucket": self._bucket, "Key": key, "ResponseContentDisposition": disposition}
        return str(self._s3.generate_presigned_url("get_object", Params=parameters, ExpiresIn=RESULT_EXPIRES_S))

    def begin_upload(self, key: str) -> str:
        """Begin a multipart upload; return its id."""
        return str(self._s3.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"])

    def sign_part_url(self, key: str, upload_id: str, number: int) -> str | None:
        """Return a URL that S3 signed."""
        parameters = {"Bucket": self._bucket, "Key": key, "UploadId": upload_id, "PartNumber": number}
        return str(self._s3.generate_presigned_url("upload_part", Params=parameters, ExpiresIn=UPLOAD_EXPIRES_S))

    def complete_upload(
        self, key: str, upload_id: str, etags: Mapping[int, str], *, part_bytes: int, size_bytes: int
    ) -> None:
        """Join the uploaded parts into one object. If the object exists, nothing happens.

        S3 checks the ETags; the size of the whole is checked by the caller.
        """
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


def check_room(name: str, size_bytes: int) -> None:
    """Refuse a recording whose format must be copied and decoded where the temporary folder has no room for that.

    Parameters
    ----------
    name : of the recording; its suffix tells its format
    size_bytes : int

    Raises
    ------
    Problem
        413: the recording is too large for its format.
    """
    largest = find_largest(name, room_bytes=shutil.disk_usage(tempfile.gettempdir()).total)
    if largest is not None and size_bytes > largest:
        raise Problem(
            413,
            "too_large",
            f"the recording has {size_bytes} bytes; one in its format is copied and decoded before it is read, and "
            f"here is room for {largest / 1e6:,.0f} MB of it: cut it, send it as FLAC or WAV (up to 5 GiB), or use "
            "`anemone detect`",
        )


def _translate_error(error: Any, key: str) -> Exception:
    """Return the exception to raise for an error of S3: `MissingObject` for 404, else the error itself."""
    return MissingObject(key) if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404 else error
