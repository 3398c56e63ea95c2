"""The sizes in W64, AIFF, CAF, AU and in WAV files of other encodings are believed only where they make sense."""

import io
import struct

import numpy as np
import pytest
import soundfile

from anemone_lib import open_recording

RATE = 8000
#: Where libsndfile's files have the size of the audio: before what, and how it is written.
SIZES = {
    "WAV": (b"data", 4, "<I", 0),
    "W64": (b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", 16, "<Q", 24),
    "AIFF": (b"SSND", 4, ">I", 8),
    "CAF": (b"data", 4, ">Q", 4),
    "AU": (b".snd", 8, ">I", 0),
}
KINDS = [
    *(("W64", kind) for kind in ("PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM")),
    *(("AIFF", kind) for kind in ("PCM_S8", "PCM_16", "PCM_24", "DOUBLE", "ALAW")),
    *(("CAF", kind) for kind in ("PCM_16", "PCM_32", "FLOAT", "ULAW")),
    *(("AU", kind) for kind in ("PCM_S8", "PCM_16", "PCM_24", "DOUBLE", "ULAW", "ALAW")),
    *(("WAV", kind) for kind in ("ULAW", "ALAW", "MS_ADPCM", "IMA_ADPCM")),
]


@pytest.fixture
def make(rng):
    """What libsndfile writes of a number of blocks of noise, and what it reads back."""

    def write(container, kind, n_frames=3 * 8080, channels=2):
        file = io.BytesIO()
        noise = 0.1 * rng.standard_normal((n_frames, channels))
        soundfile.write(file, noise, RATE, format=container, subtype=kind)
        return file.getvalue(), expect(file.getvalue())

    return write


def expect(content):
    return soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)[0]


def read(content):
    with open_recording(io.BytesIO(content), name="reef", channel=2) as recording:
        return recording.read(0, recording.n_samples), recording.warnings


def find_size(container, content):
    """Place of the size of the audio, and its value."""
    name, after, form, _ = SIZES[container]
    place = content.index(name) + (after if container == "AU" else len(name))
    return place, struct.unpack_from(form, content, place)[0]


def claim(container, content, change):
    """Let the header claim another size of the audio."""
    place, size = find_size(container, content)
    form, extra = SIZES[container][2:]
    new = change(size - extra)
    size = new if new >= 1 << 31 else new + extra if new else 0
    written = bytearray(content)
    struct.pack_into(form, written, place, size)
    return bytes(written)


@pytest.mark.parametrize(("container", "kind"), KINDS)
def test_a_header_that_is_right_is_read_as_libsndfile_reads_it_without_a_word(make, container, kind):
    content, sound = make(container, kind)
    samples, warnings = read(content)
    np.testing.assert_array_equal(samples, sound[:, 1])
    assert warnings == ()


@pytest.mark.parametrize("claimed", ["nothing", "unknown", "half", "a few bytes"])
@pytest.mark.parametrize(("container", "kind"), KINDS)
def test_a_wrong_size_hides_nothing(make, container, kind, claimed):
    content, sound = make(container, kind)
    unknown = (1 << 64) - 1 if SIZES[container][2][1] == "Q" else 0xFFFFFFFF
    change = {"nothing": lambda _: 0, "unknown": lambda _: unknown, "half": lambda n: n // 4 * 2}
    samples, warnings = read(claim(container, content, change.get(claimed, lambda _: 8)))
    assert abs(len(samples) - len(sound)) <= (1024 if "ADPCM" in kind else 0)  # no count, so that blocks are whole
    np.testing.assert_array_equal(samples[: len(sound)], sound[: len(samples), 1])
    assert claimed == "unknown" or warnings


@pytest.mark.parametrize(("container", "kind"), KINDS)
def test_a_file_that_was_cut_is_read_to_where_it_was(make, container, kind):
    content, sound = make(container, kind)
    place, size = find_size(container, content)
    samples, warnings = read(content[: place + size // 2])
    assert len(samples) == pytest.approx(len(sound) / 2, abs=1100 if "ADPCM" in kind else 16)
    np.testing.assert_array_equal(samples, sound[: len(samples), 1])
    assert warnings


@pytest.mark.parametrize("claimed", ["right", "nothing"])
@pytest.mark.parametrize(("container", "kind"), KINDS)
def test_joined_files_are_all_read(make, container, kind, claimed):
    content, sound = make(container, kind)
    joined = content if claimed == "right" else claim(container, content, lambda _: 0)
    samples, _ = read(joined * 3)
    if "ADPCM" in kind:
        assert len(samples) == pytest.approx(3 * len(sound), abs=3 * 1024)
        np.testing.assert_array_equal(samples[: len(sound)], sound[:, 1])
    else:
        np.testing.assert_array_equal(samples, np.tile(sound[:, 1], 3))


@pytest.mark.parametrize(("container", "kind"), [pair for pair in KINDS if pair[0] != "AU"])
def test_audio_in_two_chunks_is_read_whole(make, container, kind):
    content, sound = make(container, kind)
    more, after = make(container, kind)
    place, size = find_size(container, more)
    name, form = SIZES[container][0], SIZES[container][2]
    start = place - len(name)
    body = more[start : place + struct.calcsize(form) + size - (24 if container == "W64" else 0)]
    samples, warnings = read(content + body)
    if "ADPCM" in kind:
        assert len(samples) == pytest.approx(2 * len(sound), abs=2 * 1024)
    else:
        np.testing.assert_array_equal(samples, np.concatenate([sound[:, 1], after[:, 1]]))
    assert any("2 pieces" in text for text in warnings)


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("container", ["AIFF", "W64", "CAF", "WAV"])
def test_an_odd_chunk_with_or_without_its_pad_hides_nothing(make, container, order, pad):
    kind = "ULAW" if container == "WAV" else "PCM_16"
    content, sound = make(container, kind)
    text = b"written by hand"
    odd = {
        "AIFF": b"ANNO" + struct.pack(">I", 15) + text + b"\0" * pad,
        "W64": b"junk" + SIZES["W64"][0][4:] + struct.pack("<Q", 39) + text + b"\0" * pad,
        "CAF": b"free" + struct.pack(">Q", 15) + text,
        "WAV": b"LIST" + struct.pack("<I", 15) + text + b"\0" * pad,
    }[container]
    place = content.index(SIZES[container][0]) if order == "before" else len(content)
    samples, warnings = read(content[:place] + odd + content[place:])
    np.testing.assert_array_equal(samples, sound[:, 1])
    assert warnings == ()


def test_a_comment_after_audio_of_unknown_size_is_no_audio(make):
    content, sound = make("AIFF", "PCM_16")
    tail = b"ANNO" + struct.pack(">I", 54) + b"Recorded at 19:22:55 14/12/2020 (UTC-5) by AudioMoth 2"
    content = claim("AIFF", content, lambda _: 0) + tail
    with open_recording(io.BytesIO(content), name="reef.aif", channel=1) as recording:
        np.testing.assert_array_equal(recording.read(0, recording.n_samples), sound[:, 0])
        assert recording.start_time.isoformat() == "2020-12-14T19:22:55-05:00"


@pytest.mark.parametrize("container", ["AIFF", "W64", "CAF", "AU"])
def test_what_was_joined_and_is_written_otherwise_is_left_out_and_named(make, container):
    content, sound = make(container, "PCM_16")
    samples, warnings = read(content + make(container, "PCM_24")[0])
    np.testing.assert_array_equal(samples, sound[:, 1])
    assert any("written in another way" in text for text in warnings)
