"""Hostile requests by the thousand: every one must be answered with a 4xx that says why, and the server must live.

    python -m tests.service.attack.inputs [--seconds 60] [--seed 1]

Bodies are made of real recordings, forms and JSON that are damaged, nested, repeated, cut, or of the wrong type.
"""

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import requests

from tests.audio.fuzz import encode
from tests.service.attack.server import running

ODD_VALUES = [
    *(None, True, -1, 0, 1e308, 10**400, "", " ", "\0", "\ud800", "x" * 10_000, "../../etc/passwd", "+99:99"),
    *("America", [], [[]], {}, {"a": {"b": {}}}, "null", "NaN", "ffconcat version 1.0", "s3://x/y", "%00"),
]
FIELDS = ["filename", "size_bytes", "s3_bucket", "s3_key", "config", "timezone", "channel", "files", "save", "colour"]
HEADERS = [
    {"Content-Type": "application/json"},
    {"Content-Type": "audio/wav"},
    {"Content-Type": "application/octet-stream"},
    {"Content-Type": "multipart/form-data; boundary=x"},
    {"Content-Type": "multipart/form-data; boundary=" + "y" * 200},
    {"Content-Type": "text/html"},
    {"Content-Type": "audio/wav", "Content-Encoding": "gzip"},
    {"Origin": "https://evil.example"},
    {"Host": "evil.example"},
    {},
]
TEXTS = [
    b"ffconcat version 1.0\nfile /etc/passwd\n",
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 5004 RTP/AVP 0\r\n",
    b"#EXTM3U\n#EXT-X-VERSION:3\nfile:///etc/passwd\n",
    b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><MPD>&b;</MPD>",
    b"RIFF\xff\xff\xff\xffWAVEfmt ",
    b"\x00" * 5000,
    b"",
]


def make_recordings() -> list[bytes]:
    """Make a small recording in each of several formats."""
    samples = (np.random.default_rng(1).standard_normal(16_000) * 3000).astype(np.int16)
    kinds = [
        ("wav", "pcm_s16le"),
        ("flac", "flac"),
        ("ogg", "libopus"),
        ("mp3", "libmp3lame"),
        ("mp4", "aac"),
        ("matroska", "pcm_s16le"),
        ("mpegts", "aac"),
        ("mov", "pcm_s16le"),
    ]
    return [encode(samples, 16_000 if codec != "libopus" else 48_000, kind, codec) for kind, codec in kinds]


def make_body(source: random.Random, recordings: list[bytes]) -> bytes:
    """Make one hostile body."""
    kind = source.randrange(5)
    if kind == 0:
        fields = {source.choice(FIELDS): source.choice(ODD_VALUES) for _ in range(source.randint(1, 4))}
        if source.random() < 0.5:
            fields["size_bytes"] = 1000
        text = json.dumps(fields)
        return text.encode()
    if kind == 1:
        return source.choice(TEXTS)
    if kind == 2:
        return b"[" * source.choice([10, 1000, 100_000]) + source.randbytes(50)
    content = bytearray(source.choice(recordings))
    for _ in range(source.randint(1, 40)):
        content[source.randrange(len(content))] = source.randrange(256)
    if source.random() < 0.5:
        del content[source.randrange(len(content)) :]
    if kind == 3:
        return bytes(content)
    name = json.dumps(str(source.choice(ODD_VALUES)))[1:-1].encode()[:300]
    field = source.choice([b"audio", b"audio_file", b"config", b"timezone", b"audio\0"])
    head = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n' % (field, name)
    return head + bytes(content) + source.choice([b"\r\n--x--\r\n", b"", b"\r\n--x", b"\r\n--y--"])


def attack(url: str, *, seconds: float, seed: int) -> Counter[str]:
    """Send hostile requests; return how many were answered with which status.

    Raises
    ------
    AssertionError
        An answer was a 5xx that a service of its own disk and model has no reason for, or had another form.
    """
    source, recordings, counts = random.Random(seed), make_recordings(), Counter[str]()
    session = requests.Session()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        body, headers = make_body(source, recordings), source.choice(HEADERS)
        path = source.choice(
            ["/predict", "/predict", "/jobs", f"/jobs/{'0' * 32}/start", f"/jobs/{'0' * 32}/parts/1", "/jobs/x", "/"]
        )
        method = source.choice(["POST", "POST", "POST", "PUT", "DELETE", "GET", "HEAD", "PATCH"])
        query = f"?{source.choice(FIELDS)}=" + requests.utils.quote(repr(source.choice(ODD_VALUES))[:200], safe="")
        answer = session.request(
            method, url + path + (query if source.random() < 0.3 else ""), data=body, headers=headers, timeout=60
        )
        shown = f"{method} {path} {headers} {body[:300]!r} → {answer.status_code} {answer.text[:300]}"
        assert answer.status_code < 500, shown
        assert answer.headers.get("x-request-id"), shown
        if answer.status_code >= 400 and method != "HEAD":
            assert set(answer.json()) == {"error", "message"}, shown
        counts[str(answer.status_code)] += 1
    return counts


def main() -> None:
    """Attack a server of one's own."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as target:
        counts = attack(target.url, seconds=asked.seconds, seed=asked.seed)
        print(f"{sum(counts.values()):,} hostile requests: {dict(sorted(counts.items()))}; the server lives")
        print(target.look())


if __name__ == "__main__":
    main()
