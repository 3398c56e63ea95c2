import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from anemone_lib import InferenceConfig, read_annotations
from anemone_lib.cli import app
from tests.conftest import ROOT


@pytest.fixture
def season(tmp_path, noise):
    """A folder with two good recordings, one bad one, and something else."""
    folder = tmp_path / "season"
    (folder / "site b").mkdir(parents=True)
    soundfile.write(folder / "20230210_000001.wav", noise(4), 48000)
    soundfile.write(folder / "site b" / "two.flac", noise(3, 16000), 16000)
    (folder / "broken.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    (folder / "notes.txt").write_text("calm sea")
    return folder


def test_what_is_annotated_is_drawn_and_says_why_calls_and_events_differ_in_number(anemone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = anemone("simulate", "--duration", 60, "--seed", 1, "reef.wav").output
    assert "with 5 anemonefish calls" in said
    options = ("--formats", "png", "--annotations", "reef.truth.txt")
    assert anemone("detect", "reef.wav", "--out", "bare", "--formats", "png").exit_code == 0
    result = anemone("detect", "reef.wav", *options)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert (
        "5 annotated anemonefish calls in 2 bouts (calls up to 1.4 s apart are one bout, which one event covers)"
        in said
    )
    assert "2 found, 0 missed; 0 of 2 events without a call" in said
    assert (tmp_path / "out" / "reef.png").read_bytes() != (tmp_path / "bare" / "reef.png").read_bytes()
    anemone("simulate", "--duration", 10, "other.wav")
    result = anemone("detect", "reef.wav", "other.wav", *options)
    assert result.exit_code == 2
    assert "--annotations is of one recording" in result.stderr


def test_detect_writes_every_format_beside_each_other(anemone, season, tmp_path):
    out = tmp_path / "out"
    result = anemone("detect", season / "20230210_000001.wav", "--out", out, "--formats", "json,csv,raven,audacity,png")
    assert result.exit_code == 0, result.output
    written = sorted(path.name for path in out.iterdir())
    stem = "20230210_000001"
    assert written == [
        f"{stem}.audacity.txt",
        f"{stem}.events.csv",
        f"{stem}.json",
        f"{stem}.png",
        f"{stem}.selections.txt",
    ]
    assert (out / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((out / f"{stem}.json").read_text())
    assert content["metadata"]["total_windows"] == len(content["predictions"]) == 9  # 0 … 3.2 s by 0.4 cover 4.2 s
    assert (
        content["metadata"]["total_events"]
        == len(content["events"])
        == len(read_annotations(out / f"{stem}.selections.txt", detections=True))
    )


def test_one_bad_recording_never_ends_the_batch(anemone, season, tmp_path):
    result = anemone("detect", season, "--out", tmp_path / "out", "--formats", "json")
    assert result.exit_code == 1
    assert (tmp_path / "out" / "20230210_000001.json").is_file()
    assert (tmp_path / "out" / "site b" / "two.json").is_file()
    assert "2 of 3 recordings" in result.stdout
    assert re.search(r"failed: .*broken\.wav: .*cannot be decoded", result.stderr)


def test_recordings_of_the_same_name_do_not_write_over_each_other(anemone, tmp_path, noise):
    for name in ("a/reef.wav", "b/reef.wav", "b/reef.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, noise(1, 8000), 8000)
    names = [tmp_path / name for name in ("a/reef.wav", "b/reef.wav", "b/reef.flac")]
    assert anemone("detect", *names, "--out", tmp_path / "out", "--formats", "json").exit_code == 0
    assert len(list((tmp_path / "out").rglob("*.json"))) == 3


def test_a_glob_that_the_shell_left_alone_is_expanded(anemone, season, tmp_path):
    result = anemone("detect", f"{season}/**/*.flac", "--out", tmp_path / "out", "--formats", "json")
    assert result.exit_code == 0
    assert (tmp_path / "out" / "site b" / "two.json").is_file()  # as the folder before the first star has it


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--formats", "json,xls"], "xls.*known are json"),
        (["--model", "absent"], "absent is no model"),
        (["--config", "absent.yaml"], "cannot read the configuration absent.yaml"),
        (["--shard", "5/4", "--cache", "c"], "5/4"),
        (["--shard", "1/4"], "needs --cache"),
    ],
)
def test_a_command_that_cannot_be_carried_out_exits_with_2_and_says_why(anemone, season, arguments, words):
    result = anemone("detect", season, *arguments)
    assert result.exit_code == 2
    assert re.search(words, result.stderr), result.stderr


def test_an_empty_folder_and_a_glob_without_match_are_usage_errors(anemone, tmp_path):
    assert anemone("detect", tmp_path).exit_code == 2
    assert anemone("detect", f"{tmp_path}/*.wav").exit_code == 2
    assert anemone("detect").exit_code == 2


def test_a_missing_recording_fails_beside_the_others(anemone, season, tmp_path):
    result = anemone(
        "detect", season / "absent.wav", season / "20230210_000001.wav", "--out", tmp_path / "out", "--formats", "json"
    )
    assert result.exit_code == 1
    assert "absent.wav: cannot open" in result.stderr
    assert (tmp_path / "out" / "20230210_000001.json").is_file()


def test_shards_and_a_cache_give_what_one_run_gives(anemone, tmp_path, noise):
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(120, 8000), 8000)
    anemone("detect", path, "--out", tmp_path / "one", "--formats", "csv")
    for part in ("1/2", "2/2"):
        result = anemone("detect", path, "--cache", tmp_path / "c", "--shard", part, "--out", tmp_path / "none")
        assert result.exit_code == 0, result.output
    assert not (tmp_path / "none").exists()
    anemone("detect", path, "--cache", tmp_path / "c", "--out", tmp_path / "two", "--formats", "csv")
    assert (tmp_path / "one" / "long.events.csv").read_text() == (tmp_path / "two" / "long.events.csv").read_text()


def test_a_damaged_stretch_is_shown(anemone, tmp_path, noise):
    samples = noise(6, 8000)
    samples[8000:9000] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    result = anemone("detect", tmp_path / "a.wav", "--out", tmp_path / "out", "--formats", "json")
    assert "skipped" in result.stdout
    assert json.loads((tmp_path / "out" / "a.json").read_text())["metadata"]["coverage"]["skipped"]


def test_simulate_writes_a_recording_and_its_truth(anemone, tmp_path):
    result = anemone("simulate", tmp_path / "reef.wav", "--duration", "20", "--seed", "3", "--sample-rate", "16000")
    assert result.exit_code == 0, result.output
    assert soundfile.info(tmp_path / "reef.wav").duration == 20
    assert read_annotations(tmp_path / "reef.truth.txt")
    assert anemone("simulate", tmp_path / "x.wav", "--sample-rate", "5").exit_code == 2
    before = (tmp_path / "reef.wav").read_bytes()
    again = ["simulate", tmp_path / "reef.wav", "--duration", "1", "--sample-rate", "16000"]
    refused = anemone(*again)
    assert (refused.exit_code, "--overwrite" in refused.stderr) == (2, True)
    assert (tmp_path / "reef.wav").read_bytes() == before
    assert anemone(*again, "--overwrite").exit_code == 0
    assert (tmp_path / "reef.wav").read_bytes() != before


def test_config_spells_the_settings_for_terraform_and_the_environment(anemone, tmp_path):
    config = InferenceConfig(confidence_threshold=0.7, target_sr=48000)
    path = config.save(tmp_path / "c.yaml")
    lines = anemone("config", "to-env", "--config", path).stdout.splitlines()
    assert dict(line.split("=", 1) for line in lines) == config.to_env()
    written = tmp_path / "inference_config.auto.tfvars.json"
    assert anemone("config", "to-tfvars", "--config", path, "--out", written).exit_code == 0
    assert InferenceConfig.load(written) == config
    assert json.loads(anemone("config", "to-tfvars", "--config", path).stdout) == json.loads(written.read_text())
    assert config.fingerprint in anemone("config", "show", "--config", path).stdout
    assert anemone("config", "to-tfvars", "--out", tmp_path / "c.json").exit_code == 2


def test_the_installed_command_runs_in_a_process_of_its_own(tmp_path):
    command = [sys.executable, "-c", "from anemone_lib.cli import app; app()", "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert answer.stdout.startswith("anemone 0.")


def test_every_command_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    names += [group.name for group in app.registered_groups]
    assert [name for name in names if f"anemone {name}" not in readme] == []


# ---------------------------------------------------------------------- channels, gaps, the sound itself


@pytest.fixture
def pair(tmp_path, noise):
    """A recording of two hydrophones, the second the louder."""
    path, sound = tmp_path / "pair.wav", noise(4)
    soundfile.write(path, np.stack([0.3 * sound, noise(4)], axis=1), 48000)
    return path


@pytest.mark.parametrize(("channel", "used"), [("mean", "mean"), ("1", "1"), ("loudest", "2")])
def test_a_channel_can_be_chosen_and_is_in_the_provenance(anemone, pair, tmp_path, channel, used):
    result = anemone("detect", pair, "--out", tmp_path / "out", "--channel", channel, "--formats", "json")
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "out" / "pair.json").read_text())
    assert written["metadata"]["provenance"]["channel"] == used


def test_each_channel_has_its_own_files(anemone, pair, tmp_path):
    for _ in range(2):  # a second run writes over its own
        result = anemone("detect", pair, "--out", tmp_path / "out", "--channel", "each", "--formats", "json,csv")
        assert result.exit_code == 0, result.output
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            *("pair.channel1.events.csv", "pair.channel1.json", "pair.channel2.events.csv", "pair.channel2.json")
        ]
    assert "pair.wav, channel 2: 4.0 s" in result.stdout


@pytest.mark.parametrize(("channel", "code", "words"), [("left", 2, "channel is 'left'"), ("3", 1, "2 channels")])
def test_a_channel_that_is_not_there_is_refused(anemone, pair, tmp_path, channel, code, words):
    result = anemone("detect", pair, "--out", tmp_path / "out", "--channel", channel)
    assert result.exit_code == code
    assert words in result.output


def test_what_is_lost_and_what_is_wrong_with_the_sound_is_printed(anemone, tmp_path, noise):
    path, sound = tmp_path / "a.flac", noise(12)
    sound[8 * 48000 :] = 0
    soundfile.write(path, sound, 48000)
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)
    result = anemone("detect", path, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert re.search(r"skipped \d\.\d\d to \d\.\d\d s: a damaged FLAC frame", result.stdout)
    assert "every sample is 0" in result.stdout
