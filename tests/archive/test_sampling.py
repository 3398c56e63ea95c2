import csv
import shutil

import pytest

from anemone_lib.archive import open_archive, report_archive
from anemone_lib.archive.sampling import draw_sample, open_survey, write_sample
from anemone_lib.errors import ConfigError


@pytest.fixture(scope="module")
def reported(large, tmp_path_factory):
    """The folder of an archive with events of every confidence."""
    folder = tmp_path_factory.mktemp("reported") / "archive"
    shutil.copytree(large[2].folder, folder)
    report_archive(folder, settings={"confidence_threshold": 0.05, "smoothing_window": 1})
    return folder


@pytest.fixture
def archive(reported, tmp_path):
    """A copy of it."""
    return open_archive(shutil.copytree(reported, tmp_path / "archive"))


def test_a_sample_is_stratified_and_drawn_again_by_its_seed(archive):
    items = draw_sample(archive.folder, 20)
    assert items == draw_sample(archive.folder, 20) != draw_sample(archive.folder, 20, seed=1)
    assert len(items) == 20 < len(archive.events)
    strata = {int(10 * item.confidence) for item in items}
    assert strata == {int(10 * value) for value in archive.events["max_confidence"]}


def test_a_sample_is_a_table_with_sound(archive):
    table, clips = write_sample(archive.folder, 10)
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert clips.number == len(rows) == 10
    assert {row["event_id"] for row in rows} <= set(archive.events["id"])
    assert all(any(row["event_id"] in path.name for path in clips.folder.rglob("*.wav")) for row in rows)


def test_verdicts_of_a_survey_are_in_the_tables_of_the_next_report(archive):
    survey = open_survey(archive.folder, 6, reviewer="Ana")
    assert [item.id for item in survey.events] == [item.id for item in draw_sample(archive.folder, 6)]
    survey.accept(survey.events[0])
    survey.reject(survey.events[1])
    verdicts = report_archive(archive.folder).events.set_index("id")["verdict"].dropna()
    assert verdicts.to_dict() == {survey.events[0].id: "anemonefish", survey.events[1].id: "not anemonefish"}


def test_a_class_that_is_not_in_the_archive_is_refused(archive):
    with pytest.raises(ConfigError, match="the archive has anemonefish"):
        open_survey(archive.folder, class_name="whale")
