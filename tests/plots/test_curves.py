import numpy as np
import pytest

from anemone_lib import InferenceConfig, open_recording, score_recording
from anemone_lib import plots as charts
from anemone_lib.evaluation.rates import Counts
from anemone_lib.evaluation.windows import count_confusions, measure_reliability, trace_thresholds
from anemone_lib.plots.waveform import filter_band
from anemone_lib.plots.windows import draw_window, draw_window_with_librosa, measure_pixel_difference
from anemone_lib.soundscape.noise import BANDS_HZ, NoiseContext, lay_bands

THRESHOLDS = np.linspace(0.1, 0.9, 9)
CURVE = {
    "confidence_threshold": THRESHOLDS,
    "precision": THRESHOLDS,
    "recall": 1 - THRESHOLDS**2,
    "f1": 1 - np.abs(THRESHOLDS - 0.6),
    "false_alarms_per_hour": 100 * (1 - THRESHOLDS) ** 3,
}


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture
def drawn():
    """Draw what was made, as saving does; a warning on the way is an error."""
    made = []
    yield lambda ax: made.append(ax) or ax
    for ax in made:
        ax.figure.canvas.draw()


def test_the_chosen_point_is_marked_where_the_curve_has_it(drawn):
    ax = drawn(charts.plot_precision_recall(CURVE, chosen=0.6, base=0.5, base_curve=CURVE))
    marks = {line.get_label(): line.get_xydata()[0].tolist() for line in ax.lines if "threshold " in line.get_label()}
    assert marks["chosen: threshold 0.6"] == pytest.approx([1 - 0.36, 0.6])
    assert marks["before: threshold 0.5"] == pytest.approx([1 - 0.25, 0.5])


@pytest.mark.parametrize("metric", ["f1", "precision", "recall", "false_alarms_per_hour"])
def test_a_rate_over_the_threshold_has_its_name_on_the_axis(drawn, metric):
    ax = drawn(charts.plot_over_threshold(CURVE, metric, chosen=0.6, base=0.5, base_curve=CURVE))
    assert ax.get_ylabel()
    assert "chosen: 0.6" in texts(ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), CURVE[metric])


def test_each_recording_has_its_row_and_an_unknown_rate_no_mark(drawn):
    tuned = [Counts(10, 10, 9, 60.0), Counts(0, 0, 0, 60.0)]
    base = [Counts(10, 5, 5, 60.0), Counts(0, 2, 0, 60.0)]
    ax = drawn(charts.plot_recordings(["a.wav", "b" * 60 + ".wav"], tuned, base))
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "a.wav  (10)"
    assert len(labels[1]) < 50
    drawn(charts.plot_recordings(["a.wav", "b.wav"], tuned, base, metric="false_alarms_per_hour"))


def test_curves_of_windows_share_axes(drawn, rng):
    present, probabilities = rng.random(200) < 0.3, rng.random(200)
    ax = charts.plot_threshold_curve(trace_thresholds(present, probabilities), label="before")
    drawn(
        charts.plot_threshold_curve(
            trace_thresholds(present, 0.5 * present + 0.5 * probabilities), label="after", ax=ax
        )
    )
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--"]
    assert "after (average precision 1.000)" in texts(ax)


def test_reliability_says_its_error(drawn, rng):
    probabilities = rng.random(1000)
    curve = measure_reliability(rng.random(1000) < probabilities, probabilities)
    ax = drawn(charts.plot_reliability({"as trained": curve}))
    assert texts(ax) == ["perfect", f"as trained (error {curve.expected_calibration_error:.3f})"]


def test_the_confusion_matrix_has_parts_and_numbers(drawn):
    matrix = count_confusions(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), n_classes=3)
    ax = drawn(charts.plot_confusion(matrix, ["noise", "anemonefish", "biological"]))
    assert [text.get_text() for text in ax.texts][:2] == ["50%\n(1)", "50%\n(1)"]


def test_the_learning_curve_has_a_line_for_every_class_and_start(drawn):
    curves = {("hum", "shipped"): {5: 0.5, 20: 0.8}, ("hum", "none"): {5: 0.3, 20: 0.8}, ("knock", "none"): {20: 0.6}}
    ax = drawn(charts.plot_learning_curve(curves, part="validation"))
    assert texts(ax) == ["hum, start: shipped", "hum, start: none", "knock, start: none"]
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--", "--"]
    assert ax.lines[0].get_color() == ax.lines[1].get_color() != ax.lines[2].get_color()
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["5", "20"]
    assert ax.get_ylabel() == "Average precision, validation part"


def test_history_noise_and_waveform_are_drawn(drawn):
    drawn(charts.plot_history({"loss": [1.0, 0.5], "val_loss": [1.1, 0.7]}))
    levels = {name: np.linspace(-60, -40, 5) for name in ("below", "calls", "above", "shrimp")}
    context = NoiseContext(np.arange(5.0), levels, BANDS_HZ, 100.0, [], 0.0, 0.0)
    ax = drawn(charts.plot_noise(context, duration=5.0))
    assert "Level (dB" in ax.get_ylabel()
    assert "calls, 300 to 1000 Hz" in texts(ax)
    samples = np.sin(np.arange(48_000) / 10).astype(np.float32)
    samples[100:2000] = np.nan
    ax = drawn(charts.plot_waveform(samples, 48_000, start_time=3.0))
    assert ax.get_xlim() == (3.0, 4.0)


def test_windows_are_drawn_as_the_model_sees_them_with_what_it_says(write_wav, noise, loudness):
    config = InferenceConfig()
    with open_recording(write_wav(noise(4))) as recording:
        scores = score_recording(recording, loudness, config)
        figure = charts.plot_seen_windows(recording, scores, config, [0, scores.n_windows - 1])
    figure.canvas.draw()
    image, _, bars, *_ = figure.axes
    start, end = scores.start_times[0], scores.start_times[0] + 1
    assert image.get_xlim() == (start, end)
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(scores.probabilities[0].tolist())


def test_the_models_image_is_that_of_librosa(write_wav, noise, loudness, drawn):
    config = InferenceConfig()
    with open_recording(write_wav(noise(3), 24_000)) as recording:
        scores = score_recording(recording, loudness, config)
        for window in (1, scores.n_windows - 1):  # one inside, and the last, which zeros fill
            image = draw_window(recording, scores, config, window)
            by_librosa = draw_window_with_librosa(recording, scores, config, window)
            assert measure_pixel_difference(image, by_librosa) <= 1.01
    figure = charts.plot_librosa_comparison(image, by_librosa, fmax_hz=2000, window_duration=1.0)
    figure.canvas.draw()
    assert "of 255 grey levels" in figure.get_suptitle()


def test_a_figure_of_windows_has_titles_and_a_scale(write_wav, noise, loudness):
    config = InferenceConfig()
    with open_recording(write_wav(noise(4))) as recording:
        scores = score_recording(recording, loudness, config)
        figure = charts.plot_seen_windows(recording, scores, config, [0, 2], titles=["quiet", "surest call"])
    assert [ax.get_title() for ax in figure.axes[:2]] == ["quiet\n0.0 to 1.0 s", "surest call\n0.8 to 1.8 s"]
    assert "Level in this window" in figure.axes[-1].get_ylabel()


def test_the_precision_of_the_windows_set_aside_has_an_axis_of_its_own(drawn):
    ax = drawn(charts.plot_history({"loss": [0.6, 0.4, 0.3], "validation": [0.5, 0.8, 0.9]}))
    assert [other.get_ylabel() for other in ax.figure.axes] == ["Loss (cross-entropy)", "Average precision"]
    assert "set aside (right)" in texts(ax)


def test_a_band_that_the_sample_rate_does_not_reach_is_not_in_the_legend(drawn):
    levels = {"calls": np.full(5, -50.0), "shrimp": np.full(5, np.nan)}
    context = NoiseContext(np.arange(5.0), levels, lay_bands((30.0, 400.0)), float("nan"), [], 0.0, 0.0)
    ax = drawn(charts.plot_noise(context, duration=5.0))
    assert "calls, 30 to 400 Hz" in texts(ax)
    assert not any("shrimp" in text for text in texts(ax))


def test_curves_say_which_recordings_they_show(drawn):
    for draw in (charts.plot_precision_recall, charts.plot_over_threshold):
        assert drawn(draw(CURVE, title="Recordings tuned on")).get_title("left") == "Recordings tuned on"
    counts = [Counts(10, 10, 9, 60.0)]
    ax = drawn(charts.plot_recordings(["a.wav"], counts, counts, title="Recordings set aside"))
    assert ax.get_title("left").startswith("Recordings set aside: ")


def test_false_alarms_have_plain_numbers(drawn):
    ax = drawn(charts.plot_over_threshold(CURVE, "false_alarms_per_hour"))
    ax.figure.canvas.draw()
    assert {"1", "10"} <= {label.get_text() for label in ax.get_yticklabels()}


def test_the_band_of_the_calls_is_drawn_below_the_whole_waveform(rng):
    rate = 8000
    time = np.arange(4 * rate) / rate
    samples = (0.5 * np.sin(2 * np.pi * 40 * time) + 0.01 * np.sin(2 * np.pi * 600 * time)).astype(np.float32)
    samples[100:120] = np.nan
    figure = charts.plot_waveforms(samples, rate, start_time=2.0)
    figure.canvas.draw()
    above, below = figure.axes
    assert above.get_ylim()[1] > 0.4
    assert 0.009 < below.get_ylim()[1] < 0.05
    assert below.get_xlim() == (2.0, 6.0)
    assert "300 to 1000 Hz" in below.get_title("left")
    assert not filter_band(samples, 500, (300, 1000)).any()  # a rate that cannot hold the band


def test_the_level_that_masks_calls_is_drawn(drawn):
    levels = {"calls": np.array([-60.0] * 5 + [-40.0])}
    context = NoiseContext(np.arange(6.0), levels, {"calls": (300, 1000)}, float("nan"), [], 0.0, 0.0)
    ax = drawn(charts.plot_noise(context, duration=6.0))
    assert any("above -50 dB" in text for text in texts(ax))
    assert "nan" not in context.describe_snaps()
