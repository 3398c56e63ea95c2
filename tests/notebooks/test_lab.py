"""JupyterLab in a real browser: run a notebook, move a slider and see the events change; accept one by a letter."""

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


@pytest.fixture
def page(lab):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page(viewport={"width": 1300, "height": 1000})
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
    status = page.locator(".widget-html").filter(has_text="false alarms per hour").first
    status.wait_for()
    before = int(re.match(r"(\d+) events", status.inner_text())[1])

    page.locator(".widget-hslider").first.locator(".noUi-handle").focus()
    page.keyboard.press("Home")  # the threshold at 0: every window is in an event, and they run together
    page.wait_for_function(
        "old => [...document.querySelectorAll('.widget-html')].some(e => /^\\d+ events/.test(e.innerText)"
        " && parseInt(e.innerText) !== old && e.innerText.includes('4 recordings'))",
        arg=before,
    )
    assert status.inner_text().startswith("4 events")  # one a recording, from end to end
    assert page.locator(".widget-image").first.is_visible()
    page.screenshot(path=str(folder / "sliders.png"))


def test_typing_a_letter_accepts_an_event_and_saves_it(lab, page):
    folder, address = lab
    prepare(folder, "04_review_events", "panel")
    run_all(page, address, "04_review_events")
    status = page.locator(".widget-html").filter(has_text="Event 1 of").first
    status.wait_for()
    assert "anemonefish?" in status.inner_text()
    page.get_by_placeholder("type here").press("a")
    page.locator(".widget-html").filter(has_text="1 reviewed").first.wait_for()
    table = next((folder / "out" / "review").glob("*.review.selections.txt"))
    assert re.search(r"\tanemonefish\t", table.read_text())
    page.get_by_role("button", name="Undo (u)").click()
    page.locator(".widget-html").filter(has_text="no verdict yet").first.wait_for()
    assert not re.search(r"\tanemonefish\t", table.read_text())
    page.screenshot(path=str(folder / "review.png"))


def test_what_make_lab_opens_lists_the_index_and_the_notebooks(lab, page):
    folder, address = lab
    shutil.copy(NOTEBOOKS / "README.md", folder / "README.md")
    with urllib.request.urlopen(f"{address}/api/contents/README.md") as answer:
        assert "05_check_deployment" in json.load(answer)["content"]
    page.goto(f"{address}/lab/tree/README.md?reset")
    page.get_by_text("The usual round").first.wait_for()
