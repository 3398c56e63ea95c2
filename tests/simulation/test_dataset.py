import numpy as np
import pytest
import soundfile

from anemone_lib import read_annotations
from anemone_lib.errors import ConfigError
from anemone_lib.simulation.dataset import write_dataset
from anemone_lib.tuning.recordings import find_annotated_recordings


def test_a_season_is_a_folder_of_recordings_with_their_tables(tmp_path):
    samples = write_dataset(tmp_path, n_recordings=4, duration=60, sample_rate=8000)
    assert samples == [tuple(pair) for pair in find_annotated_recordings(tmp_path)]
    calls = [sum(a.label == "anemonefish" for a in read_annotations(table)) for _, table in samples]
    assert calls[0] == 0
    assert min(calls[2:]) > 0
    assert soundfile.info(samples[0][0]).frames == 60 * 8000


def test_a_seed_gives_the_same_season_and_another_seed_another(tmp_path):
    first, again, other = (
        write_dataset(tmp_path / name, n_recordings=2, duration=5, sample_rate=8000, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    for (recording, table), (same_recording, same_table) in zip(first, again, strict=True):
        assert recording.read_bytes() == same_recording.read_bytes()
        assert table.read_text() == same_table.read_text()
    for (recording, _), (another, _) in zip(first, other, strict=True):
        assert not np.array_equal(soundfile.read(recording)[0], soundfile.read(another)[0])


def test_a_season_of_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="n_recordings is 0"):
        write_dataset(tmp_path, n_recordings=0)
