"""Every field of every request, with what clients should not send: a 4xx that says what helps, before any work."""

import base64
import json
from dataclasses import replace

import pytest

from anemone_lib.service.fields import clean_name
from tests.service.conftest import INPUT, Inside, as_json, multipart

JSON = {"Content-Type": "application/json"}
JOB = {"filename": "20230210_000001.wav", "size_bytes": 1000}

#: Values that no option has: field, value, what the message says.
BAD_OPTIONS = [
    ("config", {"n_fft": 512}, "n_fft cannot be set by a request"),
    ("config", {"confidence_threshold": 2}, "confidence_threshold is 2"),
    ("config", {"confidence_threshold": "0.5"}, "it must be a number"),
    ("config", {"confidence_threshold": True}, "it must be a number"),
    ("config", {"confidence_threshold": None}, "it must be a number"),
    ("config", {"smoothing_window": 4}, "odd number"),
    ("config", {"smoothing_window": 10**400}, "smoothing_window"),
    ("config", {"smoothing_window": 2.5}, "smoothing_window"),
    ("config", {"target_class": "whale"}, "target_class is 'whale'"),
    ("config", {"target_class": 5}, "target_class"),
    ("config", {"min_event_duration": -1}, "min_event_duration is -1"),
    ("config", [], "object of settings"),
    ("config", 7, "object of settings"),
    ("timezone", "+99:99", "give a name like Asia/Tokyo"),
    ("timezone", "America", "give a name like Asia/Tokyo"),
    ("timezone", "", "give a name like Asia/Tokyo"),
    ("timezone", "../../etc/passwd", "give a name like Asia/Tokyo"),
    ("timezone", "/etc/localtime", "give a name like Asia/Tokyo"),
    ("timezone", "a\0b", "give a name like Asia/Tokyo"),
    ("timezone", "x" * 65, "64 characters"),
    ("timezone", 9, "timezone is 9"),
    ("timezone", None, "timezone"),
    ("timezone", "\ud800", "timezone"),
    ("channel", 0, "channel is"),
    ("channel", -1, "channel is"),
    ("channel", "every", "channel is"),
    ("channel", 1.5, "channel is 1.5"),
    ("channel", True, "channel"),
    ("channel", ["1"], "channel"),
]
#: The same for the fields that name a recording.
BAD_FIELDS = [
    ("filename", 5, "filename is 5"),
    ("filename", ["a.wav"], "filename"),
    ("filename", {"a": 1}, "filename"),
    ("filename", "\ud800.wav", "unicode"),
    ("filename", "x" * 1025, "1024 characters"),
]


def check(answer, statuses, words):
    content = answer.json()
    assert answer.status in statuses, content
    assert set(content) == {"error", "message"}
    assert words in content["message"], content
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(("field", "value", "words"), [*BAD_OPTIONS, *BAD_FIELDS])
def test_a_job_is_refused_when_it_is_created_not_after_its_upload(inside, field, value, words):
    before = list(inside.folder.rglob("request.json"))
    check(inside("POST", "/jobs", **as_json({**JOB, field: value})), {400, 422}, words)
    assert list(inside.folder.rglob("request.json")) == before


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"filename": "a.wav"}, "size_bytes"),
        ({"size_bytes": 0}, "greater than 0"),
        ({"size_bytes": 1.5}, "integer"),
        ({"size_bytes": 1e3}, "integer"),
        ({"size_bytes": "1000"}, "integer"),
        ({"size_bytes": True}, "integer"),
        ({"size_bytes": 10**30}, "size_bytes is 1"),
        ({"size_bytes": [1]}, "integer"),
        ({**JOB, "colour": "red"}, "colour is not known here"),
        ({**JOB, "s3_bucket": INPUT, "s3_key": "a.wav"}, "either"),
        ({"s3_bucket": INPUT}, "both"),
        ({"s3_key": "a.wav"}, "both"),
        ({"s3_bucket": INPUT, "s3_key": ""}, "at least 1 character"),
        ({"s3_bucket": INPUT, "s3_key": "/a.wav"}, "no slash at its start"),
        ({"s3_bucket": INPUT, "s3_key": "ß" * 600}, "1,024 bytes"),
        ({"s3_bucket": INPUT, "s3_key": 7}, "s3_key is 7"),
        ({"s3_bucket": INPUT, "s3_key": "\udfff"}, "unicode"),
        ({"s3_bucket": "a" * 64, "s3_key": "a"}, "63 characters"),
        ({"s3_bucket": "../x", "s3_key": "a"}, "this service has none"),
        ([JOB], "object"),
        ("text", "object"),
        (None, "the body must be an object"),
        (7, "object"),
    ],
)
def test_a_recording_of_a_job_is_named_in_one_way(inside, fields, words):
    check(inside("POST", "/jobs", **as_json(fields)), {400, 403}, words)


#: Bodies that are no JSON, or not one that every reader reads alike.
NO_JSON = [
    (b"{", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b'{"size_bytes": NaN}', "NaN is not a number"),
    (b'{"size_bytes": -Infinity}', "-Infinity is not a number"),
    (b'{"size_bytes": 1, "size_bytes": 2}', "'size_bytes' is given twice"),
    (b'{"size_bytes": 1, "config": {"smoothing_window": 3, "smoothing_window": 5}}', "is given twice"),
    (b"[" * 100_000, "not JSON"),
    (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "not JSON"),
    (b'{"size_bytes": 1' + b"0" * 5000 + b"}", "not JSON"),
    (b'{"\\ud800": 1}', ""),
]


@pytest.mark.parametrize(("body", "words"), NO_JSON)
@pytest.mark.parametrize("path", ["/jobs", "/predict", f"/jobs/{'0' * 32}/start"])
def test_what_is_no_json_is_refused(inside, path, body, words):
    check(inside("POST", path, body=body, headers=JSON), {400, 422}, words if "/start" not in path else "")


@pytest.mark.parametrize("path", ["/jobs", f"/jobs/{'0' * 32}/start"])
def test_json_is_not_read_past_its_limit(inside, path):
    check(inside("POST", path, body=b" " * 2_000_000, headers=JSON), {413}, "1.0 MB")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([{"number": 0, "etag": "x"}], "number"),
        ([{"number": 10_001, "etag": "x"}], "number"),
        ([{"number": "1", "etag": "x"}], "number"),
        ([{"number": 1, "etag": ""}], "etag"),
        ([{"number": 1, "etag": "x" * 101}], "etag"),
        ([{"number": 1, "etag": None}], "etag"),
        ([{"number": 1, "etag": "\ud800"}], "etag"),
        ([{"number": 1}], "etag is missing"),
        ([{"number": 1, "etag": "a"}, {"number": 1, "etag": "b"}], "part 1 is named more than once"),
        ([{}] * 10_001, "10000"),
        ("1", "list"),
        ({"1": "x"}, "list"),
    ],
)
def test_parts_are_numbers_and_etags(inside, parts, words):
    job = inside("POST", "/jobs", **as_json(JOB)).json()["job_id"]
    check(inside("POST", f"/jobs/{job}/start", **as_json({"parts": parts})), {400}, words)
    assert inside("GET", f"/jobs/{job}").json()["state"] == "uploading"


@pytest.mark.parametrize(("field", "value", "words"), BAD_OPTIONS)
def test_an_option_of_predict_is_refused_in_json(inside, field, value, words):
    values = as_json({"audio_base64": "UklGRg==", field: value})
    check(inside("POST", "/predict", **values), {422}, words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"audio_base64": 7}, "not base64"),
        ({"audio_base64": None}, "not base64"),
        ({"audio_base64": "§"}, "not base64"),
        ({"audio_base64": "\ud800"}, "unicode"),
        ({"audio_base64": ""}, "at least 1 character"),
        ({"audio_base64": "UklGRg==", "s3_key": "a"}, "either"),
        ({"s3_bucket": INPUT, "s3_key": "/a.wav"}, "no slash at its start"),
        ({"audio_base64": "UklGRg==", "filename": 5}, "filename is 5"),
        ({"audio_base64": "UklGRg==", "save": "perhaps"}, "save is 'perhaps'"),
        ({"audio_base64": "UklGRg==", "files": ["exe"]}, "exe"),
        ({"audio_base64": "UklGRg==", "files": ["csv"] * 5}, "at most 4"),
        ({"audio_base64": "UklGRg==", "colour": "red"}, "colour is not known here"),
    ],
)
def test_a_recording_of_predict_is_named_in_one_way(inside, body, words):
    check(inside("POST", "/predict", **as_json(body)), {400, 422}, words)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("timezone=America", "give a name like"),
        ("timezone=UTC&timezone=Asia/Tokyo", "timezone"),
        ("config={", "config is not JSON"),
        ("config={%22confidence_threshold%22:NaN}", "NaN is not a number"),
        ("config=[]", "object of settings"),
        ("files=exe", "files"),
        ("save=7", "save"),
        ("colour=red", "colour is not known here"),
        ("channel=0", "channel"),
        ("filename=" + "x" * 1025, "1024 characters"),
    ],
)
def test_a_wrong_query_is_refused_before_the_body_is_read(inside, query, words):
    answer = inside("POST", f"/predict?{query}", body=b"no audio", headers={"Content-Type": "audio/wav"})
    check(answer, {400, 422}, words)


def test_a_field_of_a_form_that_is_there_twice_is_refused(inside):
    form = multipart({"audio": ("a.wav", b"RIFF", "audio/wav"), "timezone": "UTC"})
    again = form["body"].replace(b'name="timezone"\r\n\r\nUTC', b'name="config"\r\n\r\n{}')
    boundary = form["body"].split(b"\r\n")[0]
    part = boundary + b'\r\nContent-Disposition: form-data; name="timezone"\r\n\r\nUTC\r\n'
    check(inside("POST", "/predict", **(form | {"body": part + form["body"]})), {400}, "'timezone' is given twice")
    assert again != form["body"]


@pytest.mark.parametrize("name", ["00010101_000000.wav", "99991231_235959.wav", "20231345_996199.wav", "0" * 200])
@pytest.mark.parametrize("zone", ["UTC", "+14:00", "-12:00", "Asia/Tokyo"])
def test_absurd_times_in_a_name_are_no_defect(inside, write_wav, noise, name, zone):
    content = write_wav(noise(2, 8000), 8000).read_bytes()
    values = as_json({"audio_base64": base64.b64encode(content).decode(), "filename": name, "timezone": zone})
    values["body"] = json.dumps(json.loads(values["body"]) | {"config": {"confidence_threshold": 0}}).encode()
    assert inside("POST", "/predict", **values).status == 200


@pytest.mark.parametrize("job", ["x", "0" * 31, "%2e%2e", "0" * 5000, "%00", "%ff", "jobs%2Fx"])
def test_an_id_that_is_none_names_no_job_and_no_file(inside, job):
    for method, path in (
        ("GET", f"/jobs/{job}"),
        ("DELETE", f"/jobs/{job}"),
        ("POST", f"/jobs/{job}/start"),
        ("PUT", f"/jobs/{job}/parts/1"),
        ("GET", f"/jobs/{job}/files/result.json"),
    ):
        assert inside(method, path, body=b"{}" if method == "POST" else b"", headers=JSON).status in (404, 405, 307)


@pytest.mark.parametrize("number", ["0", "-1", "2", "1.5", "x", "9" * 400])
def test_a_part_that_is_none_takes_nothing(inside, number):
    job = inside("POST", "/jobs", **as_json(JOB)).json()["job_id"]
    assert inside("PUT", f"/jobs/{job}/parts/{number}", body=b"x").status == 404


def test_a_name_is_cut_to_its_last_part():
    assert clean_name("..\\..\\a/b.wav") == "b.wav"
    assert clean_name("\x7f\x00..") == "recording"


def test_bodies_of_the_demonstration_fit_into_one_call_of_a_laptop(settings, tmp_path):
    from anemone_lib.service.settings import LOCAL_AUDIO_BYTES

    inside = Inside(replace(settings, store=tmp_path, max_audio_bytes=LOCAL_AUDIO_BYTES))
    minute = 60 * 48_000 * 2 + 44
    answer = inside("POST", "/predict", body=bytes(minute), headers={"Content-Type": "audio/wav"})
    assert (answer.status, answer.json()["error"]) == (422, "undecodable_audio")  # zeros, but not too many
    assert inside("GET", "/health").json()["limits"]["audio_bytes"] == LOCAL_AUDIO_BYTES
