"""Measure the service: the cold start of the Lambda entry, a job of 44.8 MB, and with --full one of 5 GB.

    python benchmarks/service.py [--full]

The function runs in the real runtime client; jobs run as `anemone serve` runs them, over HTTP. Memory is the resident
memory of the largest process, looked at from outside. Other work on the machine makes every time longer.
"""

import argparse
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import psutil
import requests

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from material import recording  # noqa: E402

from anemone_lib import detect  # noqa: E402
from tests.aws.runtime_api import RuntimeApi  # noqa: E402

#: The recording on which the public predecessor took 95 s and 3 GB: 44.1 kHz, 1,222 windows.
PREDECESSOR_S = 489.3
FULL_S = 52_000


def cold_start(audio: bytes) -> dict[str, float]:
    """Start the runtime client on the handler, and answer one request; seconds from the start of the process."""
    api = RuntimeApi("arn:aws:lambda:us-east-1:123456789012:function:anemone")
    api.handle_error = lambda *_: None  # the process is killed in the end
    event = {
        "resource": "/predict",
        "path": "/predict",
        "httpMethod": "POST",
        "headers": {"Content-Type": "audio/wav"},
        "multiValueHeaders": {"Content-Type": ["audio/wav"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"resourcePath": "/predict", "httpMethod": "POST", "stage": "api"},
        "body": base64.b64encode(audio).decode(),
        "isBase64Encoded": True,
    }
    answered = threading.Thread(target=lambda: answers.append(api.invoke(json.dumps(event).encode(), timeout=60)))
    answers: list[tuple[bool, bytes]] = []
    answered.start()
    while api.waiting.empty():
        time.sleep(0.001)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", "anemone_lib.service.aws.handler"],
        env={**os.environ, "AWS_LAMBDA_RUNTIME_API": api.address, "AWS_LAMBDA_FUNCTION_NAME": "anemone"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    while not api.waiting.empty():
        time.sleep(0.001)
    ready = time.perf_counter() - began
    answered.join()
    first = time.perf_counter() - began
    cpu = sum(psutil.Process(process.pid).cpu_times()[:2])
    warm_began = time.perf_counter()
    succeeded, answer = api.invoke(json.dumps(event).encode(), timeout=60)
    warm = time.perf_counter() - warm_began
    assert succeeded
    assert json.loads(answer)["statusCode"] == 200
    process.kill()
    process.wait()
    api.shutdown()
    return {"ready": ready, "first answer": first, "processor time until then": cpu, "warm answer": warm}


def imports() -> dict[str, float]:
    """Seconds that the parts of the entry take to import until it is ready, as the interpreter itself tells."""
    lines = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import anemone_lib.service.aws as entry; entry.handler"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    ).stderr.splitlines()
    alone, cumulative = {}, {}
    for line in lines:
        if line.startswith("import time:") and line.count("|") == 2 and "self" not in line:
            own, whole, name = line.removeprefix("import time:").split("|")
            alone[name.strip()], cumulative[name.strip()] = float(own) / 1e6, float(whole) / 1e6
    names = (
        "anemone_lib",
        "numpy",
        "pydantic",
        "fastapi",
        "mangum",
        "aws_lambda_powertools",
        "scipy.fft",
        "scipy.ndimage",
    )
    found = {name: cumulative.get(name, 0.0) for name in (*names, "ai_edge_litert.interpreter")}
    return {**found, f"all, {len(alone):,} modules": sum(max(0.0, own) for own in alone.values())}


@contextmanager
def serving(store: Path):
    """Run `anemone serve`; give its address and its process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    program = "from anemone_lib.cli import app; app()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "serve", "--port", str(port), "--store", str(store)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    try:
        while True:
            with suppress(requests.ConnectionError):
                requests.get(f"http://127.0.0.1:{port}/health")
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def quiet_jobs(path: Path, store: Path, n_jobs: int = 3) -> list[dict[str, float]]:
    """Take a recording through job after job of a server that has just started; seconds of each."""
    with serving(store) as (url, _):
        time.sleep(5)  # its process is ready, as that of a server that a person has started
        return [run_job(url, path.read_bytes(), path.name) for _ in range(n_jobs)]


def run_job(url: str, content: bytes, name: str) -> dict[str, float]:
    """Take a recording through a job of one part; seconds until it is sent, until its result and its picture."""
    client = requests.Session()  # its connection stays, as that of a browser
    began = time.perf_counter()
    described = client.post(f"{url}/jobs", json={"filename": name, "size_bytes": len(content)}).json()
    answer = client.put(described["upload"]["parts"][0]["url"], data=content)
    parts = {"parts": [{"number": 1, "etag": answer.headers["ETag"]}]}
    sent = time.perf_counter() - began
    described = client.post(f"{url}/jobs/{described['job_id']}/start", json=parts).json()
    while described["state"] not in ("done", "failed"):
        time.sleep(0.02)
        described = client.get(f"{url}/jobs/{described['job_id']}").json()
    client.get(described["result_url"]).raise_for_status()
    done = time.perf_counter() - began
    client.get(described["files"]["png"]).raise_for_status()
    return {"sent": sent, "result": done, "picture": time.perf_counter() - began}


def time_library(path: Path, n_rounds: int = 5) -> tuple[float, float]:
    """Return the least seconds of `detect` with its JSON, warm, and of a copy of the file."""
    found, copied = [], []
    copy = path.with_suffix(".copy")
    for _ in range(n_rounds):
        began = time.perf_counter()
        detect(path).to_json()
        found.append(time.perf_counter() - began)
        began = time.perf_counter()
        shutil.copyfile(path, copy)
        copied.append(time.perf_counter() - began)
    copy.unlink()
    return min(found), min(copied)


def predicts(path: Path, store: Path, n_calls: int = 6) -> list[float]:
    """Send a recording to /predict of a server that has just started, call after call; seconds of each."""
    content, taken = path.read_bytes(), []
    with serving(store) as (url, _), requests.Session() as client:
        for _ in range(n_calls):
            began = time.perf_counter()
            answer = client.post(f"{url}/predict", files={"audio": (path.name, content, "audio/wav")})
            answer.raise_for_status()
            taken.append(time.perf_counter() - began)
    return taken


def compare_with_library(store: Path, *, n_rounds: int) -> None:
    """Print what the service adds to the library: jobs of a quiet server, and calls of /predict; the least of all."""
    path = recording(44100, PREDECESSOR_S)
    timed = [(time_library(path), quiet_jobs(path, store)) for _ in range(n_rounds)]  # they take turns
    library, copy = (min(figures) for figures in zip(*(figures for figures, _ in timed), strict=True))
    print(f"\n{path.stat().st_size / 1e6:.1f} MB: library {library:.2f} s, copy of the file {copy:.2f} s\n")
    print("| job of a quiet server | sent, s | result, s | picture, s | of library + copy |\n|---|---|---|---|---|")
    for number, tries in enumerate(zip(*(jobs for _, jobs in timed), strict=True), start=1):
        taken = {name: min(one[name] for one in tries) for name in tries[0]}
        share = taken["result"] / (library + copy)
        print(f"| {number} | {taken['sent']:.2f} | {taken['result']:.2f} | {taken['picture']:.2f} | {share:.2f} |")
    minute = recording(48000, 60)
    library, _ = time_library(minute)
    first, *others = predicts(minute, store)
    print(
        f"\n/predict of 60 s at 48 kHz: {first:.2f} s, then {min(others):.2f} s at least; library {library:.2f} s: "
        f"{1000 * (min(others) - library):.0f} ms more"
    )
    shutil.rmtree(store, ignore_errors=True)


def job(path: Path, store: Path, *, kill: bool = False) -> dict:
    """Take a recording through a job, from the first byte sent to the result; kill a worker in the middle if asked."""
    with serving(store) as (url, server), path.open("rb") as file:
        began = time.perf_counter()
        described = requests.post(f"{url}/jobs", json={"filename": path.name, "size_bytes": path.stat().st_size}).json()
        parts = []
        for part in described["upload"]["parts"]:
            answer = requests.put(part["url"], data=file.read(described["upload"]["part_bytes"]))
            parts.append({"number": part["number"], "etag": answer.headers["ETag"]})
        sent = time.perf_counter() - began
        requests.post(f"{url}/jobs/{described['job_id']}/start", json={"parts": parts}).raise_for_status()
        peak = 0.0
        while described["state"] not in ("done", "failed"):
            time.sleep(0.1)
            described = requests.get(f"{url}/jobs/{described['job_id']}").json()
            for process in [server, *server.children(recursive=True)]:
                with suppress(psutil.Error):
                    peak = max(peak, process.memory_info().rss)
            done, total = (
                (described.get("chunks") or {}).get("done", 0),
                (described.get("chunks") or {}).get("total") or 0,
            )
            if kill and total and done > total / 2:
                busy = max(server.children(), key=lambda child: child.cpu_times().user)
                busy.send_signal(signal.SIGKILL)
                kill = False
        seconds = time.perf_counter() - began
        result = requests.get(described["result_url"]).json()
    return {"seconds": seconds, "sent": sent, "peak": peak, "result": result, "killed": not kill}


def main() -> None:
    """Measure, and print as Markdown."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--full", action="store_true", help="the 5 GB recording, too, a worker killed in the middle")
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    store = ROOT / "out" / "bench" / "jobs"

    print(f"load of the machine before: {os.getloadavg()[0]:.1f}\n")
    audio = recording(44100, 10).read_bytes()
    rounds = [cold_start(audio) for _ in range(asked.rounds)]
    print("| cold start, 10 s of audio at 44.1 kHz | median, s | least, s |\n|---|---|---|")
    for name in rounds[0]:
        values = [values[name] for values in rounds]
        print(f"| {name} | {median(values):.2f} | {min(values):.2f} |")
    taken = [imports() for _ in range(asked.rounds)]
    for name in taken[0]:
        values = [values[name] for values in taken]
        print(f"| import of {name} | {median(values):.2f} | {min(values):.2f} |")

    compare_with_library(store, n_rounds=asked.rounds)
    print(
        "\n| job | windows | upload to result, s | of it sending, s | library, s | largest process, MB | covered, s |"
    )
    print("|---|---|---|---|---|---|---|")
    for seconds, sample_rate in [(PREDECESSOR_S, 44100), *([(FULL_S, 48000)] if asked.full else [])]:
        path = recording(sample_rate, seconds)
        done = job(path, store, kill=seconds == FULL_S)
        metadata = done["result"]["metadata"]
        skipped = sum(gap["end_time"] - gap["start_time"] for gap in metadata["coverage"]["skipped"])
        assert abs(metadata["coverage"]["analysed_s"] + skipped - metadata["audio_duration"]) < 1e-6
        shutil.rmtree(store)
        began = time.perf_counter()
        same = detect(path).to_dict()
        library = time.perf_counter() - began
        print(
            f"| {path.stat().st_size / 1e6:,.1f} MB | {metadata['total_windows']:,} | {done['seconds']:.1f} "
            f"| {done['sent']:.1f} | {library:.1f} | {done['peak'] / 1e6:.0f} "
            f"| {metadata['coverage']['analysed_s']:,.1f} of {metadata['audio_duration']:,.1f} |"
        )
        assert json.loads(json.dumps(same["predictions"])) == done["result"]["predictions"]
        assert json.loads(json.dumps(same["events"])) == done["result"]["events"]
    print("\nEvery job's predictions and events equal those of `detect`.")
    if asked.full:
        print("A worker of the 5 GB job was killed in the middle.")
    print(f"\nload of the machine after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
