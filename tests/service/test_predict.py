"""/predict in all its forms, over HTTP and through the Lambda entry, against detect() in this checkout."""

import base64
import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import requests
import soundfile

from anemone_lib import InferenceConfig, detect, load_classifier
from anemone_lib.errors import LimitError
from anemone_lib.scoring import choose_config
from anemone_lib.service.engine import Engine
from anemone_lib.service.settings import Settings
from anemone_lib.tables.reading import read_annotations
from tests.service.conftest import INPUT, ORIGIN, OUTPUT, as_json, comparable, multipart, serving


@pytest.fixture
def expected(wav, model):
    """What detect() finds in the recording, without what differs between two runs."""
    return comparable(detect(wav, classifier=load_classifier(model)).to_dict())


def test_every_form_of_request_answers_what_detect_finds(front, wav, expected, s3):
    content = wav.read_bytes()
    s3.put_object(Bucket=INPUT, Key=f"somebody's folder/{wav.name}", Body=content)
    forms = {
        "form": multipart({"audio": (wav.name, content, "audio/wav")}),
        "older name": multipart({"audio_file": (wav.name, content, "application/octet-stream")}),
        "base64": as_json({"audio_base64": base64.b64encode(content).decode(), "filename": wav.name}),
        "object": as_json({"s3_bucket": INPUT, "s3_key": f"somebody's folder/{wav.name}"}),
    }
    for kind, form in forms.items():
        answer = front("POST", "/predict", **form)
        assert answer.status == 200, (kind, answer.content)
        assert comparable(answer.json()) == expected, kind
        assert answer.headers["access-control-allow-origin"] == ORIGIN
    raw = front("POST", f"/predict?filename={wav.name}", body=content, headers={"Content-Type": "audio/wav"})
    assert comparable(raw.json()) == expected


def test_event_settings_can_be_changed_by_a_request(front, wav, model):
    values = {"confidence_threshold": 0.0, "smoothing_window": 1}
    config = json.dumps(values)
    content = wav.read_bytes()
    [event] = front(
        "POST", "/predict", **multipart({"audio": ("a.wav", content, "audio/wav"), "config": config})
    ).json()["events"]
    assert (event["start_time"], event["end_time"]) == (0.0, 10.0)
    in_json = as_json({"audio_base64": base64.b64encode(content).decode(), "config": values})
    assert front("POST", "/predict", **in_json).json()["events"][0]["num_windows"] == event["num_windows"]
    in_query = front("POST", f"/predict?config={config}", body=content, headers={"Content-Type": "audio/wav"})
    assert in_query.json()["events"][0]["num_windows"] == event["num_windows"]


def test_a_result_comes_in_every_spelling_that_is_asked_for(front, wav, tmp_path):
    form = multipart(
        {
            "audio": (wav.name, wav.read_bytes(), "audio/wav"),
            "config": '{"confidence_threshold": 0}',
            "files": "csv,raven,audacity,png",
        }
    )
    answer = front("POST", "/predict", **form).json()
    assert base64.b64decode(answer["files"]["png"]).startswith(b"\x89PNG\r\n")
    for kind, name in {"csv": "a.csv", "raven": "a.selections.txt", "audacity": "a.txt"}.items():
        path = tmp_path / name
        path.write_text(answer["files"][kind])
        [annotation] = read_annotations(path, detections=True)
        [event] = answer["events"]
        assert (annotation.start_time, annotation.end_time) == (event["start_time"], event["end_time"])
        assert kind == "audacity" or annotation.id == event["id"]


def test_curl_as_the_documentation_shows_it(local, wav, expected):
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    said = subprocess.run(
        ["curl", "-sS", "-F", f"audio=@{wav}", f"{local.url}/predict"], capture_output=True, check=True, text=True
    ).stdout
    assert comparable(json.loads(said)) == expected


def test_a_file_name_of_a_client_names_nothing_on_disk(local, wav):
    content = wav.read_bytes()
    for name, clean in (
        ("../../../etc/20230210_000001.WAV", "20230210_000001.WAV"),
        ("C:\\reef\\a.wav", "a.wav"),
        ("..", "recording"),
        ("x" * 300 + ".wav", ("x" * 300 + ".wav")[-200:]),
    ):
        answer = local("POST", "/predict", **multipart({"audio": (name, content, "audio/wav")})).json()
        assert answer["metadata"]["provenance"]["recording_name"] == clean


def test_a_result_over_the_limit_is_kept_and_its_address_is_answered(
    settings, s3, patched_function, write_wav, noise, tmp_path
):
    small = replace(settings, store=tmp_path, max_answer_bytes=20_000)
    minute = write_wav(noise(60, 16000), 16000, name="minute.flac").read_bytes()
    with serving(small) as local, serving(replace(small, input_bucket=INPUT, output_bucket=OUTPUT)) as cloud:
        for front in (local, cloud, patched_function):
            _check_result_is_kept(front, minute)


def _check_result_is_kept(front, minute):
    answer = front("POST", "/predict", body=minute, headers={"Content-Type": "audio/flac"}).json()
    assert "predictions" not in answer
    kept = requests.get(answer["result_url"]).json()
    assert len(kept["predictions"]) == answer["metadata"]["total_windows"] == 149
    assert front("GET", f"/jobs/{answer['job_id']}").json()["state"] == "done"


def test_a_result_is_kept_when_that_is_asked_for(cloud, wav):
    answer = cloud("POST", "/predict?save=true", body=wav.read_bytes(), headers={"Content-Type": "audio/wav"}).json()
    kept = requests.get(answer["result_url"]).json()
    assert kept["predictions"] == answer["predictions"]


def test_health_names_versions_fingerprints_and_limits(front, model):
    answer = front("GET", "/health")
    loaded = load_classifier(model)
    content = answer.json()
    assert (content["status"], content["model_sha256"]) == ("ok", loaded.sha256)
    assert content["limits"]["audio_bytes"] == 4_500_000
    assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(("channel", "used"), [("1", "1"), ("mean", "mean"), ("loudest", "2")])
def test_a_channel_can_be_chosen(front, write_wav, noise, channel, used):
    path = write_wav(np.stack([0.3 * noise(3, 16000), noise(3, 16000)], axis=1), 16000)
    form = multipart({"audio": ("pair.wav", path.read_bytes(), "audio/wav"), "channel": channel})
    answer = front("POST", "/predict", **form)
    assert answer.status == 200, answer.content
    assert answer.json()["metadata"]["provenance"]["channel"] == used


def test_each_channel_is_answered_as_it_would_be_alone(front, write_wav, noise):
    path = write_wav(np.stack([0.3 * noise(3, 16000), noise(3, 16000)], axis=1), 16000, name="20230210_000001.wav")

    def ask(channel):
        form = {"audio": (path.name, path.read_bytes(), "audio/wav"), "channel": channel, "files": "csv"}
        return front("POST", "/predict", **multipart(form)).json()

    answer = ask("each")
    assert set(answer) == {"channels"}
    assert [comparable(one) for one in answer["channels"]] == [comparable(ask(channel)) for channel in ("1", "2")]


def test_each_channel_together_keeps_to_the_limit_of_what_is_decoded(settings, noise, tmp_path):
    path = tmp_path / "pair.ogg"
    soundfile.write(path, np.stack([noise(3, 16000), noise(3, 16000)], axis=1), 16000)
    engine = Engine(replace(settings, max_decoded_bytes=600_000))  # of each channel's own reading, 384,000
    with engine.open_detections(str(path), channel="2") as found:
        assert len(found) == 1
    with pytest.raises(LimitError, match="over"), engine.open_detections(str(path), channel="each"):
        pass


@pytest.mark.parametrize("channel", ["0", "every", "left", "9"])
def test_a_channel_that_is_not_there_is_a_bad_setting(front, wav, channel):
    form = multipart({"audio": (wav.name, wav.read_bytes(), "audio/wav"), "channel": channel})
    answer = front("POST", "/predict", **form)
    assert answer.status == 422
    assert b"channel" in answer.content


def test_event_settings_that_the_environment_does_not_give_are_those_of_the_model():
    classifier, own = Engine(Settings.from_env({})).load()
    assert own == choose_config(None, classifier)
    _, some = Engine(Settings.from_env({"CONFIDENCE_THRESHOLD": "0.6", "TARGET_CLASS": "anemonefish"})).load()
    assert some == own.replace(confidence_threshold=0.6)
    everything = InferenceConfig(smoothing_window=7)
    _, config = Engine(Settings.from_env(everything.to_env())).load()
    assert config == everything
