"""What a WAV header says is believed only where the chunks make sense to the end of the file."""

import io
import struct
from datetime import UTC, datetime

import numpy as np
import pytest

from anemone_lib import AudioError, open_recording
from tests.audio.chunks import chunk, fmt, riff

RATE = 8000


@pytest.fixture
def audio(rng):
    return rng.integers(-3000, 3000, 4 * RATE, dtype=np.int16).tobytes()


BEGAN = datetime(2020, 12, 15, 0, 22, 55, tzinfo=UTC)
COMMENT = chunk(b"ICMT", b"Recorded at 19:22:55 14/12/2020 (UTC-5) by AudioMoth 24E1")


def read(content, name="reef.wav"):
    with open_recording(io.BytesIO(content), name=name) as recording:
        return recording.read(0, recording.n_samples), recording.warnings, recording.start_time


def floats(content):
    return np.frombuffer(content, "<i2") / np.float32(32768)


@pytest.mark.parametrize("first", [b"0123", b"LIST", b"data", b"fmt ", b"RIFF", b"\0\0\0\0"])
def test_a_size_of_0_is_read_to_the_end_whatever_letters_the_samples_spell(audio, first):
    content = first + audio[4:]
    samples, warnings, _ = read(riff(fmt(), chunk(b"data", content, size=0), size=0))
    np.testing.assert_array_equal(samples, floats(content))
    assert "claims no audio" in warnings[0]
    assert "4 s" in warnings[0]


@pytest.mark.parametrize("claimed", [0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFE])
def test_a_pipe_gives_no_size_and_is_read_to_the_end(audio, claimed):
    samples, _, _ = read(riff(fmt(), chunk(b"data", audio, size=claimed), size=0xFFFFFFFF))
    np.testing.assert_array_equal(samples, floats(audio))


@pytest.mark.parametrize("claimed_s", [0.5, 1, 3])
def test_a_size_that_was_no_longer_updated_is_read_to_the_end(audio, claimed_s):
    samples, warnings, _ = read(riff(fmt(), chunk(b"data", audio, size=int(claimed_s * 2 * RATE)), size=0))
    np.testing.assert_array_equal(samples, floats(audio))
    assert f"claims {claimed_s:g} s of audio, but {4 - claimed_s:g} s more follow" in warnings[0]


@pytest.mark.parametrize("claimed", [0, 16_000, 0xFFFFFFFF])
def test_the_comment_after_audio_of_unknown_size_is_a_comment_and_not_audio(audio, claimed):
    tail = chunk(b"LIST", b"INFO" + COMMENT)
    samples, _, start = read(riff(fmt(), chunk(b"data", audio, size=claimed), tail))
    np.testing.assert_array_equal(samples, floats(audio))
    assert start is None or start == BEGAN


def test_zeros_that_fill_a_file_after_its_audio_are_not_audio(audio):
    samples, warnings, _ = read(riff(fmt(), chunk(b"data", audio)) + bytes(100_000))
    np.testing.assert_array_equal(samples, floats(audio))
    assert "left out" in warnings[0]


def test_two_data_chunks_follow_each_other(audio):
    samples, warnings, _ = read(riff(fmt(), chunk(b"data", audio[:20_000]), chunk(b"data", audio[20_000:])))
    np.testing.assert_array_equal(samples, floats(audio))
    assert "2 pieces" in warnings[0]


def test_a_read_may_span_the_pieces(audio):
    content = riff(fmt(), chunk(b"data", audio[:20_000]), chunk(b"junk", b"x" * 33), chunk(b"data", audio[20_000:]))
    with open_recording(io.BytesIO(content)) as recording:
        np.testing.assert_array_equal(recording.read(9_990, 10_010), floats(audio)[9_990:10_010])


@pytest.mark.parametrize("sizes", ["right", "zero", "pipe"])
def test_files_joined_by_cat_are_all_read(audio, sizes):
    size = {"right": None, "zero": 0, "pipe": 0xFFFFFFFF}[sizes]
    one = riff(fmt(), chunk(b"data", audio, size=size), size=size)
    samples, _, _ = read(one + one + one)
    np.testing.assert_array_equal(samples, np.tile(floats(audio), 3))


def test_many_joined_files_and_many_chunks_are_all_read(audio):
    block = len(audio) // 500
    pieces = [audio[at : at + block] for at in range(0, 500 * block, block)]
    joined, _, _ = read(b"".join(riff(fmt(), chunk(b"data", piece)) for piece in pieces))
    one, _, _ = read(riff(fmt(), *[chunk(b"junk", b"abc")] * 2000, chunk(b"data", audio[: 500 * block])))
    np.testing.assert_array_equal(joined, floats(audio[: 500 * block]))
    np.testing.assert_array_equal(one, joined)


def test_more_chunks_than_are_followed_are_named(audio, monkeypatch):
    monkeypatch.setattr("anemone_lib.audio.chunks.MAX_CHUNKS", 5)
    samples, warnings, _ = read(riff(fmt(), chunk(b"data", audio)) * 4)
    np.testing.assert_array_equal(samples, floats(audio + audio))
    assert "more than 5 chunks" in " ".join(warnings)


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_24_bits_in_four_bytes_are_read_wherever_they_lie(rng, extensible, low, signed):
    values = rng.integers(-(1 << 23), 1 << 23, (RATE, 2), dtype=np.int32)
    stored = (values if signed else values & 0xFFFFFF) if low else values << 8
    head = struct.pack("<HHIIHH", 0xFFFE if extensible else 1, 2, RATE, 8 * RATE, 8, 32 if extensible else 24)
    if extensible:
        head += struct.pack("<HHIH", 22, 24, 3, 1) + bytes.fromhex("000000001000800000aa00389b71")
    samples, _, _ = read(riff(chunk(b"fmt ", head), chunk(b"data", stored.astype("<i4").tobytes())))
    np.testing.assert_allclose(samples, values.mean(axis=1) / 2**23, atol=1e-6)


def test_numbers_that_are_infinite_or_too_large_are_no_sound_and_no_error(rng):
    values = rng.normal(0, 0.1, RATE)
    values[10:13] = 1e300, np.inf, -np.inf
    head = struct.pack("<HHIIHH", 3, 1, RATE, 8 * RATE, 8, 64)
    samples, _, _ = read(riff(chunk(b"fmt ", head), chunk(b"data", values.tobytes())))
    assert np.isnan(samples[10:13]).all()
    np.testing.assert_allclose(np.delete(samples, [10, 11, 12]), np.delete(values, [10, 11, 12]), atol=1e-6)


def test_a_byte_that_is_no_frame_is_spelled_in_the_singular(audio):
    _, warnings, _ = read(riff(fmt(), chunk(b"data", audio + b"x")))
    assert warnings == ("the last 1 byte is less than one frame: left out",)


def test_joined_files_of_different_kinds_are_read_as_far_as_they_agree(audio):
    samples, warnings, _ = read(riff(fmt(), chunk(b"data", audio)) + riff(fmt(16_000), chunk(b"data", audio)))
    np.testing.assert_array_equal(samples, floats(audio))
    assert any("written in another way" in text for text in warnings)


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("pad", [True, False])
def test_an_odd_chunk_loses_neither_audio_nor_comment(audio, order, pad):
    odd = chunk(b"LIST", b"INFO" + COMMENT + b"x", pad=pad)
    data = chunk(b"data", audio)
    samples, warnings, start = read(riff(fmt(), *((odd, data) if order == "before" else (data, odd))))
    np.testing.assert_array_equal(samples, floats(audio))
    assert start == BEGAN
    assert warnings == ()


@pytest.mark.parametrize("pad", [True, False])
def test_an_odd_chunk_of_audio_keeps_the_comment_after_it(rng, pad):
    audio = rng.integers(0, 255, 2 * RATE + 1, dtype=np.uint8).tobytes()
    content = riff(fmt(bits=8), chunk(b"data", audio, pad=pad), chunk(b"LIST", b"INFO" + COMMENT))
    samples, _, start = read(content)
    assert len(samples) == 2 * RATE + 1
    assert start == BEGAN


def test_a_chunk_before_the_audio_with_a_wrong_size_hides_nothing(audio):
    content = riff(chunk(b"JUNK", b"x" * 40, size=52), fmt(), chunk(b"data", audio))
    samples, warnings, _ = read(content)
    np.testing.assert_array_equal(samples, floats(audio))
    assert "damaged" in warnings[0]


def test_a_file_that_was_cut_says_how_much_there_is(audio):
    samples, warnings, _ = read(riff(fmt(), chunk(b"data", audio))[: 44 + RATE])
    np.testing.assert_array_equal(samples, floats(audio[:RATE]))
    assert "claims 4 s of audio, the file has 0.5 s" in warnings[0]


@pytest.mark.slow
@pytest.mark.parametrize("ds64", [0, 1000])
def test_an_rf64_whose_long_size_was_never_written_is_read_to_its_end(tmp_path, ds64):
    path, n_bytes = tmp_path / "long.wav", (5 << 30) + 2 * RATE
    head = b"RF64" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE"
    head += chunk(b"ds64", struct.pack("<QQQI", 0, ds64, 0, 0)) + fmt() + b"data" + struct.pack("<I", 0xFFFFFFFF)
    with path.open("wb") as file:
        file.write(head)
        file.seek(len(head) + n_bytes - 4)
        file.write(struct.pack("<hh", 1, 16_384))  # the rest is a hole on disk
    with open_recording(path) as recording:
        assert recording.n_samples == n_bytes // 2
        assert recording.read(recording.n_samples - 1, recording.n_samples) == [0.5]
        assert recording.warnings


def test_a_header_without_audio_is_refused():
    for content in (
        riff(fmt(), chunk(b"data", b"")),
        riff(fmt(), chunk(b"data", b""), chunk(b"LIST", b"INFO" + COMMENT)),
    ):
        with pytest.raises(AudioError, match="no audio"):
            read(content)


@pytest.mark.parametrize("sizes", ["right", "zero"])
@pytest.mark.parametrize("magic", [b"RF64", b"RIFX"])
def test_joined_files_of_other_magic_are_all_read(audio, magic, sizes):
    order = ">" if magic == b"RIFX" else "<"
    size = len(audio) if sizes == "right" else 0
    head = b"fmt " + struct.pack(order + "IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    if magic == b"RF64":
        head = chunk(b"ds64", struct.pack("<QQQI", 0, size, 0, 0)) + head
    head += b"data" + struct.pack(order + "I", 0xFFFFFFFF if magic == b"RF64" else size)
    sound = np.frombuffer(audio, "<i2").astype(order + "i2").tobytes()
    one = magic + struct.pack(order + "I", 4 + len(head) + len(audio)) + b"WAVE" + head + sound
    samples, _, _ = read(one * 3)
    np.testing.assert_array_equal(samples, np.tile(floats(audio), 3))
