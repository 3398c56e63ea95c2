import io
import json

import numpy as np
import pytest
import soundfile

from anemone_lib import AudioError, InferenceConfig, detect, open_recording
from anemone_lib.audio.channels import compare_channels

CONFIG = InferenceConfig()


@pytest.fixture
def four_hydrophones(write_wav, noise):
    """Four channels, the third the loudest, as written and as read."""
    sound = np.stack([gain * noise(6) for gain in (0.2, 0.5, 0.9, 0.4)], axis=1)
    path = write_wav(sound)
    return path, soundfile.read(path, dtype="float32")[0]


def read(path, **options):
    with open_recording(path, **options) as recording:
        return recording.read(0, recording.n_samples)


@pytest.mark.parametrize("number", [1, 2, 4, "3"])
def test_a_channel_is_chosen_by_its_number_from_1(four_hydrophones, number):
    path, sound = four_hydrophones
    np.testing.assert_array_equal(read(path, channel=number), sound[:, int(number) - 1])


def test_the_mean_is_what_nobody_chose_otherwise(four_hydrophones):
    path, sound = four_hydrophones
    np.testing.assert_array_equal(read(path), sound.mean(axis=1, dtype=np.float32))
    np.testing.assert_array_equal(read(path, channel="mean"), read(path))


def test_the_loudest_channel_is_found_whatever_offsets_the_others_have(four_hydrophones, write_wav):
    path, sound = four_hydrophones
    np.testing.assert_array_equal(read(path, channel="loudest"), sound[:, 2])
    shifted = sound.copy()
    shifted[:, 0] += 0.5
    path = write_wav(shifted, name="shifted.wav", subtype="FLOAT")
    with open_recording(path, channel="loudest") as recording:
        assert recording.channel_read == "3"


@pytest.mark.parametrize("kind", ["flac", "ogg"])
def test_compressed_recordings_keep_their_channels(tmp_path, four_hydrophones, kind):
    _, sound = four_hydrophones
    path = tmp_path / f"a.{kind}"
    with soundfile.SoundFile(path, "w", 48_000, 4) as file:
        for start in range(0, len(sound), 48_000):
            file.write(sound[start : start + 48_000])
    loudness = [np.sqrt(np.mean(read(path, channel=number).astype(float) ** 2)) for number in (1, 2, 3, 4)]
    assert np.argsort(loudness).tolist() == [0, 3, 1, 2]


@pytest.mark.parametrize("channel", [0, 5, -1, "left", "", 1.5, True, None])
def test_a_channel_that_is_not_there_is_refused_with_those_that_are(four_hydrophones, channel):
    with pytest.raises(AudioError, match=r"reef\.wav has 4 channels: give a number from 1 to 4, 'mean' or 'loudest'"):
        open_recording(four_hydrophones[0], channel=channel)


def test_the_choice_is_in_the_provenance_and_travels_with_the_recording(four_hydrophones, loudness):
    path, _ = four_hydrophones
    found = {
        channel: detect(path, config=CONFIG, classifier=loudness, channel=channel) for channel in ("mean", 2, "loudest")
    }
    assert [one.metadata["provenance"]["channel"] for one in found.values()] == ["mean", "2", "3"]
    import pickle

    with open_recording(path, channel=2) as recording, pickle.loads(pickle.dumps(recording)) as other:
        np.testing.assert_array_equal(other.read(0, 100), recording.read(0, 100))


def test_each_channel_has_its_own_result_and_its_own_files(four_hydrophones, loudness, tmp_path):
    path, _ = four_hydrophones
    every = detect(path, config=CONFIG, classifier=loudness, channel="each")
    assert [found.metadata["provenance"]["channel"] for found in every] == ["1", "2", "3", "4"]
    one = detect(path, config=CONFIG, classifier=loudness, channel=3)
    np.testing.assert_array_equal(every[2].scores.probabilities, one.scores.probabilities)
    names = [found.save(tmp_path / "out", formats=["json"])[0].name for found in every]
    assert len(set(names)) == 4
    written = json.loads((tmp_path / "out" / names[1]).read_text())
    assert written["metadata"]["provenance"]["channel"] == "2"


def test_scores_of_one_channel_are_never_taken_for_those_of_another(four_hydrophones, loudness, tmp_path):
    path, _ = four_hydrophones
    first, again = (
        [
            detect(path, config=CONFIG, classifier=loudness, channel=channel, cache=tmp_path / "cache")
            for channel in (1, "mean", 2, "loudest")
        ]
        for _ in range(2)
    )
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.scores.probabilities, other.scores.probabilities)
        assert one.metadata["provenance"]["channel"] == other.metadata["provenance"]["channel"]
    assert not np.array_equal(first[0].scores.probabilities, first[2].scores.probabilities)


def test_two_channels_that_cancel_in_the_mean_are_noticed(write_wav, noise):
    sound = noise(6)
    path = write_wav(np.stack([sound, -0.9 * sound], axis=1))
    with open_recording(path) as recording:
        assert any("channels 1 and 2" in text and "cancel" in text for text in recording.warnings)
    with open_recording(path, channel=1) as recording:
        assert recording.warnings == ()


def test_channels_of_their_own_sound_are_not_taken_for_inverted_ones(four_hydrophones):
    with open_recording(four_hydrophones[0]) as recording:
        assert recording.warnings == ()


def test_a_dead_channel_among_others_is_noticed(write_wav, noise):
    sound = noise(6)
    with open_recording(write_wav(np.stack([np.zeros_like(sound), sound], axis=1))) as recording:
        assert any("channel 1 is constant" in text and "channel=2" in text for text in recording.warnings)


def test_comparing_needs_a_small_part_of_a_long_recording():
    read_samples = []

    def reading(start, stop):
        read_samples.append(stop - start)
        return np.ones((stop - start, 2), np.float32)

    compare_channels(reading, 10_000 * 48_000, 48_000)
    assert sum(read_samples) <= 16 * 48_000


def test_a_recording_of_one_channel_has_channel_1(write_wav, noise):
    path = write_wav(noise(1))
    np.testing.assert_array_equal(read(path, channel=1), read(path))
    with pytest.raises(AudioError, match="1 channel"):
        open_recording(io.BytesIO(path.read_bytes()), channel=2)
