import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Annotation
from anemone_lib.errors import AnnotationError, ConfigError, ScoresError
from anemone_lib.evaluation.rates import add_counts
from anemone_lib.scoring.scores import Scores
from anemone_lib.scoring.windows import WindowGrid
from anemone_lib.tuning.recordings import (
    AnnotatedRecording,
    count_recordings,
    find_annotated_recordings,
    score_annotated_recordings,
    split_recordings,
)
from anemone_lib.tuning.search import tune

RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation\n"
CALL = "1\tSpectrogram 1\t1\t1.0\t2.0\t300\t900\tanemonefish\n"


def sample(rng, number, *, calls=20, minutes=5, peak=0.45):
    """Calls whose windows come near `peak`, and noise that comes near half of it for a window or two."""
    grid = WindowGrid(minutes * 60 * 10, 10, 10, 4)
    target = rng.uniform(0, peak / 2, grid.n_windows)
    starts = np.sort(rng.choice(np.arange(2, minutes * 60 - 5, 6), calls, replace=False)) + rng.uniform(0, 1, calls)
    for start in starts:
        target[(grid.start_times < start + 1.0) & (grid.end_times > start)] = rng.uniform(0.8, 1.0) * peak
    probabilities = np.stack([(1 - target) / 2, target, (1 - target) / 2], axis=1).astype(np.float32)
    scores = Scores(
        probabilities,
        ("noise", "anemonefish", "biological"),
        grid,
        recording_name=f"reef-{number}.wav",
        recording_sha256=f"{number:064x}",
        model_sha256="a" * 64,
        scores_fingerprint="b" * 64,
    )
    return AnnotatedRecording(scores, [Annotation(start, start + 1.0, "anemonefish") for start in starts])


@pytest.fixture
def season(rng):
    """Twelve recordings by a model that is too shy for the default threshold; four have no calls."""
    return [sample(rng, k, calls=0 if k % 3 == 0 else 20) for k in range(12)]


# ---------------------------------------------------------------------- annotated recordings


def test_recordings_are_paired_with_the_tables_named_after_them(tmp_path):
    for name in ("a.wav", "b.flac", "b.Table.1.selections.txt", "b.txt", "a.csv", "b.png", "ab.csv", "notes.txt"):
        (tmp_path / name).touch()
    pairs = [(recording.name, table.name) for recording, table in find_annotated_recordings(tmp_path)]
    assert pairs == [("a.wav", "a.csv"), ("b.flac", "b.Table.1.selections.txt")]


def test_tables_may_lie_in_a_folder_of_their_own(tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "tables").mkdir()
    (tmp_path / "audio" / "a.wav").touch()
    (tmp_path / "tables" / "a.selections.txt").touch()
    assert len(find_annotated_recordings(tmp_path / "audio", annotations=tmp_path / "tables")) == 1
    with pytest.raises(AnnotationError, match=r"no recording in .*audio has a table"):
        find_annotated_recordings(tmp_path / "audio")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(AnnotationError, match="nowhere is no folder"):
        find_annotated_recordings(tmp_path / "nowhere")


def test_scores_are_made_once_and_found_again(tmp_path, write_wav, noise, loudness, monkeypatch):
    path = write_wav(noise(6))
    table = tmp_path / "reef.Table.1.selections.txt"
    table.write_text(RAVEN + CALL)
    done = []
    first = score_annotated_recordings(
        find_annotated_recordings(tmp_path),
        classifier=loudness,
        config=InferenceConfig(),
        cache=tmp_path / "cache",
        progress=lambda *step: done.append(step),
    )
    assert done == [(1, 1)]
    assert first[0].name == path.name
    assert first[0].annotations[0].label == "anemonefish"
    monkeypatch.setattr(type(loudness), "classify", None)
    again = score_annotated_recordings(
        [(path, table)], classifier=loudness, config=InferenceConfig(), cache=tmp_path / "cache"
    )
    np.testing.assert_array_equal(again[0].scores.probabilities, first[0].scores.probabilities)


def test_a_row_without_a_label_stands_for_the_target(tmp_path, write_wav, noise, loudness):
    write_wav(noise(3))
    (tmp_path / "reef.txt").write_text("1.0\t2.0\t\n")
    samples = score_annotated_recordings(
        find_annotated_recordings(tmp_path), classifier=loudness, config=InferenceConfig(), cache=tmp_path / "cache"
    )
    assert samples[0].join_bouts(labels=["anemonefish"]).tolist() == [[1, 2]]


# ---------------------------------------------------------------------- the split


@pytest.mark.parametrize("seed", range(5))
def test_recordings_with_and_without_calls_are_on_both_sides(season, seed):
    tuned, held_out = split_recordings(season, labels=["anemonefish"], holdout=0.3, seed=seed)
    assert len(held_out) == 4
    assert sorted(one.name for one in tuned + held_out) == sorted(one.name for one in season)
    for part in (tuned, held_out):
        assert {bool(one.annotations) for one in part} == {True, False}


def test_the_split_does_not_depend_on_the_order_of_the_recordings(season):
    held_out = split_recordings(season, labels=["anemonefish"], seed=3)
    again = split_recordings(season[::-1], labels=["anemonefish"], seed=3)
    assert held_out == again


def test_other_seeds_set_other_recordings_aside(season):
    chosen = {
        tuple(one.name for one in split_recordings(season, labels=["anemonefish"], seed=seed)[1]) for seed in range(6)
    }
    assert len(chosen) > 1


@pytest.mark.parametrize("calls", [(20, 20), (20, 0), (0, 20)])
def test_of_two_recordings_one_with_calls_is_tuned_on(rng, calls):
    pair = [sample(rng, k, calls=n) for k, n in enumerate(calls)]
    tuned, held_out = split_recordings(pair, labels=["anemonefish"])
    assert len(tuned) == len(held_out) == 1
    assert tuned[0].annotations


def test_groups_are_set_aside_whole_and_intervals_are_by_group(season):
    groups = {one.name: f"day {k // 3}" for k, one in enumerate(season)}
    tuned_on, held_out = split_recordings(season, labels=["anemonefish"], groups=groups)
    assert not {groups[one.name] for one in tuned_on} & {groups[one.name] for one in held_out}
    assert len(tuned_on) + len(held_out) == len(season)
    tuning = tune(season, InferenceConfig(), groups=groups)
    assert (
        len(tuning.add_up(tuning.count_events())) == len({groups[one.name] for one in tuning.held_out}) < len(held_out)
    )
    assert add_counts(tuning.add_up(tuning.count_events())) == add_counts(tuning.count_events())
    with pytest.raises(AnnotationError, match="1 group; tuning needs two"):
        split_recordings(season, labels=["anemonefish"], groups={one.name: "2021" for one in season})


def test_one_recording_cannot_be_split(season):
    with pytest.raises(AnnotationError, match="1 annotated recording; tuning needs two"):
        split_recordings(season[:1], labels=["anemonefish"])


# ---------------------------------------------------------------------- tune, report, promote


def test_tuning_lowers_the_threshold_of_a_shy_model_and_gains_on_recordings_it_did_not_see(season):
    tuning = tune(season, InferenceConfig())
    assert add_counts(tuning.count_events(tuning.base)).recall == 0
    assert 0.22 <= tuning.config.confidence_threshold < 0.45
    gain, low, high = tuning.measure_gain()
    assert low <= gain <= high
    assert gain > 0.9
    assert low > 0
    assert not {one.name for one in tuning.tuned_on} & {one.name for one in tuning.held_out}
    assert {name for name, _ in vars(tuning.config).items()} == set(InferenceConfig.model_fields)


def test_only_event_settings_change(season):
    base = InferenceConfig(fmax_hz=1500, batch_size=7)
    assert tune(season, base).config.scores_fingerprint == base.scores_fingerprint


def test_annotations_may_have_other_labels(season):
    renamed = [replace(one, annotations=[replace(a, label="A. percula") for a in one.annotations]) for one in season]
    with pytest.raises(AnnotationError, match="no recording for tuning has"):
        tune(renamed, InferenceConfig())
    tuning = tune(renamed, InferenceConfig(), labels=["a. percula"])
    assert tuning.config == tune(season, InferenceConfig()).config


def test_scores_of_different_models_are_not_mixed(season):
    season[0] = replace(season[0], scores=replace(season[0].scores, model_sha256="c" * 64))
    with pytest.raises(ScoresError, match="scored in 2 ways"):
        tune(season, InferenceConfig())


def test_the_report_says_what_on_which_recordings_and_with_what(season):
    tuning = tune(season, InferenceConfig())
    page = tuning.report(command="anemone tune season --seed 0")
    assert "The tuned settings are better on recordings they were not tuned on" in page
    for text in (tuning.config.fingerprint, "a" * 64, "b" * 64, "anemone tune season --seed 0", "reef-11.wav"):
        assert text in page
    assert page.count("set aside |") == len(tuning.held_out)
    assert "too narrow" in page  # four recordings
    rows = tuning.to_dict()["recordings"]
    assert [row["held_out"] for row in rows] == [False] * 8 + [True] * 4
    json.dumps(tuning.to_dict(), allow_nan=False)


def test_the_report_does_not_claim_a_gain_that_is_not_there(season):
    best = tune(season, InferenceConfig()).config
    assert "**No gain is shown**" in tune(season, best).report()


def test_the_promoted_file_is_the_same_configuration(season, tmp_path):
    tuning = tune(season, InferenceConfig())
    paths = tuning.promote(tmp_path)
    assert [path.name for path in paths] == [
        "inference_config.auto.tfvars.json",
        "inference_config.md",
        "inference_config.tuning.json",
        "inference_config.before.json",
    ]
    assert InferenceConfig.load(paths[0]) == tuning.config
    assert json.loads(paths[0].read_text())["inference_config_fingerprint"] == tuning.config.fingerprint
    assert json.loads(paths[2].read_text())["inference_config_fingerprint"] == tuning.config.fingerprint


@pytest.mark.skipif(not shutil.which("terraform"), reason="needs Terraform")
def test_terraform_reads_the_promoted_file_as_the_same_configuration(season, tmp_path):
    """By ``jsondecode``, which spells 1.0 as 1: the fingerprint is of the parsed settings."""
    tuning = tune(season, InferenceConfig())
    promoted, *_ = tuning.promote(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    expression = f'jsonencode(jsondecode(file("../{promoted.name}")).inference_config)\n'
    command = ["terraform", f"-chdir={tmp_path / 'elsewhere'}", "console", "-no-color"]
    console = subprocess.run(command, input=expression, capture_output=True, text=True, check=True, timeout=60)
    settings = json.loads(json.loads(console.stdout))
    assert InferenceConfig(**settings).fingerprint == tuning.config.fingerprint


def test_an_environment_that_does_not_exist_is_not_promoted_to(season, tmp_path):
    with pytest.raises(ConfigError, match="prdo is not a folder"):
        tune(season, InferenceConfig()).promote(tmp_path / "prdo")


def test_counting_with_tolerances_is_stricter_than_overlap(season):
    config = tune(season, InferenceConfig()).config
    loose, strict = (
        add_counts(count_recordings(season, config, onset_tolerance=tolerance)) for tolerance in (None, 0.8)
    )
    assert loose.n_matched > strict.n_matched > 0
    assert loose.n_estimated == strict.n_estimated
