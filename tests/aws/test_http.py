"""Over HTTP, through the REST API as it was applied, to the real service under the real runtime client."""

import hashlib
import io
import json
import time

import pytest
import requests
import soundfile

from anemone_lib import detect
from anemone_lib.config import InferenceConfig
from anemone_lib.provenance import code_sha256
from anemone_lib.service.deployment import check_deployment
from tests.aws.conftest import REEF, without_time
from tests.terraform.cli import TERRAFORM

PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-api-key"}


@pytest.fixture
def dev(front):
    return front("dev").url


@pytest.fixture
def prod(front):
    return front("prod").url


@pytest.fixture
def recording(noise):
    """Ten seconds as the bytes of a WAV file."""
    file = io.BytesIO()
    soundfile.write(file, noise(10, 16000), 16000, format="WAV", subtype="PCM_16")
    return file.getvalue()


# ---------------------------------------------------------------- /predict


def test_predict_answers_what_detect_answers_on_the_checkout(dev, recording, tmp_path):
    answer = requests.post(f"{dev}/predict", files={"audio": ("reef.wav", recording, "audio/wav")}, timeout=60)
    assert answer.status_code == 200, answer.text
    path = tmp_path / "reef.wav"
    path.write_bytes(recording)
    shipped = TERRAFORM / "environments" / "dev" / "inference_config.auto.tfvars.json"
    expected = json.loads(detect(path, config=InferenceConfig.load(shipped)).to_json())
    expected["metadata"]["model_version"] = "v1.0"
    assert without_time(answer.json()) == without_time(expected)
    assert answer.json()["metadata"]["provenance"]["code_sha256"] == code_sha256()


@pytest.mark.parametrize("body", ["raw", "form"])
def test_every_binary_type_reaches_the_service_byte_for_byte(aws, front, recording, body):
    served = front("dev")
    types = aws.admin.client("apigateway").get_rest_api(restApiId=aws["dev"].api[0])["binaryMediaTypes"]
    audio_types = [name for name in types if name != "multipart/form-data"]
    assert len(audio_types) > 10
    for media_type in audio_types if body == "raw" else ["audio/wav"]:
        if body == "raw":
            sent = {"data": recording, "headers": {"Content-Type": media_type}}
        else:
            sent = {"files": {"audio": ("reef.wav", recording, media_type)}}
        answer = requests.post(f"{served.url}/predict", timeout=60, **sent)
        assert answer.status_code == 200, f"{media_type}: {answer.text}"
        provenance = answer.json()["metadata"]["provenance"]
        assert provenance["recording_sha256"] == hashlib.sha256(recording).hexdigest(), media_type


@pytest.mark.parametrize("media_type", ["audio/x-unheard-of", "text/plain", None])
def test_a_body_that_the_gateway_takes_for_text_is_refused_and_never_read_as_audio(dev, recording, media_type):
    headers = {"Content-Type": media_type} if media_type else {}
    answer = requests.post(f"{dev}/predict", data=recording, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["error"]) == (415, "not_audio"), answer.text


def test_the_page_at_the_apis_root_may_use_the_buckets(aws):
    own = aws["prod"].outputs["api_endpoint"].removesuffix("/api/predict")
    for output in ("s3_input_bucket", "s3_output_bucket"):
        cors = aws.admin.client("s3").get_bucket_cors(Bucket=aws["prod"].outputs[output])
        assert set(cors["CORSRules"][0]["AllowedOrigins"]) == {REEF, "https://fish.example.org", own}


def test_predict_takes_an_object_of_the_input_bucket_and_of_no_other(aws, dev, recording):
    bucket = aws["dev"].outputs["s3_input_bucket"]
    aws.admin.client("s3").put_object(Bucket=bucket, Key="deployments/reef.wav", Body=recording)
    place = {"s3_bucket": bucket, "s3_key": "deployments/reef.wav"}
    answer = requests.post(f"{dev}/predict", json=place, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["metadata"]["provenance"]["recording_sha256"] == hashlib.sha256(recording).hexdigest()
    missing = requests.post(f"{dev}/predict", json={**place, "s3_key": "none.wav"}, timeout=60)
    assert (missing.status_code, missing.json()["error"]) == (404, "no_such_object")
    others = requests.post(f"{dev}/predict", json={**place, "s3_bucket": "our-models"}, timeout=60)
    assert (others.status_code, others.json()["error"]) == (403, "forbidden_bucket")


def test_a_direct_invocation_answers_the_same_and_keeps_the_result_in_the_output_bucket(aws, recording):
    outputs = aws["dev"].outputs
    aws.admin.client("s3").put_object(Bucket=outputs["s3_input_bucket"], Key="direct.wav", Body=recording)
    event = {"s3_bucket": outputs["s3_input_bucket"], "s3_key": "direct.wav", "save": True}
    answer = aws.admin.client("lambda").invoke(
        FunctionName=outputs["lambda_function_name"], Qualifier="live", Payload=json.dumps(event).encode()
    )
    result = json.loads(answer["Payload"].read())
    assert result["metadata"]["provenance"]["recording_sha256"] == hashlib.sha256(recording).hexdigest()
    kept = aws.admin.client("s3").get_object(
        Bucket=outputs["s3_output_bucket"], Key=f"jobs/{result['job_id']}/result.json"
    )
    assert json.loads(kept["Body"].read())["events"] == result["events"]
    assert requests.get(result["result_url"], timeout=30).json()["events"] == result["events"]


def test_the_page_and_the_health_check_go_without_a_key_and_tell_what_runs(prod):
    page = requests.get(prod, timeout=60)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    health = requests.get(f"{prod}/health", timeout=60).json()
    shipped = InferenceConfig.load(TERRAFORM / "environments" / "prod" / "inference_config.auto.tfvars.json")
    assert (health["config_fingerprint"], health["code_sha256"]) == (shipped.fingerprint, code_sha256())


def test_the_check_of_a_deployment_finds_the_applied_one_to_be_what_it_should_be(aws, prod, recording, tmp_path):
    path = tmp_path / "reef.wav"
    path.write_bytes(recording)
    config = InferenceConfig.load(TERRAFORM / "environments" / "prod" / "inference_config.auto.tfvars.json")
    checks = check_deployment(prod, [path], config=config, api_key=aws["prod"].outputs["api_key_value"])
    assert len(checks) > 3
    assert [str(check) for check in checks if not check.ok] == []


# ---------------------------------------------------------------- API key and throttle


def test_only_a_request_with_the_key_is_served(aws, prod, recording):
    refused = requests.post(f"{prod}/predict", data=recording, headers={"Content-Type": "audio/wav"}, timeout=60)
    assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
    assert "x-api-key" in refused.json()["message"]
    wrong = {"Content-Type": "audio/wav", "x-api-key": "a-guess"}
    assert requests.post(f"{prod}/predict", data=recording, headers=wrong, timeout=60).status_code == 403
    right = {"Content-Type": "audio/wav", **aws["prod"].headers}
    served = requests.post(f"{prod}/predict", data=recording, headers=right, timeout=60)
    assert served.status_code == 200, served.text


def test_more_requests_than_the_key_may_make_are_put_off(aws, prod):
    began = time.monotonic()
    answers = [requests.get(f"{prod}/jobs/none", headers=aws["prod"].headers, timeout=60) for _ in range(14)]
    refilled = 0.2 * (time.monotonic() - began)  # the rate and the burst that were applied
    passed = [answer for answer in answers if answer.status_code == 404]
    put_off = [answer for answer in answers if answer.status_code == 429]
    assert len(passed) + len(put_off) == len(answers)
    assert 8 <= len(passed) <= 8 + refilled + 1
    assert all(answer.json()["error"] == "too_many_requests" and answer.headers["Retry-After"] for answer in put_off)
    assert all("Access-Control-Allow-Origin" in answer.headers for answer in put_off)


# ---------------------------------------------------------------- browsers


def test_a_preflight_needs_no_key_and_names_the_origin_that_asked(prod):
    for path in ("/predict", "/jobs", "/jobs/some", "/jobs/some/start", "/health"):
        answer = requests.options(f"{prod}{path}", headers={"Origin": REEF, **PREFLIGHT}, timeout=60)
        assert answer.status_code == 200, path
        assert answer.headers["Access-Control-Allow-Origin"] == REEF
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        allowed = answer.headers["Access-Control-Allow-Headers"].lower()
        assert "x-api-key" in allowed
        assert "content-type" in allowed


def test_a_preflight_from_elsewhere_gets_no_permission(prod):
    answer = requests.options(
        f"{prod}/predict", headers={"Origin": "https://other.example.org", **PREFLIGHT}, timeout=60
    )
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_page_of_any_origin_may_call_dev(dev):
    answer = requests.options(f"{dev}/predict", headers={"Origin": "https://any.example.org", **PREFLIGHT}, timeout=60)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_errors_of_the_service_and_of_the_gateway_look_alike_and_a_browser_may_read_them(aws, dev, prod):
    key, browser = aws["prod"].headers, {"Origin": REEF}
    provoked = [
        (400, "malformed", requests.post(f"{dev}/predict", json={}, headers=browser, timeout=60)),
        (
            413,
            "too_large",
            requests.post(f"{dev}/predict", data=bytes(4_600_000), headers={"Origin": REEF}, timeout=60),
        ),
        (413, "too_large", requests.post(f"{dev}/predict", data=bytes(5_000_000), timeout=60)),  # over 6 MB in base64
        (413, "too_large", requests.post(f"{dev}/predict", data=bytes(11_000_000), timeout=60)),
        (404, "not_found", requests.get(f"{dev}/nowhere", timeout=60)),
        (403, "forbidden", requests.post(f"{prod}/jobs", json={}, timeout=60)),
        (400, "malformed", requests.post(f"{prod}/jobs", json={}, headers=browser | key, timeout=60)),
    ]
    for status, error, answer in provoked:
        assert answer.status_code == status, answer.text
        assert answer.json().keys() == {"error", "message"}
        assert answer.json()["error"] == error
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", REEF)
    assert all("/jobs" in answer.json()["message"] for status, _, answer in provoked if status == 413)


def test_without_permission_to_call_the_function_the_gateway_answers_for_it(aws, front):
    functions, name = aws.admin.client("lambda"), aws["dev"].outputs["lambda_function_name"]
    policy = json.loads(functions.get_policy(FunctionName=name, Qualifier="live")["Policy"])["Statement"][0]
    functions.remove_permission(FunctionName=name, Qualifier="live", StatementId=policy["Sid"])
    try:
        answer = requests.get(f"{front('dev').url}/health", timeout=60)
    finally:
        functions.add_permission(
            FunctionName=name,
            Qualifier="live",
            StatementId=policy["Sid"],
            Action=policy["Action"],
            Principal=policy["Principal"]["Service"],
            SourceArn=policy["Condition"]["ArnLike"]["AWS:SourceArn"],
        )
    assert (answer.status_code, answer.json()["error"]) == (500, "internal_error")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


# ---------------------------------------------------------------- what the function writes down


def test_the_dashboard_shows_metrics_that_the_function_writes(aws, dev, recording):
    sent = {"data": recording, "headers": {"Content-Type": "audio/wav"}}
    assert requests.post(f"{dev}/predict", timeout=60, **sent).status_code == 200
    name = aws["dev"].outputs["lambda_function_name"]
    written = set()
    for line in (aws.logs / f"{name}.log").read_text().splitlines():
        if line.startswith("{") and "_aws" in line:
            record = json.loads(line)
            for group in record["_aws"]["CloudWatchMetrics"]:
                for dimensions in group["Dimensions"]:
                    values = tuple(part for key in dimensions for part in (key, record[key]))
                    written |= {(group["Namespace"], metric["Name"], *values) for metric in group["Metrics"]}
    dashboard = aws["dev"].outputs["dashboard_url"].rpartition("/")[2]
    body = aws.admin.client("cloudwatch").get_dashboard(DashboardName=dashboard)["DashboardBody"]
    shown = {
        tuple(part for part in metric if isinstance(part, str))
        for widget in json.loads(body)["widgets"]
        for metric in widget["properties"]["metrics"]
    }
    own = {metric for metric in shown if metric and metric[0] == name}
    assert {metric[1] for metric in own} == {"AudioSeconds", "WindowsPerSecond"}
    assert own <= written
