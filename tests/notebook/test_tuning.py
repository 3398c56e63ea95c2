import io
import json
import re

import numpy as np
import pytest
import soundfile

from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import decide_events
from anemone_lib.notebook.tuning import TuningPanel
from anemone_lib.promotion import Promotion
from anemone_lib.tuning.search import tune
from anemone_lib.tuning.sweep import SearchSpace
from tests.conftest import make_annotated_recording


def rows_of(panel):
    """The cells of the panel's table, by the name of the row."""
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in panel.status.value.split("</tr>")]
    return {cells[0]: cells[1:] for cells in rows if cells}


def test_a_slider_decides_the_events_anew():
    one = make_annotated_recording(np.random.default_rng(8).random(300), [(10, 12), (50, 51)])
    config = InferenceConfig(smoothing_window=1)
    panel = TuningPanel([one], config)
    assert rows_of(panel)["all"][3] == str(len(decide_events(one.scores, config)))
    before = bytes(panel.picture.value)
    panel.sliders["confidence_threshold"].value = 0.9
    panel.sliders["smoothing_window"].value = 3
    config = config.replace(confidence_threshold=0.9, smoothing_window=3)
    assert panel.config == config
    assert rows_of(panel)["all"][3] == str(len(decide_events(one.scores, config)))
    assert bytes(panel.picture.value) != before
    assert [slider.description for slider in panel.sliders.values()] == [
        "confidence_threshold (0 to 1)",
        "smoothing_window (windows)",
        "min_gap_duration (s)",
        "min_event_duration (s)",
    ]


def test_the_recording_with_most_calls_is_shown_from_its_first_call_on():
    silent = make_annotated_recording(np.zeros(200), [], name="a.wav")
    full = make_annotated_recording(np.zeros(200), [(50, 52), (60, 61)], name="b.wav")
    panel = TuningPanel([silent, full], InferenceConfig())
    assert panel.recording.value == 1
    assert panel.start.value == 45
    assert "nan" not in panel.status.value
    panel.recording.value = 0
    assert panel.start.value == 0


def test_the_part_that_is_shown_has_its_spectrogram_and_its_sound(write_wav, noise):
    path = write_wav(noise(80), 8000, name="reef.wav")
    one = make_annotated_recording(np.zeros(200), [(50, 52)], name="reef.wav")
    plain, panel = (
        TuningPanel([one], InferenceConfig()),
        TuningPanel([one], InferenceConfig(), paths={"reef.wav": path}),
    )
    assert len(bytes(panel.picture.value)) > 3 * len(bytes(plain.picture.value))
    samples, rate = soundfile.read(io.BytesIO(bytes(panel.sound.value)))
    whole, _ = soundfile.read(path)
    part = whole[45 * rate : 75 * rate]
    assert len(samples) == len(part)
    assert np.corrcoef(samples, part)[0, 1] > 0.999
    panel.start.value = 10
    moved, _ = soundfile.read(io.BytesIO(bytes(panel.sound.value)))
    assert np.corrcoef(moved, whole[10 * rate : 40 * rate])[0, 1] > 0.999


@pytest.fixture
def tuning(rng):
    recordings = []
    for k in range(12):
        present = rng.random(60) < 0.2
        target = np.clip(np.where(present, 0.42, 0.12) + rng.normal(0, 0.04, 60), 0, 1)
        calls = [(0.4 * i + 0.2, 0.4 * i + 0.8) for i in np.flatnonzero(present)]
        recordings.append(make_annotated_recording(target, calls, name=f"r{k}.wav"))
    space = SearchSpace((1,), (0.2, 0.3, 0.5, 0.6), (0.1,), (0.2,))
    return recordings, tune(recordings, InferenceConfig(smoothing_window=1, confidence_threshold=0.5), space=space)


def test_recordings_set_aside_are_counted_apart(tuning):
    recordings, found = tuning
    panel = TuningPanel(recordings, found.config, tuning=found)
    rows = rows_of(panel)
    assert list(rows) == ["tuned on", "set aside"]
    assert [rows[name][0] for name in rows] == [str(len(found.tuned_on)), str(len(found.held_out))]
    aside = next(name for name, k in panel.recording.options if k == recordings.index(found.held_out[0]))
    assert aside.endswith("(set aside)")


def test_the_button_promotes_what_the_sliders_say_or_says_why_not(tuning, tmp_path):
    recordings, found = tuning
    about = {"tuning": found, "promote_to": tmp_path, "repeat": {"recordings": "reef"}}
    panel = TuningPanel(recordings, found.config, bout_gap=found.bout_gap, **about)
    panel.promote.click()
    settings = tmp_path / "inference_config.auto.tfvars.json"
    assert panel.said.value.startswith("Promoted: "), panel.said.value
    assert Promotion.load(settings).config == found.config
    assert "anemone tune reef" in (tmp_path / "inference_config.md").read_text()
    panel.sliders["confidence_threshold"].value = 0.95
    panel.promote.click()
    assert "not promoted, because " in panel.said.value
    assert Promotion.load(settings).config == found.config  # as it was
    panel.force.value = True
    panel.promote.click()
    assert Promotion.load(settings).config.confidence_threshold == 0.95
    page = (tmp_path / "inference_config.md").read_text()
    assert "Set by hand." in page
    assert "anemone tune" not in page
    assert json.loads((tmp_path / "inference_config.tuning.json").read_text())["objective"] == "set by hand"
