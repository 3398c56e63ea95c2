"""`anemone archive run --on aws` against what was applied: the user's rights, the state machine, the function."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from anemone_lib.archive import cloud as cloud_module
from anemone_lib.archive import make_request, run_archive
from anemone_lib.archive.execution import Place
from anemone_lib.simulation import write_recording
from tests.aws.conftest import SOURCE_BUCKET, Identity

READ = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{SOURCE_BUCKET}"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{SOURCE_BUCKET}/*"},
    ],
}


@pytest.fixture
def biologist(aws, monkeypatch):
    """This process is somebody who may read the recordings and run archives, and nothing else."""
    iam = aws.admin.client("iam")
    iam.create_user(UserName="biologist")
    policies = {"archives": aws["dev"].outputs["archive_user_policy"], "recordings": json.dumps(READ)}
    for name, policy in policies.items():
        iam.put_user_policy(UserName="biologist", PolicyName=name, PolicyDocument=policy)
    key = iam.create_access_key(UserName="biologist")["AccessKey"]
    for name, value in Identity(aws.admin.url, key["AccessKeyId"], key["SecretAccessKey"]).environment().items():
        monkeypatch.setenv(name, value)
    yield
    iam.delete_access_key(UserName="biologist", AccessKeyId=key["AccessKeyId"])
    for name in policies:
        iam.delete_user_policy(UserName="biologist", PolicyName=name)
    iam.delete_user(UserName="biologist")


@pytest.fixture
def season(aws, tmp_path):
    """Five recordings of two sites in the bucket, one of which is no audio."""
    s3 = aws.admin.client("s3")
    for number in range(5):
        path = tmp_path / f"2023021{number}_060000.wav"
        write_recording(path, duration=10, seed=4 + number, sample_rate=16_000, bouts_per_minute=6)
        if number == 3:
            path.write_text("notes of a dive")
        s3.upload_file(str(path), SOURCE_BUCKET, f"season/{'north' if number % 2 else 'south'}/{path.name}")
    return f"s3://{SOURCE_BUCKET}/season/"


def read_tables(folder):
    paths = [folder / "archive.json", *sorted(folder.rglob("*.parquet"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def test_a_season_is_analysed_as_applied_and_gives_the_tables_of_this_machine(
    aws, biologist, season, tmp_path, monkeypatch
):
    outputs, notes = aws["dev"].outputs, []
    monkeypatch.setattr(cloud_module, "POLL_S", 0.5)
    monkeypatch.setattr(cloud_module, "BATCH_FILES", 2)
    place = Place(outputs["archive_state_machine_arn"], outputs["s3_output_bucket"])
    archive = run_archive(make_request([season]), tmp_path / "far", aws=place, note=notes.append)
    with ThreadPoolExecutor(1) as executor:
        run_archive(make_request([season]), tmp_path / "near", executor=executor)
    assert archive.provenance["recordings"]["analysed"] == 4, notes
    assert len(archive.events) > 0
    assert read_tables(tmp_path / "far") == read_tables(tmp_path / "near")
    left = aws.admin.client("s3").list_objects_v2(Bucket=outputs["s3_output_bucket"], Prefix="archives/")
    assert [one["Key"] for one in left.get("Contents", ())] == [], notes  # nothing stays
