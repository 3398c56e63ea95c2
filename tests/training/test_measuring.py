"""What a model's card says of it: bouts with their intervals, false alarms over thresholds."""

import numpy as np
import pytest

from anemone_lib import load_classifier
from anemone_lib.evaluation.rates import Counts, compute_wilson_interval
from anemone_lib.simulation import write_recording
from anemone_lib.training import measuring


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The measures of the shipped model on little: counts that are given, one kind of sound, two recordings."""
    folder = tmp_path_factory.mktemp("control")
    for k in range(2):
        settings = {"duration": 20, "seed": k, "sample_rate": 8_000, "neighbours_per_minute": 60}
        write_recording(folder / f"quiet_{k}.wav", **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "measure_events", lambda *_, **__: Counts(200, 190, 180, 3600.0))
        patch.setattr(measuring, "OTHER_SOUNDS", {"hum": {"noises": ["hum"], "sample_rate": 8_000}})
        return measuring.measure_card(load_classifier(), control=sorted(folder.glob("*.wav")), n_recordings=1)


def test_rates_stand_beside_their_intervals(measured):
    usual = measured["snr_6_to_18_db"]
    assert usual["precision_interval"] == [round(v, 4) for v in compute_wilson_interval(180, 190)]
    assert usual["recall_interval"] == [round(v, 4) for v in compute_wilson_interval(180, 200)]
    assert set(measured["by_sample_rate_at_6_to_18_db"]) == {str(rate) for rate in measuring.CARD_RATES}


def test_false_alarms_do_not_grow_with_the_threshold(measured):
    by_kind = measured["false_alarms_per_hour_by_kind_and_threshold"]
    assert set(by_kind) == {"hum"}
    assert by_kind["hum"]["minutes"] == 5
    of_recordings = measured["real_events_by_recording_and_threshold"]
    assert list(of_recordings) == ["quiet_0.wav", "quiet_1.wav"]
    for row in (*by_kind.values(), *of_recordings.values()):
        windows = [row[str(threshold)] for threshold in measuring.CARD_THRESHOLDS]
        assert windows[-1] <= windows[0]


def test_the_recordings_together_have_the_events_of_each(measured):
    together = measured["real_recordings_without_known_calls"]
    each = measured["real_events_by_recording_and_threshold"].values()
    assert together["events"] == sum(row["0.5"] for row in each)
    assert together["minutes"] == pytest.approx(sum(row["minutes"] for row in each), abs=0.02)
    assert together["false_alarms_per_hour"] == pytest.approx(60 * together["events"] / together["minutes"], rel=0.05)


def test_without_control_nothing_is_said_of_real_recordings(monkeypatch):
    monkeypatch.setattr(measuring, "measure_events", lambda *_, **__: Counts(0, 0, 0, 3600.0))
    monkeypatch.setattr(measuring, "OTHER_SOUNDS", {})
    metrics = measuring.measure_card(load_classifier())
    assert not any(name.startswith("real") for name in metrics)
    assert metrics["snr_6_to_18_db"]["precision"] is None
    assert np.isfinite(metrics["snr_6_to_18_db"]["precision_interval"]).all()
