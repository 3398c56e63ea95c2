"""The page at / in a real browser."""

import base64
import io
import json
import re
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.requests import Request
from starlette.responses import JSONResponse

from anemone_lib.audio.gaps import Pause
from anemone_lib.audio.recording import open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection import decide_events, detect
from anemone_lib.detection.results import build_result, describe_result
from anemone_lib.scoring import DEMONSTRATION_MODEL, Scores, WindowGrid
from anemone_lib.service import app as service_app
from anemone_lib.service.local import make_local_app
from anemone_lib.service.settings import Settings
from anemone_lib.simulation import write_recording
from anemone_lib.soundscape import describe_noise
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
    page.get_by_role("spinbutton", name="Confidence threshold").fill("0")


def check_result(page, wav, duration, folder):
    [row] = found(page)
    assert row[:3] == ["0.00", f"{duration:.2f}", f"{duration:.2f}"]
    assert row[6] == "2023-02-10T00:00:01.000Z"
    assert page.locator("#summary").inner_text() == f"{wav.name}: 1 event in {duration:.1f} s"
    page.wait_for_function("overview.naturalWidth > 500")
    assert download(page, "PNG", folder).read_bytes().startswith(b"\x89PNG")
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


@pytest.fixture
def two_hydrophones(tmp_path, rng):
    """A reef on the first, faint noise on the second."""
    path = tmp_path / "two.wav"
    write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    samples, rate = soundfile.read(path, dtype="float32")
    noise = 1e-3 * rng.standard_normal(len(samples)).astype(np.float32)
    tone = 0.1 * np.sin(2 * np.pi * 1500 * np.arange(rate) / rate)  # from 7 to 8 s
    noise[7 * rate : 8 * rate] += tone
    soundfile.write(path, np.stack([samples, noise], axis=1), rate, subtype="FLOAT")
    return path


@pytest.mark.parametrize("as_job", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_each_hydrophone_has_a_result_to_choose(page, local, two_hydrophones, tmp_path, as_job, width):
    expected = detect(two_hydrophones, channel="each")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(local.url)
    page.wait_for_selector("#worth:not([hidden])")
    if as_job:
        page.evaluate("limits.audio_bytes = 1000")
    page.get_by_label("Channel, if").select_option("each by itself")
    page.set_input_files("#file", two_hydrophones)
    assert len(found(page)) == len(expected[0].events)
    counts = [f"{len(one.events)} event{'' if len(one.events) == 1 else 's'}" for one in expected]
    labels = page.locator("#channels label").all_inner_texts()
    assert [label.strip() for label in labels] == [f"1: {counts[0]}", f"2: {counts[1]}"]
    assert page.locator("#summary").inner_text() == f"two.wav, channel 1: {counts[0]} in 10.0 s"
    page.wait_for_function("!zoomer.hidden")
    page.get_by_role("radio", name="1:").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#summary").inner_text() == f"two.wav, channel 2: {counts[1]} in 10.0 s"
    assert page.evaluate("document.activeElement.checked")
    page.wait_for_function(f"!zoomer.hidden && ({BRIGHTEST})()[0] > 6.9 && ({BRIGHTEST})()[0] < 8.1")
    assert [violation["id"] for violation in Axe().run(page).response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    path = download(page, "Raven", tmp_path)
    assert path.name == "two.channel2.selections.txt"
    assert len(read_annotations(path, detections=True)) == len(expected[1].events)
    result = json.loads(download(page, "JSON", tmp_path).read_text())
    assert [len(own["events"]) for own in result["channels"]] == [len(one.events) for one in expected]
    page.get_by_role("slider", name="Confidence threshold").fill("0")
    labels = page.locator("#channels label").all_inner_texts()
    assert [label.strip() for label in labels] == ["1: 1 event", "2: 1 event"]
    page.get_by_role("radio", name="1:").check()
    assert page.locator("#decided").inner_text() == "0.00"
    assert len(found(page)) == 1
    page.wait_for_function("!zoomer.hidden")


#: The frequency that is loudest in what one hears, while a stretch is played.
LOUDEST = """async ([start, end]) => {
  await route.context.resume();
  const ear = new AnalyserNode(route.context, { fftSize: 4096, smoothingTimeConstant: 0 });
  const heard = new Float32Array(ear.frequencyBinCount);
  route.splitter.connect(ear, shown.part);
  await play({ start_time: start, end_time: end });
  const best = { level: -Infinity };
  while (playing) {
    ear.getFloatFrequencyData(heard);
    heard.forEach((level, k) => { if (level > best.level) Object.assign(best, { level, k }); });
    await new Promise(requestAnimationFrame);
  }
  return [best.level, best.k * route.context.sampleRate / ear.fftSize];
}"""


def test_the_channel_that_is_shown_is_heard_and_cut_alone(page, local, two_hydrophones, tmp_path):
    page.goto(local.url)
    page.get_by_label("Channel, if").select_option("each by itself")
    page.set_input_files("#file", two_hydrophones)
    found(page)
    page.wait_for_function("!zoomer.hidden")
    level_of_first, _ = page.evaluate(LOUDEST, [7.2, 7.8])
    page.get_by_role("radio", name="2:").check()
    page.wait_for_function("!zoomer.hidden && audio.readyState === 4")
    level, frequency = page.evaluate(LOUDEST, [7.2, 7.8])
    assert frequency == pytest.approx(1500, abs=30)
    assert level > level_of_first + 10
    page.evaluate("shown.events = [{start_time: 7, end_time: 7.5}]; $('clips').disabled = false")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Clips").click()
    assert waiting.value.suggested_filename == "two.channel2.clips.zip"
    waiting.value.save_as(tmp_path / "clips.zip")
    with zipfile.ZipFile(tmp_path / "clips.zip") as clips:
        samples, _ = soundfile.read(io.BytesIO(clips.read(clips.namelist()[0])), dtype="float32")
    expected, _ = soundfile.read(two_hydrophones, dtype="float32")
    np.testing.assert_allclose(samples, expected[7 * 16_000 : 7 * 16_000 + 8_000, 1], atol=1e-4)


def test_a_large_recording_goes_through_a_job(page, local, write_wav, noise, tmp_path):
    large = write_wav(noise(60), name="20230210_000001.wav")
    assert large.stat().st_size > 4_500_000
    called, content = [], []
    page.on("request", lambda request: called.append(request.method + request.url.removeprefix(local.url)))
    page.goto(local.url)
    page.expose_function("tellTest", lambda text: content.append(text))
    page.evaluate("new MutationObserver(() => tellTest($('status').textContent)).observe($('status'), {childList: 1})")
    all_events(page)
    page.set_input_files("#file", large)
    check_result(page, large, 60, tmp_path)
    assert any(call.startswith("PUT/jobs") for call in called)
    assert "POST/predict" not in called
    assert any(text.startswith("Sending 2023") for text in content)


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
    page.evaluate("play({start_time: 3, end_time: 3.5})")
    page.wait_for_function("audio.currentTime > 3.4 && audio.paused")
    assert 3.4 < page.evaluate("audio.currentTime") < 4.5


def test_the_keyboard_is_enough(page, local, reef):
    choosers = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.goto(local.url)
    page.keyboard.press("Tab")
    page.keyboard.type("0")
    for _ in range(4):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    page.keyboard.press("Enter")
    while not choosers:
        page.wait_for_timeout(50)
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


def test_what_is_wrong_is_said_with_what_to_do(page, local, tmp_path):
    holiday = tmp_path / "holiday.wav"
    holiday.write_bytes(b"these are no sounds")
    page.goto(local.url)
    page.set_input_files("#file", holiday)
    page.wait_for_selector("#error:not([hidden])")
    assert "holiday.wav cannot be read as a recording" in page.locator("#words").inner_text()
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
    for path in static.glob("*.*s"):
        assert path.read_text() in text
    vendored = static / "wavesurfer"
    for path in vendored.iterdir():
        assert path.name == "VERSION" or path.read_text() in text  # the licence, too
    assert sum(path.stat().st_size for path in vendored.iterdir()) < 300_000


@pytest.mark.parametrize("pauses", [(), (Pause(20.3, 1800.0),)])
def test_the_page_decides_as_the_library_does(page, local, rng, pauses):
    grid = WindowGrid(n_samples=400_000, sample_rate=8000, window_samples=8000, stride_samples=3200)
    target = rng.random(len(grid.start_times)).astype(np.float32) ** 0.5
    target[[30, 31, 60]] = np.nan
    scores = Scores(np.stack([1 - target, target], axis=1), ("noise", "anemonefish"), grid, pauses=pauses)
    page.goto(local.url)
    numbers = set()
    for smoothing in (1, 5):
        for threshold in (0.0, 0.3, 0.5, 0.66, float(target[7]), 0.8, 1.0):
            config = InferenceConfig(
                confidence_threshold=threshold, smoothing_window=smoothing, min_gap_duration=0.3, min_event_duration=1.2
            )
            events = decide_events(scores, config)
            result = build_result(scores, events, describe_result(scores, events, config, processing_time=0))
            mine = page.evaluate(
                "([result, config]) => decideEvents(result.predictions, config, result.metadata)",
                [json.loads(json.dumps(result)), config.model_dump()],
            )
            numbers.add(len(events))
            assert [event["num_windows"] for event in mine] == [event.num_windows for event in events]
            for name in ("start_time", "end_time", "duration", "mean_confidence", "max_confidence"):
                assert [event[name] for event in mine] == pytest.approx(
                    [getattr(event, name) for event in events], abs=2e-6
                )
    assert len(numbers) > 3


def draw(page, local, path):
    page.goto(local.url)
    page.set_input_files("#file", path)
    found(page)
    page.wait_for_function("!zoomer.hidden")


#: Where the spectrogram is brightest: seconds, and the part of its height from the top.
BRIGHTEST = """() => {
  const wrapper = view.surfer.getWrapper(), left = wrapper.getBoundingClientRect().left;
  let best = [0];
  for (const canvas of wrapper.querySelectorAll("canvas")) {
    const box = canvas.getBoundingClientRect();
    if (canvas.height < 200) continue;
    const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let k = 0; k < data.length; k += 4) {
      const light = data[k] + data[k + 1] + data[k + 2], x = (k / 4) % width, y = Math.floor(k / 4 / width);
      const seconds = (box.left - left + (x / width) * box.width) / wrapper.clientWidth * view.surfer.getDuration();
      if (light > best[0]) best = [light, seconds, y / height];
    }
  }
  return best.slice(1);
}"""


def test_of_an_hour_a_single_pulse_can_be_seen(page, local, write_wav, rng):
    rate, at = 4000, 2000.5
    samples = (0.003 * rng.standard_normal(3600 * rate)).astype(np.float32)
    time = np.arange(round(0.015 * rate)) / rate
    first = round(at * rate)
    samples[first : first + len(time)] += 0.5 * np.sin(2 * np.pi * 600 * time)
    draw(page, local, write_wav(samples, rate))
    whole = page.evaluate("view.surfer.getWrapper().clientWidth / $('wave').clientWidth")
    assert whole == pytest.approx(1, abs=0.01)
    page.get_by_label("Zoom").evaluate("(zoom) => { zoom.value = 1; zoom.dispatchEvent(new Event('input')); }")
    page.evaluate(f"view.scrollTo({at - 0.1})")
    drawn = "[...view.surfer.getWrapper().querySelectorAll('canvas')].every((canvas) => canvas.width < 32768)"
    page.wait_for_function(f"{drawn} && Math.abs(({BRIGHTEST})()[0] - {at}) < 0.03")
    assert page.evaluate("view.surfer.getWrapper().clientWidth / 3600") >= 1000  # 15 pixels or more for the pulse


def test_the_spectrogram_tells_the_time_and_the_frequency_at_every_zoom(page, local, write_wav, rng):
    samples = 0.001 * rng.standard_normal(90 * 16000)
    samples[60 * 16000 : 61 * 16000] += 0.5 * np.sin(2 * np.pi * 1500 * np.arange(16000) / 16000)
    page.set_viewport_size({"width": 700, "height": 900})
    draw(page, local, write_wav(samples, 16000))
    assert page.locator("#axis span").all_inner_texts() == ["2000 Hz", "1500 Hz", "1000 Hz", "500 Hz", "0 Hz"]
    page.wait_for_function(f"({BRIGHTEST})()[0] > 58")
    seconds, height = page.evaluate(BRIGHTEST)
    assert 59.5 < seconds < 61.5
    assert height == pytest.approx(0.25, abs=0.05)
    whole = page.evaluate("view.surfer.getWrapper().clientWidth")
    page.get_by_label("Zoom").evaluate("(zoom) => { zoom.value = 0.5; zoom.dispatchEvent(new Event('input')); }")
    page.wait_for_function(f"view.surfer.getWrapper().clientWidth > 5 * {whole}")
    page.evaluate("view.scrollTo(60.5)")
    page.wait_for_function(f"({BRIGHTEST})()[0] > 59.8 && ({BRIGHTEST})()[0] < 61.2")
    page.get_by_label("Zoom").evaluate("(zoom) => { zoom.value = 1; zoom.dispatchEvent(new Event('input')); }")
    assert page.evaluate("view.surfer.options.minPxPerSec") == 2000


def test_a_reload_or_a_lost_connection_takes_a_job_up_again(page, local, write_wav, noise):
    large = write_wav(noise(130), name="20230210_000001.wav")
    lost = []

    def lose(route):
        if len(lost) < 2 and route.request.method == "GET" and not route.request.url.endswith(".json"):
            lost.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route("**/jobs/*", lose)
    page.goto(local.url)
    all_events(page)
    page.set_input_files("#file", large)
    page.wait_for_function("location.hash.startsWith('#job=')")
    page.wait_for_function("$('status').textContent.startsWith('No connection')")
    assert len(found(page)) == 1
    assert len(lost) == 2
    page.reload()
    assert len(found(page)) == 1
    assert page.locator("#summary").inner_text().startswith("20230210_000001.wav: 1 event")
    assert page.evaluate("shown.config.confidence_threshold") == 0
    page.wait_for_function("overview.naturalWidth > 500")
    assert "Choose the recording again to hear it" in page.locator("#forgotten").inner_text()


def test_an_upload_tells_its_size_and_cancel_removes_the_job(page, local, write_wav, noise):
    large = write_wav(noise(130), name="20230210_000001.wav")
    waiting = []
    page.route("**/parts/*", lambda route: waiting.append(route))
    page.goto(local.url)
    page.set_input_files("#file", large)
    page.wait_for_function("location.hash.startsWith('#job=')")
    job = page.evaluate("queue[0].job")
    assert local("GET", f"/jobs/{job}").json()["state"] == "uploading"
    content = page.evaluate(
        """new Promise((done) => {
          const tellProgress = follow({ name: 'reef', file: { size: 45e6 } });
          setTimeout(() => { tellProgress(15e6); done($('status').textContent); }, 600);
        })"""
    )
    assert content.startswith("Sending reef: 15.0 MB of 45.0 MB, ")
    assert content.endswith(" left")
    with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        page.get_by_role("button", name="Cancel").click()
    assert local("GET", f"/jobs/{job}").status == 404
    assert page.evaluate("location.hash") == ""
    page.wait_for_function("$('work').hidden")


def test_an_upload_goes_on_when_the_connection_is_back(page, local, write_wav, noise):
    large = write_wav(noise(130), name="20230210_000001.wav")
    lost = []

    def lose(route):
        lost.append(route)
        route.abort() if len(lost) == 1 else route.continue_()

    page.route("**/parts/*", lose)
    page.goto(local.url)
    all_events(page)
    page.set_input_files("#file", large)
    page.wait_for_function("$('status').textContent.startsWith('The connection is lost')")
    assert len(found(page)) == 1
    assert len(lost) == 2


def test_a_reload_during_an_upload_says_that_it_was_interrupted(page, local, write_wav, noise):
    page.route("**/parts/*", lambda _: None)  # it never arrives
    page.goto(local.url)
    page.set_input_files("#file", write_wav(noise(130), name="20230210_000001.wav"))
    page.wait_for_function("location.hash.startsWith('#job=')")
    page.reload()
    page.wait_for_selector("#error:not([hidden])")
    assert "The upload of 20230210_000001.wav was interrupted. Choose" in page.locator("#words").inner_text()


def test_several_recordings_are_a_queue(page, local, write_wav, noise, tmp_path):
    broken = tmp_path / "b.wav"
    broken.write_bytes(b"these are no sounds")
    names = ("a.wav", "c.wav", "d.wav")
    good = [write_wav(noise(3, 16000), 16000, name=name) for name in names]
    page.goto(local.url)
    page.set_input_files("#file", [good[0], broken, *good[1:]])
    page.wait_for_function("queue.length === 4 && queue.at(-1).state === 'done' && $('work').hidden")
    assert page.evaluate("queue.map((item) => item.state)") == ["done", "failed", "done", "done"]
    assert page.locator("#summary").inner_text().startswith("a.wav")
    page.get_by_role("button", name="Show d.wav").click()
    assert page.locator("#summary").inner_text().startswith("d.wav")
    page.wait_for_function(f"({BRIGHTEST})().length")  # it is drawn, too
    page.get_by_role("button", name="Why b.wav").click()
    assert "b.wav cannot be read" in page.locator("#words").inner_text()


def test_the_page_says_what_the_model_is_worth(page, local):
    card = json.loads((DEMONSTRATION_MODEL / "best_model.json").read_text())
    page.goto(local.url)
    page.wait_for_selector("#worth:not([hidden])")
    assert page.locator("#worth").inner_text() == f"{card['name']}. {card['summary']}"
    assert "never tested on real anemonefish calls" in card["summary"]


def test_no_event_is_explained_by_what_was_heard(page, local, reef):
    page.goto(local.url)
    page.get_by_role("spinbutton", name="Confidence threshold").fill("1")
    page.set_input_files("#file", reef)
    assert found(page) == []
    counts = page.evaluate("shown.result.predictions.filter((window) => window.class === 'noise').length")
    text = page.locator("#nothing").inner_text()
    assert f"noise in {counts} of 49 windows" in text
    assert "highest confidence" in text
    assert page.locator("#scroll").is_hidden()


def test_no_event_in_noise_that_hides_calls_is_explained_by_it(page, local, write_wav, rng):
    rate = 16_000
    samples = 0.003 * rng.standard_normal(30 * rate)
    samples[: 12 * rate] *= 30
    samples[20 * rate : 23 * rate] = 0
    path = write_wav(samples.astype(np.float32), rate)
    page.goto(local.url)
    page.get_by_role("spinbutton", name="Confidence threshold").fill("1")
    page.set_input_files("#file", path)
    assert found(page) == []
    page.wait_for_function("shown.doubts && shown.doubts.length")
    with open_recording(path) as recording:
        context = describe_noise(recording)
    text = page.locator("#nothing").inner_text()
    assert f"{100 * context.silent:.0f} % of the sound is digital silence" in text
    masked = page.evaluate("(/In (\\d+) % of the time/).exec(document.querySelector('#nothing').innerText)[1]")
    assert int(masked) == pytest.approx(100 * context.masked, abs=5)
    page.evaluate("document.querySelector('#slider').value = 0; decideAgain()")
    assert page.locator("#nothing").is_hidden()


def test_the_clips_of_events_are_the_samples(page, local, write_wav, noise, tmp_path):
    reef = write_wav(noise(5, 16000), 16000)
    page.goto(local.url)
    page.set_input_files("#file", reef)
    page.wait_for_selector("#result:not([hidden])")
    page.evaluate(
        "list([{start_time: 1, end_time: 1.5}, {start_time: 2, end_time: 4}].map((event) => "
        "({ ...event, duration: 1, mean_confidence: 1, max_confidence: 1, num_windows: 1 })))"
    )
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Clips").click()
    assert waiting.value.suggested_filename == "reef.clips.zip"
    waiting.value.save_as(tmp_path / "clips.zip")
    whole, _ = soundfile.read(reef, dtype="float32")
    with zipfile.ZipFile(tmp_path / "clips.zip") as clips:
        assert clips.testzip() is None
        assert clips.namelist() == ["reef_1.00-1.50s.wav", "reef_2.00-4.00s.wav"]
        samples, rate = soundfile.read(io.BytesIO(clips.read("reef_1.00-1.50s.wav")), dtype="float32")
    assert rate == 16000
    np.testing.assert_allclose(samples, whole[16000:24000], atol=1e-4)


def test_no_error_names_a_parameter_or_a_library(page, local):
    page.goto(local.url)
    source = "\n".join(path.read_text() for path in Path(service_app.__file__).parent.glob("*.py"))
    codes = set(re.findall(r'Problem\(\s*[45]\d\d,\s*"([a-z_]+)"', source)) | {"network", "interrupted", "no_etag"}
    assert len(codes) > 15
    for code in codes:
        for status in (0, 400, 403, 422, 500):
            words = page.evaluate("([status, error]) => explain({ status, error }, 'reef.wav')", [status, code])
            assert not re.search(r"_|POST|PUT|ETag|CORS|JSON|FFmpeg|undefined|null", words)
            assert re.search("[Cc]hoose|Tell|Open|Cut|Is the API key right", words)


def test_events_are_a_strip_above_the_spectrogram_and_follow_the_threshold(page, local, reef):
    page.goto(local.url)
    all_events(page)
    page.set_input_files("#file", reef)
    found(page)
    page.wait_for_function("!zoomer.hidden && view.regions.getRegions().length === 1")
    box = page.evaluate("view.regions.getRegions()[0].element.getBoundingClientRect().toJSON()")
    axis = page.locator("#axis").bounding_box()
    assert box["bottom"] <= axis["y"] + 1
    assert page.locator("#redecided").is_hidden()
    slider = page.get_by_role("slider", name="Confidence threshold")
    slider.fill("1")
    assert page.locator("#events tr").count() == page.evaluate("view.regions.getRegions().length") == 0
    assert page.locator("#summary").inner_text().endswith("0 events in 20.0 s")
    assert "The downloads and the calls are those of the first analysis" in page.locator("#redecided").inner_text()
    slider.fill("0")
    assert page.locator("#events tr").count() == 1
    assert page.locator("#redecided").is_hidden()
    slider.fill("1")
    page.get_by_role("button", name="Analyse again").click()
    page.wait_for_function("shown && shown.config.confidence_threshold === 1")
    assert page.locator("#redecided").is_hidden()


def test_the_calls_inside_the_events_are_measured_and_heard(page, local, tmp_path):
    path = tmp_path / "reef_20230210_060000.wav"
    write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    page.goto(local.url)
    page.set_input_files("#file", path)
    found(page)
    [event] = detect(path).events
    assert page.locator("#counted").inner_text() == f"{len(event.calls)} calls inside the events"
    page.locator("#counted").click()
    rows = [row.split("\t")[1:] for row in page.locator("#calls tr").all_inner_texts()]
    assert len(rows) == len(event.calls) > 1
    for row, call in zip(rows, event.calls, strict=True):
        assert row[:2] == ["1", f"{call.start_time:.3f}"]
        assert float(row[2]) == pytest.approx(1000 * call.duration, abs=1)
        assert (row[3], float(row[5])) == (str(call.n_pulses), pytest.approx(call.peak_hz, abs=1))
    page.get_by_role("button", name=f"Play the call at {event.calls[1].start_time:.2f} s").click()
    page.wait_for_function("audio.paused && audio.currentTime > 1")
    assert page.evaluate("audio.currentTime") == pytest.approx(event.calls[1].end_time, abs=0.5)
    assert [violation["id"] for violation in Axe().run(page).response["violations"]] == []
    page.get_by_role("slider", name="Confidence threshold").fill("1")
    assert page.locator("#measures").is_hidden()


def test_an_event_is_repeated_slowly_with_a_moving_cursor(page, local, reef):
    draw(page, local, reef)
    page.get_by_label("Repeat the event").check()
    page.get_by_label("Speed").select_option("half")
    page.evaluate("window.heard = []; audio.addEventListener('seeked', () => heard.push(audio.currentTime))")
    page.evaluate("play({start_time: 3, end_time: 3.3})")
    page.wait_for_function("heard.length >= 3 && heard.every((time) => Math.abs(time - 3) < 0.1)")
    assert page.evaluate("audio.playbackRate") == 0.5
    assert 2.9 < page.evaluate("view.surfer.getCurrentTime()") < 4.3
    page.get_by_label("Repeat the event").uncheck()
    page.wait_for_function("audio.paused")


def test_what_the_browser_cannot_decode_has_the_services_picture(page, local, noise, tmp_path):
    path = tmp_path / "reef.aiff"
    soundfile.write(path, noise(5, 16000), 16000)
    page.goto(local.url)
    page.set_input_files("#file", path)
    found(page)
    page.wait_for_function("!overview.hidden && overview.naturalWidth > 500 && picture.hidden")
    assert page.locator("#unplayable").is_visible()


def test_everyone_can_use_the_page(page, local, write_wav, noise):
    def look():
        """Yield the width of every screen, in light and in dark, on which axe finds nothing wrong."""
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                violations = Axe().run(page).response["violations"]
                assert [violation["id"] for violation in violations] == [], (width, scheme)
                yield width

    page.goto(local.url)
    all_events(page)
    assert len(list(look())) == 4
    page.set_input_files("#file", write_wav(noise(5, 16000), 16000, name=f"20230210_000001_{'reef' * 25}.wav"))
    found(page)
    page.wait_for_function("!zoomer.hidden")
    for width in look():
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        stacked = page.evaluate("getComputedStyle(document.querySelector('#events td')).display === 'flex'")
        assert stacked == (width == 390)  # a cell is a line with its name
