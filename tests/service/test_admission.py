"""Too much at once: 503 and when to try again, for those who can be told; the others are answered right."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from anemone_lib.service import engine as service_engine
from anemone_lib.service import routes
from anemone_lib.service.problems import Problem
from tests.service.conftest import Inside, listening

WAV = {"Content-Type": "audio/wav"}


def test_more_requests_than_there_are_places_are_told_to_come_again(settings, wav, monkeypatch):
    inside = Inside(replace(settings, store=None, max_requests=4))
    go_on, content = threading.Event(), wav.read_bytes()
    detect = inside.engine.open_detections

    def wait_and_detect(*args, **options):
        assert go_on.wait(30)
        return detect(*args, **options)

    monkeypatch.setattr(inside.engine, "open_detections", wait_and_detect)
    with listening(inside.app) as front, ThreadPoolExecutor(12) as crowd:
        calls = [crowd.submit(front, "POST", "/predict", body=content, headers=WAV) for _ in range(12)]
        while sum(call.done() for call in calls) < 8:
            time.sleep(0.01)
        assert front("GET", "/health").status == 200  # who asks something else is not kept waiting
        go_on.set()
        answers = [call.result() for call in calls]
        assert sorted(answer.status for answer in answers) == [200] * 4 + [503] * 8
        for refused in (answer for answer in answers if answer.status == 503):
            assert refused.json()["error"] == "busy"
            assert int(refused.headers["retry-after"]) > 0
        assert front("POST", "/predict", body=content, headers=WAV).status == 200


def test_who_waits_for_a_turn_as_long_as_a_call_may_take_is_told_that_the_service_is_busy(settings, wav, monkeypatch):
    inside = Inside(replace(settings, store=None))
    monkeypatch.setattr(routes, "find_deadline", lambda *_: time.monotonic() - 1)
    answer = inside("POST", "/predict", body=wav.read_bytes(), headers=WAV)
    assert (answer.status, answer.json()["error"]) in [(503, "busy"), (413, "too_long")]


@pytest.mark.parametrize(("total", "n_sharing", "status"), [(2, 2, None), (20, 2, 503), (20, 1, 413), (1000, 2, 413)])
def test_what_is_too_long_and_what_is_only_too_much_at_once_are_told_apart(monkeypatch, total, n_sharing, status):
    clock = [0.0]
    monkeypatch.setattr(service_engine, "monotonic", lambda: clock[0])
    watch = service_engine._watch_deadline(26.0, lambda: n_sharing)
    clock[0] = 2.0
    watch(1, total)
    clock[0] = 4.0
    if status is None:
        watch(2, total)
        return
    with pytest.raises(Problem) as caught:
        watch(2, total)
    assert caught.value.status == status


def test_a_slow_first_chunk_which_loads_everything_does_not_count_for_all(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(service_engine, "monotonic", lambda: clock[0])
    watch = service_engine._watch_deadline(26.0, lambda: 1)
    clock[0] = 5.0
    watch(1, 100)
    clock[0] = 5.1
    watch(2, 100)
