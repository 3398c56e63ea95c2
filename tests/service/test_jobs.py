"""Jobs: uploads in parts, any store, any worker; what is lost, what is retried, what is delivered all the same."""

import hashlib
import json
import multiprocessing
import os
import signal
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import requests
import soundfile

from anemone_lib import detect, load_classifier
from anemone_lib.archive import make_request, run_archive
from anemone_lib.audio.sources import S3Source
from anemone_lib.errors import AudioError
from anemone_lib.service import claims, jobs, work
from anemone_lib.service.claims import BusyError
from anemone_lib.service.engine import Engine
from anemone_lib.service.folder_store import FolderStore
from anemone_lib.service.jobs import Jobs, make_stores
from anemone_lib.service.models import JobRequest
from anemone_lib.service.problems import Problem
from anemone_lib.service.s3_store import S3Store
from anemone_lib.service.stores import MissingObject
from anemone_lib.service.work import AttemptError, Worker
from anemone_lib.simulation import write_recording
from anemone_lib.tables.reading import read_annotations
from tests.service.conftest import INPUT, OUTPUT, Inside, as_json, comparable, ended, run_job, serving


@pytest.fixture(scope="module")
def reef(tmp_path_factory):
    """Three minutes of a reef: 449 windows, in four chunks."""
    path = tmp_path_factory.mktemp("reef") / "20230210_000001.wav"
    write_recording(path, duration=180, seed=4, sample_rate=16_000, bouts_per_minute=4)
    return path


@pytest.fixture(scope="module")
def expected(reef, model):
    return comparable(detect(reef, classifier=load_classifier(model)).to_dict())


@pytest.fixture(params=["folder", "s3"])
def stores(request, tmp_path):
    if request.param == "folder":
        return make_stores(input_bucket="", output_bucket="", folder=tmp_path)
    request.getfixturevalue("s3")
    return make_stores(input_bucket=INPUT, output_bucket=OUTPUT, folder=None)


@pytest.fixture(scope="module")
def inside_cloud(s3, settings):
    """A client of an app in this process, with its recordings and results in S3."""
    return Inside(replace(settings, store=None, input_bucket=INPUT, output_bucket=OUTPUT))


class Desk:
    """A job and its worker in this process, step by step."""

    def __init__(self, settings, stores):
        self.engine, self.stores, self.launched = Engine(settings), stores, []
        self.jobs = Jobs(self.engine, *stores, self.launched.append)

    def started(self, path, **fields):
        content = path.read_bytes()
        job = self.jobs.create(JobRequest(filename=path.name, size_bytes=len(content), **fields))
        key, recordings = f"jobs/{job['job_id']}", self.stores[0]
        recordings.write(f"{key}/recording", content)
        self.jobs.start(job["job_id"], {})
        return job["job_id"]

    def worker(self, owner="me"):
        return Worker(self.engine, *self.stores, owner=owner)

    def work(self, job_id, worker=None):
        worker = worker or self.worker()
        for chunk in worker.plan(job_id)["chunks"]:
            worker.score_chunk(job_id, chunk)
        summary = worker.merge(job_id)
        worker.close()
        return summary

    def result(self, job_id):
        return json.loads(self.stores[1].read(f"jobs/{job_id}/result.json"))


@pytest.fixture
def desk(settings, stores):
    return Desk(settings, stores)


@pytest.mark.parametrize("where", ["local", "cloud"])
def test_a_job_of_each_channel_gives_what_detect_finds_in_each(request, where, write_wav, noise):
    client = request.getfixturevalue(where)
    sound = np.stack([0.3 * noise(3, 16000), noise(3, 16000)], axis=1)
    path = write_wav(sound, 16000, name="20230210_000001.wav")
    job = run_job(client, content=path.read_bytes(), name=path.name, fields={"channel": "each"})
    assert job["state"] == "done", job
    kinds = [f"{kind}.channel{channel}" for channel in (1, 2) for kind in ("audacity", "csv", "png", "raven", "scores")]
    assert sorted(job["files"]) == sorted(["json", *kinds])
    body = requests.get(job["result_url"]).json()["channels"]
    every = detect(path, channel="each")
    assert [comparable(one) for one in body] == [comparable(one.to_dict()) for one in every]
    for kind, url in job["files"].items():
        answer = requests.get(url)
        assert answer.ok, kind
        if where == "local":
            named = f"20230210_000001{kind.removeprefix(kind.split('.')[0])}."
            assert named in answer.headers["Content-Disposition"]


@pytest.mark.parametrize("where", ["local", "cloud"])
def test_a_job_gives_what_detect_finds_in_every_spelling(request, where, reef, expected, tmp_path):
    client = request.getfixturevalue(where)
    job = run_job(client, content=reef.read_bytes(), name=reef.name)
    assert job["state"] == "done", job
    assert comparable(requests.get(job["result_url"]).json()) == expected
    assert set(job["files"]) == {"json", "csv", "raven", "audacity", "png", "scores"}
    assert requests.get(job["files"]["png"]).content.startswith(b"\x89PNG\r\n")
    for kind, name in {"csv": "a.csv", "raven": "a.selections.txt", "audacity": "a.txt"}.items():
        (tmp_path / name).write_bytes(requests.get(job["files"][kind]).content)
        assert [a.start_time for a in read_annotations(tmp_path / name, detections=True)] == [
            event["start_time"] for event in expected["events"]
        ]


def test_the_tasks_of_the_state_machine_give_what_detect_finds(function, cloud, reef, expected, s3):
    requested = {"s3_bucket": INPUT, "s3_key": "by-hand.wav", "filename": reef.name}
    s3.put_object(Bucket=INPUT, Key="by-hand.wav", Body=reef.read_bytes())
    job_id = function("POST", "/jobs", **as_json(requested)).json()["job_id"]
    succeeded, plan = function.invoke({"task": "plan", "job_id": job_id})
    assert (succeeded, plan["job_id"]) == (True, job_id)
    assert len(json.dumps(plan)) < 1000
    for chunk in plan["chunks"]:
        _, content = function.invoke({"task": "score_chunk", "job_id": job_id, "chunk": chunk})
        assert content == {"chunk": chunk["name"], "failed": False}
    succeeded, content = function.invoke({"task": "merge", "job_id": job_id, "failed": []})
    assert (succeeded, content["total_events"], content["skipped_s"]) == (True, len(expected["events"]), 0)
    job = function("GET", f"/jobs/{job_id}").json()
    assert job["state"] == "done"
    assert comparable(requests.get(job["result_url"]).json()) == expected


def test_starting_a_job_on_aws_starts_one_execution_with_its_name(function, s3, wav):
    import boto3

    machine = boto3.client("stepfunctions")
    role = "arn:aws:iam::123456789012:role/jobs"
    definition = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 1, "End": True}}})
    arn = machine.create_state_machine(name="jobs", definition=definition, roleArn=role)["stateMachineArn"]
    content = wav.read_bytes()
    job = function("POST", "/jobs", **as_json({"filename": wav.name, "size_bytes": len(content)})).json()
    answer = requests.put(job["upload"]["parts"][0]["url"], data=content)
    parts = as_json({"parts": [{"number": 1, "etag": answer.headers["ETag"]}]})
    for _ in range(2):
        started = function("POST", f"/jobs/{job['job_id']}/start", **parts)
        assert (started.status, started.json()["state"]) == (202, "running")
    [execution] = machine.list_executions(stateMachineArn=arn)["executions"]
    assert execution["name"] == job["job_id"]
    body = machine.describe_execution(executionArn=execution["executionArn"])
    assert json.loads(body["input"]) == {"job_id": job["job_id"]}
    machine.close()


def test_a_direct_invocation_gives_what_detect_finds_and_keeps_it_if_asked(function, reef, expected, s3):
    s3.put_object(Bucket=INPUT, Key=f"direct/{reef.name}", Body=reef.read_bytes())
    succeeded, result = function.invoke({"s3_bucket": INPUT, "s3_key": f"direct/{reef.name}", "save": True})
    assert succeeded
    kept = requests.get(result.pop("result_url")).json()
    assert comparable(kept) == expected
    del result["job_id"]
    assert comparable(result) == expected


def test_a_recording_goes_up_in_parts_in_any_order(settings, local, reef, monkeypatch):
    content = reef.read_bytes()
    monkeypatch.setattr(jobs, "PART_BYTES", 1_000_000)
    job = local("POST", "/jobs", **as_json({"filename": reef.name, "size_bytes": len(content)})).json()
    assert [part["number"] for part in job["upload"]["parts"]] == [1, 2, 3, 4, 5, 6]
    start = f"/jobs/{job['job_id']}/start"
    urls = {part["number"]: part["url"] for part in job["upload"]["parts"]}

    def put(number):
        answer = requests.put(urls[number], data=content[(number - 1) * 1_000_000 : number * 1_000_000])
        return {"number": number, "etag": answer.headers["ETag"]}

    parts = [put(number) for number in (6, 2, 1, 3, 5)]
    refused = local("POST", start, **as_json({"parts": parts}))
    assert (refused.status, refused.json()["error"]) == (400, "upload_incomplete")
    refused = local("POST", start, **as_json({"parts": [*parts, {"number": 4, "etag": '"guessed"'}]}))
    assert "part 4 was not uploaded" in refused.json()["message"]
    requests.put(urls[4], data=b"cut off")
    refused = local("POST", start, **as_json({"parts": [*parts, {"number": 4, "etag": '"guessed"'}]}))
    assert "part 4 has the ETag" in refused.json()["message"]
    assert local("PUT", f"/jobs/{job['job_id']}/parts/7", body=b"x").status == 404
    assert requests.put(urls[6], data=bytes(1_000_000)).status_code == 413
    parts = [put(6), put(4), *parts[1:]]
    assert local("GET", f"/jobs/{job['job_id']}").json()["state"] == "uploading"
    assert local("POST", start, **as_json({"parts": parts})).status == 202
    assert requests.put(urls[1], data=content[:1_000_000]).status_code == 409
    assert (settings.store / "recordings" / "jobs" / job["job_id"] / "recording").read_bytes() == content


def test_a_multipart_upload_to_s3_is_completed_once(s3, cloud, rng):
    content = rng.bytes(6 << 20)
    store = S3Store(INPUT)
    upload = store.begin_upload("jobs/x/recording")
    etags = {}
    for number, part in enumerate((content[: 5 << 20], content[5 << 20 :]), start=1):
        etags[number] = requests.put(store.sign_part_url("jobs/x/recording", upload, number), data=part).headers["ETag"]
    with pytest.raises(Problem, match="S3 cannot put the parts together"):
        store.complete_upload("jobs/x/recording", upload, {1: '"wrong"'}, part_bytes=5 << 20, size_bytes=6 << 20)
    for _ in range(2):
        store.complete_upload("jobs/x/recording", upload, etags, part_bytes=5 << 20, size_bytes=6 << 20)
    assert store.read("jobs/x/recording") == content


def test_an_upload_of_another_size_than_announced_is_refused(desk, reef):
    job = desk.jobs.create(JobRequest(filename="a.wav", size_bytes=1000))
    desk.stores[0].write(f"jobs/{job['job_id']}/recording", b"short")
    with pytest.raises(Problem, match="5 bytes were uploaded, 1000 were announced"):
        desk.jobs.start(job["job_id"], {1: "x"})


def test_of_many_writers_one_creates_an_object(stores):
    for store in stores:
        with ThreadPoolExecutor(8) as pool:
            writers = [pool.submit(store.create, "jobs/race/claim", b"%d" % i) for i in range(16)]
        wrote = [writer.result() for writer in writers]
        assert sum(wrote) == 1
        assert store.read("jobs/race/claim") == b"%d" % wrote.index(True)
        with pytest.raises(MissingObject):
            store.read("jobs/race/nothing")
        assert store.list_keys("jobs/race/") == ["jobs/race/claim"]


def test_a_key_never_leaves_the_folder(tmp_path):
    store = FolderStore(tmp_path / "store")
    (tmp_path / "secret").write_text("x")
    with pytest.raises(MissingObject):
        store.read("../secret")


def test_a_job_that_is_started_fifty_times_at_once_is_worked_on_once(settings, local, reef, monkeypatch):
    content = reef.read_bytes()
    monkeypatch.setattr(jobs, "PART_BYTES", 1_000_000)
    job = local("POST", "/jobs", **as_json({"filename": reef.name, "size_bytes": len(content)})).json()
    parts = []
    for part in job["upload"]["parts"]:
        block = content[(part["number"] - 1) * 1_000_000 : part["number"] * 1_000_000]
        answer = requests.put(part["url"], data=block)
        parts.append({"number": part["number"], "etag": answer.headers["ETag"]})
    start = as_json({"parts": parts})
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: local("POST", f"/jobs/{job['job_id']}/start", **start), range(50)))
    assert [answer.status for answer in answers] == [202] * 50
    assert ended(local, job["job_id"])["state"] == "done"
    again = local("POST", f"/jobs/{job['job_id']}/start", **start)
    assert (again.status, again.json()["state"]) == (202, "done")
    folder = settings.store / "recordings" / "jobs" / job["job_id"]
    assert (folder / "recording").read_bytes() == content
    assert {path.name for path in folder.glob("claims/*/*")} == {"0001.json"}


def test_a_worker_that_is_killed_is_replaced_and_the_result_is_the_same(settings, reef, expected, tmp_path):
    """SIGKILL while a chunk is claimed and not done."""
    before = {process.pid for process in multiprocessing.active_children()}
    with serving(replace(settings, store=tmp_path)) as client:
        content = reef.read_bytes()
        job = client("POST", "/jobs", **as_json({"filename": reef.name, "size_bytes": len(content)})).json()
        answer = requests.put(job["upload"]["parts"][0]["url"], data=content)
        parts = {"parts": [{"number": 1, "etag": answer.headers["ETag"]}]}
        client("POST", f"/jobs/{job['job_id']}/start", **as_json(parts))
        folder = tmp_path / "recordings" / "jobs" / job["job_id"]
        while not list(folder.glob("claims/0*/0001.json")):
            time.sleep(0.001)
        killed = [process for process in multiprocessing.active_children() if process.pid not in before]
        for process in killed:
            os.kill(process.pid, signal.SIGKILL)
        done = ended(client, job["job_id"])
        assert done["state"] == "done", done
        assert comparable(requests.get(done["result_url"]).json()) == expected
        assert list(folder.glob("claims/*/0002.json"))  # somebody took over


def test_jobs_go_on_after_the_server_was_restarted(settings, reef, expected, tmp_path, monkeypatch):
    stores = make_stores(input_bucket="", output_bucket="", folder=tmp_path)
    desk = Desk(settings, stores)
    job_id = desk.started(reef)
    dead = desk.worker("a server that is no more")
    chunks = dead.plan(job_id)["chunks"]
    dead.score_chunk(job_id, chunks[1])
    dead.close()
    with serving(replace(settings, store=tmp_path)) as client:
        job = ended(client, job_id)
        assert job["state"] == "done", job
        assert comparable(requests.get(job["result_url"]).json()) == expected


def test_a_claim_holds_against_others_until_its_time_is_up(desk, reef, monkeypatch):
    job_id = desk.started(reef)
    one, two = desk.worker("one"), desk.worker("two")
    chunk = one.plan(job_id)["chunks"][1]
    entered, leave = threading.Event(), threading.Event()
    score = work.score_chunk

    def slow(*arguments):
        if not entered.is_set():  # the first worker alone is slow
            entered.set()
            assert leave.wait(60)
        return score(*arguments)

    monkeypatch.setattr(work, "score_chunk", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.score_chunk, job_id, chunk)
        assert entered.wait(20)
        with pytest.raises(BusyError):
            two.score_chunk(job_id, chunk)
        later = time.time() + claims.LEASE_S + 1
        monkeypatch.setattr(claims, "time", SimpleNamespace(time=lambda: later))
        assert two.score_chunk(job_id, chunk) == {"chunk": chunk["name"], "failed": False}
        leave.set()
        assert first.result() == {"chunk": chunk["name"], "failed": False}
    one.close()
    two.close()


def test_a_chunk_that_fails_for_good_is_a_gap_and_the_rest_is_delivered(desk, reef, expected, monkeypatch):
    job_id = desk.started(reef)
    worker = desk.worker()
    chunks = worker.plan(job_id)["chunks"]
    bad = chunks[2]
    score = work.score_chunk

    def fail(recording, chunk, *arguments):
        if chunk.first == bad["first"]:
            raise AudioError("the disk of the recorder was damaged here")
        return score(recording, chunk, *arguments)

    monkeypatch.setattr(work, "score_chunk", fail)
    for chunk in chunks:
        if chunk is bad:
            for _ in range(claims.MAX_ATTEMPTS - 1):
                with pytest.raises(AttemptError):
                    worker.score_chunk(job_id, chunk)
        assert worker.score_chunk(job_id, chunk)["failed"] is (chunk is bad)
    worker.merge(job_id)
    worker.close()
    result = desk.result(job_id)
    coverage = result["metadata"]["coverage"]
    [gap] = coverage["skipped"]
    assert gap["reason"] == "the disk of the recorder was damaged here"
    assert coverage["analysed_s"] + gap["end_time"] - gap["start_time"] == pytest.approx(180)
    kept = {p["start_time"]: p for p in expected["predictions"]}
    assert all(kept[p["start_time"]] == p for p in result["predictions"])
    assert len(result["predictions"]) == len(kept) - (bad["stop"] - bad["first"])


def test_a_chunk_that_is_too_much_for_one_call_is_a_gap_that_says_so(desk, reef):
    job_id = desk.started(reef)
    worker = desk.worker()
    chunks = worker.plan(job_id)["chunks"]
    for _ in range(claims.MAX_ATTEMPTS - 1):
        with pytest.raises(AttemptError, match="too many for this model"):
            worker.score_chunk(job_id, chunks[1], deadline=0.0)
    for chunk in chunks[1:]:
        worker.score_chunk(job_id, chunk, deadline=0.0 if chunk is chunks[1] else None)
    worker.merge(job_id)
    worker.close()
    [gap] = desk.result(job_id)["metadata"]["coverage"]["skipped"]
    assert (gap["start_time"], "lambda_timeout" in gap["reason"]) == (0, True)


def test_a_chunk_whose_workers_all_died_is_a_gap_with_that_reason(desk, reef):
    job_id = desk.started(reef)
    worker = desk.worker()
    chunks = worker.plan(job_id)["chunks"]
    for chunk in chunks[:-1]:
        worker.score_chunk(job_id, chunk)
    worker.merge(job_id, [{"chunk": chunks[-1], "error": "Sandbox.Timedout"}])
    worker.close()
    [gap] = desk.result(job_id)["metadata"]["coverage"]["skipped"]
    assert gap["reason"] == "its worker was stopped before it was done, 0 times (Sandbox.Timedout)"
    assert gap["end_time"] == 180


def test_a_recording_that_cannot_be_read_ends_the_job_with_its_reason(local, function, desk, tmp_path):
    bad = tmp_path / "holiday.wav"
    bad.write_bytes(b"these are no sounds")
    job = run_job(local, content=bad.read_bytes(), name=bad.name)
    assert (job["state"], job["error"]) == ("failed", "undecodable_audio")
    assert "holiday.wav cannot be decoded" in job["message"]
    # the state machine tells of what the function could not
    job_id = desk.started(bad)
    desk.worker().fail(job_id, "a worker of the job was stopped (States.Timeout)")
    assert desk.jobs.describe(job_id)["message"] == "a worker of the job was stopped (States.Timeout)"


def test_nothing_scored_at_all_is_a_failure_not_an_empty_result(desk, wav):
    job_id = desk.started(wav)
    worker = desk.worker()
    worker.plan(job_id)
    for _ in range(claims.MAX_ATTEMPTS):
        with pytest.raises((AttemptError, Problem), match="no part of the recording could be analysed"):
            worker.merge(job_id)
    worker.close()
    assert desk.jobs.describe(job_id)["state"] == "failed"


def test_a_job_does_not_mix_two_models(desk, wav, loudness):
    job_id = desk.started(wav)
    worker = desk.worker()
    chunk = worker.plan(job_id)["chunks"][1]
    desk.engine._loaded = loudness, desk.engine.load()[1]
    with pytest.raises(AttemptError, match="replaced while the job ran"):
        worker.score_chunk(job_id, chunk)
    worker.close()


def test_event_settings_of_a_job_are_kept_with_it(desk, wav):
    job_id = desk.started(wav, config={"confidence_threshold": 0.0, "smoothing_window": 1})
    assert desk.work(job_id)["total_events"] == 1
    [event] = desk.result(job_id)["events"]
    assert (event["start_time"], event["end_time"]) == (0.0, 10.0)


@pytest.mark.parametrize("suffix", ["wav", "flac", "w64", "mp3"])
def test_of_an_object_in_s3_only_the_bytes_of_a_chunk_are_read_where_the_format_allows(
    s3, settings, noise, suffix, tmp_path, monkeypatch
):
    minutes = noise(600, 8000)
    path = tmp_path / f"long.{suffix}"
    soundfile.write(path, minutes, 8000, **({"subtype": "PCM_16"} if suffix in ("wav", "w64") else {}))
    size = path.stat().st_size
    s3.upload_file(str(path), INPUT, path.name)
    desk = Desk(
        replace(settings, input_bucket=INPUT), make_stores(input_bucket=INPUT, output_bucket=OUTPUT, folder=None)
    )
    job_id = desk.jobs.create(JobRequest(s3_bucket=INPUT, s3_key=path.name))["job_id"]
    n_read = 0
    read_at = S3Source.read_at

    def counted(source, offset, n_bytes):
        nonlocal n_read
        content = read_at(source, offset, n_bytes)
        n_read += len(content)
        return content

    monkeypatch.setattr(S3Source, "read_at", counted)
    monkeypatch.setattr("anemone_lib.audio.sources.REMOTE_BLOCK_BYTES", 1 << 16)
    worker = desk.worker()
    chunks = worker.plan(job_id)["chunks"]
    n_read = 0
    worker.close()
    worker.score_chunk(job_id, chunks[3])
    if suffix == "mp3":
        assert n_read < 100  # it is here already, whole
    else:
        assert n_read < size / 2
    worker.close()


def test_a_plan_of_the_largest_recording_is_small_enough_for_a_state_machine(settings, tmp_path, monkeypatch):
    """5 GB of 8-bit samples at 4 kHz: two weeks of silence in a sparse file, which needs no room on the disk."""
    monkeypatch.setattr("anemone_lib.service.folder_store.shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 40))
    desk = Desk(settings, make_stores(input_bucket="", output_bucket="", folder=tmp_path))
    n_samples = 5 * 10**9
    job = desk.jobs.create(JobRequest(filename="long.wav", size_bytes=n_samples + 80))["job_id"]
    write_sparse_rf64(
        desk.stores[0].get_path(f"jobs/{job}/recording"), n_samples=n_samples, sample_rate=4000, sample_bytes=1
    )
    desk.jobs.start(job, {})
    worker = desk.worker()
    plan = worker.plan(job)
    worker.close()
    assert len(plan["chunks"]) <= work.MAX_CHUNKS + 1
    assert len(json.dumps(plan)) < 256 * 1024 / 4
    assert plan["chunks"][-1]["stop"] == 1 - (4000 - n_samples) // 1600


def write_sparse_rf64(path, *, n_samples, sample_rate, sample_bytes):
    """Write a header by EBU Tech 3306, and as many zeros as no disk has to hold."""
    n_bytes = n_samples * sample_bytes
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, n_bytes + 72, n_bytes, n_samples, 0)
    form = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, sample_rate * sample_bytes, sample_bytes, 8 * sample_bytes
    )
    header = b"RF64\xff\xff\xff\xffWAVE" + ds64 + form + b"data\xff\xff\xff\xff"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + n_bytes)


def test_gaps_and_warnings_of_a_job_are_those_of_detect_however_it_was_cut(
    settings, stores, noise, tmp_path, monkeypatch
):
    sound = np.clip(8 * noise(400, 8000), -1, 1)
    sound[300 * 8000 :] = 0
    path = tmp_path / "20230210_000001.flac"
    soundfile.write(path, np.stack([sound, 0.1 * sound], axis=1), 8000)
    content = bytearray(path.read_bytes())
    for share in (0.2, 0.45, 0.46):
        content[int(share * len(content))] ^= 4
    path.write_bytes(content)
    found = detect(path, channel=1).to_dict()
    assert len(found["metadata"]["coverage"]["skipped"]) >= 2
    assert any("clipped" in text for text in found["metadata"]["warnings"])
    assert any("every sample is 0" in text for text in found["metadata"]["warnings"])
    monkeypatch.setattr("anemone_lib.service.work.MAX_CHUNKS", 3)
    desk = Desk(settings, stores)
    job = desk.jobs.create(JobRequest(filename=path.name, size_bytes=len(content), channel="1"))["job_id"]
    desk.stores[0].write(f"jobs/{job}/recording", bytes(content))
    desk.jobs.start(job, {})
    desk.work(job)
    assert comparable(desk.result(job)) == comparable(found)


# ---------------------------------------------------------------- what somebody replaces in S3


@pytest.mark.parametrize("suffix", ["mp3", "wav"])
def test_an_object_that_was_replaced_is_read_anew(inside_cloud, s3, write_wav, noise, suffix):
    """Two recordings at one key, one after the other: the answer is of the one that is there."""
    kinds = {"mp3": {"format": "MP3", "subtype": "MPEG_LAYER_III"}, "wav": {}}
    place = {"s3_bucket": INPUT, "s3_key": f"replaced/one.{suffix}"}
    durations = []
    for seconds in (3, 5):
        path = write_wav(noise(seconds, 16000), 16000, name=f"{seconds}.{suffix}", **kinds[suffix])
        s3.upload_file(str(path), INPUT, place["s3_key"])
        metadata = inside_cloud("POST", "/predict", **as_json(place)).json()["metadata"]
        durations.append(round(metadata["audio_duration"]))
        assert metadata["provenance"]["recording_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert durations == [3, 5]


@pytest.mark.parametrize("suffix", ["mp3", "wav"])
def test_a_job_does_not_mix_two_recordings_that_were_at_one_key(settings, s3, write_wav, noise, suffix):
    kinds = {"mp3": {"format": "MP3", "subtype": "MPEG_LAYER_III"}, "wav": {}}
    paths = [write_wav(noise(s, 16000), 16000, name=f"{s}.{suffix}", **kinds[suffix]) for s in (3, 5)]
    key = f"replaced/job.{suffix}"
    s3.upload_file(str(paths[0]), INPUT, key)
    desk = Desk(
        replace(settings, store=None, input_bucket=INPUT, output_bucket=OUTPUT),
        make_stores(input_bucket=INPUT, output_bucket=OUTPUT, folder=None),
    )
    job_id = desk.jobs.create(JobRequest(s3_bucket=INPUT, s3_key=key))["job_id"]
    desk.jobs.start(job_id, {})
    worker = desk.worker()
    chunk = worker.plan(job_id)["chunks"][-1]
    worker.close()
    s3.upload_file(str(paths[1]), INPUT, key)
    with pytest.raises(AttemptError, match="replaced"):
        worker.score_chunk(job_id, chunk)
    worker.close()


@pytest.mark.parametrize(
    ("name", "size_bytes", "status"),
    [("a.mp3", 5 << 30, 413), ("a.mp3", 250_000_000, 201), ("a.wav", 5 << 30, 201)],
)
def test_on_aws_what_has_no_room_to_be_decoded_is_refused_before_its_upload(
    inside_cloud, monkeypatch, name, size_bytes, status
):
    monkeypatch.setattr("anemone_lib.service.s3_store.shutil.disk_usage", lambda _: SimpleNamespace(total=6144 << 20))
    answer = inside_cloud("POST", "/jobs", **as_json({"filename": name, "size_bytes": size_bytes}))
    assert answer.status == status, answer.content
    if name == "a.mp3" and status == 413:
        assert "room for 258 MB" in answer.json()["message"]
        assert "FLAC or WAV" in answer.json()["message"]


def test_a_job_in_s3_that_is_deleted_leaves_nothing_and_no_upload(inside_cloud, s3, wav):
    mine = as_json({"filename": wav.name, "size_bytes": wav.stat().st_size})
    job_id = inside_cloud("POST", "/jobs", **mine).json()["job_id"]
    s3.put_object(Bucket=OUTPUT, Key=f"jobs/{job_id}/result.json", Body=b"{}")
    assert inside_cloud("DELETE", f"/jobs/{job_id}").status == 204
    for bucket in (INPUT, OUTPUT):
        assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix=f"jobs/{job_id}/")
    uploads = s3.list_multipart_uploads(Bucket=INPUT).get("Uploads", ())
    assert not [upload for upload in uploads if job_id in upload["Key"]]
    assert inside_cloud("GET", f"/jobs/{job_id}").status == 404


# ---------------------------------------------------------------- an archive of the results


@pytest.mark.parametrize("where", ["local", "cloud"])
def test_the_results_of_jobs_make_an_archive_without_the_recordings(
    request, settings, where, write_wav, noise, tmp_path
):
    paths = [write_wav(noise(6, 8000), 8000, name=f"reef/20230210_0{hour}0001.wav") for hour in (0, 1)]
    with ExitStack() as stack:
        if where == "cloud":
            client = request.getfixturevalue("cloud")
        else:
            client = stack.enter_context(serving(replace(settings, store=tmp_path / "store")))
        ids = [run_job(client, content=path.read_bytes(), name=path.name)["job_id"] for path in paths]
    sources = [f"s3://{OUTPUT}/jobs/{one}/" for one in ids] if where == "cloud" else [str(tmp_path / "store")]
    with ThreadPoolExecutor(1) as executor:
        archive = run_archive(make_request(sources), tmp_path / "archive", executor=executor)
        whole = run_archive(make_request([str(paths[0].parent)]), tmp_path / "whole", executor=executor)
    assert archive.recordings["status"].tolist() == ["analysed"] * 2, archive.recordings["problem"].tolist()
    assert set(archive.recordings["site"]) == {OUTPUT if where == "cloud" else "store"}
    columns = ["recording", "start_utc", "start_s", "end_s", "confidence"]
    assert archive.events[columns].equals(whole.events[columns])
