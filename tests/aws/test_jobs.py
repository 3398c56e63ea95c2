"""A recording in parts, through the bucket and the state machine as applied, to the result that `detect` gives."""

import hashlib
import io
import json
import time

import pytest
import requests
import soundfile

from anemone_lib import detect
from anemone_lib.config import InferenceConfig
from anemone_lib.scoring.chunks import CHUNK_WINDOWS
from tests.aws.conftest import REEF, without_time
from tests.terraform.cli import TERRAFORM

WAIT_S = 120


@pytest.fixture
def dev(front):
    return front("dev").url


@pytest.fixture
def config():
    return InferenceConfig.load(TERRAFORM / "environments" / "dev" / "inference_config.auto.tfvars.json")


@pytest.fixture
def recording(noise, config):
    """Some chunks of a recording, as the bytes of a FLAC file."""
    file = io.BytesIO()
    soundfile.write(file, noise(2.5 * CHUNK_WINDOWS * config.stride_duration, 8000), 8000, format="FLAC")
    return file.getvalue()


def upload(url, content, name="reef.flac"):
    """Make a job and put its parts to where it says, as a page in a browser does; return its id and the parts."""
    answer = requests.post(f"{url}/jobs", json={"filename": name, "size_bytes": len(content)}, timeout=60)
    assert answer.status_code == 201, answer.text
    job, parts = answer.json(), []
    size = job["upload"]["part_bytes"]
    for part in job["upload"]["parts"]:
        body = content[(part["number"] - 1) * size : part["number"] * size]
        put = requests.put(part["url"], data=body, headers={"Origin": REEF}, timeout=60)
        assert put.status_code == 200, put.text
        assert "ETag" in put.headers["Access-Control-Expose-Headers"]
        parts.append({"number": part["number"], "etag": put.headers["ETag"]})
    return job["job_id"], parts


def start(url, job_id, parts):
    """Have a job worked on."""
    answer = requests.post(f"{url}/jobs/{job_id}/start", json={"parts": parts}, timeout=60)
    assert answer.status_code == 202, answer.text


def ended(aws, url, job_id):
    """Wait for a job's execution to end; return what the job and its execution say."""
    states = aws.admin.client("stepfunctions")
    arn = aws["dev"].outputs["state_machine_arn"].replace(":stateMachine:", ":execution:") + f":{job_id}"
    deadline = time.monotonic() + WAIT_S
    while (execution := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, execution
        time.sleep(0.2)
    return requests.get(f"{url}/jobs/{job_id}", timeout=60).json(), execution


def test_the_result_of_a_job_is_in_the_output_bucket_and_is_what_detect_gives(aws, dev, config, recording, tmp_path):
    job_id, parts = upload(dev, recording)
    start(dev, job_id, parts)
    start(dev, job_id, parts)  # again changes nothing
    job, execution = ended(aws, dev, job_id)
    assert (job["state"], execution["status"]) == ("done", "SUCCEEDED"), (job, execution)

    path = tmp_path / "reef.flac"
    path.write_bytes(recording)
    expected = json.loads(detect(path, config=config).to_json())
    expected["metadata"]["model_version"] = "v1.0"
    bucket = aws["dev"].outputs["s3_output_bucket"]
    kept = aws.admin.client("s3").get_object(Bucket=bucket, Key=f"jobs/{job_id}/result.json")
    assert without_time(json.loads(kept["Body"].read())) == without_time(expected)
    fetched = requests.get(job["result_url"], headers={"Origin": REEF}, timeout=60)
    assert without_time(fetched.json()) == without_time(expected)
    assert fetched.headers["Access-Control-Allow-Origin"] in ("*", REEF)
    provenance = expected["metadata"]["provenance"]
    assert provenance["recording_sha256"] == hashlib.sha256(recording).hexdigest()


def test_a_chunk_that_fails_for_good_is_a_gap_with_its_reason_and_the_rest_is_delivered(aws, dev, recording):
    job_id, parts = upload(dev, recording)
    # Somebody else claims the second chunk for longer than the state machine is willing to wait.
    claim = json.dumps({"owner": "somebody else", "until": time.time() + 3600}).encode()
    aws.admin.client("s3").put_object(
        Bucket=aws["dev"].outputs["s3_input_bucket"],
        Key=f"jobs/{job_id}/claims/{CHUNK_WINDOWS:08d}-{2 * CHUNK_WINDOWS:08d}/0001.json",
        Body=claim,
    )
    start(dev, job_id, parts)
    job, execution = ended(aws, dev, job_id)
    assert (job["state"], execution["status"]) == ("done", "SUCCEEDED"), (job, execution)
    metadata = requests.get(job["result_url"], timeout=60).json()["metadata"]
    (gap,) = metadata["coverage"]["skipped"]
    assert "BusyError" in gap["reason"]
    skipped = gap["end_time"] - gap["start_time"]
    assert metadata["coverage"]["analysed_s"] + skipped == pytest.approx(metadata["audio_duration"])
    assert 0 < skipped < metadata["audio_duration"] / 2


def test_more_chunks_than_calls_that_may_run_at_once_are_scored_without_a_gap(aws, dev, recording):
    functions, name = aws.admin.client("lambda"), aws["dev"].outputs["lambda_function_name"]
    job_id, parts = upload(dev, recording)
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    try:
        start(dev, job_id, parts)
        job, execution = ended(aws, dev, job_id)
    finally:
        functions.delete_function_concurrency(FunctionName=name)
    assert (job["state"], execution["status"]) == ("done", "SUCCEEDED"), (job, execution)
    assert requests.get(job["result_url"], timeout=60).json()["metadata"]["coverage"]["skipped"] == []
    history = aws.admin.client("stepfunctions").get_execution_history(executionArn=execution["executionArn"])
    assert "Lambda.TooManyRequestsException" in json.dumps(history, default=str)  # some calls were put off


def test_a_job_that_cannot_be_done_is_told_of_to_the_client_and_to_the_topic(aws, dev):
    queues = aws.admin.client("sqs")
    queue = queues.create_queue(QueueName="operators-inbox")["QueueUrl"]
    topic = aws["dev"].outputs["alarm_topic_arn"]
    inbox = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    subscription = aws.admin.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=inbox)
    try:
        job_id, parts = upload(dev, b"this is no recording at all", name="letter.flac")
        start(dev, job_id, parts)
        job, execution = ended(aws, dev, job_id)
        (message,) = queues.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    finally:
        aws.admin.client("sns").unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
        queues.delete_queue(QueueUrl=queue)
    assert (job["state"], job["error"], execution["status"]) == ("failed", "undecodable_audio", "FAILED")
    assert "letter.flac" in job["message"]
    assert job_id in json.loads(message["Body"])["Message"]
