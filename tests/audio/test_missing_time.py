"""Time that is missing inside a file: a gap where the container has a clock, a pause where the recorder has one."""

import io
import struct
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import av
import numpy as np
import pytest

from anemone_lib import InferenceConfig, detect, open_recording
from anemone_lib.detection.events import decide_events
from tests.audio.chunks import chunk, fmt, riff

RATE = 48_000


def encode_with_a_hole(container, codec, *, missing=(4.0, 24.0), seconds=30, options=None):
    """Noise with a click every second; the packets of one stretch were never written."""
    rng = np.random.default_rng(7)
    samples = 0.01 * rng.standard_normal(seconds * RATE)
    samples[RATE // 2 :: RATE] = 0.9
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as box:
        stream = box.add_stream(codec, rate=RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        fifo, resampler = av.AudioFifo(), av.AudioResampler(format=stream.format, layout="mono", rate=RATE)
        for part in resampler.resample(frame):
            fifo.write(part)
        packets, n = [], 0
        while (part := fifo.read(stream.frame_size or 4800, partial=True)) is not None:
            part.pts, part.time_base = n, Fraction(1, RATE)
            n += part.samples
            packets += stream.encode(part)
        for packet in [*packets, *stream.encode(None)]:
            if packet.pts is not None and not missing[0] <= float(packet.pts * packet.time_base) < missing[1]:
                box.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize(
    ("container", "codec"),
    [("matroska", "pcm_s16le"), ("matroska", "libopus"), ("webm", "libopus"), ("mpegts", "mp2"), ("mpegts", "aac")],
)
def test_seconds_that_are_missing_in_a_container_are_a_gap_and_later_sounds_keep_their_time(container, codec):
    with open_recording(io.BytesIO(encode_with_a_hole(container, codec)), name="a") as recording:
        samples = recording.read(0, recording.n_samples)
        assert recording.duration == pytest.approx(30, abs=0.15)
        lost = np.flatnonzero(np.isnan(samples)) / RATE
        assert lost[0] == pytest.approx(4, abs=0.1)
        assert lost[-1] == pytest.approx(24, abs=0.2)
        assert any("missing in the file" in text for text in recording.warnings)
        clicks = np.flatnonzero(np.nan_to_num(np.abs(samples)) > 0.25) / RATE
        after = clicks[clicks > 25]
        assert after.size
        assert np.abs(after % 1 - 0.5).max() < 0.1


def test_a_gap_in_the_clock_is_skipped_with_its_reason_in_the_result(tmp_path, loudness):
    path = tmp_path / "a.mka"
    path.write_bytes(encode_with_a_hole("matroska", "pcm_s16le"))
    coverage = detect(path, config=InferenceConfig(), classifier=loudness).metadata["coverage"]
    (gap,) = coverage["skipped"]
    assert gap["end_time"] - gap["start_time"] == pytest.approx(20, abs=0.01)
    assert "timestamps jump" in gap["reason"]
    assert coverage["analysed_s"] == pytest.approx(10, abs=0.01)


def test_hours_that_are_missing_take_no_room(tmp_path):
    content = encode_with_a_hole("matroska", "pcm_s16le", missing=(2.0, 4.0), seconds=6)
    at = [k for k in range(len(content) - 4) if content[k : k + 4] == b"\x1f\x43\xb6\x75"]
    assert at, "clusters"
    with open_recording(io.BytesIO(content), name="a.mka") as recording:
        spool = recording._decoder._spool
        assert spool.n_stored < recording.n_samples


def test_one_wrong_timestamp_moves_nothing():
    content = bytearray(encode_with_a_hole("matroska", "pcm_s16le", missing=(99.0, 99.0), seconds=6))
    blocks = [k for k in range(1000, len(content) - 6) if content[k : k + 1] == b"\xa3" and content[k + 3] == 0x81]
    assert len(blocks) > 20
    block = blocks[20]
    content[block + 4] ^= 0x10  # the block's time, of 16 bits, in milliseconds: 4 s
    with open_recording(io.BytesIO(bytes(content)), name="a.mka") as recording:
        assert recording.duration == pytest.approx(6, abs=0.2)
        samples = recording.read(0, recording.n_samples)
    clicks = np.flatnonzero(np.nan_to_num(np.abs(samples)) > 0.5) / RATE
    np.testing.assert_allclose(clicks, np.arange(6) + 0.5, atol=0.01)


def test_a_clock_that_makes_no_sense_at_all_is_not_believed():
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}
    content = encode_with_a_hole("mp4", "aac", missing=(99.0, 99.0), seconds=6, options=fragments)
    at = content.index(b"mdhd") + 4 + 12  # version and flags, two dates, then the ticks in a second
    assert content[at : at + 4] == struct.pack(">I", RATE)
    damaged = content[:at] + struct.pack(">I", RATE // 40) + content[at + 4 :]
    with open_recording(io.BytesIO(damaged), name="a.m4a") as recording:
        assert recording.duration == pytest.approx(6, abs=0.2)
        assert any("make no sense" in text for text in recording.warnings)


def test_a_last_frame_that_is_said_to_be_an_hour_later_is_not_believed():
    content = bytearray(encode_with_a_hole("matroska", "pcm_s16le", missing=(99.0, 99.0), seconds=6))
    clusters = [k for k in range(len(content) - 4) if content[k : k + 4] == b"\x1f\x43\xb6\x75"]
    at = content.index(b"\xe7", clusters[-1])  # the last cluster's time, milliseconds
    assert content[at + 1] == 0x82
    content[at + 2] = 0xFE  # 65 s
    with open_recording(io.BytesIO(bytes(content)), name="a.mka") as recording:
        assert recording.duration == pytest.approx(6, abs=0.2)


# ---------------------------------------------------------------------- a HARP's duty cycle


def harp(audio, starts, *, sample_rate=8000):
    n_bytes = len(audio) // len(starts)
    entries = b"".join(
        struct.pack(
            "<6BHIIIIB7x",
            *(start.year - 2000, start.month, start.day, start.hour, start.minute, start.second),
            *(start.microsecond // 1000, 0, n_bytes, n_bytes // 512, sample_rate, 1),
        )
        for start in starts
    )
    head = struct.pack(
        "<B10s4s4s8sB8sHiihh6s", 1, b"V2.01", b"DL01", b"SOCA", b"TEST", 1, b"1", len(starts), 0, 0, 0, 0, b""
    )
    return riff(fmt(sample_rate), chunk(b"harp", head + entries), chunk(b"data", audio))


BEGAN = datetime(2018, 11, 23, 12, tzinfo=UTC)


def test_a_duty_cycled_harp_counts_recorded_seconds_and_tells_the_true_time_of_day(tmp_path, rng, loudness):
    audio = rng.integers(-3000, 3000, 60 * 8000, dtype=np.int16).tobytes()
    path = tmp_path / "SITE_20181123_120000.x.wav"
    path.write_bytes(harp(audio, [BEGAN, BEGAN + timedelta(minutes=30)]))
    found = detect(path, config=InferenceConfig.for_sample_rate(8000), classifier=loudness)
    scores = found.scores
    assert found.metadata["audio_duration"] == 60
    assert found.metadata["coverage"]["skipped"] == []
    assert scores.find_utc(29.9) == BEGAN + timedelta(seconds=29.9)
    assert scores.find_utc(46.4) == datetime(2018, 11, 23, 12, 30, 16, 400_000, tzinfo=UTC)
    assert any("1 pause" in text for text in scores.warnings)


def test_the_directory_of_a_harp_tells_when_it_began_whatever_the_file_is_called(rng):
    audio = rng.integers(-3000, 3000, 20 * 8000, dtype=np.int16).tobytes()
    with open_recording(io.BytesIO(harp(audio, [BEGAN])), name="disk7.x.wav") as recording:
        assert recording.start_time == BEGAN


def test_no_event_spans_a_pause(tmp_path, rng, loudness):
    audio = rng.integers(-3000, 3000, 60 * 8000, dtype=np.int16).tobytes()
    path = tmp_path / "SITE_20181123_120000.x.wav"
    path.write_bytes(harp(audio, [BEGAN, BEGAN + timedelta(minutes=30)]))
    config = InferenceConfig.for_sample_rate(8000, confidence_threshold=0.0)
    events = decide_events(detect(path, config=config, classifier=loudness).scores, config)
    assert [(event.start_time, event.end_time) for event in events] == [(0, 30), (30, 60)]


def test_raw_files_that_follow_each_other_are_no_pause(rng):
    audio = rng.integers(-3000, 3000, 60 * 8000, dtype=np.int16).tobytes()
    with open_recording(io.BytesIO(harp(audio, [BEGAN + timedelta(seconds=20 * k) for k in range(3)]))) as recording:
        assert recording.pauses == ()
        assert recording.warnings == ()
