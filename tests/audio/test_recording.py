import io
import pickle
import struct
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import soxr

from anemone_lib import AudioError, open_recording
from anemone_lib.audio.decoders import FfmpegDecoder, SndfileDecoder
from anemone_lib.audio.pcm import PcmDecoder

RATES_HZ = (8000, 16000, 22050, 44100, 48000, 96000)


def wav_header(data_size, *, sample_rate=8000, channels=1, bits=16, riff_size=None):
    block = channels * bits // 8
    fmt = struct.pack("<HHIIHH", 1, channels, sample_rate, sample_rate * block, block, bits)
    riff_size = 36 + data_size if riff_size is None else riff_size
    return (
        b"RIFF"
        + struct.pack("<I", riff_size & 0xFFFFFFFF)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + fmt
        + b"data"
        + struct.pack("<I", data_size & 0xFFFFFFFF)
    )


def pieces(recording, *cuts):
    """The recording read in pieces, last piece first."""
    edges = [0, *cuts, recording.n_samples]
    parts = [recording.read(start, stop) for start, stop in list(pairwise(edges))[::-1]]
    return np.concatenate(parts[::-1])


# ---------------------------------------------------------------------- formats


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
def test_wav_samples_equal_libsndfiles(write_wav, noise, subtype, endian):
    path = write_wav(np.stack([noise(0.5), noise(0.5)], axis=1), subtype=subtype, endian=endian)
    expected, _ = soundfile.read(path, dtype="float32")
    with open_recording(path) as recording:
        assert isinstance(recording._decoder, PcmDecoder)
        assert (recording.sample_rate, recording.channels, recording.n_samples) == (48000, 2, 24000)
        np.testing.assert_array_equal(recording.read(0, recording.n_samples), expected.mean(axis=1))


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.flac", "PCM_16"),
        ("a.flac", "PCM_24"),
        ("a.aiff", "PCM_16"),
        ("a.w64", "PCM_24"),
        ("a.rf64", "PCM_16"),
        ("a.au", "PCM_16"),
        ("a.caf", "FLOAT"),
        ("a.wav", "ULAW"),
        ("a.wav", "MS_ADPCM"),
    ],
)
def test_what_libsndfile_reads_is_read_in_any_pieces(write_wav, noise, name, subtype):
    path = write_wav(noise(2), name=name, subtype=subtype)
    expected, _ = soundfile.read(path, dtype="float32")
    with open_recording(path) as recording:
        np.testing.assert_array_equal(recording.read(0, recording.n_samples), expected)
        np.testing.assert_array_equal(pieces(recording, 1, 4097, 50_000), expected)
        assert recording.warnings == ()


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_lossy_recordings_are_the_same_bits_in_any_pieces(tmp_path, noise, name):
    samples = noise(10)
    with soundfile.SoundFile(tmp_path / name, "w", 48000, 1) as file:
        for start in range(0, len(samples), 48000):  # libsndfile's encoder wants small pieces
            file.write(samples[start : start + 48000])
    with open_recording(tmp_path / name) as recording:
        assert recording.n_samples == len(samples)
        whole = recording.read(0, recording.n_samples)
        np.testing.assert_array_equal(pieces(recording, 100_003, 100_004, 300_000), whole)
        assert np.corrcoef(whole, samples)[0, 1] > 0.7  # lossy, but the same sound at the same time


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.webm", "libopus"), ("a.mka", "pcm_s16le")])
def test_what_only_ffmpeg_reads_is_read_in_any_pieces(tmp_path, noise, name, codec):
    import av

    samples = noise(4)
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.rate = 48000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    with open_recording(tmp_path / name) as recording:
        assert isinstance(recording._decoder, FfmpegDecoder)
        assert recording.sample_rate == 48000
        assert recording.duration == pytest.approx(4, abs=0.1)
        whole = recording.read(0, recording.n_samples)
        np.testing.assert_array_equal(pieces(recording, 5, 70_001), whole)


def test_a_flac_whose_header_claims_less_than_it_holds_is_read_to_its_end(write_wav, noise):
    path = write_wav(noise(2), name="a.flac")
    content = bytearray(path.read_bytes())
    content[22:26] = struct.pack(">I", 1000)  # total samples, in STREAMINFO
    path.write_bytes(content)
    with open_recording(path) as recording:
        assert recording.n_samples == 96_000
        assert "claims 1000 samples" in recording.warnings[0]


# ---------------------------------------------------------------------- lying headers


@pytest.mark.parametrize("claimed", [0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 1 << 30])
def test_a_wrong_data_size_is_read_to_the_real_end_with_a_warning(tmp_path, rng, claimed):
    samples = rng.integers(-3000, 3000, 8000, dtype=np.int16)
    path = tmp_path / "20230210_000001.WAV"
    path.write_bytes(wav_header(claimed) + samples.tobytes())
    with open_recording(path) as recording:
        assert recording.n_samples == 8000
        np.testing.assert_array_equal(recording.read(0, 8000), samples / np.float32(32768))
        assert len(recording.warnings) == 1
        assert "1 s" in recording.warnings[0]


def test_a_size_that_wrapped_at_4_gib_is_read_to_the_real_end(tmp_path):
    path = tmp_path / "long.wav"
    true_size = (1 << 32) + 16_000
    with path.open("wb") as file:
        file.write(wav_header(true_size))  # the field holds 16,000
        file.seek(44 + true_size - 4)
        file.write(struct.pack("<hh", 1, 16384))  # the rest is a hole on disk
    with open_recording(path) as recording:
        assert recording.n_samples == true_size // 2
        assert "4 GiB" in recording.warnings[0]
        assert recording.read(recording.n_samples - 1, recording.n_samples) == [0.5]


def test_a_chunk_after_the_audio_is_not_audio(tmp_path, rng):
    samples = rng.integers(-3000, 3000, 800, dtype=np.int16)
    comment = b"INFOICMT" + struct.pack("<I", 6) + b"hello\0"
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(1600) + samples.tobytes() + b"LIST" + struct.pack("<I", len(comment)) + comment)
    with open_recording(path) as recording:
        assert recording.n_samples == 800
        assert recording.warnings == ()


def test_a_few_bytes_after_the_audio_that_are_no_chunk_are_mentioned(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(1600) + bytes(1600) + b"\x01\x02" * 100)
    with open_recording(path) as recording:
        assert recording.n_samples == 800
        assert "left out" in recording.warnings[0]


def test_a_last_frame_that_is_not_whole_is_mentioned(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(1601) + bytes(1601))
    with open_recording(path) as recording:
        assert recording.n_samples == 800
        assert "less than one frame" in recording.warnings[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (b"hello, this is no audio", "cannot be decoded"),
        (wav_header(0), "no audio"),
        (wav_header(0)[:30], "cannot be decoded"),
    ],
)
def test_what_holds_no_audio_is_refused_with_its_reason(tmp_path, content, words):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=words):
        open_recording(path)


def test_a_missing_file_a_folder_and_a_wrong_address_are_refused(tmp_path):
    with pytest.raises(AudioError, match="No such file"):
        open_recording(tmp_path / "absent.wav")
    with pytest.raises(AudioError, match="folder"):
        open_recording(tmp_path)
    with pytest.raises(AudioError, match=r"give a path, a file://, s3://"):
        open_recording("ftp://reef/a.wav")
    with pytest.raises(AudioError, match="int"):
        open_recording(3)
    with pytest.raises(AudioError, match=r"Mars/Olympus.*Asia/Tokyo"):
        open_recording(_wav_bytes(), timezone="Mars/Olympus")


def _wav_bytes(n=800):
    return io.BytesIO(wav_header(2 * n) + bytes(2 * n))


# ---------------------------------------------------------------------- sources


def test_an_address_and_a_file_object_give_what_the_path_gives(write_wav, noise):
    path = write_wav(noise(1), name="with space.wav")
    with open_recording(path) as recording:
        expected = recording.read(0, recording.n_samples)
        digest = recording.sha256
    with open_recording(path.as_uri()) as recording:
        np.testing.assert_array_equal(recording.read(0, recording.n_samples), expected)
    with path.open("rb") as file, open_recording(file) as recording:
        assert recording.name == "with space.wav"
        assert recording.sha256 == digest
        np.testing.assert_array_equal(recording.read(0, recording.n_samples), expected)
    for name in ("a.flac", "a.mp3"):
        other = write_wav(noise(1), name=name, subtype=None)
        with open_recording(other) as recording:
            expected = recording.read(0, recording.n_samples)
        with open_recording(io.BytesIO(other.read_bytes())) as recording:
            np.testing.assert_array_equal(recording.read(0, recording.n_samples), expected)


def test_a_text_file_object_is_refused(write_wav, noise):
    with write_wav(noise(0.1)).open(encoding="latin-1") as file, pytest.raises(AudioError, match="binary"):
        open_recording(file)


def test_a_recording_travels_to_another_process_by_its_path(write_wav, noise):
    with open_recording(write_wav(noise(1)), target_sr=16000) as recording:
        with pickle.loads(pickle.dumps(recording)) as other:
            np.testing.assert_array_equal(other.read(5, 9000), recording.read(5, 9000))
    with pytest.raises(AudioError, match="by its path"):
        pickle.dumps(open_recording(_wav_bytes()))


def test_a_range_outside_the_recording_is_refused():
    recording = open_recording(_wav_bytes(800))
    with pytest.raises(AudioError, match="it has 800"):
        recording.read(0, 801)


# ---------------------------------------------------------------------- resampling


@pytest.mark.parametrize("target_sr", RATES_HZ)
@pytest.mark.parametrize("sample_rate", [8000, 44100, 48000, 96000, 12345])
def test_any_range_of_a_resampled_recording_equals_that_of_the_whole(write_wav, noise, sample_rate, target_sr):
    with open_recording(write_wav(noise(4, sample_rate), sample_rate), target_sr=target_sr) as recording:
        whole = recording.read(0, recording.n_samples)
        cuts = sorted({1, recording.n_samples // 3, recording.n_samples // 3 + 1, recording.n_samples - 1})
        np.testing.assert_array_equal(pieces(recording, *cuts), whole)
        assert recording.n_samples == -(-4 * sample_rate * target_sr // sample_rate)


@pytest.mark.parametrize(("sample_rate", "target_sr"), [(48000, 44100), (44100, 16000), (16000, 48000), (96000, 8000)])
def test_resampling_is_soxrs_without_seams(write_wav, noise, sample_rate, target_sr):
    samples = noise(8, sample_rate)
    path = write_wav(samples, sample_rate, subtype="FLOAT")
    expected = soxr.resample(samples, sample_rate, target_sr)
    with open_recording(path, target_sr=target_sr) as recording:
        resampled = recording.read(0, recording.n_samples)[: len(expected)]
    away_from_the_ends = slice(100, -100)  # there soxr continues the recording with something else than silence
    np.testing.assert_allclose(resampled[away_from_the_ends], expected[away_from_the_ends], atol=2e-6)


def test_a_tone_keeps_its_time_and_frequency(write_wav):
    time = np.arange(48000 * 5) / 48000
    path = write_wav(0.5 * np.sin(2 * np.pi * 500 * time), subtype="FLOAT")
    with open_recording(path, target_sr=16000) as recording:
        resampled = recording.read(0, recording.n_samples)
    expected = 0.5 * np.sin(2 * np.pi * 500 * np.arange(len(resampled)) / 16000)
    assert np.abs(resampled - expected)[200:-200].max() < 1e-4


# ---------------------------------------------------------------------- samples that are no numbers


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_not_finite_are_nan_and_no_others(write_wav, noise, bad):
    samples = noise(1)
    samples[1000:1003] = bad
    with open_recording(write_wav(samples, subtype="FLOAT")) as recording:
        read = recording.read(0, recording.n_samples)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(read)), [1000, 1001, 1002])


def test_a_hole_stays_a_small_hole_after_resampling(write_wav, noise):
    samples = noise(4)
    clean = samples.copy()
    samples[96_000:96_010] = np.nan
    with (
        open_recording(write_wav(samples, subtype="FLOAT"), target_sr=16000) as recording,
        open_recording(write_wav(clean, subtype="FLOAT", name="clean.wav"), target_sr=16000) as reference,
    ):
        read = recording.read(0, recording.n_samples)
        expected = reference.read(0, reference.n_samples)
        np.testing.assert_array_equal(pieces(recording, 31_990, 32_010), read)
    holes = np.isnan(read)
    assert holes[32_000:32_003].all()
    assert holes.sum() < 0.02 * 16000
    assert np.abs(read - expected)[~holes].max() < 0.02


# ---------------------------------------------------------------------- when it was recorded


@pytest.mark.parametrize(
    ("name", "timezone", "when"),
    [
        ("20230210_000001.WAV", "UTC", datetime(2023, 2, 10, 0, 0, 1, tzinfo=UTC)),
        ("20230210_000001.WAV", "Asia/Tokyo", datetime(2023, 2, 9, 15, 0, 1, tzinfo=UTC)),
        ("20230210_000001.WAV", "-03:30", datetime(2023, 2, 10, 3, 30, 1, tzinfo=UTC)),
        ("67416073.210610033655.wav", "UTC", datetime(2021, 6, 10, 3, 36, 55, tzinfo=UTC)),
        ("SanctSound_FK02_20191001T040002Z.wav", "Asia/Tokyo", datetime(2019, 10, 1, 4, 0, 2, tzinfo=UTC)),
        ("AMAR173.4.20190920T004248Z.wav", "UTC", datetime(2019, 9, 20, 0, 42, 48, tzinfo=UTC)),
        ("site_2019-10-01T04-00-02.wav", "UTC", datetime(2019, 10, 1, 4, 0, 2, tzinfo=UTC)),
        ("5E90A4D4.WAV", "UTC", datetime(2020, 4, 10, 16, 54, 44, tzinfo=UTC)),
        ("reef.wav", "UTC", None),
        ("20231310_000001.wav", "UTC", None),
        ("00000001.wav", "UTC", None),
    ],
)
def test_the_name_tells_when_the_recording_was_made(write_wav, name, timezone, when):
    with open_recording(write_wav(np.zeros(100), name=name), timezone=timezone) as recording:
        assert recording.start_time == when


def test_an_audiomoth_comment_tells_it_better(tmp_path):
    text = b"Recorded at 19:00:00 10/02/2023 (UTC-2:30) by AudioMoth 24F31905 at gain 2\0"
    info = b"INFOICMT" + struct.pack("<I", len(text)) + text
    samples = bytes(1600)
    path = tmp_path / "20230210_000001.WAV"
    path.write_bytes(wav_header(1600) + samples + b"LIST" + struct.pack("<I", len(info)) + info)
    with open_recording(path) as recording:
        assert recording.start_time == datetime(2023, 2, 10, 21, 30, tzinfo=UTC)


# ---------------------------------------------------------------------- real files


@pytest.mark.slow
def test_real_recordings_are_read_in_any_pieces(shared_recordings):
    paths = [p for p in sorted(shared_recordings.rglob("*")) if p.suffix in (".wav", ".mp3")]
    assert paths
    for path in paths:
        with open_recording(path) as recording:
            whole = recording.read(0, recording.n_samples)
            assert np.isfinite(whole).all(), path.name
            np.testing.assert_array_equal(pieces(recording, recording.n_samples // 3), whole, path.name)


@pytest.mark.slow
def test_odd_files_give_samples_or_a_clear_error(odd_audio):
    outcomes = {"read": 0, "refused": 0}
    for path in sorted(p for p in odd_audio.rglob("*") if p.suffix in (".wav", ".flac")):
        try:
            with open_recording(path) as recording:
                assert len(recording.read(0, recording.n_samples)) == recording.n_samples > 0, path.name
            outcomes["read"] += 1
        except AudioError as error:
            assert path.name in str(error)
            outcomes["refused"] += 1
    assert outcomes["read"] > outcomes["refused"] > 0


def test_libsndfile_is_not_believed_a_length_that_no_data_supports(tmp_path, noise):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1), 48_000, subtype="IMA_ADPCM")
    with open_recording(path) as recording:
        decoder = recording._decoder
        assert isinstance(decoder, SndfileDecoder)
        assert not decoder._is_last(9 * 10**18)
        assert not decoder._is_last(decoder.n_frames + 1)
        assert decoder._is_last(48_000)


def test_an_mp3_without_a_frame_is_not_said_to_be_missing(tmp_path, rng):
    path = tmp_path / "reef.mp3"
    path.write_bytes(rng.bytes(3000))
    with pytest.raises(AudioError, match=r"reef\.mp3 cannot be decoded: libsndfile says: Format not recognised"):
        open_recording(path)
