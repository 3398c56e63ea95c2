"""What FFmpeg may open, and how much it may make of it."""

import io
import socket
import tempfile

import av
import numpy as np
import pytest
import soundfile

from anemone_lib import AudioError, open_recording
from anemone_lib.audio import spool
from anemone_lib.audio.spool import DecodeLimits
from anemone_lib.errors import LimitError
from tests.audio.fuzz import encode

RATE = 48_000


@pytest.fixture
def spools(monkeypatch):
    """Every temporary file that was opened."""
    opened, make = [], tempfile.TemporaryFile

    def counting(*args, **options):
        opened.append(make(*args, **options))
        return opened[-1]

    monkeypatch.setattr(spool.tempfile, "TemporaryFile", counting)
    return opened


@pytest.mark.parametrize("name", ["upload", "upload.mp3", "upload.wav", "upload.m4a", "upload.txt"])
@pytest.mark.parametrize("as_path", [True, False])
def test_a_body_that_names_other_files_or_addresses_opens_none(tmp_path, write_wav, noise, name, as_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_wav(noise(1), name="secret.wav")
    monkeypatch.setattr(socket.socket, "bind", lambda *_: pytest.fail("a port was bound"))
    for body in (
        b"ffconcat version 1.0\nfile secret.wav\n",
        b"ffconcat version 1.0\nfile 'file:secret.wav'\nduration 1\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nsecret.wav\n#EXT-X-ENDLIST\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
        b"1\n00:00:00,000 --> 00:00:01,000\nhello\n",
        b"RIFF\x24\0\0\0AVI LIST",
    ):
        path = tmp_path / name
        path.write_bytes(body)
        with pytest.raises(AudioError, match="cannot be decoded"):
            open_recording(path if as_path else io.BytesIO(body), name=name)


def test_every_container_that_is_opened_is_one_that_ffmpeg_knows():
    from anemone_lib.audio.ffmpeg import CONTAINERS

    known = {name for names in av.formats_available for name in names.split(",")}
    assert set(CONTAINERS) <= known
    assert not {"concat", "sdp", "hls", "dash", "lavfi", "image2", "rtsp", "tee"} & set(CONTAINERS)


def test_a_movie_that_points_to_another_file_reads_nothing_of_it(tmp_path, noise):
    """FFmpeg follows the data references of QuickTime only if it is told to; nothing here tells it."""
    content = encode((noise(1) * 32767).astype(np.int16), RATE, "mov", "pcm_s16le")
    moved = content.replace(b"url \x00\x00\x00\x01", b"url \x00\x00\x00\x00")
    try:
        with open_recording(io.BytesIO(moved), name="a.mov") as recording:
            assert recording.duration <= 1.1
    except AudioError:
        pass


@pytest.mark.parametrize(
    ("kind", "container", "codec"), [("opus", "ogg", "libopus"), ("mp3", "mp3", "libmp3lame"), ("m4a", "mp4", "aac")]
)
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (DecodeLimits(spool_bytes=1 << 20), "0.00105 GB"),
        (DecodeLimits(seconds=5), "longer than 5 s"),
        (DecodeLimits(deadline=0.0), "takes too long to decode"),
    ],
)
def test_decoding_stops_at_a_limit_and_leaves_no_file_open(spools, noise, kind, container, codec, limits, words):
    content = encode((noise(20) * 32767).astype(np.int16), RATE, container, codec)
    with pytest.raises(AudioError, match=rf"a\.{kind} .*{words}"):
        open_recording(io.BytesIO(content), name=f"a.{kind}", limits=limits)
    assert spools
    assert all(file.closed for file in spools)


def test_a_few_bytes_that_would_become_hours_are_stopped_while_they_are_decoded(spools, monkeypatch):
    silence = np.zeros(60 * RATE, np.int16)
    content = encode(silence, RATE, "ogg", "libopus", codec_options={"frame_duration": "60"}, bit_rate=6_000)
    decoded_s, append = [], spool.Spool.append

    def counting(self, frames, sample_rate):
        decoded_s.append(len(frames) / sample_rate)
        append(self, frames, sample_rate)

    monkeypatch.setattr(spool.Spool, "append", counting)
    with pytest.raises(AudioError, match="more than is allowed"):
        open_recording(io.BytesIO(content * 50), name="bomb.opus", limits=DecodeLimits(seconds=120))
    assert 120 < sum(decoded_s) < 125  # of 50 minutes
    assert all(file.closed for file in spools)


@pytest.mark.parametrize("options", [{"timezone": "Mars/Olympus"}, {"channel": 9}])
def test_no_temporary_file_stays_open_after_an_error(spools, noise, options):
    content = encode((noise(2) * 32767).astype(np.int16), RATE, "mp3", "libmp3lame")
    with pytest.raises(AudioError):
        open_recording(io.BytesIO(content), name="a.mp3", **options)
    assert spools
    assert all(file.closed for file in spools)


def test_a_full_disk_is_an_error_that_names_the_folder(noise, full_temporary_folder):
    content = encode((noise(2) * 32767).astype(np.int16), RATE, "mp3", "libmp3lame")
    with pytest.raises(AudioError, match=r"no room to decode a\.mp3 in .*No space left"):
        open_recording(io.BytesIO(content), name="a.mp3")


def write_flac(path, n_samples, sample_rate):
    soundfile.write(path, np.zeros(n_samples, np.int16), sample_rate, format="FLAC")
    return path


def test_a_small_file_of_constant_samples_that_is_months_long_is_refused_before_it_is_scored(tmp_path):
    path = write_flac(tmp_path / "bomb.flac", 4_000_000, 1)
    assert path.stat().st_size < 100_000
    with pytest.raises(LimitError, match=r"bomb\.flac is longer than 2,678,400 s, more than is allowed"):
        open_recording(path)


def test_plain_samples_may_be_of_any_length_unless_a_limit_is_given(write_wav):
    path = write_wav(np.zeros(3_000_000, np.int16), 1)
    with open_recording(path) as recording:
        assert recording.duration == 3_000_000
    with pytest.raises(LimitError, match="longer than 60 s"):
        open_recording(path, limits=DecodeLimits(seconds=60))


def test_timestamps_that_jump_by_hours_make_no_recording_of_months(tmp_path):
    content = _jumping_matroska(n_jumps=40, jump_s=86_000)
    with pytest.raises(LimitError, match="more than is allowed"):
        open_recording(io.BytesIO(content), name="jumps.mka", limits=DecodeLimits(seconds=86_400))


def _jumping_matroska(*, n_jumps, jump_s):
    """Ten seconds of sound, a jump of the timestamps, and again."""

    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for k in range(n_jumps):
            for block in range(10):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
                frame.sample_rate = 8000
                frame.pts = 8000 * (k * jump_s + block)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def test_a_flac_of_millions_of_tiny_frames_is_refused_before_memory_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr("anemone_lib.audio.flac_frames.MAX_FRAMES", 100)
    path = write_flac(tmp_path / "frames.flac", 1_000_000, 8000)
    with pytest.raises(LimitError, match="over 100 FLAC frames"):
        open_recording(path)
