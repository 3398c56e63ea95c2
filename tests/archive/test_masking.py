import numpy as np
import pytest

from anemone_lib.archive.masking import find_lowest_snr, mark_masked
from anemone_lib.scoring import load_classifier


def test_the_lowest_snr_lies_between_two_levels_of_the_card():
    card = {"by_snr_db": {"3": {"recall": 0.7}, "-3": {"recall": 0.1}, "0": {"recall": 0.4}}}
    assert find_lowest_snr(card) == pytest.approx(1.0)


def test_the_shipped_model_finds_half_of_the_calls_below_0_db():
    assert -3 < find_lowest_snr(load_classifier().card.metrics) < 0


@pytest.mark.parametrize("card", [{}, {"by_snr_db": {}}, {"by_snr_db": {"0": {"recall": None}}}, {"by_snr_db": "no"}])
def test_a_card_that_does_not_tell_gives_nothing(card):
    assert find_lowest_snr(card) is None


def test_a_model_that_never_finds_half_has_no_lowest_snr():
    assert find_lowest_snr({"by_snr_db": {"0": {"recall": 0.1}, "6": {"recall": 0.3}}}) is None


def test_beyond_the_levels_of_the_card_nothing_is_claimed():
    assert find_lowest_snr({"by_snr_db": {"0": {"recall": 0.8}, "6": {"recall": 0.9}}}) == 0


def test_an_hour_is_masked_where_the_noise_leaves_the_call_too_little():
    noise = np.array([-70.0, -48.1, -47.9, np.nan])
    masking = mark_masked(noise, lowest_snr_db=-2.0, call_level_db=-50.0)
    assert masking.masked.tolist() == [False, False, True, False]
    assert masking.known.tolist() == [True, True, True, False]
    assert (masking.limit_db, masking.assumed) == (-48.0, False)


def test_without_a_level_the_call_is_assumed_above_the_quietest_tenth():
    masking = mark_masked(np.r_[np.full(99, -70.0), -40.0], lowest_snr_db=0.0)
    assert (masking.call_level_db, masking.assumed, masking.masked.sum()) == (-60.0, True, 1)


def test_where_no_noise_is_known_nothing_is_masked():
    assert mark_masked(np.array([np.nan]), lowest_snr_db=0.0) is None
