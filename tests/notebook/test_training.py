import numpy as np
import pytest

from anemone_lib import InferenceConfig, load_classifier, open_recording, score_recording
from anemone_lib.errors import ConfigError
from anemone_lib.notebook.training import gather_windows, read_transform_rate
from anemone_lib.simulation import write_dataset
from anemone_lib.training.labelled import cut_annotated_files


def test_windows_of_annotated_recordings_come_first_and_simulated_ones_are_added(tmp_path):
    pairs, config = write_dataset(tmp_path, n_recordings=2, duration=4, sample_rate=8000), InferenceConfig()
    windows = gather_windows(pairs, config, simulated_recordings=1, seed=3)
    first, second = cut_annotated_files(pairs, config, seed=3)
    n_own = len(first) + len(second)
    np.testing.assert_array_equal(windows.images[:n_own], np.concatenate([first.images, second.images]))
    assert len(windows) > n_own
    assert all(name.startswith("simulated") for name in windows.recordings[n_own:])


def test_no_recording_at_all_is_refused_with_what_to_do():
    with pytest.raises(ConfigError, match="give at least one recording"):
        gather_windows([], InferenceConfig())


def test_windows_are_drawn_as_the_model_to_start_from_is_shown_them(tmp_path):
    pairs, config = write_dataset(tmp_path, n_recordings=1, duration=6, sample_rate=8000), InferenceConfig()
    windows = gather_windows(pairs, config, transform_sr=read_transform_rate("demonstration"))
    with open_recording(pairs[0][0]) as recording:
        scores = score_recording(recording, load_classifier(), config)
    shown = np.searchsorted(scores.start_times, windows.start_times - 1e-9)
    found = load_classifier().classify(windows.images.astype(np.float32) / np.float32(255))
    np.testing.assert_allclose(found, scores.probabilities[shown], atol=0.02)  # images of 8 bits
