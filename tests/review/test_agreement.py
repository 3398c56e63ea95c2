import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from anemone_lib.errors import ConfigError
from anemone_lib.review.agreement import compare_reviewers, compute_kappa
from anemone_lib.tables.verdicts import Verdict


def test_kappa_is_that_of_scikit_learn_for_any_labels(rng):
    first = rng.choice(["call", "grunt", "boat"], 200)
    second = np.where(rng.random(200) < 0.7, first, rng.choice(["call", "grunt", "boat"], 200))
    agreement = compute_kappa(first.tolist(), second.tolist())
    assert agreement.kappa == pytest.approx(cohen_kappa_score(first, second))
    assert agreement.low < agreement.kappa < agreement.high
    assert agreement.agreed == pytest.approx((first == second).mean())


def test_where_chance_explains_all_kappa_is_unknown_and_nobody_reads_nan():
    agreement = compute_kappa([True] * 5, [True] * 5)
    assert math.isnan(agreement.kappa)
    assert str(agreement) == "5 judged by both, 100 % alike: kappa unknown, because all verdicts are the same"
    assert str(compute_kappa([], [])) == "none judged by both"
    with pytest.raises(ConfigError, match="the same events"):
        compute_kappa([True], [])


def test_reviewers_are_compared_on_the_events_that_both_judged():
    def verdict(event, reviewer, is_call):
        return Verdict(event, "reef.wav", 0, 1, "x", is_call, 0.5, reviewer=reviewer)

    said = [verdict(f"e{k}", "Ana", k % 2 == 0) for k in range(10)]
    said += [verdict(f"e{k}", "Ben", k % 2 == 0 or k == 1) for k in range(8)]
    agreement = compare_reviewers(said)["Ana", "Ben"]
    assert (agreement.n, agreement.agreed) == (8, 7 / 8)
    assert agreement.kappa == pytest.approx(0.75)
