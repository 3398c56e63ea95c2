"""Small recordings that would become large: refused while they are decoded, and nothing of them stays."""

import io
import os
import tempfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from anemone_lib.audio import spool
from tests.audio.fuzz import encode
from tests.service.conftest import Inside

RATE = 48_000


@pytest.fixture(scope="module")
def careful(settings):
    """The service with limits of ten minutes and 20 MB."""
    return Inside(replace(settings, store=None, max_audio_s=600.0, max_decoded_bytes=20_000_000))


@pytest.fixture
def spools(monkeypatch):
    """Every temporary file into which something was decoded."""
    opened, make = [], tempfile.TemporaryFile

    def keep(*args, **options):
        opened.append(make(*args, **options))
        return opened[-1]

    monkeypatch.setattr(spool.tempfile, "TemporaryFile", keep)
    return opened


def make_opus(seconds):
    """Silence in the shortest packets that Opus has."""
    minute = encode(
        np.zeros(60 * RATE, np.int16), RATE, "ogg", "libopus", codec_options={"frame_duration": "60"}, bit_rate=6000
    )
    return minute * (seconds // 60)


def make_flac(n_samples, sample_rate):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(n_samples, np.int16), sample_rate, format="FLAC")
    return file.getvalue()


def make_wav_of_hours():
    """A header that claims hours, and a second of samples."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(8000, np.int16), 8000, format="WAV", subtype="PCM_16")
    content = bytearray(file.getvalue())
    content[4:8] = content[40:44] = (0xFFFFFFF0).to_bytes(4, "little")
    return bytes(content)


BOMBS = {
    "opus of hours": lambda: make_opus(3600),
    "m4a of silence": lambda: encode(np.zeros(700 * 8000, np.int16), 8000, "mp4", "aac"),
    "mp3 of silence": lambda: encode(np.zeros(700 * 8000, np.int16), 8000, "mp3", "libmp3lame", bit_rate=8000),
    "flac of constant samples": lambda: make_flac(2_000_000, 1000),
    "flac at one sample a second": lambda: make_flac(1_000_000, 1),
    "wav at one sample a second": lambda: make_wav_at(1, 20_000),
}


def make_wav_at(sample_rate, n_samples):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(n_samples, np.int16), sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_body_that_would_become_large_is_refused_and_leaves_nothing(careful, spools, kind):
    content = BOMBS[kind]()
    assert len(content) < 4_500_000
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    answer = careful("POST", "/predict", body=content, headers={"Content-Type": "application/octet-stream"})
    assert (answer.status, answer.json()["error"]) == (413, "too_long")
    assert "more than is allowed" in answer.json()["message"]
    assert all(file.closed for file in spools)
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_a_header_that_claims_hours_is_read_to_the_end_of_its_file(careful):
    answer = careful("POST", "/predict", body=make_wav_of_hours(), headers={"Content-Type": "audio/wav"})
    assert answer.json()["metadata"]["audio_duration"] == 1.0


def test_decoding_ends_with_the_time_of_the_call(careful, spools, monkeypatch):
    monkeypatch.setattr("anemone_lib.service.routes.compute_deadline", lambda _: 0.0)
    # Only for this module: the servers of other tests run in threads, and sleep by the same clock.
    monkeypatch.setattr("anemone_lib.service.admission.time", SimpleNamespace(monotonic=lambda: -1.0))
    answer = careful("POST", "/predict", body=make_opus(60), headers={"Content-Type": "audio/ogg"})
    assert (answer.status, answer.json()["error"]) == (413, "too_long")
    assert all(file.closed for file in spools)


def test_a_full_temporary_folder_is_507_and_named(careful, full_temporary_folder):
    content = encode(np.zeros(RATE, np.int16), RATE, "ogg", "libopus")
    answer = careful("POST", "/predict", body=content, headers={"Content-Type": "audio/ogg"})
    assert (answer.status, answer.json()["error"]) == (507, "disk_full")
    assert tempfile.gettempdir() in answer.json()["message"]
