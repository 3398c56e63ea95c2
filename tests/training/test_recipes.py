"""How the demonstration model is made: what it learns from, and what is kept to measure on."""

import numpy as np
import pytest
import soundfile

from anemone_lib.training import recipes
from anemone_lib.training.examples import read_quiet
from anemone_lib.training.simulated import simulate_windows


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """Three recordings of noise."""
    folder, rng = tmp_path_factory.mktemp("quiet"), np.random.default_rng(3)
    paths = [folder / f"site_{k}.wav" for k in range(3)]
    for path in paths:
        soundfile.write(path, 0.02 * rng.standard_normal(3 * 8_000), 8_000)
    return paths


@pytest.mark.slow
def test_the_last_third_of_real_recordings_is_only_measured(quiet, tmp_path, monkeypatch):
    seen, done = {}, []
    monkeypatch.setattr(recipes, "measure_card", lambda _, **options: seen.update(options) or {"measured": 1})
    short = {"duration": 6.0, "max_windows": 6}
    monkeypatch.setattr(recipes, "simulate_windows", lambda **options: simulate_windows(**(options | short)))
    monkeypatch.setattr(recipes, "RECORDINGS_AT_ONCE", 2)  # four parts, of which the last lies over real noise
    more = tmp_path / "more.wav"
    card = recipes.train_demonstration_model(
        tmp_path / "model",
        n_recordings=8,
        epochs=1,
        without_calls=quiet,
        control=[more],
        mine=True,
        progress=lambda *steps: done.append(steps),
    )
    assert card.training["real_noise"] == ["site_0.wav", "site_1.wav"]
    assert card.training["over_real_noise"] == 2
    assert "--without-calls" in card.training["command"]
    assert seen["control"] == [quiet[2], more]
    assert card.metrics["measured"] == 1
    assert card.version == "demo-4-mined"
    assert card.decisions == dict.fromkeys(["anemonefish", "biological"], recipes.EVENT_SETTINGS)
    assert card.training["command"].endswith("--mine")
    assert card.training["mined"]["recordings"] == 3
    assert len(card.training["mined"]["loss"]) == recipes.MINED_EPOCHS
    assert done == [(k, 1 + recipes.MINED_EPOCHS) for k in range(1, 2 + recipes.MINED_EPOCHS)]
    assert "over real noise" in card.summary


def test_windows_over_real_noise_are_others_and_the_same_every_time(quiet):
    options = {"n_recordings": 2, "seed": 11, "duration": 4.0, "max_windows": 4, "workers": 1}
    plain = simulate_windows(**options)
    over, again = (simulate_windows(**options, quiet=read_quiet(quiet)) for _ in range(2))
    np.testing.assert_array_equal(over.images, again.images)
    np.testing.assert_array_equal(over.labels, again.labels)
    assert not np.array_equal(over.images[:4], plain.images[:4])
