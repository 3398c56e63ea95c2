"""Labelled windows, training, the bundle, and the demonstration model that is shipped."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from anemone_lib import InferenceConfig, load_classifier, open_recording, read_annotations
from anemone_lib.config import EVENT_FIELDS
from anemone_lib.detection.events import Annotation
from anemone_lib.errors import ConfigError, ModelError
from anemone_lib.scoring.bundle import DEMONSTRATION_MODEL, ModelCard
from anemone_lib.scoring.images import draw_images
from anemone_lib.simulation import write_dataset, write_recording
from anemone_lib.simulation.augmentation import augment
from anemone_lib.training.bundle import PARITY, export_bundle, export_model
from anemone_lib.training.fitting import (
    _make_varied_batches,
    _vary,
    apply_temperature,
    calibrate,
    find_hard_windows,
    reduce_windows,
    train_classifier,
    weigh_classes,
)
from anemone_lib.training.labelled import concatenate, cut_annotated_files, cut_labelled_windows, label_windows
from anemone_lib.training.measuring import measure_events
from anemone_lib.training.network import build_model
from anemone_lib.training.simulated import simulate_windows

CLASSES = ("noise", "anemonefish", "biological")
NOISE, CALL, OTHER, UNCLEAR = 0, 1, 2, -1


def labels_of(*annotations, n=5, **options):
    """Classes of windows of 1 s that start every 0.4 s."""
    starts = 0.4 * np.arange(n)
    return label_windows(annotations, start_times=starts, end_times=starts + 1, classes=CLASSES, **options).tolist()


# ---------------------------------------------------------------------- labels


def test_windows_without_annotation_are_background():
    assert labels_of() == [NOISE] * 5


def test_a_window_with_thirty_milliseconds_of_a_call_has_the_call():
    # Windows end at 1.0, 1.4, … s: the first holds exactly 30 ms of it.
    assert labels_of(Annotation(0.97, 1.30, "anemonefish")) == [CALL, CALL, CALL, CALL, NOISE]


def test_a_window_with_less_of_a_call_is_unclear():
    assert labels_of(Annotation(0.98, 1.30, "anemonefish")) == [UNCLEAR, CALL, CALL, CALL, NOISE]


def test_half_of_a_single_short_pulse_is_enough():
    assert labels_of(Annotation(0.994, 1.004, "anemonefish"))[0] == CALL
    assert labels_of(Annotation(0.996, 1.006, "anemonefish"))[0] == UNCLEAR


def test_the_target_goes_before_other_animals_whatever_the_order():
    call, other = Annotation(0.5, 0.7, "anemonefish"), Annotation(0.0, 2.5, "biological")
    assert labels_of(call, other) == labels_of(other, call) == [CALL, CALL, OTHER, OTHER, OTHER]


def test_labels_are_matched_in_any_case_and_by_translation():
    assert labels_of(Annotation(0.1, 0.3, " Anemonefish "))[0] == CALL
    assert labels_of(Annotation(0.1, 0.3, "pulse_train"), label_classes={"Pulse_Train": "biological"})[0] == OTHER


def test_a_label_of_no_class_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match=r"label 'grouper' at 0\.10 s belongs to no class \(noise, anemonefish"):
        labels_of(Annotation(0.1, 0.3, "grouper"))


# ---------------------------------------------------------------------- windows


def test_windows_of_an_annotated_recording_are_its_images_with_their_labels(write_wav, noise):
    samples = noise(6, 16_000)
    with open_recording(write_wav(samples, 16_000)) as recording:
        calls = [Annotation(2.0, 2.3, "anemonefish"), Annotation(4.6, 4.9, "biological")]
        windows = cut_labelled_windows(recording, calls, InferenceConfig())
        read = recording.read(0, recording.n_samples)
    starts = np.round(windows.start_times * 16_000).astype(int)
    expected = draw_images(np.stack([read[s : s + 16_000] for s in starts[:-1]]), sample_rate=16_000)
    assert np.abs(windows.images[:-1] / 255 - expected).max() <= 0.5 / 255 + 1e-6
    assert windows.count_classes() == {"noise": 8, "anemonefish": 3, "biological": 3}
    assert windows.start_times[windows.labels == CALL].tolist() == pytest.approx([1.2, 1.6, 2.0])
    assert set(windows.recordings) == {"reef.wav"}


def test_windows_that_cannot_be_read_whole_are_left_out(write_wav, noise):
    samples = noise(6, 16_000)
    samples[40_000] = np.nan  # 2.5 s
    with open_recording(write_wav(samples, 16_000, subtype="FLOAT")) as recording:
        windows = cut_labelled_windows(recording, [], InferenceConfig())
    assert not ((windows.start_times <= 2.5) & (windows.start_times > 1.5)).any()
    assert len(windows) == 14 - 3


@pytest.fixture(scope="module")
def simulated():
    return simulate_windows(n_recordings=24, seed=1, duration=10.0, max_windows=16)


def test_simulated_windows_depend_on_the_seed_alone(simulated):
    again = simulate_windows(n_recordings=4, seed=1, duration=10.0, max_windows=16, workers=1)
    np.testing.assert_array_equal(again.images, simulated.images[: len(again)])
    np.testing.assert_array_equal(again.labels, simulated.labels[: len(again)])
    assert simulated.images.dtype == np.uint8
    assert min(simulated.count_classes().values()) > 20


def test_a_split_keeps_every_recording_on_one_side(simulated):
    train, held_out = simulated.split(fraction=0.25, seed=3)
    assert len(train) + len(held_out) == len(simulated)
    assert not set(train.recordings) & set(held_out.recordings)
    assert len(set(held_out.recordings)) == 6


def test_one_recording_cannot_be_split(simulated):
    with pytest.raises(ConfigError, match="1 recording cannot be split"):
        simulated.take(simulated.recordings == simulated.recordings[0]).split()


def test_windows_of_a_folder_are_those_of_its_recordings_with_the_labels_of_their_tables(tmp_path):
    pairs = write_dataset(tmp_path, n_recordings=2, duration=10, sample_rate=8000)
    parts = cut_annotated_files(pairs, InferenceConfig(), label_classes={"pulse_train": "biological"})
    for (path, table), part in zip(pairs, parts, strict=True):
        with open_recording(path) as recording:
            expected = cut_labelled_windows(recording, read_annotations(table), InferenceConfig())
        np.testing.assert_array_equal(part.labels, expected.labels)
        np.testing.assert_array_equal(part.images, expected.images)
        assert set(part.recordings) == {path.name}


@pytest.mark.parametrize(("balance", "expected"), [(0, [1, 1]), (1, [5 / 9, 5]), (0.5, [5 / 6, 2.5])])
def test_a_rare_class_counts_more_and_all_windows_together_as_much_as_before(balance, expected):
    weights = weigh_classes({"noise": 90, "anemonefish": 10}, balance)
    assert list(weights.values()) == pytest.approx(expected)
    assert 90 * weights[0] + 10 * weights[1] == pytest.approx(100)


def test_a_balance_beyond_its_range_is_refused(simulated):
    train, held_out = simulated.split()
    with pytest.raises(ConfigError, match="balance is 2; it is between 0"):
        train_classifier(train, held_out, balance=2)


def test_sets_of_different_classes_are_not_put_together(simulated):
    with pytest.raises(ConfigError, match="different classes"):
        concatenate([simulated, replace(simulated, classes=("noise", "grouper", "biological"))])


@pytest.mark.parametrize("sample_rate", [8_000, 44_100, 200_000])
def test_augmented_samples_stay_finite_and_in_place(rng, sample_rate):
    samples = rng.standard_normal(sample_rate).astype(np.float32) * 0.01
    samples[sample_rate // 2] = 1
    for _ in range(20):
        augmented = augment(samples, sample_rate=sample_rate, rng=rng)
        assert augmented.shape == samples.shape
        assert augmented.dtype == np.float32
        assert np.isfinite(augmented).all()
        assert np.abs(augmented).max() <= 1.1


# ---------------------------------------------------------------------- training


def test_calibration_finds_the_temperature_by_which_answers_were_too_sure(rng):
    logits = rng.normal(0, 2, (20_000, 3))
    labels = np.array([rng.choice(3, p=p) for p in softmax(logits, axis=1)])
    assert calibrate(softmax(logits * 2, axis=1), labels) == pytest.approx(2.0, rel=0.1)
    np.testing.assert_allclose(apply_temperature(softmax(logits * 2, axis=1), 2.0), softmax(logits, axis=1), atol=1e-6)


def test_sets_that_share_a_recording_are_refused(simulated):
    with pytest.raises(ConfigError, match="1 recording in both sets"):
        train_classifier(simulated, simulated.take(np.arange(5)))


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_no_epoch_and_an_empty_batch_are_refused(simulated, name):
    train, validation = simulated.split(fraction=0.3)
    with pytest.raises(ConfigError, match=f"{name} is 0; it must be 1 or more"):
        train_classifier(train, validation, **{name: 0})


def test_a_class_without_windows_is_refused(simulated):
    train, held_out = simulated.take(simulated.labels != OTHER).split()
    with pytest.raises(ConfigError, match="no window of biological to learn from"):
        train_classifier(train, held_out)


@pytest.fixture(scope="module")
def trained(simulated, tmp_path_factory):
    """A tiny training, its history, and its bundle."""
    train, held_out = simulated.split(fraction=0.25)
    epochs = []
    training = train_classifier(
        train, held_out, epochs=6, batch_size=32, seed=1, progress=lambda done, total: epochs.append((done, total))
    )
    folder = tmp_path_factory.mktemp("bundle")
    images = held_out.images[:64]
    card = export_bundle(
        training.model, folder, name="tiny", temperature=training.temperature, images=images, metrics={"a": 1}
    )
    return training, folder, card, images, epochs


@pytest.fixture(scope="module")
def reef(tmp_path_factory):
    """A minute of a simulated reef, with calls."""
    path = tmp_path_factory.mktemp("reef") / "reef.wav"
    write_recording(path, duration=60, seed=5, sample_rate=16_000, bouts_per_minute=6)
    return path


def test_training_learns_and_tells_how_it_goes(trained):
    training, _, _, _, epochs = trained
    loss = training.history["loss"]
    assert loss[-1] < 0.8 * loss[0]
    assert set(training.history) >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert epochs == [(k, 6) for k in range(1, 7)]
    np.testing.assert_allclose(training.probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_bundle_says_what_it_is_and_holds_what_it_says(trained):
    training, folder, card, _, _ = trained
    assert card == ModelCard(**json.loads((folder / "best_model.json").read_text()))
    for name in ("best_model.keras", "best_model.tflite"):
        assert card.sha256[name] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert card.settings == InferenceConfig().model_dump(exclude={*EVENT_FIELDS, "batch_size"})
    assert card.temperature == training.temperature
    assert card.metrics == {"a": 1}


def test_both_models_of_the_bundle_answer_like_the_trained_one(trained):
    training, folder, card, images, _ = trained
    images = images.astype(np.float32) / 255
    expected = apply_temperature(np.asarray(training.model(images, training=False)), card.temperature)
    for name in ("best_model.tflite", "best_model.keras"):
        alone = folder / name[:4] / name  # beside no other model, so that this one is loaded, in safe mode
        alone.parent.mkdir(exist_ok=True)
        for file in (name, "best_model.json"):
            (alone.parent / file).write_bytes((folder / file).read_bytes())
        found = load_classifier(alone).classify(images)
        assert np.abs(found - expected).max() < 2 * PARITY
        for file in (name, "best_model.json"):
            (alone.parent / file).unlink()
    assert card.parity["max_abs_difference"] < PARITY


def test_a_keras_file_becomes_a_bundle_with_its_card(trained, reef, tmp_path):
    _, folder, card, _, _ = trained
    exported = export_model(folder, tmp_path / "bundle", recordings=[reef])
    assert exported.name == "tiny"
    assert exported.temperature == card.temperature
    assert exported.parity["on"] == "32 spectrogram images"
    assert load_classifier(tmp_path / "bundle").version == card.version


def test_an_8_bit_model_is_taken_only_if_it_finds_the_same_events(trained, reef, tmp_path):
    training, folder, _, images, _ = trained
    decisions = {"anemonefish": {"confidence_threshold": 0.6}}  # of the card, which decide its events
    card = export_bundle(training.model, tmp_path / "bundle", images=images, int8_on=[reef], decisions=decisions)
    agreement = card.parity["int8"]
    same = agreement["events_matched"] * 2 / max(1, agreement["events_float"] + agreement["events_int8"]) >= 0.95
    assert agreement["taken"] == (same and agreement["windows_changed"] <= 0.02)
    bundle = tmp_path / "bundle"
    smaller = (bundle / "best_model.tflite").stat().st_size < 0.6 * (folder / "best_model.tflite").stat().st_size
    assert smaller == agreement["taken"]
    assert card.parity["tflite"] == ("int8" if agreement["taken"] else "float32")
    assert agreement["on"] == "1 recording, 60 s, threshold 0.6"
    classifier = load_classifier(bundle)
    assert classifier.input_shape == (256, 256, 1)
    np.testing.assert_allclose(classifier.classify(images[:4] / np.float32(255)).sum(axis=1), 1, atol=0.02)


def test_a_model_that_does_not_fit_the_settings_is_refused(tmp_path):
    images = np.zeros((2, 256, 256, 1), np.float32)
    with pytest.raises(ModelError, match=r"\(256, 256, 1\).*draws \(128, 256"):
        export_bundle(build_model(), tmp_path, images=images, config=InferenceConfig(height_pixels=128))
    with pytest.raises(ModelError, match="3 outputs"):
        export_bundle(build_model(), tmp_path, images=images, config=InferenceConfig(model_classes="noise,anemonefish"))
    with pytest.raises(ModelError, match=r"images has shape \(2, 256, 256, 3\)"):
        export_bundle(build_model(), tmp_path, images=np.repeat(images, 3, axis=-1))
    assert not list(tmp_path.iterdir())


def test_a_bundle_that_is_there_stays_whole_where_the_new_model_is_refused(trained, tmp_path, monkeypatch):
    training, folder, _, images, _ = trained
    for path in folder.glob("best_model.*"):
        (tmp_path / "bundle").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "bundle")
    before = {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()}
    monkeypatch.setattr("anemone_lib.training.bundle.PARITY", -1.0)
    with pytest.raises(ModelError, match="differs from that of the .keras model"):
        export_bundle(training.model, tmp_path / "bundle", images=images)
    assert {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()} == before


@pytest.mark.parametrize("shape", [(256, 256, 3), (100, 75, 1), (61, 200, 3)])
def test_the_network_can_be_built_for_other_images(shape):
    model = build_model(shape, 4)
    answer = np.asarray(model(np.zeros((2, *shape), np.float32)))
    assert answer.shape == (2, 4)
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)


def test_what_is_not_a_keras_file_cannot_be_exported(tmp_path):
    with pytest.raises(ModelError, match="is not a .keras file"):
        export_model(tmp_path / "model.tflite", tmp_path, recordings=[])
    with pytest.raises(ModelError, match="no model at"):
        export_model(tmp_path / "model.keras", tmp_path, recordings=[])


# ---------------------------------------------------------------------- the demonstration model


def test_the_shipped_bundle_is_small_whole_and_says_what_it_never_saw():
    card = load_classifier().card
    files = list(DEMONSTRATION_MODEL.glob("best_model.*"))
    assert len(files) == 3
    assert sum(file.stat().st_size for file in files) < 2_000_000
    for name, sha256 in card.sha256.items():
        assert hashlib.sha256((DEMONSTRATION_MODEL / name).read_bytes()).hexdigest() == sha256
    assert "never tested on real anemonefish calls" in card.summary
    assert card.settings == InferenceConfig().model_dump(exclude={*EVENT_FIELDS, "batch_size"})
    assert set(card.metrics["by_snr_db"]) == {str(snr) for snr in range(-6, 19, 3)}
    assert "false_alarms_per_hour" in card.metrics["real_recordings_without_known_calls"]


def test_the_shipped_models_agree_on_real_images(simulated, tmp_path):
    (tmp_path / "best_model.keras").write_bytes((DEMONSTRATION_MODEL / "best_model.keras").read_bytes())
    (tmp_path / "best_model.json").write_bytes((DEMONSTRATION_MODEL / "best_model.json").read_bytes())
    images = simulated.images[:96].astype(np.float32) / 255
    difference = load_classifier(tmp_path).classify(images) - load_classifier().classify(images)
    assert np.abs(difference).max() < PARITY


def test_nine_of_ten_bouts_are_found_and_nine_of_ten_events_are_bouts_from_6_db():
    counts = measure_events(load_classifier(), seed=987_000, n_recordings=3, duration=300, snr_db=(6, 18))
    assert counts.n_reference > 25
    assert counts.precision >= 0.9
    assert counts.recall >= 0.9


# ---------------------------------------------------------------------- mining


def test_windows_that_a_model_gets_wrong_are_found():
    model = build_model(seed=3)
    windows = reduce_windows(simulate_windows(n_recordings=2, seed=5, duration=6.0, max_windows=12), model)
    images = simulate_windows(n_recordings=2, seed=5, duration=6.0, max_windows=12).images
    target = model.predict(images.astype(np.float32) / np.float32(255), verbose=0)[:, CALL]
    wrong = np.where(windows.labels == CALL, 1 - target, target)
    margin = float(np.median(wrong))
    hard = find_hard_windows(windows, model, target_class="anemonefish", margin=margin)
    assert 0 < len(hard) < len(windows)
    np.testing.assert_array_equal(hard.start_times, windows.start_times[wrong >= margin])
    assert len(find_hard_windows(windows, model, target_class="anemonefish", margin=1.0)) == 0


def test_a_varied_window_keeps_its_rows_and_hides_at_most_a_stripe_of_each_kind(rng):
    x = rng.normal(0, 1, (200, 32, 128, 2)).astype(np.float32)
    varied = _vary(x.copy(), np.random.default_rng(1))
    again = _vary(x.copy(), np.random.default_rng(1))
    np.testing.assert_array_equal(varied, again)
    hidden = (varied == 0).all(axis=3)
    rows, columns = hidden.all(axis=2).sum(axis=1), hidden.all(axis=1).sum(axis=1)
    assert rows.max() <= 5
    assert columns.max() <= 12
    assert 0.2 < (rows > 0).mean() < 0.4
    assert 0.2 < (columns > 0).mean() < 0.4
    seen = ~hidden
    factors = np.where(seen[..., None], varied / x, np.nan).reshape(200, -1)
    np.testing.assert_allclose(np.nanmin(factors, axis=1), np.nanmax(factors, axis=1), rtol=1e-4)
    assert np.log(np.nanmean(factors, axis=1)).std() == pytest.approx(0.2, abs=0.04)


def test_varied_batches_show_each_window_once_an_epoch_and_the_same_every_time():
    windows = simulate_windows(n_recordings=2, seed=7, duration=5.0, max_windows=8)
    batches, again = (_make_varied_batches(windows.images, windows.labels, 5, seed=4) for _ in range(2))
    orders = []
    for _ in range(2):
        orders.append(batches.order)
        assert sorted(batches.order) == list(range(len(windows)))
        shown = [batches[k] for k in range(len(batches))]
        np.testing.assert_array_equal(np.concatenate([y for _, y in shown]), windows.labels[batches.order])
        np.testing.assert_array_equal(shown[0][0], again[0][0])
        for one in (batches, again):
            one.on_epoch_end()
    assert not np.array_equal(*orders)
    validation = replace(windows, recordings=np.char.add(windows.recordings, "-other"))
    training = train_classifier(windows, validation, epochs=1, batch_size=8, varied=True)
    assert np.isfinite(training.history["loss"]).all()
