"""Jobs of one computer: a dead server, a full disk, a job that is given up, a job that is old."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from anemone_lib import detect, load_classifier
from anemone_lib.service import claims, folder_store, lane, local
from anemone_lib.service.claims import BusyError
from anemone_lib.service.jobs import make_stores
from anemone_lib.service.lane import Lane
from anemone_lib.service.problems import Problem
from anemone_lib.service.work import AttemptError
from tests.service.conftest import Inside, as_json, comparable, ended, run_job, serving


@pytest.fixture
def stores(tmp_path):
    return make_stores(input_bucket="", output_bucket="", folder=tmp_path)


class ScriptedConnection:
    """The process that works on jobs, by what it would answer to each task."""

    def __init__(self, answer):
        self._answer, self._task, self.tasks = answer, None, []

    def send(self, task):
        self.tasks.append(task)
        self._task = task

    def recv(self):
        answer = self._answer(self._task)
        return (answer, None) if isinstance(answer, Exception) else (None, answer)

    def close(self):
        pass


class NoProcess:
    def kill(self):
        pass

    def join(self):
        pass


@pytest.fixture
def scripted(settings, stores, monkeypatch):
    """A lane whose process is a function: task → outcome, or error."""
    lanes = []

    def start(answer):
        connection = ScriptedConnection(answer)
        made = Lane(settings, *stores, owner="me")
        monkeypatch.setattr(made, "_start_process", lambda: connection)
        made._process = NoProcess()
        made.open()
        lanes.append(made)
        return made, connection

    yield start
    for made in lanes:
        made.close()


def plan(task, *names):
    if task["task"] == "plan":
        return {"job_id": task["job_id"], "chunks": [{"name": name} for name in names]}
    return {"job_id": task["job_id"]}


def wait_for(condition):
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not come about")


def test_the_process_that_works_on_jobs_needs_no_web_server():
    code = "import sys, anemone_lib.service.lane; print({'fastapi', 'starlette', 'uvicorn'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_jobs_take_turns_task_by_task(scripted):
    lane, connection = scripted(lambda task: plan(task, "0", "1"))
    with lane._changed:  # both are there before the first task is taken
        lane.launch("a")
        lane.launch("b")
    wait_for(lambda: not lane.is_drawing("a") and not lane.is_drawing("b"))
    done = [(task["job_id"], task["task"]) for task in connection.tasks]
    names = ["plan", "score_chunk", "score_chunk", "merge", "draw"]
    assert done == [(job, name) for name in names for job in "ab"]


def test_an_attempt_that_failed_is_done_again_and_a_busy_task_later(scripted, monkeypatch):
    monkeypatch.setattr(lane, "BUSY_WAIT_S", 0.01)
    answers = [AttemptError("once"), BusyError("somebody"), AttemptError("twice")]
    worker, connection = scripted(lambda task: answers.pop() if answers else plan(task))
    worker.launch("a")
    wait_for(lambda: not worker.is_drawing("a"))
    assert [task["task"] for task in connection.tasks] == ["plan"] * 4 + ["merge", "draw"]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (Problem(507, "disk_full", "the disk is full"), "disk_full"),
        (KeyError("x"), "job_failed"),
        (OSError(5, "EIO"), "job_failed"),
    ],
)
def test_a_job_whose_work_cannot_go_on_says_so(scripted, stores, error, name):
    worker, _ = scripted(lambda _: error)
    worker.launch("a")
    wait_for(lambda: not worker.is_drawing("a"))
    wait_for(lambda: stores[1].list_keys("jobs/a/") == ["jobs/a/error.json"])
    assert json.loads(stores[1].read("jobs/a/error.json"))["error"] == name


def test_a_job_says_why_it_cannot_go_on_even_where_nothing_can_be_stored(settings, tmp_path, scripted, monkeypatch):
    worker, _ = scripted(lambda _: Problem(507, "disk_full", "the disk of /data is full"))
    inside = Inside(replace(settings, store=tmp_path), find_trouble=worker.find_trouble, is_drawing=worker.is_drawing)
    job = inside("POST", "/jobs", **as_json({"size_bytes": 4})).json()["job_id"]
    etag = inside("PUT", f"/jobs/{job}/parts/1", body=b"RIFF").headers["etag"]
    start = as_json({"parts": [{"number": 1, "etag": etag}]})
    assert inside("POST", f"/jobs/{job}/start", **start).json()["state"] == "running"
    monkeypatch.setattr(worker._results, "create", fail_for_lack_of_room)
    worker.launch(job)
    wait_for(lambda: worker.find_trouble(job))
    content = inside("GET", f"/jobs/{job}").json()
    assert (content["state"], content["message"]) == ("failed", "the disk of /data is full")


def fail_for_lack_of_room(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", ["create", "upload"])
def test_a_full_disk_is_507_and_says_which(settings, tmp_path, monkeypatch, step, code):
    inside = Inside(replace(settings, store=tmp_path))
    job = inside("POST", "/jobs", **as_json({"size_bytes": 4})).json()["job_id"]

    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(folder_store.tempfile, "mkstemp", fail)
        if step == "create":
            answer = inside("POST", "/jobs", **as_json({"size_bytes": 4}))
        else:
            answer = inside("PUT", f"/jobs/{job}/parts/1", body=b"RIFF")
    assert (answer.status, answer.json()["error"]) == (507, "disk_full")
    assert str(tmp_path) in answer.json()["message"]
    assert inside("PUT", f"/jobs/{job}/parts/1", body=b"RIFF").status == 200


def test_a_recording_that_does_not_fit_on_the_disk_is_refused_before_its_upload(settings, tmp_path, monkeypatch):
    inside = Inside(replace(settings, store=tmp_path))
    monkeypatch.setattr(folder_store, "SPARE_BYTES", 1 << 60)
    answer = inside("POST", "/jobs", **as_json({"size_bytes": 10**9}))
    assert (answer.status, answer.json()["error"]) == (507, "disk_full")
    assert str(tmp_path) in answer.json()["message"]
    assert "2 GB" in answer.json()["message"]


def test_a_job_that_is_deleted_is_gone_whatever_its_state(settings, tmp_path, wav):
    with serving(replace(settings, store=tmp_path / "store")) as client:
        done = run_job(client, content=wav.read_bytes(), name=wav.name)["job_id"]
        waiting = client("POST", "/jobs", **as_json({"size_bytes": 4})).json()["job_id"]
        for job in (done, waiting):
            assert client("DELETE", f"/jobs/{job}").status == 204
            for method, path in (
                ("GET", ""),
                ("DELETE", ""),
                ("POST", "/start"),
                ("PUT", "/parts/1"),
                ("GET", "/files/result.json"),
            ):
                answer = client(method, f"/jobs/{job}{path}", body=b"{}" if method == "POST" else b"")
                assert answer.status == 404, (method, path)
        assert [path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.name != ".lock"] == []


def test_a_job_that_is_deleted_while_it_runs_stops_and_others_go_on(settings, tmp_path, write_wav, noise, wav, model):
    large = write_wav(noise(600, 16000), 16000, name="large.mp3", subtype="MPEG_LAYER_III", format="MP3").read_bytes()
    with serving(replace(settings, store=tmp_path)) as client:
        job = client("POST", "/jobs", **as_json({"filename": "large.mp3", "size_bytes": len(large)})).json()
        etag = requests.put(job["upload"]["parts"][0]["url"], data=large).headers["ETag"]
        client("POST", f"/jobs/{job['job_id']}/start", **as_json({"parts": [{"number": 1, "etag": etag}]}))
        wait_for((tmp_path / "recordings" / "jobs" / job["job_id"] / "claims").exists)
        assert client("DELETE", f"/jobs/{job['job_id']}").status == 204
        other = run_job(client, content=wav.read_bytes(), name=wav.name)
        expected = detect(wav, classifier=load_classifier(model)).to_dict()
        assert comparable(requests.get(other["result_url"]).json()) == comparable(expected)
        assert not list(tmp_path.rglob(f"*{job['job_id']}*"))


def test_old_jobs_are_removed_and_young_ones_are_not(settings, tmp_path):
    inside = Inside(replace(settings, store=tmp_path))
    old, young = (inside("POST", "/jobs", **as_json({"size_bytes": 4})).json()["job_id"] for _ in range(2))
    kept = inside.jobs.keep(b"{}")
    for path in [*tmp_path.rglob(f"{old}*"), *tmp_path.rglob(f"{old}/**/*"), *tmp_path.rglob(f"{kept}/**/*")]:
        os.utime(path, (1, 1))
    os.utime(tmp_path / "results" / "jobs" / kept, (1, 1))
    assert set(inside.jobs.expire(older_than_s=86_400)) == {old, kept}
    assert [inside("GET", f"/jobs/{job}").status for job in (old, young, kept)] == [404, 200, 404]


def test_two_servers_do_not_share_a_folder(settings, tmp_path):
    with serving(replace(settings, store=tmp_path)):
        with pytest.raises(Problem, match="another server uses the folder .*--store"):
            local.run_server(replace(settings, store=tmp_path))


def start_server(model, store):
    """A server in a process of its own, that can be killed; returns it and its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environ = {**os.environ, "MODEL_LOCAL_PATH": str(model), "ANEMONE_STORE": str(store)}
    command = [sys.executable, "-m", "anemone_lib.service.local", str(port)]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(1200):
        assert process.poll() is None
        try:
            if requests.get(f"{url}/health").status_code == 200:
                break
        except requests.ConnectionError:
            time.sleep(0.05)
    return process, url


def test_a_server_that_was_stopped_goes_on_at_once_when_it_is_started_again(model, tmp_path, write_wav, noise):
    content = write_wav(noise(900, 16000), 16000).read_bytes()
    process, url = start_server(model, tmp_path)
    try:
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            job = requests.post(f"{url}/jobs", json={"filename": "reef.wav", "size_bytes": len(content)}).json()
            etag = requests.put(job["upload"]["parts"][0]["url"], data=content).headers["ETag"]
            requests.post(f"{url}/jobs/{job['job_id']}/start", json={"parts": [{"number": 1, "etag": etag}]})
            folder = tmp_path / "recordings" / "jobs" / job["job_id"]
            wait_for(lambda folder=folder: list(folder.glob("claims/*/*")))
            (folder / ".anemone-left").write_bytes(b"half")
            process.send_signal(how)
            process.wait(timeout=claims.LEASE_S / 4)
            began = time.monotonic()
            process, url = start_server(model, tmp_path)
            while (done := requests.get(f"{url}/jobs/{job['job_id']}").json())["state"] == "running":
                assert time.monotonic() - began < claims.LEASE_S / 2, how  # nobody waited for a claim to expire
                time.sleep(0.05)
            assert done["state"] == "done", (how, done)
            assert requests.get(done["result_url"]).json()["metadata"]["total_windows"] == 2249
            assert not (folder / ".anemone-left").exists()
    finally:
        process.kill()
        process.wait()


def test_claims_of_the_dead_are_dropped(stores):
    recordings, _ = stores
    recordings.create("jobs/x/claims/0/0001.json", b'{"owner": "dead", "until": 9e99}')
    recordings.create("jobs/x/plan.json", b"{}")
    local._forget_the_dead(*stores)
    assert recordings.list_keys("jobs/") == ["jobs/x/plan.json"]


def test_a_result_file_is_waited_for_only_while_it_is_drawn(settings, tmp_path):
    drawing = [True, True, False]
    inside = Inside(replace(settings, store=tmp_path), is_drawing=lambda _: drawing.pop(0) if drawing else False)
    job = inside.jobs.keep(b"{}")
    assert inside("GET", f"/jobs/{job}/files/result.png").status == 404
    assert drawing == []
    assert ended(inside, job)["state"] == "done"
    assert Path(tmp_path).exists()
