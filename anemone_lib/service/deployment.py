"""Compares the answers of an endpoint with those of the library on this computer. Each check is a green or a red line.

*Conventions.* The endpoint is called over HTTP, as any client calls it. The expected answer is computed here, by
`detect` with the same model and settings. Fingerprints and hashes must be equal, times must be equal to the microsecond
of the JSON, and probabilities may differ by `TOLERANCE`, because another processor may add numbers in another order.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from anemone_lib.config import InferenceConfig
from anemone_lib.detection.detections import detect
from anemone_lib.errors import ConfigError
from anemone_lib.provenance import code_sha256
from anemone_lib.scoring.chunks import choose_config
from anemone_lib.scoring.classifier import Classifier, load_classifier

#: Largest difference between probabilities that count as equal.
TOLERANCE = 1e-5
#: Seconds to wait for an answer.
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Check:
    """One comparison and its outcome.

    Attributes
    ----------
    name : str, what was compared
    ok : bool
    detail : str, both values, and what to do if they differ
    """

    name: str
    ok: bool
    detail: str

    def __str__(self) -> str:
        return f"{'ok   ' if self.ok else 'WRONG'}  {self.name}: {self.detail}"

    def _repr_html_(self) -> str:
        import html

        colour, mark = ("#00734f", "✔") if self.ok else ("#b3261e", "✘")
        return f'<div style="color:{colour}"><b>{mark} {html.escape(self.name)}</b>: {html.escape(self.detail)}</div>'


def check_deployment(
    url: str,
    recordings: Sequence[str | os.PathLike[str]],
    *,
    config: InferenceConfig | None = None,
    classifier: Classifier | None = None,
    api_key: str = "",
    timeout: float = TIMEOUT_S,
) -> list[Check]:
    """Compare the answers of an endpoint with those of the library.

    Parameters
    ----------
    url : address of the service, to which ``/health`` and ``/predict`` are added
    recordings : paths of recordings that are small enough for one request
    config : InferenceConfig, the expected settings; by default those of the model's card
    classifier : Classifier, the expected model; by default the demonstration model
    api_key : str, sent as ``x-api-key``
    timeout : float > 0, seconds to wait for each answer

    Returns
    -------
    checks : list of Check
        An endpoint that cannot be reached is one check that is not `ok`.
    """
    classifier = classifier or load_classifier()
    config = choose_config(config, classifier)
    url = url.rstrip("/")
    headers = {"x-api-key": api_key} if api_key else {}
    checks: list[Check] = []
    try:
        health = _request_json(urllib.request.Request(f"{url}/health", headers=headers), timeout)
        checks += _compare_identity(health, config, classifier)
        for path in map(Path, recordings):
            address = f"{url}/predict?{urllib.parse.urlencode({'filename': path.name})}"
            audio_headers = {**headers, "Content-Type": "application/octet-stream"}
            answer = _request_json(
                urllib.request.Request(address, path.read_bytes(), audio_headers, method="POST"), timeout
            )
            expected = detect(path, config=config, classifier=classifier).to_dict()
            checks += _compare_result(path.name, answer, expected)
    except _Unanswered as error:
        checks.append(Check("the endpoint answers", False, str(error)))
    return checks


class LocalService:
    """The service on this computer, in a process of its own. `stop` ends it, and so does the end of a ``with`` block.

    Parameters
    ----------
    folder : path, for its jobs and its log
    config : InferenceConfig, optional
        By default the settings of the model's card.
    model : str, path of a bundle; empty uses the demonstration model
    timeout : float > 0, seconds to wait until the service answers

    Attributes
    ----------
    url : str, its address

    Raises
    ------
    ConfigError
        The service did not start. The message has the last lines of its log.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        config: InferenceConfig | None = None,
        model: str = "",
        timeout: float = TIMEOUT_S,
    ) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        log = folder / "service.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "anemone_lib.service.local", str(port)],
                env=_make_environment(folder / "jobs", config, model),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + timeout
        while True:
            try:
                _request_json(urllib.request.Request(f"{self.url}/health"), 5)
                return
            except _Unanswered:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    text = log.read_text(errors="replace")[-500:]
                    raise ConfigError(f"the service did not start: {text or 'it printed nothing'}") from None
                time.sleep(0.1)

    def stop(self) -> None:
        """End the service."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _make_environment(store: Path, config: InferenceConfig | None, model: str) -> dict[str, str]:
    """Return the environment of a service that has exactly these settings of inference."""
    names = {name.upper() for name in InferenceConfig.model_fields} | {"MODEL_LOCAL_PATH"}
    environ = {name: value for name, value in os.environ.items() if name not in names}
    environ |= {"ANEMONE_STORE": str(store), **(config.to_env() if config else {})}
    return environ | ({"MODEL_LOCAL_PATH": model} if model else {})


class _Unanswered(Exception):
    """The endpoint gave no answer, or one that is not JSON."""


def _request_json(request: urllib.request.Request, timeout: float) -> dict[str, Any]:
    if not request.full_url.startswith(("http://", "https://")):
        raise _Unanswered(f"{request.full_url} is no address; it must begin with http:// or https://")
    where = f"{request.get_method()} {urllib.parse.urlsplit(request.full_url).path}"
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            text = response.read()
    except urllib.error.HTTPError as error:
        with error:
            text = error.read(500).decode(errors="replace")
        raise _Unanswered(f"{where} answers {error.code}: {text}") from None
    except OSError as error:
        raise _Unanswered(f"{where}: {error}; is the service running at that address?") from None
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise _Unanswered(
            f"{where} answers {text[:80]!r}, which is no JSON object; is that address a service of Anemone?"
        )
    return content


def _compare_identity(health: dict[str, Any], config: InferenceConfig, classifier: Classifier) -> Iterator[Check]:
    remedies = {
        "code": ("code_sha256", code_sha256(), "deploy the image that is built from this checkout"),
        "model": ("model_sha256", classifier.sha256, "upload this model, or load the one that is deployed"),
        "settings": (
            "config_fingerprint",
            config.fingerprint,
            "apply Terraform after promoting, or load its tfvars here",
        ),
    }
    for name, (key, expected, remedy) in remedies.items():
        found = str(health.get(key, "nothing"))
        same = found == expected
        detail = expected[:12] if same else f"{found[:12]} there, {expected[:12]} here: {remedy}"
        if not same and name == "settings":
            there = health.get("config") or {}
            differing = [
                f"{field} {there.get(field)} ≠ {value}"
                for field, value in config.model_dump().items()
                if there.get(field) != value
            ]
            detail += f" ({', '.join(differing)})" if differing else ""
        yield Check(f"same {name}", same, detail)


def _compare_result(name: str, answer: dict[str, Any], expected: dict[str, Any]) -> Iterator[Check]:
    if "predictions" not in answer:
        url = answer.get("result_url", "nowhere")
        yield Check(
            f"{name}: result", False, f"too large for one answer, it is at {url}; check with a shorter recording"
        )
        return
    there, here = answer["metadata"]["provenance"], expected["metadata"]["provenance"]
    same = there["recording_sha256"] == here["recording_sha256"]
    yield Check(f"{name}: arrived whole", same, f"SHA-256 {there['recording_sha256'][:12]}")

    windows = [[(p["start_time"], p["end_time"]) for p in side["predictions"]] for side in (answer, expected)]
    yield Check(f"{name}: windows", windows[0] == windows[1], f"{len(windows[0])} there, {len(windows[1])} here")
    if windows[0] == windows[1]:
        rows = [
            np.array([list(p["probabilities"].values()) for p in side["predictions"]]) for side in (answer, expected)
        ]
        worst = float(np.abs(rows[0] - rows[1]).max(initial=0)) if rows[0].shape == rows[1].shape else float("inf")
        yield Check(f"{name}: probabilities", worst <= TOLERANCE, f"differ by {worst:.2g} at most")

    events = [[(e["id"], e["start_time"], e["end_time"]) for e in side["events"]] for side in (answer, expected)]
    same = events[0] == events[1]
    missing = "" if same else f"; differing: {sorted({e[1:] for e in events[0]} ^ {e[1:] for e in events[1]})[:5]}"
    yield Check(f"{name}: events", same, f"{len(events[0])} there, {len(events[1])} here{missing}")
