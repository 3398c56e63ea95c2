"""How often an event is a call: compared with scikit-learn, a direct search and Wilson's paper."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from anemone_lib.errors import ConfigError
from anemone_lib.review.precision import (
    PrecisionCurve,
    calibrate_precision,
    choose_edges,
    count_by_bin,
    measure_precision,
)


def draw_verdicts(rng, n, intercept=-0.5, slope=1.5):
    confidences = rng.uniform(0.05, 0.98, n)
    return confidences, rng.random(n) < expit(intercept + slope * logit(confidences))


def test_with_many_verdicts_the_curve_is_that_of_plain_logistic_regression(rng):
    confidences, verdicts = draw_verdicts(rng, 20_000)
    curve = calibrate_precision(confidences, verdicts)
    plain = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(confidences)[:, None], verdicts)
    assert curve.intercept == pytest.approx(plain.intercept_[0], abs=2e-3)
    assert curve.slope == pytest.approx(plain.coef_[0, 0], abs=2e-3)


@pytest.mark.parametrize("verdicts", [[False] * 6 + [True] * 6, [False, True] * 6, [True] * 12])
def test_the_curve_is_the_maximum_of_firths_penalised_likelihood(verdicts):
    confidences = np.linspace(0.1, 0.95, 12)
    design = np.column_stack([np.ones(12), logit(confidences)])

    def loss(weights):
        p = expit(design @ weights)
        likelihood = np.where(verdicts, np.log(p), np.log1p(-p)).sum()
        information = design.T @ (design * (p * (1 - p))[:, None])
        return -likelihood - 0.5 * np.log(np.linalg.det(information))

    best = minimize(loss, [0.0, 0.5], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000})
    curve = calibrate_precision(confidences, verdicts)
    assert [curve.intercept, curve.slope] == pytest.approx(best.x, abs=1e-3)


def test_intervals_hold_the_true_precision_as_often_as_they_say(rng):
    inside = 0
    for _ in range(200):
        curve = calibrate_precision(*draw_verdicts(rng, 60))
        _, low, high = curve.predict([0.7])
        inside += low[0] <= expit(-0.5 + 1.5 * logit(0.7)) <= high[0]
    assert 180 <= inside <= 199  # 95 % of 200, by more than three standard errors


def test_the_threshold_is_the_lowest_confidence_that_reaches_the_precision(rng):
    curve = calibrate_precision(*draw_verdicts(rng, 3000))
    threshold = curve.find_threshold(0.9)
    assert threshold == pytest.approx(expit((logit(0.9) + 0.5) / 1.5), abs=0.03)
    assert curve.predict([threshold])[0][0] == pytest.approx(0.9, abs=1e-4)
    assert curve.find_threshold(1e-6) == curve.lowest  # below what was reviewed, nothing is known


def test_a_threshold_that_no_confidence_reaches_is_refused(rng):
    curve = calibrate_precision(rng.uniform(0.3, 0.6, 200), rng.random(200) < np.linspace(0.3, 0.5, 200))
    with pytest.raises(ConfigError, match=r"reached at no confidence|not calls more often"):
        curve.find_threshold(0.95)
    upside_down = calibrate_precision([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95], [True] * 5 + [False] * 5)
    with pytest.raises(ConfigError, match="not calls more often"):
        upside_down.find_threshold(0.5)
    with pytest.raises(ConfigError, match="precision is 90"):
        curve.find_threshold(90)


@pytest.mark.parametrize(
    ("confidences", "verdicts", "words"),
    [
        ([0.5] * 3, [True] * 3, "review more"),
        ([0.5] * 12, [True] * 12, "other confidences"),
        ([0.5, 2.0], [True, False], "from 0 to 1"),
        ([0.5], [True, False], "one verdict for each"),
    ],
)
def test_verdicts_that_say_nothing_are_refused(confidences, verdicts, words):
    with pytest.raises(ConfigError, match=words):
        calibrate_precision(confidences, verdicts)


def test_bins_count_every_verdict_once_with_the_interval_of_wilson():
    bins = measure_precision([0.0, 0.5, 0.5, 0.9, 1.0], [False, True, False, True, True], [0.2, 0.5, 0.8])
    assert [(one.n, one.n_calls) for one in bins] == [(1, 0), (4, 3)]
    assert [round(bound, 3) for bound in bins[1].interval] == [0.301, 0.954]  # 3 of 4
    assert count_by_bin([0.0, 0.5, 1.0], [0.2, 0.5, 0.8]).sum() == 3


def test_every_higher_bin_holds_half_as_much(rng):
    confidences = rng.random(4000)
    edges = choose_edges(confidences)
    assert count_by_bin(confidences, edges).tolist() == [2000, 1000, 500, 250, 250]
    assert choose_edges([0.4] * 50) == [0.0, 0.4, 1.0]  # equal edges become one
    assert choose_edges([]) == [0.0, 1.0]


def test_a_precision_that_hardly_depends_on_confidence_gives_the_lowest_threshold():
    curve = PrecisionCurve(5.0, 0.001, (0.1, 0.0, 0.1), lowest=0.3, highest=0.9, n=50, n_calls=50)
    assert curve.find_threshold(0.9) == 0.3  # 0.99 at every confidence
