import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anemone_lib.scoring import cut_windows, lay_grid
from anemone_lib.scoring.windows import WindowGrid


@pytest.mark.parametrize(
    ("seconds", "n_windows"),
    [(0.3, 1), (1.0, 1), (1.2, 2), (1.4, 2), (1.41, 3), (60.0, 149), (300.18, 749)],
)
def test_the_number_of_windows_at_the_usual_settings(seconds, n_windows):
    # 60 s: starts 0, 0.4 … 59.2 cover to 60.2, so 149. 300.18 s is the example of the design.
    grid = lay_grid(round(seconds * 44100), sample_rate=44100, window_duration=1.0, stride_duration=0.4)
    assert grid.n_windows == n_windows


@given(st.integers(1, 10_000), st.integers(1, 500), st.data())
def test_every_sample_is_in_a_window_and_no_window_is_superfluous(n_samples, window_samples, data):
    stride = data.draw(st.integers(1, window_samples))
    grid = WindowGrid(n_samples=n_samples, sample_rate=100, window_samples=window_samples, stride_samples=stride)
    starts = np.arange(grid.n_windows) * stride
    assert starts[-1] + window_samples >= n_samples
    if grid.n_windows > 1:
        assert starts[-2] + window_samples < n_samples
    assert grid.end_times[-1] == n_samples / 100
    assert grid.find_samples(0, grid.n_windows) == (0, n_samples)


def test_times_do_not_drift_over_a_day():
    grid = lay_grid(86_400 * 48_000, sample_rate=48_000, window_duration=1.0, stride_duration=0.4)
    k = 215_000
    assert grid.start_times[k] == k * 19_200 / 48_000 == 86_000.0


def test_windows_are_a_view_and_the_last_one_is_padded(rng):
    samples = rng.standard_normal(25).astype(np.float32)
    windows = cut_windows(samples, n_windows=3, window_samples=10, stride_samples=8)
    assert windows.shape == (3, 10)
    np.testing.assert_array_equal(windows[1], samples[8:18])
    np.testing.assert_array_equal(windows[2], [*samples[16:25], 0])
    whole = cut_windows(samples[:18], n_windows=2, window_samples=10, stride_samples=8)
    assert whole.base is not None
    assert not whole.flags.writeable


def test_an_empty_recording_has_no_grid():
    with pytest.raises(ValueError, match="0 samples"):
        lay_grid(0, sample_rate=48_000, window_duration=1.0, stride_duration=0.4)
