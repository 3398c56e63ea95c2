"""One error costs a fraction of a second: the rest is there, at its time, however it is read."""

import io
import random
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from anemone_lib import AudioError, InferenceConfig, detect, open_recording
from anemone_lib.audio import flac_frames as flac
from tests.audio.fuzz import encode

RATE = 48_000
SECONDS = 12


@pytest.fixture(scope="module")
def sound():
    rng = np.random.default_rng(4)
    samples = 0.02 * rng.standard_normal(SECONDS * RATE)
    t = np.arange(960) / RATE
    for start in range(9000, len(samples) - 1000, 21_000):
        samples[start : start + 960] += 0.3 * np.sin(2 * np.pi * 600 * t) * np.exp(-t / 0.005)
    return (samples * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def flac_bytes(sound):
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="module")
def mp3_bytes(sound):
    return encode(sound, RATE, "mp3", "libmp3lame", bit_rate=128_000)


@pytest.fixture(scope="module")
def ogg_bytes(sound):
    return encode_vorbis(sound, RATE)


def encode_vorbis(sound, rate):
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1, format="OGG", subtype="VORBIS") as encoder:
        for start in range(0, len(sound), rate):
            encoder.write(sound[start : start + rate])
    return file.getvalue()


def read(content, name):
    """All samples, the same however they are read."""
    with open_recording(io.BytesIO(content), name=name) as recording:
        whole = recording.read(0, recording.n_samples)
        edges = [0, 1, recording.n_samples // 3, recording.n_samples // 2 + 7, recording.n_samples]
        parts = [recording.read(start, stop) for start, stop in list(pairwise(edges))[::-1]]
        np.testing.assert_array_equal(np.concatenate(parts[::-1]), whole)
        return whole, recording.warnings


def lost_seconds(samples):
    return np.isnan(samples).sum() / RATE


# ---------------------------------------------------------------------- FLAC


@pytest.mark.parametrize("n_flips", [1, 3, 12])
@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_of_a_flac_cost_their_frames_and_nothing_else(flac_bytes, sound, n_flips, seed):
    rng, content = random.Random(seed), bytearray(flac_bytes)
    for _ in range(n_flips):
        content[rng.randrange(9000, len(content))] ^= 1 << rng.randrange(8)
    samples, _ = read(bytes(content), "a.flac")
    frame_s = 4096 / RATE
    assert len(samples) == len(sound)
    assert (
        frame_s * 0.9 <= lost_seconds(samples) <= n_flips * 2 * frame_s
    )  # a flip in a header may take the frame before
    heard = ~np.isnan(samples)
    np.testing.assert_array_equal(samples[heard], (sound / np.float32(32768))[heard])


@pytest.mark.parametrize(
    ("name", "damage", "lost_s"),
    [
        ("a zeroed sector", lambda b: b[:200_000] + bytes(4096) + b[204_096:], 0.35),
        ("a missing sector", lambda b: b[:200_000] + b[204_096:], 0.35),
        ("an inserted sector", lambda b: b[:200_000] + bytes(range(256)) * 16 + b[200_000:], 0.2),
        ("a sector written twice", lambda b: b[:204_096] + b[200_000:], 0.35),
    ],
)
def test_a_sector_of_a_flac_costs_what_was_in_it(flac_bytes, sound, name, damage, lost_s):
    samples, _ = read(damage(flac_bytes), "a.flac")
    assert len(samples) == len(sound)
    assert lost_seconds(samples) < lost_s, name
    heard = ~np.isnan(samples)
    np.testing.assert_array_equal(samples[heard], (sound / np.float32(32768))[heard])


def frames_of(content):
    """Where the frames of a FLAC begin."""
    found = (match.start() for match in flac.SYNC.finditer(content))
    return [at for at in found if flac.read_frame_header(content[at : at + 16])]


def test_whole_frames_that_are_missing_are_a_gap_and_not_silence(flac_bytes, sound):
    at = frames_of(flac_bytes)
    samples, _ = read(flac_bytes[: at[40]] + flac_bytes[at[60] :], "a.flac")
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(samples)), np.arange(40 * 4096, 60 * 4096))
    heard = ~np.isnan(samples)
    np.testing.assert_array_equal(samples[heard], (sound / np.float32(32768))[heard])


def test_frames_that_are_there_twice_count_once(flac_bytes, sound):
    at = frames_of(flac_bytes)
    samples, _ = read(flac_bytes[: at[60]] + flac_bytes[at[40] : at[60]] + flac_bytes[at[60] :], "a.flac")
    np.testing.assert_array_equal(samples, sound / np.float32(32768))


def test_a_flac_that_was_cut_ends_at_its_last_whole_frame_and_says_so(flac_bytes, sound):
    samples, warnings = read(flac_bytes[: len(flac_bytes) // 2], "a.flac")
    assert len(samples) % 4096 == 0
    np.testing.assert_array_equal(samples, sound[: len(samples)] / np.float32(32768))
    assert "cut short" in warnings[0]


def test_a_flac_without_a_whole_frame_is_refused_whatever_its_header_claims(flac_bytes):
    damaged = bytearray(flac_bytes[: frames_of(flac_bytes)[1] - 100])
    damaged[8 + 13 : 8 + 18] = b"\xff" * 5  # of the 36 bits that hold the number of samples
    with pytest.raises(AudioError, match="no audio could be decoded"):
        read(bytes(damaged), "a.flac")


def test_flac_files_joined_by_cat_are_read_one_after_the_other(flac_bytes, sound):
    samples, warnings = read(flac_bytes * 2, "a.flac")
    np.testing.assert_array_equal(samples, np.tile(sound, 2) / np.float32(32768))
    assert "2 FLAC streams" in warnings[0]


def test_a_damaged_flac_in_24_bits_and_stereo_is_the_same_sound(rng):
    sound = rng.integers(-(2**22), 2**22, (5 * RATE, 2), dtype=np.int32) << 8
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format="FLAC", subtype="PCM_24")
    content = bytearray(file.getvalue())
    content[len(content) // 2] ^= 4
    with open_recording(io.BytesIO(content), channel=2, name="a.flac") as recording:
        samples = recording.read(0, recording.n_samples)
    heard = ~np.isnan(samples)
    assert 0 < lost_seconds(samples) < 0.2
    np.testing.assert_array_equal(samples[heard], (sound[:, 1] / np.float32(2**31)).astype(np.float32)[heard])


# ---------------------------------------------------------------------- MP3, AAC


@pytest.mark.parametrize("options", [{"write_xing": "0"}, {}])
def test_an_mp3_of_variable_bit_rate_is_decoded_to_its_end(sound, options):
    quiet = sound.copy()
    quiet[: 6 * RATE] //= 400  # so that the first frames tell nothing of the rest
    content = encode(quiet, RATE, "mp3", "libmp3lame", options, codec_options={"q": "2"})
    samples, warnings = read(content, "a.mp3")
    assert len(samples) / RATE == pytest.approx(SECONDS, abs=0.1)
    assert warnings == ()
    delay = np.argmax(np.correlate(samples[8 * RATE : 9 * RATE + 4000], quiet[8 * RATE : 9 * RATE].astype(np.float32)))
    assert delay <= 1200  # at its time, but for the encoder's delay where nothing tells of it


def test_a_zeroed_block_of_an_mp3_costs_its_frames_and_the_rest_is_at_its_time(mp3_bytes):
    third = len(mp3_bytes) // 3
    whole, _ = read(mp3_bytes, "a.mp3")
    samples, warnings = read(mp3_bytes[:third] + bytes(4096) + mp3_bytes[third + 4096 :], "a.mp3")
    assert len(samples) == len(whole) == SECONDS * RATE
    assert 0.2 < lost_seconds(samples) < 0.5
    heard = ~np.isnan(samples)
    np.testing.assert_allclose(samples[heard], whole[heard], atol=1e-6)
    assert "damaged" in warnings[0]
    assert "claims" not in warnings[0]  # no header claimed anything


@pytest.mark.parametrize("size", [1, 100, 4096])
def test_bytes_inserted_into_an_mp3_that_tells_its_frames_move_nothing(mp3_bytes, rng, size):
    third = len(mp3_bytes) // 3
    whole, _ = read(mp3_bytes, "a.mp3")
    samples, _ = read(mp3_bytes[:third] + rng.bytes(size) + mp3_bytes[third:], "a.mp3")
    assert len(samples) == len(whole)
    assert 0 < lost_seconds(samples) < 0.2
    heard = ~np.isnan(samples)
    np.testing.assert_allclose(samples[heard], whole[heard], atol=1e-6)


def test_mp3_files_joined_by_cat_are_all_read(mp3_bytes):
    samples, _ = read(mp3_bytes * 3, "a.mp3")
    assert len(samples) / RATE == pytest.approx(3 * SECONDS, abs=0.15)
    assert lost_seconds(samples) == 0


def test_the_delay_that_an_mp3_encoder_announces_is_taken_off(mp3_bytes, sound):
    samples, _ = read(mp3_bytes, "a.mp3")
    assert len(samples) == len(sound)
    assert np.corrcoef(samples, sound)[0, 1] > 0.7


def test_a_zeroed_block_of_aac_costs_its_frames(sound):
    content = encode(sound, RATE, "adts", "aac", bit_rate=96_000)
    whole, _ = read(content, "a.aac")
    samples, _ = read(content[:50_000] + bytes(2048) + content[52_048:], "a.aac")
    assert abs(len(samples) - len(whole)) <= 2 * 1024
    assert 0.1 < lost_seconds(samples) < 0.5


# ---------------------------------------------------------------------- OGG, M4A


@pytest.mark.parametrize("damage", ["flip", "zero", "remove", "insert"])
def test_a_damaged_page_of_an_ogg_is_lost_alone(ogg_bytes, damage):
    whole, _ = read(ogg_bytes, "a.ogg")
    at = len(ogg_bytes) // 2
    content = {
        "flip": ogg_bytes[:at] + bytes([ogg_bytes[at] ^ 1]) + ogg_bytes[at + 1 :],
        "zero": ogg_bytes[:at] + bytes(300) + ogg_bytes[at + 300 :],
        "remove": ogg_bytes[:at] + ogg_bytes[at + 300 :],
        "insert": ogg_bytes[:at] + bytes(300) + ogg_bytes[at:],
    }[damage]
    samples, warnings = read(content, "a.ogg")
    assert len(samples) == len(whole)
    assert 0 < lost_seconds(samples) < 0.7
    heard = ~np.isnan(samples)
    np.testing.assert_allclose(samples[heard], whole[heard], atol=1e-6)
    assert "damaged in one place" in warnings[0]


def test_the_first_page_of_an_ogg_is_lost_and_what_follows_keeps_its_time(ogg_bytes):
    pages = [at for at in range(len(ogg_bytes)) if ogg_bytes[at : at + 4] == b"OggS"]
    audio = next(at for at in pages[2:] if ogg_bytes[at + 6 : at + 14] != bytes(8))
    whole, _ = read(ogg_bytes, "a.ogg")
    samples, _ = read(ogg_bytes[: audio + 40] + bytes(50) + ogg_bytes[audio + 90 :], "a.ogg")
    assert len(samples) == len(whole)
    assert np.isnan(samples[0])
    heard = ~np.isnan(samples)
    np.testing.assert_allclose(samples[heard], whole[heard], atol=1e-6)


@pytest.mark.parametrize("codec", ["vorbis", "opus"])
def test_chained_ogg_streams_are_all_read(ogg_bytes, sound, codec):
    content = ogg_bytes if codec == "vorbis" else encode(sound, RATE, "ogg", "libopus")
    samples, _ = read(content * 2, "a.ogg")
    assert len(samples) / RATE == pytest.approx(2 * SECONDS, abs=0.1)
    assert lost_seconds(samples) == 0


@pytest.mark.parametrize("codec", ["vorbis", "opus"])
def test_a_chained_ogg_stream_that_is_written_otherwise_is_left_out_and_named(ogg_bytes, sound, codec):
    other = encode_vorbis(sound, RATE // 2) if codec == "vorbis" else encode(sound, RATE, "ogg", "libopus")
    samples, warnings = read(ogg_bytes + other, "a.ogg")
    assert len(samples) / RATE == pytest.approx(SECONDS, abs=0.1)
    assert "split the file there" in warnings[-1]


def test_a_joined_mp3_of_another_rate_is_left_out_and_named(mp3_bytes, sound):
    whole, _ = read(mp3_bytes, "a.mp3")
    other = encode(sound, RATE // 2, "mp3", "libmp3lame")
    samples, warnings = read(mp3_bytes + other, "a.mp3")
    assert len(samples) == pytest.approx(len(whole), abs=2304)
    assert lost_seconds(samples) == 0
    assert f"from byte {len(mp3_bytes) + other.index(bytes([0xFF])):,} on" in warnings[-1]
    assert "split the file there" in warnings[-1]


def test_zeroed_frames_of_an_m4a_are_lost_and_the_rest_is_at_its_time(tmp_path, sound):
    path = tmp_path / "a.m4a"
    path.write_bytes(encode(sound, RATE, "mp4", "aac"))
    content = path.read_bytes()
    whole, _ = read(content, "a.m4a")
    samples, _ = read(content[:40_000] + bytes(2000) + content[42_000:], "a.m4a")
    assert len(samples) == len(whole)
    assert 0.05 < lost_seconds(samples) < 0.6


def test_an_m4a_without_its_index_is_refused_with_the_reason(sound):
    content = encode(sound, RATE, "mp4", "aac")
    with pytest.raises(AudioError, match=r"reef\.m4a cannot be decoded.*index is missing"):
        open_recording(io.BytesIO(content[: len(content) // 2]), name="reef.m4a")


def test_a_damaged_channel_configuration_crashes_nothing(sound):
    """FFmpeg gives frames of 11 channels for garbage, of which PyAV reads past the end."""
    content = encode(sound, RATE, "mp4", "aac")
    for seed in range(12):
        rng, damaged = random.Random(seed), bytearray(content)
        for _ in range(4):
            at = rng.randrange(5000, len(content) - 20_000)
            damaged[at:at] = rng.randbytes(500)
        try:
            samples, _ = read(bytes(damaged), "a.m4a")
        except AudioError:
            continue
        assert len(samples) / RATE <= SECONDS + 1


# ---------------------------------------------------------------------- in the result


@pytest.mark.parametrize("position", [0.1, 0.35, 0.6, 0.85])
def test_one_flipped_bit_is_a_gap_of_its_frame_with_its_reason_in_the_result(tmp_path, flac_bytes, loudness, position):
    paths = [tmp_path / "whole.flac", tmp_path / "damaged.flac"]
    content = bytearray(flac_bytes)
    content[int(position * len(content))] ^= 1
    for path, data in zip(paths, (flac_bytes, bytes(content)), strict=True):
        path.write_bytes(data)
    whole, found = (detect(path, config=InferenceConfig(), classifier=loudness) for path in paths)
    coverage = found.metadata["coverage"]
    (gap,) = coverage["skipped"]
    assert gap["end_time"] - gap["start_time"] <= 2 * 4096 / RATE
    assert "damaged FLAC frame" in gap["reason"]
    assert coverage["analysed_s"] + gap["end_time"] - gap["start_time"] == pytest.approx(SECONDS, abs=1e-9)
    scores = found.scores
    far = (scores.end_times <= gap["start_time"]) | (scores.start_times >= gap["end_time"])
    np.testing.assert_array_equal(scores.probabilities[far], whole.scores.probabilities[far])
    assert np.isfinite(scores.probabilities).all()  # the windows beside the gap are moved to where nothing is lost
