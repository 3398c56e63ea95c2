"""Pictures: what is drawn where; and that every kind of recording can be drawn."""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from anemone_lib.audio.gaps import Gap, Pause, add_pauses
from anemone_lib.audio.recording import open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Annotation, decide_events
from anemone_lib.plots import recording as plotting
from anemone_lib.plots.recording import plot_events, plot_overview, plot_probabilities
from anemone_lib.plots.spectrogram import plot_spectrogram
from anemone_lib.plots.timeaxis import format_time
from anemone_lib.plots.windows import plot_window_image
from anemone_lib.scoring.chunks import lay_grid, score_recording
from anemone_lib.scoring.scores import Scores

CONFIG = InferenceConfig()


def scores_of(recording, *, loud=(), skipped=(), config=CONFIG):
    """Scores in which windows `loud` hold the target and windows `skipped` could not be read, both (first, stop)."""
    grid = lay_grid(recording.n_samples, sample_rate=recording.sample_rate, **config.grid_settings)
    target = np.full(grid.n_windows, 0.1)
    for first, stop in loud:
        target[first:stop] = 0.9
    probabilities = np.stack([1 - target, target, 0 * target], axis=1).astype(np.float32)
    gaps = []
    for first, stop in skipped:
        probabilities[first:stop] = np.nan
        gaps.append(Gap(grid.end_times[first - 1], grid.start_times[stop], "not finite"))
    return Scores(
        probabilities,
        config.classes,
        grid,
        tuple(gaps),
        recording_name=recording.name,
        start_time=recording.start_time,
        model_version="v1.0",
    )


@pytest.fixture
def reef(write_wav, noise):
    with open_recording(write_wav(noise(20), name="20230210_000001.wav")) as recording:
        yield recording


def labels_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def ticks_of(ax):
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    places = ax.get_xticks()
    return [text.get_text() for at, text in zip(places, ax.get_xticklabels(), strict=True) if low <= at <= high]


# ---------------------------------------------------------------------- the overview


def test_the_overview_shows_events_gaps_threshold_and_says_what_it_shows(reef, tmp_path):
    scores = scores_of(reef, loud=[(5, 10), (30, 36)], skipped=[(15, 20)])
    events = decide_events(scores, CONFIG)
    assert len(events) == 2
    figure = plot_overview(reef, scores, events, CONFIG, annotations=[Annotation(2.2, 3, "call")])
    above, below, strip = figure.axes[:3]

    assert "20230210_000001.wav" in figure.get_suptitle()
    assert "20 s · 2 anemonefish events · model v1.0" in figure.get_suptitle()
    assert labels_of(figure) == [
        "probability",
        "smoothed over 5 windows",
        "threshold 0.5",
        "event",
        "skipped: not finite",
        "annotation",
    ]
    assert above.get_xlim() == below.get_xlim() == (0, 20)
    assert above.get_ylim() == (0, 2000)
    assert above.get_ylabel() == "Frequency (Hz)"
    assert any("above the median" in ax.get_ylabel() for ax in figure.axes)
    gap = scores.skipped[0]
    times = {"event": [(e.start_time, e.end_time) for e in events], "annotation": [(2.2, 3)]}
    times["skipped: not finite"] = [(gap.start_time, gap.end_time)]
    for ax, names in (
        (above, {"skipped: not finite"}),  # nothing colours the grey scale
        (below, {"skipped: not finite", "event"}),
        (strip, {"event", "annotation"}),
    ):
        spans = {c.get_label(): [p.get_extents() for p in c.get_paths()] for c in ax.collections}
        assert {name: [(box.x0, box.x1) for box in boxes] for name, boxes in spans.items() if name in times} == {
            name: times[name] for name in names
        }
    assert figure.savefig(tmp_path / "reef.png") is None
    assert (tmp_path / "reef.png").read_bytes().startswith(b"\x89PNG")


def test_the_overview_of_a_part_shows_that_part(reef):
    scores = scores_of(reef, loud=[(5, 10), (30, 36)], skipped=[(40, 43)])
    figure = plot_overview(reef, scores, decide_events(scores, CONFIG), CONFIG, start_time=1, end_time=6)
    assert "1 of 2 anemonefish events in this part" in figure.get_suptitle()
    assert "event" in labels_of(figure)
    assert not any("skipped" in label for label in labels_of(figure))
    assert figure.axes[0].get_xlim() == (1, 6)
    left, right, *_ = figure.axes[0].images[0].get_extent()
    assert (left, right) == (1, 6)


@pytest.mark.parametrize(("start_time", "end_time"), [(-1, 5), (5, 5), (30, None), (8, 3)])
def test_a_part_that_is_not_in_the_recording_is_refused(reef, start_time, end_time):
    with pytest.raises(ValueError, match=r"has 20 s: it must be 0 <= start_time < end_time"):
        plot_overview(reef, scores_of(reef), [], CONFIG, start_time=start_time, end_time=end_time)


def test_a_tone_is_drawn_at_its_frequency_and_time(write_wav):
    rate, samples = 48000, np.zeros(4 * 48000, np.float32)
    samples += 1e-4 * np.random.default_rng(1).standard_normal(len(samples)).astype(np.float32)
    samples[rate : 2 * rate] += 0.5 * np.sin(2 * np.pi * 750 * np.arange(rate) / rate).astype(np.float32)
    with open_recording(write_wav(samples)) as recording:
        ax = plot_overview(recording, scores_of(recording), [], CONFIG).axes[0]
    (image,) = ax.images
    levels = image.get_array().filled(np.nan)
    left, right, bottom, top = image.get_extent()
    times = left + (np.arange(levels.shape[1]) + 0.5) / levels.shape[1] * (right - left)
    hz = bottom + (np.arange(levels.shape[0]) + 0.5) / levels.shape[0] * (top - bottom)
    loudest = levels.max(axis=0)
    assert abs(hz[levels[:, np.argmin(abs(times - 1.5))].argmax()] - 750) < rate / 1024 / 2
    assert times[loudest > 40].min() == pytest.approx(1, abs=0.02)
    assert times[loudest > 40].max() == pytest.approx(2, abs=0.02)


def test_the_time_of_day_is_shown_where_it_is_known(reef, write_wav, noise):
    clock = plot_overview(reef, scores_of(reef), [], CONFIG).axes[2].child_axes[0]
    assert clock.get_xlabel() == "UTC, from 2023-02-10 00:00:01"
    labels = [text.get_text() for text in clock.get_xticklabels()]
    assert len(labels) >= 3
    assert labels == [f"00:00:{1 + round(seconds):02d}" for seconds in clock.get_xticks()]
    with open_recording(write_wav(noise(5), name="reef.wav")) as recording:
        assert not plot_overview(recording, scores_of(recording), [], CONFIG).axes[2].child_axes


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        (np.zeros(48000, np.float32), 48000),
        (np.full(2000, 0.5, np.float32), 48000),
        (np.ones(1, np.float32) * 0.1, 8000),
        (np.full(48000, np.nan, np.float32), 48000),
        (np.random.default_rng(0).uniform(-1, 1, 3000).astype(np.float32), 3000),
        (np.random.default_rng(0).uniform(-1, 1, 100_000).astype(np.float32), 200_000),
    ],
    ids=["silence", "shorter than a window", "one sample", "nothing readable", "3 kHz", "200 kHz"],
)
def test_every_recording_can_be_drawn(write_wav, loudness, tmp_path, samples, rate):
    with open_recording(write_wav(samples, rate, subtype="FLOAT")) as recording:
        scores = score_recording(recording, loudness, CONFIG)
        figure = plot_overview(recording, scores, decide_events(scores, CONFIG), CONFIG)
    figure.savefig(tmp_path / "a.png")
    assert figure.axes[0].get_ylim() == (0, min(2000, rate / 2))


def test_dollars_in_a_name_are_no_formula(write_wav, noise, tmp_path):
    with open_recording(write_wav(noise(5), name=r"a$\frac$b$.wav")) as recording:
        scores = scores_of(recording, skipped=[(4, 8)])
        scores = replace(scores, skipped=(replace(scores.skipped[0], reason=r"$\frac$"),))
        figure = plot_overview(recording, scores, [], CONFIG)
    figure.savefig(tmp_path / "a.png")  # a formula that cannot be read would be an error
    assert r"a$\frac$b$.wav" in figure.get_suptitle()


def test_steady_noise_is_white_and_what_comes_and_goes_is_dark(write_wav, rng):
    rate = 8000
    samples = 0.001 * rng.standard_normal(10 * rate)
    samples += 0.5 * np.sin(2 * np.pi * 1500 * np.arange(10 * rate) / rate)  # a boat, all the time
    samples[4 * rate : 5 * rate] += 0.01 * np.sin(2 * np.pi * 600 * np.arange(rate) / rate)  # a weaker call
    with open_recording(write_wav(samples.astype(np.float32), rate)) as recording:
        (image,) = plot_overview(recording, scores_of(recording), [], CONFIG).axes[0].images
    levels = image.get_array().filled(np.nan)
    middle = levels.shape[1] * 9 // 20
    bins = {hz: round(hz / (rate / CONFIG.n_fft)) for hz in (600, 1500)}
    assert abs(levels[bins[1500], middle]) < 1
    assert levels[bins[600], middle] > 20
    assert image.get_clim()[0] == 0


def test_real_recordings_can_be_drawn(shared_recordings, loudness, tmp_path):
    for path in sorted((shared_recordings / "reef").glob("*.wav")):
        with open_recording(path) as recording:
            scores = score_recording(recording, loudness, CONFIG)
            plot_overview(recording, scores, decide_events(scores, CONFIG), CONFIG).savefig(tmp_path / "a.png")


def test_pictures_do_without_pyplot_and_its_state():
    code = (
        "import io, sys, numpy as np\n"
        "from anemone_lib.plots.spectrogram import plot_spectrogram\n"
        "plot_spectrogram(np.ones(48000, np.float32), 48000).figure.savefig(io.BytesIO())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------------- the pictures by themselves


def test_probabilities_are_drawn_at_the_middle_of_their_windows(reef):
    scores = scores_of(reef, loud=[(5, 10)])
    ax = plot_probabilities(scores, target_class="anemonefish", confidence_threshold=0.7, smoothing_window=3)
    raw, smoothed, threshold = ax.lines
    middles = 0.4 * np.arange(scores.n_windows) + 0.5
    middles[-1] = (0.4 * (scores.n_windows - 1) + 20) / 2  # the last window ends with the recording
    np.testing.assert_allclose(raw.get_xdata(), middles)
    np.testing.assert_array_equal(raw.get_ydata(), scores.probabilities[:, 1])
    assert smoothed.get_label() == "smoothed over 3 windows"
    assert set(threshold.get_ydata()) == {0.7}
    assert ax.get_ylabel() == "P(anemonefish)"


def test_the_peak_of_a_short_event_is_seen_in_a_day():
    config = InferenceConfig(stride_duration=0.4)
    n_samples = 24 * 3600 * 8000
    recording = type("Day", (), {"n_samples": n_samples, "sample_rate": 8000, "name": "day", "start_time": None})()
    scores = scores_of(recording, loud=[(100_000, 100_004)], config=config)
    ax = plot_probabilities(scores, target_class="anemonefish", confidence_threshold=0.5, smoothing_window=5)
    (smoothed, _) = ax.lines
    assert len(smoothed.get_xdata()) <= plotting.MAX_COLUMNS
    assert smoothed.get_ydata().max() == pytest.approx(0.9)
    peak = smoothed.get_xdata()[smoothed.get_ydata().argmax()]
    assert peak == pytest.approx(40_000, abs=24 * 3600 / plotting.MAX_COLUMNS)
    ticks = ticks_of(ax)
    assert ticks[0] == "0:00"
    assert ticks[-1] == "24:00"


def test_an_unknown_class_is_refused(reef):
    with pytest.raises(ValueError, match="target_class is 'whale'; it must be one of noise, anemonefish, biological"):
        plot_probabilities(scores_of(reef), target_class="whale", confidence_threshold=0.5, smoothing_window=5)


def test_the_gallery_shows_the_events_of_the_highest_confidence_in_the_order_of_time(reef):
    scores = scores_of(reef, loud=[(5, 10), (20, 26), (35, 40)])
    scores.probabilities[20:26, 1] = 0.6
    events = decide_events(scores, CONFIG)
    assert len(events) == 3
    figure = plot_events(reef, events, CONFIG, max_events=2)
    first, second = (ax for ax in figure.axes if ax.get_title())
    assert first.get_title().startswith(f"{events[0].start_time:.1f}–{events[0].end_time:.1f} s\nconfidence 0.90")
    assert second.get_title().startswith(f"{events[2].start_time:.1f}–")
    assert [line.get_xdata()[0] for line in first.lines] == [0, events[0].duration]
    assert "2 events of 3" in figure.get_suptitle()
    assert "0 events" in plot_events(reef, [], CONFIG).get_suptitle()


def test_a_spectrogram_and_an_image_are_drawn_into_given_axes(rng):
    above, below = Figure().subplots(2, 1)
    assert plot_spectrogram(rng.standard_normal(4800).astype(np.float32), 48000, start_time=3, ax=above) is above
    assert above.get_xlim() == (3, 3.1)
    image = rng.random((256, 256, 1), dtype=np.float32)
    assert plot_window_image(image, fmax_hz=2000, window_duration=1, start_time=3, ax=below) is below
    assert below.images[0].get_extent() == [3, 4, 0, 2000]
    np.testing.assert_array_equal(below.images[0].get_array(), image[:, :, 0])
    assert plot_window_image(np.repeat(image, 3, axis=2), fmax_hz=2000, window_duration=1).images
    with pytest.raises(ValueError, match=r"image has shape \(256, 256\)"):
        plot_window_image(image[:, :, 0], fmax_hz=2000, window_duration=1)
    with pytest.raises(ValueError, match=r"samples has shape \(0,\)"):
        plot_spectrogram(np.zeros(0, np.float32), 48000)


# ---------------------------------------------------------------------- axes and colours


@pytest.mark.parametrize(
    ("seconds", "longest", "step", "spelled"),
    [
        (12.5, 100, 0.5, "12.5"),
        (0.0004, 0.01, 0.002, "0.000"),
        (-0.5, 3, 0.5, "−0.5"),
        (59.96, 100, 0.1, "60.0"),
        (119.96, 130, 0.1, "2:00.0"),
        (125, 600, 60, "2:05"),
        (3599.99, 3599, 1, "60:00"),
        (3725, 7200, 600, "1:02"),
        (3725.25, 7200, 0.05, "1:02:05.25"),
        (86_400, 86_400, 10_800, "24:00"),
    ],
)
def test_times_are_spelled_as_people_read_them(seconds, longest, step, spelled):
    assert format_time(seconds, longest=longest, step=step) == spelled


@pytest.mark.parametrize(
    ("start", "end", "label", "some"),
    [
        (0, 5, "Time (s)", {"0.0", "2.5", "5.0"}),
        (0, 60, "Time (s)", {"0", "30", "60"}),
        (0, 300, "Time (min:s)", {"0:00", "2:00", "5:00"}),
        (0, 5 * 3600, "Time (h:min)", {"0:00", "2:30", "5:00"}),
        (7200, 7205, "Time (h:min:s)", {"2:00:00.0", "2:00:05.0"}),
    ],
)
def test_the_time_axis_reads_well_from_seconds_to_hours(start, end, label, some):
    ax = Figure(figsize=(12, 3)).subplots()
    plotting.set_time_axis(ax, start, end)
    labels = ticks_of(ax)
    assert ax.get_xlabel() == label
    assert some <= set(labels)
    assert 4 <= len(labels) <= 16
    boxes = [text.get_window_extent() for text in ax.get_xticklabels() if text.get_text()]
    assert all(left.x1 + 4 < right.x0 for left, right in pairwise(boxes))


def test_the_time_of_day_passes_midnight():
    ax = Figure(figsize=(12, 3)).subplots()
    plotting.add_clock_axis(ax, 0, 7200, datetime(2023, 2, 10, 23, 10, 30, tzinfo=UTC))
    labels = [text.get_text() for text in ax.child_axes[0].get_xticklabels()]
    assert "00:00" in labels
    assert all(re.fullmatch(r"\d\d:\d\d", label) for label in labels)


def test_the_clock_axis_shows_the_recorders_own_clock_and_names_its_offset():
    ax = plotting.new_axes((8, 3))
    plotting.set_time_axis(ax, 0, 600)
    began = datetime(2023, 2, 10, 9, 10, 0, tzinfo=timezone(timedelta(hours=9)))
    plotting.add_clock_axis(ax, 0, 600, began)
    (clock,) = ax.child_axes
    assert clock.get_xlabel() == "UTC+09:00, from 2023-02-10 09:10:00"
    assert clock.get_xticklabels()[0].get_text() == "09:10"


# Simulation of complete colour blindness in linear RGB: Machado, Oliveira and Fernandes (2009), table 1, severity 1.
MACHADO = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("kind", MACHADO)
def test_colours_differ_for_people_with_colour_blindness(kind):
    names = ("EVENT_COLOUR", "ANNOTATION_COLOUR", "SMOOTHED_COLOUR", "THRESHOLD_COLOUR", "RAW_COLOUR")
    colours = np.array([to_rgb(getattr(plotting, name)) for name in names])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(MACHADO[kind]), 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(len(names), 1)]
    assert apart.min() > 0.15


@pytest.mark.parametrize(
    "pauses", [[Pause(7.0, 1793.0)], [Pause(5.0 * k, 55.0) for k in range(1, 4)], [Pause(10.0, 90_000.0)]]
)
def test_the_clock_of_a_figure_jumps_where_the_recorder_paused_as_the_tables_do(reef, pauses):
    scores = replace(scores_of(reef), pauses=tuple(pauses))
    figure = plot_overview(reef, scores, [], CONFIG)
    figure.draw_without_rendering()
    [axis] = [child for ax in figure.axes for child in ax.child_axes]
    ticks = list(zip(axis.get_xticks(), [text.get_text() for text in axis.get_xticklabels()], strict=True))
    assert {pause.time for pause in pauses} <= {tick for tick, _ in ticks}
    for tick, shown in ticks:
        when = scores.start_time + timedelta(seconds=add_pauses(tick, pauses))
        assert shown == f"{when:%H:%M:%S}"
    assert axis.get_xlabel().endswith("1 pause" if len(pauses) == 1 else "3 pauses")
