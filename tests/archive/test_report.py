"""The page of a season: one file, nothing from elsewhere, readable on a desk and on a phone."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from anemone_lib.archive import open_archive, page
from anemone_lib.archive import report as report_module
from anemone_lib.archive.inventory import save_timeline
from anemone_lib.archive.report import write_report
from anemone_lib.archive.report_text import describe_precision, describe_problems
from anemone_lib.archive.steps import open_state
from anemone_lib.archive.tables import write_provenance, write_table
from anemone_lib.errors import AnnotationError
from anemone_lib.tables.verdicts import Verdict, write_verdicts

#: Elements of HTML without an end.
VOID = {"meta", "img", "br", "hr", "input", "link"}


@pytest.fixture(scope="module")
def path(archive):
    return write_report(archive, gallery=2)


@pytest.fixture(scope="module")
def html(path):
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.split("</style>")[1]))


class Checker(HTMLParser):
    """Every element is closed in its turn, every id is there once."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.elements = [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def checked(html):
    checker = Checker()
    checker.feed(html)
    checker.close()
    return checker


def test_what_is_odd_is_told_once_with_how_many_recordings_and_what_failed_first(archive):
    odd = [(f"north/{k}.wav", "analysed", None, "frames are long; pulses vanish", None, 0.0) for k in range(5)]
    odd += [(f"south/{k}.wav", "failed", f"south/{k}.wav is empty: 0 bytes", None, None, 0.0) for k in range(2)]
    odd += [("south/copy.wav", "duplicate", None, None, "south/3.wav", 0.0)]
    columns = ["recording", "status", "problem", "notes", "duplicate_of", "overlap_s"]
    recordings = pd.DataFrame(odd, columns=columns).astype({"problem": object, "notes": object})
    html = describe_problems(SimpleNamespace(recordings=recordings, effort=archive.effort.iloc[:0]))
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in html.split("<tr>")[2:]]
    assert rows == [
        ["is empty: 0 bytes", "failed", "2", "south/0.wav, south/1.wav"],
        ["frames are long; pulses vanish", "analysed", "5", "north/0.wav, north/1.wav, north/2.wav, …"],
        ["the same bytes as south/3.wav", "duplicate", "1", "south/copy.wav"],
    ]


def test_names_in_any_script_are_drawn_without_a_warning(tmp_path, analyse, out):
    for hour in (6, 7):
        path = tmp_path / "season" / "珊瑚礁" / f"20230210_{hour:02d}0000.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(hour).normal(0, 0.1, 16_000), 8000)
    found = analyse([tmp_path / "season"], out("a"))
    assert "珊瑚礁" in write_report(found).read_text(encoding="utf-8")
    with open_state(found.folder) as state:
        assert save_timeline(state, found.folder).stat().st_size > 1000


def test_commands_are_marked_as_such():
    assert page.make_paragraph("`anemone <x>` draws") == "<p><code>anemone &lt;x&gt;</code> draws</p>"


def test_every_element_is_closed_and_every_id_is_there_once(checked):
    assert checked.open == []
    assert len(checked.ids) == len(set(checked.ids))


def test_the_links_of_the_contents_lead_to_the_sections(checked):
    links = [attrs["href"] for tag, attrs in checked.elements if tag == "a"]
    assert len(links) >= 9
    assert {link.removeprefix("#") for link in links} == set(checked.ids)


def test_the_page_is_one_file(html, checked):
    loaded = [
        attrs[name] for _, attrs in checked.elements for name in ("src", "href", "data", "poster") if name in attrs
    ]
    assert loaded
    assert [one[:40] for one in loaded if not one.startswith(("data:", "#"))] == []
    assert re.findall(r"https?://|url\(|@import|<script|<link", html) == []
    assert len(html) < 3_000_000


def test_every_figure_has_words_in_place_of_it(checked):
    images = [attrs for tag, attrs in checked.elements if tag == "img"]
    assert len(images) >= 9
    assert [attrs for attrs in images if len(attrs.get("alt", "")) < 20] == []
    assert len({attrs["alt"] for attrs in images[:9]}) == 9


def test_sounds_are_in_the_page_and_have_names(checked):
    players = [attrs for tag, attrs in checked.elements if tag == "audio"]
    assert len(players) == 6  # two of each kind
    assert all(attrs["src"].startswith("data:audio/") and attrs["aria-label"] for attrs in players)


def test_names_of_files_are_text_not_elements(html, archive):
    assert "<i>" not in html


def test_what_is_true_of_the_season_is_on_the_page(text, season):
    assert f"{len(season.events):,} events" in text
    assert text.count("most from 06:00 to 07:00") == 2
    assert "1 recording (1 h, 0 events) without a start time" in text
    assert "The manifest does not say where south lies" in text
    assert "the data end early" in text
    assert "not a sound file" in text
    assert "c" * 64 in text
    assert "e" * 64 in text
    assert "nan" not in re.findall(r"[\w.]+", text.lower())


def test_the_soundscape_is_on_the_page_with_its_units(text, checked):
    alts = " ".join(attrs.get("alt", "") for tag, attrs in checked.elements if tag == "img")
    for words in ("Median level of each day at north, by band", "Levels of third octaves at south; loudest around"):
        assert words in alts
    assert "Long-term spectral average at north, 2023-02-01 to 2023-03-31, from 10 Hz to 4,000 Hz" in alts
    assert "A column is 2 h, of which the powers are averaged" in text


def test_without_minutes_the_page_says_so(tmp_path, archive):
    for name in ("effort", "hours"):
        rows = getattr(archive, name).head(30)
        rows = rows.astype(object).where(rows.notna(), None).to_dict("records")
        write_table(tmp_path / f"{name}.parquet", name, rows)
    write_provenance(tmp_path, {})
    assert "was not measured, or it is not known when it was recorded" in write_report(
        open_archive(tmp_path), gallery=0
    ).read_text(encoding="utf-8")


def test_without_a_review_nothing_is_said_of_precision(text):
    assert "No event was reviewed" in text


def test_verdicts_beside_the_tables_give_precision_and_density(archive):
    events = archive.events
    drawn = events.sample(200, random_state=1)
    rows = zip(drawn["id"], drawn["max_confidence"], strict=True)
    said = []
    for key, sure in rows:
        label = "anemonefish" if sure > 0.7 else "not anemonefish"
        said.append(Verdict(key, "x.wav", 0.0, 1.0, label, bool(sure > 0.7), float(sure)))
    table = write_verdicts(archive.folder / "verdicts.csv", said)
    try:
        page = describe_precision(archive, "anemonefish")
    finally:
        table.unlink()
    part = (events["max_confidence"] > 0.7).mean()
    found = re.search(r"Of all events, (\d+)% are calls \(95 % credible interval (\d+)% to (\d+)%\)", page)
    assert int(found[2]) <= 100 * part <= int(found[3])
    assert "at least 90% of the events are calls" in page


def test_a_verdict_whose_label_and_answer_do_not_agree_is_said(archive):
    name = archive.events["id"].iloc[0]
    table = write_verdicts(archive.folder / "verdicts.csv", [Verdict(name, "x.wav", 0, 1, "anemonefish", False, 0.9)])
    try:
        with pytest.raises(AnnotationError, match=f"event {name}: is_call is no"):
            describe_precision(archive, "anemonefish")
    finally:
        table.unlink()


def test_the_same_tables_give_the_same_page(archive, path, tmp_path):
    assert write_report(archive, tmp_path / "again.html", gallery=2).read_bytes() == path.read_bytes()


def test_an_archive_of_nothing_has_a_page_that_says_so(tmp_path):
    write_provenance(tmp_path, {})
    assert "No hour of effort" in write_report(open_archive(tmp_path)).read_text(encoding="utf-8")


def test_the_pictures_and_the_sounds_are_of_the_channel_that_was_analysed(tmp_path, archive, monkeypatch):
    for name in ("events", "effort", "hours"):
        rows = getattr(archive, name).head(30)
        write_table(
            tmp_path / f"{name}.parquet", name, rows.astype(object).where(rows.notna(), None).to_dict("records")
        )
    names = archive.events["recording"].unique()
    sources = [{"recording": name, "source": "reef.wav", "status": "analysed"} for name in names]
    write_table(tmp_path / "recordings.parquet", "recordings", sources)
    write_provenance(tmp_path, {"channel": "2"})
    opened = []

    def note(source, *, channel="mean"):
        opened.append((source, channel))
        raise AnnotationError("it is not opened here")

    monkeypatch.setattr(report_module, "open_recording", note)
    write_report(open_archive(tmp_path), gallery=2)
    assert set(opened) == {("reef.wav", 2)}


def test_recordings_that_are_gone_leave_cards_without_a_sound(tmp_path, archive):
    for name in ("events", "effort", "hours"):
        rows = getattr(archive, name).head(30)
        write_table(
            tmp_path / f"{name}.parquet", name, rows.astype(object).where(rows.notna(), None).to_dict("records")
        )
    gone = [{"recording": archive.events.loc[0, "recording"], "source": "gone.wav", "status": "analysed"}]
    write_table(tmp_path / "recordings.parquet", "recordings", gone)
    write_provenance(tmp_path, {})
    page = write_report(open_archive(tmp_path), gallery=2).read_text(encoding="utf-8")
    assert "No picture and no sound" in page
    assert "<audio" not in page


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)], ids=["desktop", "phone"])
def test_the_page_fits_the_screen_and_loads_nothing(path, browser, width, height):
    page = browser.new_page(viewport={"width": width, "height": height})
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert [url[:60] for url in asked if not url.startswith(("data:", "file:"))] == []
    assert said == []
    page.evaluate(  # by an event: what waits by asking again and again is text to evaluate, which the page forbids
        """() => new Promise((done, failed) => {
            const audio = document.querySelector('audio')
            audio.onloadedmetadata = () => done()
            audio.onerror = () => failed(audio.error)
            audio.load()
        })"""
    )
    assert page.evaluate("document.querySelector('audio').duration") > 1
    page.close()


def test_the_page_can_be_used_without_seeing_it(path, browser):
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(viewport={"width": 390, "height": 844}, bypass_csp=True)
    page.goto(path.as_uri())
    found = Axe().run(page).response["violations"]
    page.close()
    assert [(one["id"], one["nodes"][0]["html"][:120]) for one in found] == []
