"""2,000 damaged recordings, seeded: see `tests.audio.fuzz` for what is promised."""

import pytest

from tests.audio import fuzz

CASES = 2000
SHARES = 8


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
def test_damaged_recordings_keep_every_promise(share):
    first, stop = share * CASES // SHARES, (share + 1) * CASES // SHARES
    outcomes = fuzz.run(range(first, stop))
    assert sum(counts.get("detected", 0) for counts in outcomes.values()) >= len(fuzz.KINDS)
    for kind, counts in outcomes.items():
        read = counts.get("whole", 0) + counts.get("damaged", 0)
        assert 2 * read > counts.get("refused", 0), kind  # two fifths of a short OGG are its header


def test_a_case_is_the_same_whenever_it_is_made():
    assert fuzz.make_case(77).content == fuzz.make_case(77).content


def test_a_reader_that_stops_at_the_first_error_is_found_out(monkeypatch):
    """The harness itself: it must fail for a reader that loses the rest."""
    case = fuzz.Case(0, "flac", 4.0, fuzz.recording_of("flac", 4.0)[:30_000])
    oracle = fuzz.ffmpeg_duration(case.content)
    assert 0.5 < oracle < 3.5
    with pytest.raises(fuzz.BrokenPromise, match="FFmpeg reads"):
        fuzz._check_duration(case, oracle / 2)
    with pytest.raises(fuzz.BrokenPromise, match="more than"):
        fuzz._check_duration(case, 9.0)
