"""The store on AWS without AWS: the addresses that it signs."""

from urllib.parse import urlsplit

import pytest

from anemone_lib.service.s3_store import S3Store


@pytest.fixture
def credentials(monkeypatch):
    """Credentials that sign; no request is sent."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    return monkeypatch


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "ap-southeast-2"])
def test_signed_addresses_name_the_bucket_and_its_region(credentials, region):
    credentials.setenv("AWS_DEFAULT_REGION", region)
    store = S3Store("reef-input")
    for address in (
        store.sign_part_url("jobs/1/recording", "an-upload", 1),
        store.sign_url("jobs/1/result.json", file_name="reef.json"),
    ):
        parts = urlsplit(address)
        assert parts.netloc == f"reef-input.s3.{region}.amazonaws.com"
        assert parts.path.startswith("/jobs/1/")
        assert f"%2F{region}%2Fs3%2F" in parts.query  # the region that the signature is for


def test_an_endpoint_of_ones_own_needs_no_host_for_each_bucket(credentials):
    credentials.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    credentials.setenv("AWS_ENDPOINT_URL", "http://s3:5000")
    address = S3Store("reef-input").sign_url("jobs/1/result.json", file_name="reef.json")
    assert address.startswith("http://s3:5000/reef-input/jobs/1/result.json?")
