"""Thirty minutes of mixed load, compressed: is anything lost, wrong, or left behind?

    python -m tests.service.attack.soak [--minutes 5]          (make soak)

At the same time: recordings to /predict and as jobs, whose answers must equal those of `detect`; jobs that are deleted
in the middle; uploads that break off; hostile requests; connections on which nobody asks. In the end, memory,
descriptors, threads and temporary files must be what they were after the first fifth.
"""

import argparse
import contextlib
import io
import json
import random
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import requests
import soundfile

from anemone_lib import detect
from tests.service.attack import inputs
from tests.service.attack.server import Held, Target, running

#: How much more of each the server may hold at the end than after the first fifth.
ALLOWED = Held(memory_mb=60.0, descriptors=20, threads=6, processes=0, temporary_files=3)


def make_recordings(folder: Path) -> list[tuple[bytes, dict]]:
    """Make recordings in several formats, with what `detect` finds in each."""
    made = []
    generator = np.random.default_rng(5)
    for number, (kind, seconds) in enumerate([("WAV", 8), ("FLAC", 20), ("OGG", 15), ("MP3", 12), ("WAV", 60)]):
        samples = 0.05 * generator.standard_normal(16_000 * seconds)
        path = folder / f"{number}.{kind.lower()}"
        soundfile.write(path, samples, 16_000, format=kind)
        made.append((path.read_bytes(), json.loads(detect(path).to_json())))
    return made


class Load:
    """The load, and what was wrong."""

    def __init__(self, url: str, recordings: list[tuple[bytes, dict]]) -> None:
        self.url, self.recordings = url, recordings
        self.done, self.wrong = Counter[str](), list[str]()
        self.stop = threading.Event()

    def predict(self, source: random.Random) -> None:
        """Ask for one recording."""
        content, expected = source.choice(self.recordings)
        answer = requests.post(f"{self.url}/predict", files={"audio": ("a.wav", content)}, timeout=120)
        if answer.status_code == 503 and "Retry-After" in answer.headers:
            self.done["predict, busy"] += 1
            return
        self._compare("predict", answer, expected)

    def run_job(self, source: random.Random) -> None:
        """Take one recording through a job."""
        content, expected = source.choice(self.recordings)
        job_id = self._start_job(content)
        while (job := requests.get(f"{self.url}/jobs/{job_id}", timeout=60).json())["state"] == "running":
            time.sleep(0.05)
        if job["state"] != "done":
            self.wrong.append(f"job: {job}")
            return
        self._compare("job", requests.get(job["result_url"], timeout=60), expected)
        requests.delete(f"{self.url}/jobs/{job_id}", timeout=60)

    def delete_job(self, source: random.Random) -> None:
        """Start a job and delete it at some moment."""
        job_id = self._start_job(self.recordings[-1][0])
        time.sleep(source.random())
        statuses = [requests.delete(f"{self.url}/jobs/{job_id}", timeout=60).status_code for _ in range(2)]
        if statuses != [204, 404]:
            self.wrong.append(f"delete: {statuses}")
        self.done["deleted"] += 1

    def break_off(self, source: random.Random) -> None:
        """Begin an upload and go away."""
        parts = urlsplit(self.url)
        with socket.create_connection((parts.hostname, parts.port)) as connection, contextlib.suppress(OSError):
            head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/wav\r\n"
            head += b"Content-Length: 4000000\r\n\r\n"
            connection.sendall(head + bytes(source.randrange(3_000_000)))
        self.done["broken off"] += 1

    def say_nothing(self, source: random.Random) -> None:
        """Hold a connection open."""
        parts = urlsplit(self.url)
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.sendall(b"GET / HTT")
            self.stop.wait(source.uniform(0, 5))
        self.done["silent"] += 1

    def attack(self, source: random.Random) -> None:
        """Send hostile requests for a while."""
        counts = inputs.attack(self.url, seconds=2, seed=source.randrange(1 << 30))
        self.done["hostile"] += sum(counts.values())

    def repeat(self, task: Callable[[random.Random], None], seed: int, pause_s: float) -> None:
        """Do a task again and again until the end."""
        source = random.Random(seed)
        while not self.stop.is_set():
            try:
                task(source)
            except Exception as error:  # noqa: BLE001 whatever it is, it is wrong
                self.wrong.append(f"{task.__name__}: {error!r}"[:2000])
            self.stop.wait(pause_s)

    def _start_job(self, content: bytes) -> str:
        requested = {"filename": "a.wav", "size_bytes": len(content)}
        job = requests.post(f"{self.url}/jobs", json=requested, timeout=60).json()
        answer = requests.put(job["upload"]["parts"][0]["url"], data=io.BytesIO(content), timeout=60)
        parts = {"parts": [{"number": 1, "etag": answer.headers["ETag"]}]}
        requests.post(f"{self.url}/jobs/{job['job_id']}/start", json=parts, timeout=60).raise_for_status()
        return str(job["job_id"])

    def _compare(self, kind: str, answer: requests.Response, expected: dict) -> None:
        found = answer.json() if answer.status_code == 200 else {}
        if (found.get("predictions"), found.get("events")) != (expected["predictions"], expected["events"]):
            self.wrong.append(f"{kind}: {answer.status_code} {answer.text[:300]}")
        self.done[kind] += 1


def soak(target: Target, recordings: list[tuple[bytes, dict]], *, seconds: float) -> tuple[Load, list[Held]]:
    """Put a server under load; return what was done, and what it held: before, after the first fifth, at the end."""
    load = Load(target.url, recordings)
    tasks = [
        *[(load.predict, 0.0)] * 3,
        *[(load.run_job, 0.0)] * 2,
        (load.delete_job, 0.5),
        (load.break_off, 0.3),
        (load.say_nothing, 0.0),
        (load.attack, 1.0),
    ]
    looks = [target.look()]
    for share in (0.2, 0.8):
        load.stop.clear()
        threads = [
            threading.Thread(target=load.repeat, args=(task, number, pause))
            for number, (task, pause) in enumerate(tasks)
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds * share)
        load.stop.set()
        for thread in threads:
            thread.join()
        time.sleep(20)  # idle connections end, pictures are drawn
        looks.append(target.look())
        print(f"{looks[-1]}  {dict(load.done)}", flush=True)
    return load, looks


def main() -> None:
    """Soak a server of one's own; exit with 1 if anything was lost, wrong or left behind."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=5.0)
    values = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recordings = make_recordings(Path(folder))
        with running(Path(folder)) as target:
            load, looks = soak(target, recordings, seconds=60 * values.minutes)
    grown = [
        name for name in vars(ALLOWED) if getattr(looks[2], name) - getattr(looks[1], name) > getattr(ALLOWED, name)
    ]
    for line in load.wrong[:20]:
        print("WRONG", line)
    print(f"at rest {looks[0]}\nafter the first fifth {looks[1]}\nat the end {looks[2]}")
    print(f"{dict(load.done)}: {len(load.wrong)} lost or wrong; grown: {', '.join(grown) or 'nothing'}")
    raise SystemExit(bool(load.wrong or grown))


if __name__ == "__main__":
    main()
