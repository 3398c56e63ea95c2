"""A sector that the disk cannot read is a gap, whoever reads it."""

import errno
import hashlib
import io
import os

import numpy as np
import pytest
import soundfile

from anemone_lib import AudioError, InferenceConfig, detect, open_recording
from tests.audio.fuzz import encode

RATE = 48_000


@pytest.fixture
def break_disk(monkeypatch):
    """Make bytes of every file unreadable."""

    def broken(start, stop):
        pread = os.pread

        def failing(handle, n_bytes, offset):
            if offset < stop and offset + n_bytes > start:
                raise OSError(errno.EIO, "Input/output error")
            return pread(handle, n_bytes, offset)

        monkeypatch.setattr(os, "pread", failing)

    return broken


class BrokenFile(io.BytesIO):
    """A file object on a broken disk."""

    def read(self, n_bytes=-1):
        if self.tell() < 300_000 and self.tell() + n_bytes > 299_000:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(n_bytes)


def test_a_sector_of_a_wav_that_cannot_be_read_is_a_gap_of_that_sector(write_wav, noise, break_disk):
    sound = noise(10)
    path = write_wav(sound)
    expected, _ = soundfile.read(path, dtype="float32")
    break_disk(409_600, 413_696)
    with open_recording(path) as recording:
        samples = recording.read(0, recording.n_samples)
        lost = np.flatnonzero(np.isnan(samples))
        assert (lost[0], lost[-1] + 1) == ((409_600 - 44) // 2, (413_696 - 44) // 2)
        np.testing.assert_array_equal(np.delete(samples, lost), np.delete(expected, lost))
        np.testing.assert_array_equal(recording.read(lost[0] - 10, lost[0] + 10), samples[lost[0] - 10 : lost[0] + 10])


def test_the_gap_is_in_the_result_with_its_reason_and_the_hash_is_that_of_a_rescued_copy(
    write_wav, noise, break_disk, loudness
):
    path = write_wav(noise(10))
    content = bytearray(path.read_bytes())
    content[409_600:413_696] = bytes(4096)
    break_disk(409_600, 413_696)
    found = detect(path, config=InferenceConfig(), classifier=loudness)
    (gap,) = found.metadata["coverage"]["skipped"]
    assert gap["end_time"] - gap["start_time"] == pytest.approx(2048 / RATE)
    assert "disk cannot read" in gap["reason"]
    assert found.metadata["provenance"]["recording_sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("kind", ["flac", "mp3", "ogg", "m4a"])
def test_a_sector_of_a_compressed_recording_costs_a_fraction_of_a_second(tmp_path, noise, break_disk, kind):
    sound = (noise(20) * 32767).astype(np.int16)
    path = tmp_path / f"a.{kind}"
    if kind == "flac":
        soundfile.write(path, sound, RATE)
    elif kind == "ogg":
        path.write_bytes(encode(sound, RATE, "ogg", "libopus", bit_rate=96_000))
    elif kind == "mp3":
        path.write_bytes(encode(sound, RATE, "mp3", "libmp3lame", bit_rate=128_000))
    else:
        path.write_bytes(encode(sound, RATE, "mp4", "aac", bit_rate=128_000))
    at = path.stat().st_size // 2 // 4096 * 4096
    break_disk(at, at + 4096)
    with open_recording(path) as recording:
        samples = recording.read(0, recording.n_samples)
        assert recording.duration == pytest.approx(20, abs=0.2)
    assert 0 < np.isnan(samples).sum() / RATE < 2.2


def test_a_file_object_on_a_broken_disk_is_read_around_the_damage(write_wav, noise):
    content = write_wav(noise(10)).read_bytes()
    with open_recording(BrokenFile(content), name="a.wav") as recording:
        samples = recording.read(0, recording.n_samples)
    assert 0 < np.isnan(samples).sum() <= 2 * 4096 / 2


def test_a_disk_that_cannot_read_the_header_is_an_error_with_the_place(write_wav, noise, break_disk):
    path = write_wav(noise(1))
    break_disk(0, 4096)
    with pytest.raises(AudioError, match=r"reef\.wav cannot be read at byte 0: Input/output error"):
        open_recording(path)
