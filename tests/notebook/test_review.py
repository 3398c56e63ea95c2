import io
import re
import struct

import numpy as np
import pytest
import soundfile

from anemone_lib.audio.playback import MAX_PLAYED_HZ, cut_clip
from anemone_lib.audio.recording import open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Event
from anemone_lib.notebook.review import ReviewPanel
from anemone_lib.review.book import VerdictBook
from anemone_lib.review.sampling import ReviewItem
from anemone_lib.review.verdicts import Review


@pytest.fixture
def recording(write_wav, noise):
    with open_recording(write_wav(noise(12))) as opened:
        yield opened


@pytest.fixture
def panel(recording, tmp_path):
    events = [Event(f"e{k}", "anemonefish", 3.0 * k, 3.0 * k + 1, 0.5 + 0.1 * k, 0.9, 2) for k in range(3)]
    return ReviewPanel(Review(events, tmp_path / "review.selections.txt", config=InferenceConfig()), recording)


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


def click(panel, text):
    next(one for one in panel.verdict.children if one.description.startswith(text)).click()


def labels_of(panel):
    return [panel.review.get_label(one) for one in panel.review.events]


def test_the_panel_shows_the_most_uncertain_event_with_picture_and_sound(panel):
    assert panel.event.id == "e0"
    assert "Event 1 of 3" in panel.status.value
    assert "anemonefish?" in panel.status.value
    width, height = struct.unpack(">II", bytes(panel.picture.value)[16:24])
    assert width >= 1.5 * 960  # more pixels than the widest that it is shown
    assert height < 0.5 * width  # low enough that the buttons are in view
    samples, _ = soundfile.read(io.BytesIO(bytes(panel.sound.value)))
    assert len(samples) > 0


def test_buttons_decide_and_go_on(panel):
    click(panel, "Accept")
    click(panel, "Reject")
    assert labels_of(panel) == ["anemonefish", "not anemonefish", "anemonefish?"]
    assert panel.event.id == "e2"
    assert "2 reviewed, precision so far 50%" in panel.status.value
    click(panel, "Undo")
    assert panel.event.id == "e1"
    click(panel, "Previous")
    assert panel.event.id == "e0"


@pytest.mark.parametrize("pieces", [["a", "p", "n", "R", "x"], ["apnRx"], ["ap", "nRx"]])
def test_letters_decide_as_buttons_do_however_many_arrive_at_once(panel, pieces):
    for piece in pieces:  # a browser sends the whole text of the field, and only the latest where it is slow
        panel.keys.value += piece
    assert labels_of(panel) == ["anemonefish", "not anemonefish", "anemonefish?"]
    panel.keys.value = panel.keys.value[:-2]  # what is deleted does nothing
    assert labels_of(panel) == ["anemonefish", "not anemonefish", "anemonefish?"]


def test_a_click_that_comes_late_is_for_the_event_that_was_seen(panel):
    accept, label = panel.verdict.children[0], panel.verdict.children[-1]
    label.value = "grunt"  # leaving the field, by a click on another button, stores it
    assert panel.event.id == "e1"
    accept.click()
    accept.click()
    assert labels_of(panel) == ["anemonefish", "anemonefish?", "anemonefish?"]
    assert panel.event.id == "e1"


def test_the_same_label_twice_works_and_has_a_key(panel):
    for _ in range(2):
        panel.verdict.children[-1].value = "boat  noise"
    assert "1 boat noise" in panel.hint.value
    panel.keys.value = "1"
    assert labels_of(panel) == ["boat noise"] * 3


def test_nothing_is_closed_under_it(write_wav, noise, tmp_path):
    events = [Event(f"e{k}", "anemonefish", 3.0 * k, 3.0 * k + 1, 0.6, 0.9, 2) for k in range(3)]
    review = Review(events, tmp_path / "review.selections.txt", config=InferenceConfig())
    with open_recording(write_wav(noise(12))) as opened:
        panel = ReviewPanel(review, opened)
    panel.accept()
    assert (panel.event.id, panel.problem.value) == ("e1", "")
    panel.close()
    panel.accept()  # it opens what it needs
    assert (panel.event.id, panel.problem.value) == ("e2", "")


def test_what_cannot_be_saved_is_said_in_the_panel_and_is_no_verdict(panel, monkeypatch):
    monkeypatch.setattr(panel.review, "save", lambda: (_ for _ in ()).throw(OSError("No space left on device")))
    panel.accept()
    assert "No space left on device" in panel.problem.value
    assert labels_of(panel) == ["anemonefish?"] * 3
    assert panel.event.id == "e0"
    monkeypatch.undo()
    panel.accept()
    assert panel.problem.value == ""
    assert panel.event.id == "e1"


def test_an_event_that_cannot_be_shown_gets_no_verdict(write_wav, noise, tmp_path):
    """The recording is gone after the first event: no letter decides on what nobody saw."""
    gone = write_wav(noise(12), name="gone.wav")
    items = [ReviewItem("e0", str(write_wav(noise(12))), 1, 2, 0.9), ReviewItem("e1", str(gone), 1, 2, 0.8)]

    class UnkeptBook(VerdictBook):
        def save(self):
            return tmp_path / "nothing is written"

    book = UnkeptBook(items, InferenceConfig())
    panel = ReviewPanel(book)
    gone.unlink()
    panel.keys.value = "aar"
    assert [book.get_label(one) for one in items] == ["anemonefish", "anemonefish?"]
    assert panel.event is None
    assert "Event 2 of 2</b> cannot be shown" in panel.status.value
    assert bytes(panel.picture.value) == b""
    assert "no event is shown" in panel.problem.value
    panel.keys.value += "p"
    assert panel.event.id == "e0"
    assert panel.problem.value == ""


def test_blind_review_hides_what_would_sway(panel, recording):
    assert "confidence 0.50" in panel.status.value
    blind = ReviewPanel(panel.review, recording, blind=True)
    blind.accept()
    assert "1 reviewed" in blind.status.value
    assert not re.search(r"confidence|precision|detected", blind.status.value)


def test_speed_context_and_loop_change_what_is_played(panel):
    before, picture = len(bytes(panel.sound.value)), bytes(panel.picture.value)
    panel.speed.value = 0.5
    assert len(bytes(panel.sound.value)) == pytest.approx(before, rel=0.01)  # as many samples, at half the rate
    assert soundfile.info(io.BytesIO(bytes(panel.sound.value))).samplerate == 24_000
    panel.context.value = 3.0
    assert len(bytes(panel.sound.value)) > before
    assert bytes(panel.picture.value) != picture
    panel.loop.value = panel.autoplay.value = True
    assert (panel.sound.loop, panel.sound.autoplay) == (True, True)


def test_a_review_that_is_resumed_shows_the_first_open_event(panel, recording):
    panel.accept()
    review = Review(panel.review.events, panel.review.table, config=InferenceConfig())
    assert ReviewPanel(review, recording).event.id == "e1"


def test_nothing_to_review_is_said(recording, tmp_path):
    panel = ReviewPanel(Review([], tmp_path / "none.txt", config=InferenceConfig()), recording)
    assert "No events to review" in panel.status.value
    panel.accept()
    panel.next()
    panel.undo()
    assert panel.event is None
    assert panel.problem.value == ""
