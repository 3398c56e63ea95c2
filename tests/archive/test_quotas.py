"""The simulation of an execution within quotas, against cases that can be counted by hand."""

import pytest

from anemone_lib.archive.quotas import (
    BATCH_TRANSITIONS,
    CALL_TRANSITIONS,
    Course,
    Quotas,
    simulate_execution,
)

WIDE = Quotas(10**6, 10**6, 10**6, 1e9, 1e9)


def test_without_a_limit_all_batches_last_as_long_as_one():
    assert simulate_execution(500, 30.0, WIDE, cold_start_s=0) == Course(30, 500, 500 * BATCH_TRANSITIONS, "")
    assert simulate_execution(0, 30.0, WIDE).seconds == 0


def test_so_many_at_once_work_in_rounds():
    quotas = Quotas(4, 10**6, 10**6, 1e9, 1e9)
    course = simulate_execution(10, 30.0, quotas, cold_start_s=0)  # 4, 4, 2
    assert (course.seconds, course.most_at_once, course.limit) == (90, 4, "max_concurrency")


@pytest.mark.parametrize("name", ["max_concurrency", "map_executions", "function_calls"])
def test_the_narrowest_of_the_rooms_is_the_limit(name):
    quotas = Quotas(**{"max_concurrency": 900, "map_executions": 900, "function_calls": 900, name: 5})
    assert quotas.at_once == 5
    assert simulate_execution(100, 20.0, quotas).limit == name


def test_environments_grow_second_by_second_and_start_cold_once():
    quotas = Quotas(10**6, 10**6, 10**6, growth=1.0, transitions=1e9)
    course = simulate_execution(3, 100.0, quotas, cold_start_s=5.0)  # begun at 0, 1 and 2
    assert (course.seconds, course.limit) == (107, "growth")
    one = simulate_execution(2, 100.0, Quotas(max_concurrency=1), cold_start_s=5.0)
    assert one.seconds == 205  # the second finds the environment of the first


def test_transitions_of_states_hold_up_what_is_short():
    quotas = Quotas(10**6, 10**6, 10**6, 1e9, transitions=10.0 * BATCH_TRANSITIONS)
    course = simulate_execution(100, 1.0, quotas, cold_start_s=0)  # ten begin each second
    assert (course.seconds, course.limit) == (10, "transitions")
    more = simulate_execution(1, 10.0, quotas, calls=3, cold_start_s=0)
    assert (more.seconds, more.transitions) == (30, BATCH_TRANSITIONS + 2 * CALL_TRANSITIONS)
