"""How many calls there are: compared with seasons in which every call is known, and the exact posterior."""

import numpy as np
import pytest
from scipy.special import expit, logit

from anemone_lib.errors import ConfigError
from anemone_lib.review import choose_edges, count_by_bin, estimate_call_density, measure_precision


def test_call_density_finds_the_number_of_calls_of_a_known_season(rng):
    inside = 0
    for seed in range(100):
        confidences = rng.beta(1, 4, 20_000)
        calls = rng.random(20_000) < expit(-1 + 2 * logit(confidences))
        edges = choose_edges(confidences)
        sizes = count_by_bin(confidences, edges)
        places = np.searchsorted(edges[1:-1], confidences, side="right")
        drawn = np.concatenate([rng.choice(np.flatnonzero(places == k), 40, replace=False) for k in range(len(sizes))])
        bins = measure_precision(confidences[drawn], calls[drawn], edges)
        density = estimate_call_density([b.n_calls for b in bins], [b.n for b in bins], sizes, seed=seed, n_draws=2000)
        inside += density.low <= calls.mean() <= density.high
    assert inside >= 88  # of 100, where 95 are expected


def test_the_density_of_one_bin_is_the_posterior_of_a_proportion():
    from scipy.stats import beta

    density = estimate_call_density([7], [10], [500], n_draws=200_000)
    assert density.density == pytest.approx(7.5 / 11)
    assert [density.low, density.high] == pytest.approx(beta(7.5, 3.5).ppf([0.025, 0.975]), abs=5e-3)
    assert density.n_calls == pytest.approx(500 * 7.5 / 11)


def test_a_bin_without_a_verdict_is_not_guessed():
    with pytest.raises(ConfigError, match="bin 1 of 2 has no verdict, and 90 %"):
        estimate_call_density([0, 3], [0, 5], [90, 10])
    assert estimate_call_density([0, 3], [0, 5], [0, 10]).n == 10  # it holds nothing: nothing to guess
    for wrong in (([3], [2], [5]), ([1], [2, 3], [5]), ([0], [1], [0])):
        with pytest.raises(ConfigError):
            estimate_call_density(*wrong)
