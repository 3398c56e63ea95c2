"""The page at / in a real browser."""

import base64
import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.requests import Request
from starlette.responses import JSONResponse

from anemone_lib.service import app as service_app
from anemone_lib.service.local import make_local_app
from anemone_lib.service.settings import Settings
from anemone_lib.tables.reading import read_annotations
from tests.service.conftest import INPUT, OUTPUT, listening


@contextmanager
def guarded_by_key(settings, key):
    """The service as it is behind an API Gateway that wants a key for all but the page and /health."""
    app = make_local_app(settings)

    @app.middleware("http")
    async def gateway(request: Request, call_next):
        if request.url.path not in ("/", "/health") and request.headers.get("x-api-key") != key:
            return JSONResponse({"error": "forbidden", "message": "Send your API key in the header x-api-key."}, 403)
        return await call_next(request)

    with listening(app) as front:
        yield front


def found(page):
    """Wait for the result; return the rows of the table as texts."""
    page.wait_for_selector("#result:not([hidden])")
    return [row.split("\t")[1:] for row in page.locator("#events tr").all_inner_texts()]


def download(page, name, folder):
    with page.expect_download() as waiting:
        page.get_by_role("link", name=name, exact=True).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def in_base64(path):
    return base64.b64encode(path.read_bytes()).decode()


def all_events(page):
    """Ask for a threshold with which the whole recording is one event."""
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Confidence threshold").fill("0")


def check_result(page, wav, duration, folder):
    [row] = found(page)
    assert row[:3] == ["0.00", f"{duration:.2f}", f"{duration:.2f}"]
    assert row[6] == "2023-02-10T00:00:01.000Z"
    assert page.locator("#summary").inner_text() == f"{wav.name}: 1 event in {duration:.1f} s"
    page.wait_for_function("overview.naturalWidth > 500")
    result = json.loads(download(page, "JSON", folder).read_text())
    assert result["metadata"]["provenance"]["recording_name"] == wav.name
    for name, suffix in (("CSV", ".events.csv"), ("Raven", ".selections.txt"), ("Audacity", ".audacity.txt")):
        path = download(page, name, folder)
        assert path.name == wav.stem + suffix
        [annotation] = read_annotations(path, detections=True)
        assert (annotation.start_time, annotation.end_time) == (0, duration)


def test_a_small_recording_is_analysed_in_one_call(page, local, reef, tmp_path):
    called = []
    page.on("request", lambda request: called.append(request.url.removeprefix(local.url)))
    page.goto(local.url)
    all_events(page)
    page.set_input_files("#file", reef)
    check_result(page, reef, 20, tmp_path)
    assert "/predict" in called
    assert not any(url.startswith("/jobs") for url in called)


def test_one_of_several_hydrophones_can_be_chosen(page, local, write_wav, noise, tmp_path):
    page.goto(local.url)
    all_events(page)
    page.get_by_label("Channel").select_option("2")
    page.set_input_files("#file", write_wav(np.stack([0 * noise(3), noise(3)], axis=1), name="two.wav"))
    found(page)
    assert json.loads(download(page, "JSON", tmp_path).read_text())["metadata"]["provenance"]["channel"] == "2"


def test_a_large_recording_goes_through_a_job(page, local, write_wav, noise, tmp_path):
    large = write_wav(noise(60), name="20230210_000001.wav")
    assert large.stat().st_size > 4_500_000
    called, told = [], []
    page.on("request", lambda request: called.append(request.method + request.url.removeprefix(local.url)))
    page.goto(local.url)
    page.expose_function("tellTest", lambda text: told.append(text))
    page.evaluate("new MutationObserver(() => tellTest($('status').textContent)).observe($('status'), {childList: 1})")
    all_events(page)
    page.set_input_files("#file", large)
    check_result(page, large, 60, tmp_path)
    assert any(call.startswith("PUT/jobs") for call in called)
    assert "POST/predict" not in called
    assert any(text.startswith("Sending 2023") for text in told)


def test_parts_go_from_the_page_straight_to_s3_and_results_come_from_there(page, cloud, s3, write_wav, noise, tmp_path):
    large = write_wav(noise(60), name="20230210_000001.wav")
    cors = {
        "AllowedMethods": ["GET", "PUT"],
        "AllowedOrigins": [cloud.url],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag"],
    }
    for bucket in (INPUT, OUTPUT):
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [cors]})
    put = []
    page.on("request", lambda request: request.method == "PUT" and put.append(request))
    page.goto(cloud.url)
    all_events(page)
    page.get_by_label("API key").fill("for the service alone")
    page.set_input_files("#file", large)
    check_result(page, large, 60, tmp_path)
    assert not put[0].url.startswith(cloud.url)
    assert "x-api-key" not in put[0].headers


def test_an_event_is_played_from_its_start_to_its_end(page, local, reef):
    page.goto(local.url)
    page.set_input_files("#file", reef)
    found(page)
    page.evaluate("play({start_time: 3, end_time: 3.5}, document.createElement('tr'))")
    page.wait_for_function("audio.currentTime > 3.4 && audio.paused")
    assert 3.4 < page.evaluate("audio.currentTime") < 4.5


def test_the_keyboard_is_enough(page, local, reef):
    choosers = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.goto(local.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    page.keyboard.press("Enter")
    while not choosers:
        page.wait_for_timeout(50)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("0")
    choosers[0].set_files(reef)
    assert len(found(page)) == 1
    assert page.evaluate("document.activeElement.id") == "summary"  # a screen reader goes on there
    for _ in range(30):
        page.keyboard.press("Tab")
        label = page.evaluate("document.activeElement.getAttribute('aria-label') || ''")
        if label.startswith("Play event 1"):
            break
    page.keyboard.press("Enter")
    page.wait_for_function("audio.currentTime > 0.1 && !audio.paused")


def test_a_recording_can_be_dropped_on_the_page(page, local, reef):
    page.goto(local.url)
    page.evaluate(
        """([name, content]) => {
          const dropped = new DataTransfer();
          dropped.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name));
          $("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }));
        }""",
        [reef.name, in_base64(reef)],
    )
    found(page)
    assert page.locator("#summary").inner_text().startswith(reef.name)


def test_the_page_works_behind_an_api_key(page, settings, reef, write_wav, noise, tmp_path):
    large = write_wav(noise(60), name="20230210_000001-large.wav")
    with guarded_by_key(Settings(model=settings.model, store=tmp_path / "store"), "secret") as front:
        page.goto(front.url)
        page.set_input_files("#file", reef)
        page.wait_for_selector("#error:not([hidden])")
        assert "Is the API key right?" in page.locator("#error").inner_text()
        page.get_by_text("Options", exact=True).click()
        page.get_by_label("API key").fill("secret")
        page.set_input_files("#file", reef)
        found(page)
        page.set_input_files("#file", large)
        page.wait_for_function("summary.textContent.includes('large')")


def test_what_is_wrong_is_said_in_the_services_words(page, local, tmp_path):
    holiday = tmp_path / "holiday.wav"
    holiday.write_bytes(b"these are no sounds")
    page.goto(local.url)
    page.set_input_files("#file", holiday)
    page.wait_for_selector("#error:not([hidden])")
    assert "holiday.wav cannot be decoded" in page.locator("#error").inner_text()
    assert page.locator("#work").is_hidden()


def test_a_damaged_stretch_is_named(page, local, write_wav, noise):
    samples = noise(20, 16000)
    samples[160_000:170_000] = np.nan
    page.goto(local.url)
    page.set_input_files("#file", write_wav(samples, 16000, subtype="FLOAT"))
    found(page)
    assert "Skipped 10." in page.locator("#notes").inner_text() or "Skipped 9." in page.locator("#notes").inner_text()


def test_a_page_of_another_origin_may_call_if_it_is_allowed(page, settings, reef, tmp_path):
    """A front-end developer's fetch(), from a page that the service did not serve."""
    other = FastAPI()

    @other.get("/")
    def empty() -> HTMLResponse:
        return HTMLResponse("<!doctype html><link rel=icon href='data:,'><title>a front end</title>")

    call = """async ([url, content]) => {
      const form = new FormData();
      const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
      form.append("audio", new Blob([bytes], { type: "audio/wav" }), "reef.wav");
      try {
        const answer = await fetch(`${url}/predict`, { method: "POST", body: form, headers: { "x-api-key": "k" } });
        return [answer.status, await answer.json()];
      } catch (error) { return [0, String(error)]; }
    }"""
    with listening(other) as elsewhere:
        for allowed in (True, False):
            origins = (elsewhere.url,) if allowed else ()
            with listening(make_local_app(Settings(model=settings.model, cors_allowed_origins=origins))) as front:
                page.goto(elsewhere.url)
                status, answer = page.evaluate(call, [front.url, in_base64(reef)])
                assert status == (200 if allowed else 0)
                if allowed:
                    assert len(answer["predictions"]) == 49
                    status, answer = page.evaluate(call, [front.url, "AAAA"])
                    assert (status, answer["error"]) == (422, "undecodable_audio")


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(local):
    text = local("GET", "/").content.decode()
    assert "http" not in text.replace("https://", "http").split("<body>")[0]
    static = Path(service_app.__file__).parent / "static"
    for name in ("page.css", "page.js"):
        assert (static / name).read_text() in text
