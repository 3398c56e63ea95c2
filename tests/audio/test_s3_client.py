"""The client of S3: one for a login, and one of the public without."""

import boto3
import pytest
from botocore import UNSIGNED

from anemone_lib.audio import s3_client
from anemone_lib.audio.s3_client import open_s3_client


@pytest.fixture(autouse=True)
def login(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3_client._make_s3_client.cache_clear()
    yield
    s3_client._make_s3_client.cache_clear()


def test_one_client_is_kept_for_a_login_and_another_login_has_another(monkeypatch):
    first = open_s3_client(boto3)
    assert open_s3_client(boto3) is first
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    assert open_s3_client(boto3) is not first


def test_a_login_is_looked_for_again_after_a_while(monkeypatch):
    times = iter((0.0, 1.0, 2 * s3_client.CLIENT_S))
    monkeypatch.setattr(s3_client.time, "monotonic", lambda: next(times))
    first, soon, later = (open_s3_client(boto3) for _ in range(3))
    assert soon is first
    assert later is not first


def test_without_a_login_nothing_is_signed(monkeypatch):
    assert open_s3_client(boto3).meta.config.signature_version != UNSIGNED
    monkeypatch.setattr(boto3.session.Session, "get_credentials", lambda self: None)
    s3_client._make_s3_client.cache_clear()
    assert open_s3_client(boto3).meta.config.signature_version == UNSIGNED
