import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anemone_lib.audio.gaps import Lost, join_lost
from anemone_lib.scoring.coverage import find_uncovered, place_windows

LONG = {"n_samples": 1000, "window_samples": 100, "stride_samples": 40}


def placed(lost, *, first=0, stop=24, **changes):
    return place_windows([Lost(a, b, "") for a, b in lost], first=first, stop=stop, **{**LONG, **changes})


def test_without_a_loss_windows_are_where_the_grid_has_them():
    starts, ends = placed([])
    np.testing.assert_array_equal(starts, np.arange(24) * 40)
    np.testing.assert_array_equal(ends, np.minimum(starts + 100, 1000))


def test_windows_that_hold_a_short_loss_are_moved_up_to_its_edges():
    starts, ends = placed([(500, 510)])
    assert list(find_uncovered(starts, ends, 1000)) == [(500, 510)]
    moved = np.flatnonzero(starts != np.arange(24) * 40)
    assert (np.abs(starts[moved] - 40 * moved) <= 60).all()
    assert all(end <= 500 or start >= 510 for start, end in zip(starts, ends, strict=True))


def test_windows_within_a_long_loss_are_skipped_and_the_edges_are_reached():
    starts, ends = placed([(300, 700)])
    assert (starts == -1).any()
    heard = starts >= 0
    assert list(find_uncovered(starts[heard], ends[heard], 1000)) == [(300, 700)]


def test_a_stretch_of_half_a_window_between_losses_is_analysed_and_a_shorter_one_is_not():
    starts, ends = placed([(380, 400), (460, 480)])
    assert (400, 460) in set(zip(starts.tolist(), ends.tolist(), strict=True))
    starts, ends = placed([(380, 400), (440, 480)])
    assert not ((starts >= 400) & (ends <= 440)).any()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 990), st.integers(1, 60)), max_size=6), st.integers(0, 23))
def test_no_placed_window_holds_a_loss_and_a_part_of_the_grid_is_placed_as_the_whole(spans, cut):
    lost = join_lost(Lost(start, min(1000, start + length), "") for start, length in spans)
    starts, ends = place_windows(lost, first=0, stop=24, **LONG)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        assert start == end == -1 or all(end <= span.start or start >= span.stop for span in lost)
        assert end - start <= 100
    near = [span for span in lost if span.stop > cut * 40 - 100 and span.start < cut * 40 + 200]
    begins = place_windows(near, first=cut, stop=cut + 1, **LONG)
    assert (begins[0][0], begins[1][0]) == (starts[cut], ends[cut])


@pytest.mark.parametrize("order", [1, -1])
def test_losses_are_joined_the_same_in_any_order(order):
    spans = [Lost(0, 5, "a"), Lost(5, 9, "b"), Lost(12, 20, "c"), Lost(14, 16, "d"), Lost(50, 50, "e")]
    assert join_lost(spans[::order]) == [Lost(0, 9, "a"), Lost(12, 20, "c")]
    assert join_lost(spans[::order], closer_than=4) == [Lost(0, 20, "a")]
