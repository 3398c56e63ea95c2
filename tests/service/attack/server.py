"""A server in a process of its own to be attacked, and what it holds: memory, descriptors, threads, files."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests


@dataclass
class Held:
    """What a server and its processes hold at one moment."""

    memory_mb: float
    descriptors: int
    threads: int
    processes: int
    temporary_files: int


class Target:
    """A running server.

    Parameters
    ----------
    url : str
    process : psutil.Process
    temporary : pathlib.Path, its temporary folder
    """

    def __init__(self, url: str, process: psutil.Process, temporary: Path) -> None:
        self.url, self.process, self.temporary = url, process, temporary

    def look(self) -> Held:
        """Count what the server holds."""
        members = [self.process, *self.process.children(recursive=True)]
        counts = [0.0, 0, 0]
        for member in members:
            with contextlib.suppress(psutil.Error):
                counts[0] += member.memory_info().rss / 1e6
                counts[1] += member.num_fds()
                counts[2] += member.num_threads()
        files = sum(len(names) for _, _, names in os.walk(self.temporary))
        return Held(round(counts[0], 1), int(counts[1]), int(counts[2]), len(members), files)


@contextmanager
def running(folder: Path, **environ: str) -> Iterator[Target]:
    """Run ``anemone serve`` on a folder; stop it in the end.

    Parameters
    ----------
    folder : pathlib.Path, for jobs, log and temporary files
    environ : more variables
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    values = {**os.environ, "TMPDIR": str(temporary), "LOG_LEVEL": "ERROR", **environ}
    command = [sys.executable, "-c", "from anemone_lib.cli import app; app()", "serve"]
    command += ["--port", str(port), "--store", str(folder / "jobs")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=values, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{url}/health", timeout=60).status_code == 200:
                    break
            time.sleep(0.05)
        yield Target(url, psutil.Process(process.pid), temporary)
        assert process.poll() is None, "the server died"
    finally:
        process.terminate()
        process.wait(30)
