import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from anemone_lib import (
    AudioError,
    ConfigError,
    InferenceConfig,
    ModelError,
    Scores,
    ScoresError,
    load_classifier,
    open_recording,
    score_recording,
)
from anemone_lib.detection import decide_events
from anemone_lib.scoring import choose_transform, merge, plan, score_chunk
from anemone_lib.scoring.bundle import ModelCard

CONFIG = InferenceConfig(height_pixels=256, width_pixels=256)


def in_one_piece(recording, classifier, config):
    (chunk,) = plan(recording, config, chunk_windows=10**9)
    return score_chunk(recording, chunk, classifier, config).probabilities


@pytest.mark.parametrize("chunk_windows", [1, 2, 7, 1000])
@pytest.mark.parametrize("target_sr", [None, 16000])
@pytest.mark.parametrize("sample_rate", [44100, 48000])
def test_n_chunks_equal_one_chunk_bit_for_bit(write_wav, noise, loudness, sample_rate, target_sr, chunk_windows):
    config = CONFIG.replace(target_sr=target_sr, batch_size=5)
    with open_recording(write_wav(noise(9.3, sample_rate), sample_rate), target_sr=target_sr) as recording:
        chunks = plan(recording, config, chunk_windows=chunk_windows)
        parts = [score_chunk(recording, chunk, loudness, config).probabilities for chunk in reversed(chunks)][::-1]
        np.testing.assert_array_equal(np.concatenate(parts), in_one_piece(recording, loudness, config))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_demonstration_model_answers_the_same_whatever_the_chunk_and_batch(write_wav, noise, batch_size):
    classifier = load_classifier()
    with open_recording(write_wav(noise(6))) as recording:
        expected = in_one_piece(recording, classifier, CONFIG)
        config = CONFIG.replace(batch_size=batch_size)
        for chunk_windows in (1, 2, 7):
            parts = [
                score_chunk(recording, c, classifier, config).probabilities
                for c in plan(recording, config, chunk_windows=chunk_windows)
            ]
            np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_threads_processes_and_one_worker_give_the_same_scores(write_wav, noise):
    classifier = load_classifier()
    with open_recording(write_wav(noise(70))) as recording:
        assert len(plan(recording, CONFIG)) > 1
        expected = in_one_piece(recording, classifier, CONFIG)
        for executor in (ThreadPoolExecutor(1), ThreadPoolExecutor(4), ProcessPoolExecutor(2)):
            with executor:
                scores = score_recording(recording, classifier, CONFIG, executor=executor)
            np.testing.assert_array_equal(scores.probabilities, expected)


def test_scores_know_where_they_come_from(write_wav, noise, loudness):
    path = write_wav(noise(3), name="20230210_000001.wav")
    with open_recording(path) as recording:
        scores = score_recording(recording, loudness, CONFIG)
    assert scores.classes == ("noise", "anemonefish", "biological")
    assert scores.n_windows == 6
    assert scores.duration == scores.analysed_duration == 3
    assert scores.skipped == ()
    assert scores.recording_name == "20230210_000001.wav"
    assert scores.start_time.isoformat() == "2023-02-10T00:00:01+00:00"
    assert scores.scores_fingerprint == CONFIG.scores_fingerprint
    np.testing.assert_allclose(scores.probabilities.sum(axis=1), 1, atol=1e-6)


def test_progress_counts_the_chunks(write_wav, noise, loudness):
    steps = []
    with open_recording(write_wav(noise(60, 8000), 8000)) as recording:
        score_recording(recording, loudness, CONFIG, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(done, 10) for done in range(1, 11)]  # 149 windows


@pytest.mark.parametrize(("seconds", "sizes"), [(1, {1}), (6, {14}), (60, {5, 16}), (600, {64, 27}), (3600, {128, 39})])
def test_a_short_recording_is_cut_finer_so_that_all_cores_have_work(seconds, sizes, write_wav):
    with open_recording(write_wav(np.zeros(seconds * 1000), 1000)) as recording:
        chunks = plan(recording, CONFIG)
    assert {chunk.stop - chunk.first for chunk in chunks} == sizes
    assert [chunk.first for chunk in chunks] == [0, *(chunk.stop for chunk in chunks[:-1])]


# ---------------------------------------------------------------------- gaps


def test_damaged_samples_are_a_named_gap_and_the_rest_is_scored(write_wav, noise, loudness):
    samples = noise(12)
    with open_recording(write_wav(samples, subtype="FLOAT")) as recording:
        whole = score_recording(recording, loudness, CONFIG)
    samples[5 * 48000 : 5 * 48000 + 10] = np.nan
    with open_recording(write_wav(samples, subtype="FLOAT")) as recording:
        scores = score_recording(recording, loudness, CONFIG)
    # windows that hold 5 s to 5.0002 s: those that start after 4 s, up to 5 s (0.4 k: 4.4, 4.8; 4.0 ends at 5.0)
    moved = np.isin(np.arange(scores.n_windows), [11, 12])
    np.testing.assert_array_equal(scores.probabilities[~moved], whole.probabilities[~moved])
    assert np.isfinite(scores.probabilities[moved]).all()  # looked at just before and just after what is lost
    (gap,) = scores.skipped
    assert (gap.start_time, gap.end_time) == (5.0, 5 + 10 / 48000)
    assert "not finite" in gap.reason
    assert scores.analysed_duration + 10 / 48000 == pytest.approx(12)


@pytest.mark.parametrize("chunk_windows", [1, 2, 7, 1000])
def test_gaps_do_not_depend_on_how_the_recording_was_cut(write_wav, noise, loudness, chunk_windows):
    samples = noise(20)
    for start, stop in ((100, 130), (96_000, 140_000), (200_000, 560_000), (600_000, 600_001), (640_000, 641_000)):
        samples[start:stop] = np.nan
    with open_recording(write_wav(samples, subtype="FLOAT")) as recording:
        whole = score_recording(recording, loudness, CONFIG, executor=ThreadPoolExecutor(1))
        results = {
            chunk: score_chunk(recording, chunk, loudness, CONFIG)
            for chunk in plan(recording, CONFIG, chunk_windows=chunk_windows)
        }
        scores = merge(results, recording=recording, classifier=loudness, config=CONFIG)
    np.testing.assert_array_equal(scores.probabilities, whole.probabilities)
    assert scores.skipped == whole.skipped
    edges = [(round(gap.start_time * 48_000), round(gap.end_time * 48_000)) for gap in scores.skipped]
    assert edges == [(0, 130), (96_000, 140_000), (200_000, 560_000), (600_000, 600_001), (640_000, 641_000)]
    assert scores.analysed_duration + sum(gap.end_time - gap.start_time for gap in scores.skipped) == pytest.approx(20)


def test_a_recording_of_damaged_samples_is_one_gap(write_wav, loudness):
    with open_recording(write_wav(np.full(48000 * 3, np.nan), subtype="FLOAT")) as recording:
        scores = score_recording(recording, loudness, CONFIG)
    (gap,) = scores.skipped
    assert (gap.start_time, gap.end_time) == (0, 3)
    assert scores.analysed_duration == 0
    assert decide_events(scores, CONFIG) == []


def test_a_chunk_that_fails_is_a_gap_with_its_reason_and_the_rest_is_delivered(write_wav, noise, loudness, monkeypatch):
    with open_recording(write_wav(noise(90, 8000), 8000)) as recording:
        whole = score_recording(recording, loudness, CONFIG)
        read = recording.read

        def fail_late(start, stop):
            if start > 40 * 8000:
                raise AudioError("the disk is gone")
            return read(start, stop)

        monkeypatch.setattr(recording, "read", fail_late)
        scores = score_recording(recording, loudness, CONFIG)
    (gap,) = scores.skipped
    assert gap.reason == "the disk is gone"
    assert gap.end_time == 90
    assert gap.start_time == pytest.approx(111 * 0.4 + 1.0)  # the chunk of windows 112 to 128 begins at 44.8 s
    np.testing.assert_array_equal(scores.probabilities[:112], whole.probabilities[:112])
    assert scores.analysed_duration + (gap.end_time - gap.start_time) == pytest.approx(90)


def test_merging_refuses_missing_and_foreign_chunks(write_wav, noise, loudness):
    with open_recording(write_wav(noise(60, 8000), 8000)) as recording:
        chunks = plan(recording, CONFIG, chunk_windows=50)
        results = {chunk: score_chunk(recording, chunk, loudness, CONFIG) for chunk in chunks}
        context = {"recording": recording, "classifier": loudness, "config": CONFIG}
        assert merge(results, **context).n_windows == 149
        with pytest.raises(ScoresError, match="windows 50 to 100"):
            merge({c: r for c, r in results.items() if c.index != 1}, **context)
        with pytest.raises(ScoresError, match="windows 100 to 149"):
            merge({c: r for c, r in results.items() if c.index != 2}, **context)
        with pytest.raises(ScoresError, match="shape"):
            merge({**results, chunks[0]: results[chunks[2]]}, **context)


class DyingExecutor(Executor):
    """A pool whose worker is killed."""

    def submit(self, *_, **__):
        from concurrent.futures.process import BrokenProcessPool

        future = Future()
        future.set_exception(BrokenProcessPool("killed"))
        return future


def test_a_killed_worker_is_said_so(write_wav, noise, loudness):
    with open_recording(write_wav(noise(1))) as recording, pytest.raises(ScoresError, match="worker died"):
        score_recording(recording, loudness, CONFIG, executor=DyingExecutor())


# ---------------------------------------------------------------------- cache


class CountingExecutor(ThreadPoolExecutor):
    """Counts what is submitted; breaks off after some."""

    def __init__(self, limit=10**9):
        super().__init__(1)
        self.submitted = 0
        self._limit = limit
        self._counting = threading.Lock()

    def submit(self, *args, **options):
        with self._counting:
            self.submitted += 1
        if self.submitted > self._limit:
            raise KeyboardInterrupt
        return super().submit(*args, **options)


def test_a_stopped_run_resumes_and_a_finished_one_is_not_scored_again(write_wav, noise, loudness, tmp_path):
    cache = tmp_path / "cache"
    with open_recording(write_wav(noise(200, 8000), 8000)) as recording:
        expected = score_recording(recording, loudness, CONFIG)
        assert len(plan(recording, CONFIG)) == 16
        done = []

        def stop_after_two(n, _total):
            done.append(n)
            if n == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            score_recording(recording, loudness, CONFIG, cache=cache, progress=stop_after_two)
        with CountingExecutor() as executor:
            scores = score_recording(recording, loudness, CONFIG, cache=cache, executor=executor)
        assert executor.submitted == 14
        np.testing.assert_array_equal(scores.probabilities, expected.probabilities)
        with CountingExecutor() as executor:
            again = score_recording(recording, loudness, CONFIG, cache=cache, executor=executor)
        assert executor.submitted == 0
        np.testing.assert_array_equal(again.probabilities, expected.probabilities)
        assert [path.suffix for path in cache.iterdir()] == [".npz"]


def test_a_changed_setting_never_picks_up_stale_scores(write_wav, noise, loudness, tmp_path):
    with open_recording(write_wav(noise(20, 8000), 8000)) as recording:
        score_recording(recording, loudness, CONFIG, cache=tmp_path / "c")
        for config, submitted in (
            (CONFIG.replace(confidence_threshold=0.9, batch_size=3), 0),
            (CONFIG.replace(fmax_hz=1000), len(plan(recording, CONFIG))),
        ):
            with CountingExecutor() as executor:
                score_recording(recording, loudness, config, cache=tmp_path / "c", executor=executor)
            assert executor.submitted == submitted


def test_shards_fill_one_cache_from_which_the_whole_is_put_together(write_wav, noise, loudness, tmp_path):
    with open_recording(write_wav(noise(200, 8000), 8000)) as recording:
        expected = score_recording(recording, loudness, CONFIG)
        first = score_recording(recording, loudness, CONFIG, cache=tmp_path / "c", shard=(0, 2))
        assert "another shard" in first.skipped[0].reason
        score_recording(recording, loudness, CONFIG, cache=tmp_path / "c", shard=(1, 2))
        with CountingExecutor() as executor:
            whole = score_recording(recording, loudness, CONFIG, cache=tmp_path / "c", executor=executor)
    assert executor.submitted == 0
    np.testing.assert_array_equal(whole.probabilities, expected.probabilities)


def test_saved_scores_are_the_same_after_loading(write_wav, noise, loudness, tmp_path):
    samples = noise(12)
    samples[100_000] = np.nan
    with open_recording(write_wav(samples, subtype="FLOAT", name="20230210_000001.wav")) as recording:
        scores = score_recording(recording, loudness, CONFIG)
    loaded = Scores.load(scores.save(tmp_path / "scores.npz"))
    np.testing.assert_array_equal(loaded.probabilities, scores.probabilities)
    for name in Scores.__dataclass_fields__:
        if name != "probabilities":
            assert getattr(loaded, name) == getattr(scores, name), name


def test_the_scores_of_a_day_take_less_than_3_mb(tmp_path):
    from anemone_lib.scoring.windows import lay_grid

    grid = lay_grid(86_400 * 48_000, sample_rate=48_000, window_duration=1.0, stride_duration=0.4)
    probabilities = np.random.default_rng(0).dirichlet((1, 1, 1), grid.n_windows).astype(np.float32)
    path = Scores(probabilities=probabilities, classes=CONFIG.classes, grid=grid).save(tmp_path / "day.npz")
    assert path.stat().st_size < 3_000_000


def test_damaged_scores_are_said_to_be(tmp_path):
    with pytest.raises(ScoresError, match="no scores"):
        Scores.load(tmp_path / "absent.npz")
    path = tmp_path / "bad.npz"
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ScoresError, match="damaged.*score again"):
        Scores.load(path)
    np.savez(path, probabilities=np.zeros((1, 3)), about=np.array('{"format": "anemone-scores-0"}'))
    with pytest.raises(ScoresError, match="another version"):
        Scores.load(path)


# ---------------------------------------------------------------------- what fits


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_classes": "noise,anemonefish"}, ["2 classes", "answers with 3"]),
        ({"height_pixels": 128}, ["128 × 256", "256 × 256"]),
        ({"fmax_hz": 1000}, ["fmax_hz is 1000", "trained with 2000"]),
        (
            {"model_classes": "anemonefish,noise,biological"},
            ["anemonefish,noise,biological", "noise,anemonefish,biological"],
        ),
    ],
)
def test_a_configuration_that_does_not_fit_the_model_is_refused_naming_both(write_wav, noise, loudness, changes, words):
    loudness.card = ModelCard(
        name="loudness",
        version="v0",
        classes=CONFIG.classes,
        input_shape=(256, 256, 1),
        settings={"fmax_hz": 2000.0, "stride_duration": 0.4},
        sha256={},
    )
    with open_recording(write_wav(noise(1))) as recording, pytest.raises(ModelError) as error:
        score_recording(recording, loudness, CONFIG.replace(**changes))
    for word in words:
        assert word in str(error.value)


def test_another_stride_than_the_cards_is_fine(write_wav, noise):
    with open_recording(write_wav(noise(3))) as recording:
        assert score_recording(recording, load_classifier(), CONFIG.replace(stride_duration=0.5)).n_windows == 5


def test_a_recording_opened_at_another_rate_than_the_configurations_is_refused(write_wav, noise, loudness):
    with open_recording(write_wav(noise(1))) as recording, pytest.raises(ConfigError, match="16000.*48000"):
        score_recording(recording, loudness, CONFIG.replace(target_sr=16000))


def test_events_of_an_unknown_class_are_refused(write_wav, noise, loudness):
    with open_recording(write_wav(noise(1))) as recording:
        scores = score_recording(recording, loudness, CONFIG)
    config = CONFIG.replace(model_classes="a,b", target_class="a")
    with pytest.raises(ConfigError, match="the scores know noise, anemonefish"):
        decide_events(scores, config)


def test_kept_scores_are_given_the_name_the_clock_and_the_notes_of_the_file_at_hand(
    tmp_path, write_wav, noise, loudness
):
    first = write_wav(noise(3, 8000), 8000, name="20230210_000001.wav")
    config, seen = InferenceConfig(), []
    for name, options in (
        ("20230210_000001.wav", {"timezone": "Asia/Tokyo"}),
        ("20240101_120000+1000.wav", {"timezone": "Asia/Tokyo"}),
        ("reef.wav", {}),
    ):
        first = first.rename(first.with_name(name))
        with open_recording(first, **options) as recording:
            scores = score_recording(recording, loudness, config, cache=tmp_path / "cache")
        seen.append((scores.recording_name, scores.start_time and scores.start_time.isoformat(), len(scores.warnings)))
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert seen == [
        ("20230210_000001.wav", "2023-02-10T00:00:01+09:00", seen[0][2]),
        (
            "20240101_120000+1000.wav",
            "2024-01-01T12:00:00+10:00",
            seen[0][2] + 1,
        ),  # a note: the offset of the name counts
        ("reef.wav", None, seen[0][2]),
    ]


class Looks:
    """A classifier that keeps the images it is shown, and has a card."""

    def __init__(self, transform_sr, **settings):
        self.card = ModelCard(
            name="looks",
            version="v1",
            classes=("noise", "anemonefish"),
            input_shape=(256, 256, 1),
            settings=settings,
            sha256={},
            transform_sr=transform_sr,
        )
        self.input_shape, self.n_classes, self.sha256, self.version = (256, 256, 1), 2, "0" * 64, "v1"
        self.images = []

    def classify(self, images):
        self.images.append(images.copy())
        return np.full((len(images), 2), 0.5, np.float32)


TWO = InferenceConfig(model_classes="noise,anemonefish")


@pytest.mark.parametrize("sample_rate", [8000, 16000, 96000, 192_000])
def test_a_model_whose_card_names_a_rate_sees_a_pulse_as_at_that_rate(write_wav, sample_rate):
    def see(rate, transform_sr):
        looks, time = Looks(transform_sr), np.arange(round(2 * rate)) / rate
        gate = (np.abs(time - 0.5) < 0.02) | (np.abs(time - 0.58) < 0.02)
        hiss = np.interp(time, np.arange(8000) / 4000, np.random.default_rng(1).standard_normal(8000))
        samples = 0.4 * gate * np.sin(2 * np.pi * 600 * time) + 1e-3 * hiss
        with open_recording(write_wav(samples.astype(np.float32), rate, name=f"{rate}.wav")) as recording:
            scores = score_recording(recording, looks, TWO)
        return np.concatenate(looks.images)[0], scores.warnings

    expected, _ = see(48_000, 48_000)
    scaled, warnings = see(sample_rate, 48_000)
    kept, _ = see(sample_rate, None)
    calls = slice(150, 210)  # rows around 600 Hz

    def spread(image):
        return np.abs(image[calls] - expected[calls]).mean()

    assert spread(scaled) < 0.5 * spread(kept)
    assert not [text for text in warnings if "n_fft" in text]


def test_at_the_rate_of_the_card_and_without_one_the_settings_stay(loudness):
    assert choose_transform(TWO, Looks(48_000), sample_rate=48_000) == TWO
    assert choose_transform(TWO, Looks(None), sample_rate=8000) == TWO
    assert choose_transform(TWO, loudness, sample_rate=8000) == TWO
    scaled = choose_transform(TWO, Looks(4000, n_fft=128, hop_length=32, stride_duration=0.2), sample_rate=16_000)
    assert (scaled.n_fft, scaled.hop_length) == (512, 128)


@pytest.mark.parametrize("sample_rate", [8000, 11_025, 22_050, 32_000, 44_100, 64_000, 96_000, 384_000])
def test_scaled_frames_last_as_long_and_are_shared_by_windows(sample_rate):
    looks = Looks(48_000, stride_duration=0.4)
    scaled = choose_transform(TWO.replace(stride_duration=0.3), looks, sample_rate=sample_rate)
    assert scaled.n_fft / sample_rate == pytest.approx(1024 / 48_000, rel=0.03)
    assert scaled.hop_length / sample_rate == pytest.approx(256 / 48_000, rel=0.1)
    assert scaled.stride_duration == 0.3
    stride = round(InferenceConfig().stride_duration * sample_rate)
    assert stride % scaled.hop_length == 0  # of the card, not of the configuration


def test_the_transform_is_scaled_for_any_classes():
    settings = {"model_classes": "noise,toadfish", "stride_duration": 0.4}
    config = InferenceConfig(model_classes="noise,toadfish", target_class="toadfish", stride_duration=0.3)
    scaled = choose_transform(config, Looks(48_000, **settings), sample_rate=96_000)
    assert (scaled.n_fft, scaled.hop_length, scaled.stride_duration) == (2048, 512, 0.3)
    assert scaled.target_class == "toadfish"


def test_a_rate_that_no_hop_divides_gets_the_nearest_one():
    scaled = choose_transform(TWO, Looks(48_000), sample_rate=8009)  # 3204 samples between windows
    assert scaled.hop_length == 43
