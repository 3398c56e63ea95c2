import io

import numpy as np
import pytest
import soundfile

from anemone_lib.audio.playback import MAX_PLAYED_HZ, cut_clip
from anemone_lib.audio.recording import open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Event, decide_events
from anemone_lib.notebook.review import ReviewPanel
from anemone_lib.notebook.tuning import TuningPanel
from anemone_lib.review.verdicts import Review
from tests.conftest import make_annotated_recording


@pytest.fixture
def recording(write_wav, noise):
    with open_recording(write_wav(noise(12))) as opened:
        yield opened


@pytest.fixture
def panel(recording, tmp_path):
    events = [Event(f"e{k}", "anemonefish", 3.0 * k, 3.0 * k + 1, 0.5 + 0.1 * k, 0.9, 2) for k in range(3)]
    return ReviewPanel(Review(events, tmp_path / "review.selections.txt", config=InferenceConfig()), recording)


def texts(widget):
    return [child.value for child in widget.children if hasattr(child, "value") and isinstance(child.value, str)]


# ---------------------------------------------------------------------- the clip


def frequency_of(samples, rate):
    return np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples)


@pytest.mark.parametrize("rate", [8_000, 48_000, 192_000])
def test_at_twice_the_speed_a_call_is_an_octave_higher_and_half_as_long(write_wav, rate):
    tone = 0.01 * np.sin(2 * np.pi * 150 * np.arange(4 * rate) / rate)
    with open_recording(write_wav(tone, rate)) as recording:
        samples, played = cut_clip(recording, 1.0, 3.0, margin=0.5, speed=2)
    assert played <= MAX_PLAYED_HZ
    assert len(samples) / played == pytest.approx(1.5, rel=1e-3)
    assert frequency_of(samples, played) == pytest.approx(300, abs=1)
    assert np.abs(samples).max() == pytest.approx(0.9, abs=1e-3)


def test_a_clip_ends_with_the_recording_and_holds_no_gaps(write_wav):
    samples = np.full(8000, 0.1, np.float32)
    samples[4000:] = np.nan
    with open_recording(write_wav(samples, 8000, subtype="FLOAT")) as recording:
        clip, rate = cut_clip(recording, 0.8, 1.0, margin=0.5)
    assert len(clip) / rate == pytest.approx(0.7)
    assert np.isfinite(clip).all()


def test_a_speed_of_nothing_is_refused(recording):
    with pytest.raises(ValueError, match="speed is 0"):
        cut_clip(recording, 0, 1, speed=0)


# ---------------------------------------------------------------------- the panel


def test_the_panel_shows_the_most_uncertain_event_with_picture_and_sound(panel):
    assert panel.event.id == "e0"
    status, picture, sound = panel.widget.children[:3]
    assert "Event 1 of 3" in status.value
    assert "anemonefish?" in status.value
    assert bytes(picture.value).startswith(b"\x89PNG")
    samples, _ = soundfile.read(io.BytesIO(bytes(sound.value)))
    assert len(samples) > 0


def test_buttons_decide_and_go_on(panel):
    accept, reject, undo, previous, _ = panel.widget.children[3].children
    accept.click()
    reject.click()
    review = panel.review
    assert [review.label(one) for one in review.events] == ["anemonefish", "not anemonefish", "anemonefish?"]
    assert panel.event.id == "e2"
    assert "2 reviewed, precision so far 50%" in panel.widget.children[0].value
    undo.click()
    assert panel.event.id == "e1"
    previous.click()
    assert panel.event.id == "e0"


def test_letters_decide_as_buttons_do(panel):
    label, key, _ = panel.widget.children[4].children
    for letter in "apnRx":
        key.value = letter
        assert key.value == ""
    assert [panel.review.label(one) for one in panel.review.events] == [
        "anemonefish",
        "not anemonefish",
        "anemonefish?",
    ]
    label.value = "damselfish"
    assert panel.review.label(panel.review.events[2]) == "damselfish"
    assert label.value == ""


def test_a_review_that_is_resumed_shows_the_first_open_event(panel, recording):
    panel.accept()
    review = Review(panel.review.events, panel.review.table, config=InferenceConfig())
    assert ReviewPanel(review, recording).event.id == "e1"


def test_nothing_to_review_is_said(recording, tmp_path):
    panel = ReviewPanel(Review([], tmp_path / "none.txt", config=InferenceConfig()), recording)
    assert "No events to review" in panel.widget.children[0].value
    panel.accept()
    panel.next()
    panel.undo()
    assert panel.event is None


# ---------------------------------------------------------------------- the sliders


def test_a_slider_decides_the_events_anew():
    one = make_annotated_recording(np.random.default_rng(8).random(300), [(10, 12), (50, 51)])
    config = InferenceConfig(smoothing_window=1)
    panel = TuningPanel([one], config)
    status, picture = panel.widget.children[-2:]
    assert f"<b>{len(decide_events(one.scores, config))} events</b>" in status.value
    before = bytes(picture.value)
    panel.sliders["confidence_threshold"].value = 0.9
    panel.sliders["smoothing_window"].value = 3
    config = config.replace(confidence_threshold=0.9, smoothing_window=3)
    assert panel.config == config
    assert f"<b>{len(decide_events(one.scores, config))} events</b>" in status.value
    assert bytes(picture.value) != before


def test_another_recording_is_shown_when_it_is_chosen():
    pair = [
        make_annotated_recording(np.full(20, 0.9), [(1, 2)], name="a.wav"),
        make_annotated_recording(np.zeros(20), [], name="b.wav"),
    ]
    panel = TuningPanel(pair, InferenceConfig())
    picture = bytes(panel.widget.children[-1].value)
    panel.widget.children[-3].value = 1
    assert bytes(panel.widget.children[-1].value) != picture
    assert "in 2 recordings" in panel.widget.children[-2].value


def test_rates_that_are_unknown_are_a_dash_and_the_recording_with_most_calls_is_shown():
    silent = make_annotated_recording(np.zeros(20), [], name="a.wav")
    assert "nan" not in TuningPanel([silent], InferenceConfig()).widget.children[-2].value
    panel = TuningPanel([silent, make_annotated_recording(np.zeros(20), [(1, 2)], name="b.wav")], InferenceConfig())
    assert panel.widget.children[-3].value == 1
    assert "nan" not in panel.widget.children[-2].value
