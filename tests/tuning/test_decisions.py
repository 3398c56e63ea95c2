import json

import numpy as np
import pytest

from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Annotation
from anemone_lib.errors import ConfigError
from anemone_lib.scoring.scores import Scores
from anemone_lib.scoring.windows import WindowGrid
from anemone_lib.tuning.by_class import ScoredPart, measure_classes
from anemone_lib.tuning.decisions import Decisions, load_decisions, tune_classes
from anemone_lib.tuning.recordings import AnnotatedRecording

CONFIG = InferenceConfig(
    model_classes="noise,grunt", target_class="grunt", window_duration=1.0, stride_duration=0.2, target_sr=100
)


def test_calls_two_windows_apart_are_found_one_by_one():
    """A perfect model: every window that holds some of a call is at 0.9. Events that touch were joined before."""
    grid = WindowGrid(n_samples=60 * 100, sample_rate=100, window_samples=100, stride_samples=20)
    calls = [Annotation(t, t + 0.7, "grunt") for t in np.arange(1.2, 58, 2.4)]  # 1.7 s of silence between them
    target = np.full(grid.n_windows, 0.1, np.float32)
    for call in calls:
        target[(grid.start_times < call.end_time - 0.03) & (grid.end_times > call.start_time + 0.03)] = 0.9
    scores = Scores(np.stack([1 - target, target], axis=1), ("noise", "grunt"), grid, recording_name="a.wav")
    part = ScoredPart(AnnotatedRecording(scores, calls), (), "a", (0.0, 60.0))
    decisions = tune_classes([part], CONFIG)
    measured = measure_classes([part], decisions.configs)["grunt"]["event_f1"]
    assert (measured["n_reference"], measured["value"]) == (len(calls), 1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["grunt"]},
        {"classes": {"knock": 0.5}},
        {"groups": {"a": {"knock": {"threshold": 0.5}}}},
        {"groups": 3},
    ],
)
def test_a_damaged_file_of_settings_is_named(tmp_path, change):
    config = CONFIG.replace(model_classes="noise,grunt,knock")
    path = Decisions({"grunt": config, "knock": config}, {}).save(
        tmp_path / "class_settings.json", model_sha256="a" * 64
    )
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match="class_settings.json does not have settings by class"):
        load_decisions(None, config, path=path)
