import json
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import soundfile

from anemone_lib import (
    InferenceConfig,
    code_sha256,
    detect,
    load_classifier,
    open_recording,
)
from anemone_lib.detection import decide_events
from anemone_lib.scoring import choose_config
from anemone_lib.simulation.reef import write_recording


@pytest.fixture(scope="module")
def reef(tmp_path_factory):
    """Three simulated minutes with clear calls, and what is in them."""
    path = tmp_path_factory.mktemp("reef") / "20230210_000001.wav"
    return path, write_recording(path, duration=180, seed=4242, snr_db=(12, 18))


@pytest.fixture(scope="module")
def found(reef):
    return detect(reef[0])


def test_the_calls_of_a_simulated_reef_are_found(reef, found):
    calls = [call for call in reef[1] if call.label == "anemonefish"]
    assert calls
    heard = [any(e.start_time < call.end_time and e.end_time > call.start_time for e in found.events) for call in calls]
    assert np.mean(heard) >= 0.8  # how well exactly, and on how much more, is on the model's card


def test_the_metadata_says_what_was_analysed_and_by_what(reef, found):
    classifier = load_classifier()
    metadata = found.metadata
    assert metadata["audio_duration"] == 180
    assert metadata["total_windows"] == 449
    assert metadata["total_events"] == len(found.events)
    assert metadata["sample_rate"] == 48000
    assert metadata["coverage"] == {"analysed_s": 180, "skipped": []}
    assert metadata["model_version"] == classifier.card.version
    provenance = metadata["provenance"]
    assert provenance["code_sha256"] == code_sha256()
    assert provenance["model_sha256"] == classifier.sha256
    assert provenance["config_fingerprint"] == found.config.fingerprint
    with open_recording(reef[0]) as recording:
        assert provenance["recording_sha256"] == recording.sha256


def test_the_result_is_json_with_the_keys_of_the_interface(found):
    result = json.loads(found.to_json())
    assert set(result) == {"predictions", "events", "metadata"}
    first = result["predictions"][0]
    assert set(first) == {"timestamp", "start_time", "end_time", "class", "confidence", "probabilities"}
    assert first["timestamp"] == "0.0-1.0s"
    assert set(first["probabilities"]) == {"noise", "anemonefish", "biological"}
    assert set(result["events"][0]) >= {
        *("id", "class", "start_time", "end_time", "duration"),
        *("mean_confidence", "max_confidence", "num_windows", "start_utc"),
    }
    for prediction, row in zip(result["predictions"], found.scores.probabilities, strict=True):
        np.testing.assert_array_equal(np.float32(list(prediction["probabilities"].values())), row)


def test_detecting_again_gives_the_same(reef, found):
    again = detect(reef[0])
    np.testing.assert_array_equal(again.scores.probabilities, found.scores.probabilities)
    assert again.events == found.events


def test_an_open_recording_a_file_object_and_a_path_give_the_same(reef, found):
    with reef[0].open("rb") as file:
        assert detect(file).events == found.events
    with open_recording(reef[0]) as recording:
        assert detect(recording).events == found.events
        assert len(recording.read(0, 10)) == 10  # still open: it is the caller's


def test_event_settings_on_kept_scores_give_what_a_new_detection_gives(reef, found):
    config = found.config.replace(confidence_threshold=0.6, smoothing_window=5)
    assert decide_events(found.scores, config) == detect(reef[0], config=config).events


def test_the_default_settings_are_those_on_the_models_card():
    classifier = load_classifier()
    decisions = classifier.card.decisions["anemonefish"]
    assert choose_config(None, classifier) == InferenceConfig(**classifier.card.settings, **decisions)


def test_a_recording_resampled_by_configuration_is_analysed_at_that_rate(reef):
    classifier = load_classifier()
    config = choose_config(None, classifier)
    classifier.card.settings["target_sr"] = 32000  # a model that was trained at one rate
    try:
        resampled = detect(reef[0], config=config.replace(target_sr=32000), classifier=classifier)
    finally:
        classifier.card.settings["target_sr"] = None
    assert resampled.scores.sample_rate == 32000
    assert resampled.metadata["audio_duration"] == 180


@pytest.mark.slow
def test_every_real_recording_gives_a_result(shared_recordings):
    for path in sorted(p for p in shared_recordings.rglob("*") if p.suffix in (".wav", ".mp3")):
        found = detect(path)
        metadata = found.metadata
        assert metadata["coverage"]["analysed_s"] == pytest.approx(metadata["audio_duration"]), path.name
        json.loads(found.to_json())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc, which Linux has")
def test_every_odd_file_gives_a_result_or_a_clear_error_in_bounded_time_and_memory(odd_audio, tmp_path):
    script = (
        "import re, sys\n"
        "from anemone_lib.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as stop: print('exit', stop.code)\n"
        # not ru_maxrss, which a process inherits from the one that started it
        "print('peak MB', int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)\n"
    )
    command = [sys.executable, "-c", script, "detect", str(odd_audio), "--out", str(tmp_path), "--formats", "json"]
    command += ["--workers", "2"]  # on a machine of many cores it takes more memory
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "Traceback" not in answer.stderr
    assert "unexpected" not in answer.stderr
    assert "exit 1" in answer.stdout  # some cannot be decoded, the others are done
    assert int(answer.stdout.rsplit("peak MB", 1)[1]) < 500
    failed = dict(re.findall(r"^failed: (.+?\.\w+): (.+)$", answer.stderr, re.MULTILINE))
    for path in sorted(p for p in odd_audio.rglob("*") if p.suffix in (".wav", ".flac")):
        if str(path) in failed:
            assert path.name in failed[str(path)]
            continue
        found = json.loads((tmp_path / path.relative_to(odd_audio)).with_suffix(".json").read_text())["metadata"]
        skipped = sum(gap["end_time"] - gap["start_time"] for gap in found["coverage"]["skipped"])
        assert found["coverage"]["analysed_s"] + skipped == pytest.approx(found["audio_duration"]), path.name


@pytest.mark.parametrize("opened", [False, True])
def test_recordings_of_one_name_are_kept_apart_where_a_program_saves_them_into_one_folder(
    tmp_path, noise, loudness, opened
):
    formats, saved = ["json", "csv", "raven", "audacity"], {}
    for site in ("a", "b", "a"):
        path = tmp_path / site / "reef.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, noise(2), 48_000)
        with ExitStack() as stack:
            source = stack.enter_context(open_recording(path)) if opened else path
            found = detect(source, classifier=loudness)
            saved.setdefault(site, []).append(found.save(tmp_path / "out", formats=formats))
    assert saved["a"][0] == saved["a"][1]
    assert [path.name for path in saved["a"][0]] == [
        *("reef.json", "reef.events.csv", "reef.selections.txt", "reef.audacity.txt")
    ]
    assert not set(saved["a"][0]) & set(saved["b"][0])
