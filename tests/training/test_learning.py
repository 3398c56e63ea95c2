import numpy as np
import pytest

from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Annotation
from anemone_lib.errors import ConfigError, ModelError
from anemone_lib.training.examples import ExamplePool, Stretch, cut_examples
from anemone_lib.training.learning import learn
from anemone_lib.training.network import (
    build_model,
    compile_model,
    follow_rates,
    import_keras,
    read_features,
    take_features,
    trace_rates,
)

CONFIG = InferenceConfig(
    model_classes="noise,hum,knock",
    target_class="hum",
    n_fft=256,
    hop_length=64,
    fmax_hz=1000,
    height_pixels=32,
    width_pixels=64,
    stride_duration=0.5,
)


def make_stretch(rng, *, name="a", seconds=30, knocks=2):
    """Noise with a hum every three seconds and a few knocks that overlap the hums."""
    samples = 0.1 * rng.standard_normal(seconds * 4000)
    time = np.arange(2000) / 4000
    calls = []
    for k, start in enumerate(np.arange(1.0, seconds - 1, 3.0)):
        samples[int(start * 4000) :][:2000] += np.sin(2 * np.pi * 200 * time)
        calls.append(Annotation(start, start + 0.5, "hum"))
        if k < knocks:
            samples[int((start + 0.2) * 4000) :][:200] += 2 * np.sin(2 * np.pi * 800 * time[:200])
            calls.append(Annotation(start + 0.2, start + 0.25, "knock"))
    return Stretch(name, name, samples.astype(np.float32), 4000, tuple(calls))


def test_a_rare_class_is_drawn_more_often_than_it_is_there_and_nothing_is_left_out(rng):
    pool = ExamplePool([make_stretch(rng)], CONFIG)
    assert pool.counts["hum"] > 10 * 0.9 * 20  # a window every 50 ms, and each hum in 30 of them
    drawn = pool.draw(400, rng)
    there = pool.counts["knock"] / sum(pool.counts.values())
    calls = drawn.present[:, 1:] > 0
    assert calls[:, 1].mean() > 1.5 * there
    assert calls.all(axis=1).any()  # overlapping classes
    assert np.isfinite(drawn.images).all()
    assert (drawn.images.min(), drawn.images.max()) >= (0, 0)
    assert drawn.images.max() <= 1
    # A call at a window's edge counts half, in its middle whole; the background has what the surest class leaves.
    assert np.array_equal(drawn.present[:, 0], 1 - drawn.present[:, 1:].max(axis=1))
    assert set(np.floor(4 * drawn.present[:, 1]).tolist()) == {0, 2, 3, 4}


def test_broken_samples_are_never_drawn(rng):
    one = make_stretch(rng)
    one.samples[: 10 * 4000] = np.nan
    pool = ExamplePool([one], CONFIG)
    assert np.isfinite(pool.draw(64, rng).images).all()
    assert len(cut_examples([one], CONFIG)) < 60 - 18


@pytest.mark.parametrize("name", ["members", "epochs"])
def test_no_network_and_no_epoch_are_refused(rng, name):
    pool = ExamplePool([make_stretch(rng)], CONFIG)
    none = cut_examples([], CONFIG)
    with pytest.raises(ConfigError, match=f"{name} is 0; it must be 1 or more"):
        learn(pool, none, CONFIG.classes, input_shape=(32, 64, 1), **{name: 0})


def test_several_networks_are_averaged_into_one_model_that_others_can_start_from(rng, tmp_path):
    pool = ExamplePool([make_stretch(rng)], CONFIG)
    validation = cut_examples([make_stretch(rng, name="b")], CONFIG)
    learning = learn(pool, validation, CONFIG.classes, input_shape=(32, 64, 1), members=2, epochs=1)
    members = [layer for layer in learning.model.layers if layer.name.startswith("member")]
    answers = [np.asarray(one(validation.images[:8])) for one in members]
    assert np.allclose(np.mean(answers, axis=0), learning.model(validation.images[:8]), atol=1e-6)
    assert len(learning.histories) == 2
    learning.model.save(tmp_path / "best_model.keras")
    other = build_model((32, 64, 1), 2, activation="sigmoid", seed=5)
    assert take_features(other, read_features(str(tmp_path / "best_model.keras"))).startswith("14 of 14")
    first = next(layer for layer in other.layers if layer.weights)
    assert np.array_equal(first.get_weights()[0], next(w for w in members[0].layers if w.weights).get_weights()[0])
    with pytest.raises(ModelError, match="no model to start from"):
        read_features(str(tmp_path / "absent"))


def test_the_shipped_model_gives_its_features(rng):
    network = build_model((64, 128, 1), 4, activation="sigmoid", seed=1)
    assert take_features(network, read_features("shipped")).endswith("demo-4")


@pytest.mark.parametrize(("n_steps", "first", "rise"), [(1, 0.02, 0.1), (60, 0.02, 0.1), (137, 0.01, 0.05)])
def test_the_learning_rate_rises_and_falls_as_that_of_keras(n_steps, first, rise):
    schedule = import_keras().optimizers.schedules.CosineDecay(
        0.004 * first, n_steps, warmup_target=0.004, warmup_steps=max(1, int(rise * n_steps)), alpha=0.01
    )
    expected = [float(schedule(step)) for step in range(n_steps)]
    assert trace_rates(0.004, n_steps, first=first, rise=rise) == pytest.approx(expected, rel=1e-5)


def test_a_step_is_worked_out_once_and_each_has_its_own_learning_rate(rng):
    model, traced, used = build_model((32, 64, 1), 3), [], []

    def loss(target, probabilities):
        traced.append(target)
        return (target - probabilities) ** 2

    rates = trace_rates(0.004, 6, first=0.02, rise=0.5)
    compile_model(model, loss)
    set_rate = follow_rates(model, rates)
    look = import_keras().callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: used.append(float(model.optimizer.learning_rate))
    )
    images, target = rng.random((24, 32, 64, 1), np.float32), np.eye(3, dtype=np.float32)[np.arange(24) % 3]
    for _ in range(2):
        model.fit(images, target, batch_size=8, verbose=0, callbacks=[set_rate, look])
    assert len(traced) == 1
    assert used == pytest.approx(rates.tolist())
