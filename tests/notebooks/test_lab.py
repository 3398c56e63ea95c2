"""JupyterLab in a real browser: move a slider and see the events change; review events, and read the verdicts back."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import papermill
import pytest

from anemone_lib import detect, open_recording, read_annotations
from anemone_lib.audio.playback import cut_clip, to_wav
from anemone_lib.simulation import write_recording

from .store import NOTEBOOKS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium")
#: Milliseconds that a page, or a notebook, may take.
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a folder of its own; yields (folder, address)."""
    folder = tmp_path_factory.mktemp("lab")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={port}", "--allow-root"]
    command += ["--IdentityProvider.token=", f"--ServerApp.root_dir={folder}", "--ServerApp.ip=127.0.0.1"]
    homes = {name: str(folder / ".jupyter") for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    with (folder / "lab.log").open("wb") as log:
        server = subprocess.Popen(command, env={**os.environ, **homes}, stdout=log, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{address}/api/status", timeout=5):
                    break
            except OSError:
                assert server.poll() is None, (folder / "lab.log").read_text()
                time.sleep(0.1)
        yield folder, address
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def page():
    """One page for all tests: what it loaded of JupyterLab stays in the browser's cache."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page(viewport={"width": 1000, "height": 800})
        opened.set_default_timeout(PATIENCE_MS)
        yield opened
        browser.close()


def prepare(folder, name, until, **parameters):
    """Copy a notebook with small parameters, up to one cell, so that nothing after it disturbs."""
    parameters["out_folder"] = str(folder / "out")
    papermill.execute_notebook(
        NOTEBOOKS / f"{name}.ipynb", folder / f"{name}.ipynb", parameters=parameters, prepare_only=True
    )
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    last = next(k for k, cell in enumerate(notebook.cells) if cell.id == until)
    notebook.cells = notebook.cells[: last + 1]
    nbformat.write(notebook, folder / f"{name}.ipynb")


def run_all(page, address, name):
    page.goto(f"{address}/lab/tree/{name}.ipynb?reset")
    page.locator(".jp-CodeCell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").first.wait_for()
    page.wait_for_timeout(1000)  # JupyterLab says so a moment before it can run
    choose = page.get_by_role("button", name="Select Kernel")
    page.add_locator_handler(choose, lambda: choose.click())  # where it asks all the same
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def test_moving_a_slider_changes_the_number_of_events(lab, page):
    folder, address = lab
    prepare(folder, "02_tune_inference_config", "sliders", season_recordings=4, season_duration=40.0, holdout=0.5)
    run_all(page, address, "02_tune_inference_config")
    table = page.locator(".widget-html table")
    table.first.wait_for()
    assert [row.split()[0] for row in table.locator("tr").all_inner_texts()[1:]] == ["tuned", "set"]
    before = table.locator("td:nth-child(5)").all_inner_texts()  # events

    page.locator(".widget-hslider").first.locator(".noUi-handle").focus()
    page.keyboard.press("Home")  # the threshold at 0: every window is in an event, and they run together
    page.wait_for_function(
        "() => [...document.querySelectorAll('.widget-html td:nth-child(5)')].map(e => e.innerText).join() === '2,2'"
    )  # one a recording, from end to end
    assert before != ["2", "2"]
    assert page.locator(".widget-image").first.is_visible()
    page.screenshot(path=str(folder / "sliders.png"))
    page.set_viewport_size({"width": 1000, "height": 900})
    page.wait_for_function(
        "() => { const table = document.querySelector('.widget-html table'); const area = table.closest("
        "'.jp-OutputArea-output'); return area.clientWidth < 700 && table.getBoundingClientRect().right <= "
        "area.getBoundingClientRect().right }"
    )  # all columns are in view


def test_what_is_shown_and_played_is_what_is_stored_after_run_all(lab, page):
    """Letters as fast as they are typed, the same label twice, a click; then every verdict is read back from disk."""
    folder, address = lab
    path = folder / "mine.wav"
    write_recording(path, duration=120, seed=5, bouts_per_minute=4)
    prepare(folder, "04_review_events", "next", recording=str(path), order="time")
    run_all(page, address, "04_review_events")
    page.get_by_text("mine.Table.1.selections.txt").first.wait_for()  # the last cells are done; the panel lives on
    status = page.locator(".widget-html").filter(has_text="Event 1 of").first
    n_events = int(re.search(r"Event 1 of (\d+)", status.text_content())[1])
    assert n_events >= 6
    see_the_whole_panel(page)
    page.screenshot(path=str(folder / "review.png"))

    page.get_by_placeholder("type here").click()
    page.keyboard.type("araxa", delay=0)
    said = ["anemonefish", "not anemonefish", "anemonefish", "anemonefish"]
    wait_for(page, "Event 5 of", "4 reviewed")
    for k in (6, 7):
        field = page.get_by_placeholder("what else it is, then Enter").last
        field.fill("grunt")
        field.press("Enter")
        wait_for(page, f"Event {min(k, n_events)} of", f"{k - 1} reviewed")
        said.append("grunt")

    with open_recording(path) as sound:
        events = sorted(detect(path).events, key=lambda event: event.start_time)
        shown = events[min(6, n_events - 1)]
        expected = to_wav(*cut_clip(sound, shown.start_time, shown.end_time, margin=1.0))
    played = page.evaluate(
        "async () => Array.from(new Uint8Array(await (await fetch(document.querySelector('audio').src)).arrayBuffer()))"
    )
    assert bytes(played) == expected  # what is played is the event that the panel names
    rows = read_annotations(folder / "out" / "review" / "mine.review.selections.txt", detections=True)
    labels = {row.id: row.label for row in rows}
    said += ["anemonefish?"] * (n_events - len(said))
    assert [labels[event.id] for event in events] == said

    page.get_by_role("button", name="Undo (u)").last.click()
    wait_for(page, "Event 6 of", "5 reviewed")
    page.screenshot(path=str(folder / "reviewed.png"))


def wait_for(page, *words):
    """Wait until the panel's status says all of these."""
    status = page.locator(".widget-html")
    for word in words:
        status = status.filter(has_text=word)
    status.first.wait_for()


def see_the_whole_panel(page):
    """Buttons and picture are in view together, and the picture has more pixels than it is shown with."""
    image = page.locator(".widget-image").first
    width, height = page.viewport_size["width"], page.viewport_size["height"]
    for _ in range(40):  # JupyterLab still lays out the figures above, and the panel moves with them
        image.evaluate("image => image.scrollIntoView({block: 'end'})")
        page.wait_for_timeout(250)
        picture = image.bounding_box()
        if picture["y"] + picture["height"] <= height:
            break
    button = page.get_by_role("button", name="Accept (a)").last.bounding_box()
    assert button["y"] >= 0
    assert picture["y"] + picture["height"] <= height, (button, picture)
    assert picture["x"] + picture["width"] <= width, picture
    assert image.evaluate("image => image.naturalWidth") >= 1.5 * picture["width"]


def test_what_make_lab_opens_lists_the_index_and_the_notebooks(lab, page):
    folder, address = lab
    shutil.copy(NOTEBOOKS / "README.md", folder / "README.md")
    with urllib.request.urlopen(f"{address}/api/contents/README.md") as answer:
        assert "05_check_deployment" in json.load(answer)["content"]
    page.goto(f"{address}/lab/tree/README.md?reset")
    page.get_by_text("The usual round").first.wait_for()
