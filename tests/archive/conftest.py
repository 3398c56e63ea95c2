"""Tables of a season made on the spot, and small archives: recordings of some seconds at low rates, in several
formats, with odd ones among them."""

import inspect
import io
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile

from anemone_lib import InferenceConfig, load_classifier
from anemone_lib.archive import make_request, open_archive, run_archive
from anemone_lib.archive.hours import count_hours
from anemone_lib.archive.provenance import describe_model
from anemone_lib.archive.tables import PARTITIONED, SCHEMAS, open_table, write_provenance, write_table
from anemone_lib.simulation.season import simulate_minutes, simulate_season


@pytest.fixture(scope="session")
def season():
    """Two sites, 59 days, with a known course over the day."""
    return simulate_season(n_days=59, seed=3, outage=0.06)


@pytest.fixture(scope="session")
def season_hours(season):
    return count_hours(
        season.events, season.effort, classes=["anemonefish"], noise=season.noise, places={"north": (26.5, 127.9)}
    )


def intervals(rows):
    """Rows of (site, local start, seconds, offset in hours[, more columns]) as a table of intervals."""
    frame = []
    for site, start, seconds, offset, *more in rows:
        began = datetime.fromisoformat(start) if start else None
        ended = began + timedelta(seconds=seconds) if began else None
        shift = timedelta(hours=offset)
        frame.append(
            {
                "site": site,
                "recording": f"{site}/{start}.wav",
                "start_local": began,
                "end_local": ended,
                "start_utc": began - shift if began else None,
                "end_utc": ended - shift if ended else None,
                "start_s": 0.0,
                "end_s": float(seconds),
                **(more[0] if more else {}),
            }
        )
    table = pd.DataFrame(frame, columns=[*frame[0]] if frame else ["site", *NO_ROWS])
    for edge in ("start", "end"):
        table[f"{edge}_local"] = pd.to_datetime(table[f"{edge}_local"]).dt.as_unit("ms")
        table[f"{edge}_utc"] = pd.to_datetime(table[f"{edge}_utc"]).dt.as_unit("ms").dt.tz_localize("UTC")
    return table


NO_ROWS = ("recording", "start_local", "end_local", "start_utc", "end_utc", "start_s", "end_s", "class")


@pytest.fixture(scope="session")
def make_intervals():
    return intervals


# ---------------------------------------------------------------------- recordings

#: Format, subtype, suffix and rate of recordings, in turn.
KINDS = (
    ("WAV", "PCM_16", ".wav", 8000),
    ("FLAC", "PCM_16", ".flac", 4000),
    ("WAV", "PCM_24", ".WAV", 4000),
    ("AIFF", "PCM_16", ".aif", 8000),
    ("MP3", "MPEG_LAYER_III", ".mp3", 8000),
    ("WAV", "FLOAT", ".wav", 4000),
)
BEGAN = datetime(2023, 2, 27, 22, 30)


def encode(samples, kind):
    """The bytes of a recording."""
    name, subtype, _, rate = kind
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=name, subtype=subtype)
    return file.getvalue()


def write_season(folder, n_recordings, *, seconds=2.0):
    """Write recordings of two sites; return what is odd about some of them: path below the folder → what it is.

    One in 20 is odd, one in 100 has the bytes of another.
    """
    rng = np.random.default_rng(5)
    material = {kind: [_sing(rng, kind[3], seconds) for _ in range(4)] for kind in KINDS}
    odd = {}
    for number in range(n_recordings):
        kind = KINDS[number % len(KINDS)]
        site = ("north reef", "south/2023")[number % 2]
        name = f"{site}/{BEGAN + timedelta(minutes=20 * (number // 2)):%Y%m%d_%H%M%S}{kind[2]}"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.roll(material[kind][number % 4], 7 * number)
        content = encode(samples, kind)
        if number % 20 == 13:
            what = ("empty", "text", "cut", "hole")[number // 20 % 4]
            content = _spoil(what, content, samples, kind)
            odd[name] = what
        elif number % 100 == 50:
            content = encode(np.roll(material[KINDS[0]][0], 0), KINDS[0])
            odd[name] = "copy"
        path.write_bytes(content)
    first = folder / f"north reef/{BEGAN:%Y%m%d_%H%M%S}.wav"
    first.write_bytes(encode(material[KINDS[0]][0], KINDS[0]))
    return odd


def _sing(rng, rate, seconds):
    """Noise with pulses of a call in some seconds."""
    n = round(seconds * rate)
    samples = 0.02 * rng.standard_normal(n)
    time = np.arange(round(0.02 * rate)) / rate
    pulse = 0.4 * np.sin(2 * np.pi * 600 * time) * np.exp(-time / 0.005)
    for start in rng.integers(0, n - len(pulse), 12):
        samples[start : start + len(pulse)] += pulse
    return samples.astype(np.float32)


def _spoil(what, content, samples, kind):
    if what == "empty":
        return b""
    if what == "text":
        return b"not audio, but the notes of a dive\n" * 20
    if what == "cut":
        return content[: len(content) * 2 // 3]
    holed = samples.copy()
    holed[: len(holed) // 2] = np.nan
    return encode(holed, ("WAV", "FLOAT", ".wav", kind[3]))


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """A season of 200 recordings, what is odd about some, and its archive."""
    root = tmp_path_factory.mktemp("large")
    odd = write_season(root / "season", 200)
    return root / "season", odd, analyse([root / "season"], root / "archive")


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A season of 24 recordings, its archive, and the bytes of the tables of a run that nothing stopped."""
    root = tmp_path_factory.mktemp("whole")
    write_season(root / "season", 24)
    analyse([root / "season"], root / "archive")
    return root / "season", root / "archive", read_bytes(root / "archive")


@pytest.fixture
def make_season(tmp_path):
    """A function that writes a season of so many recordings, and returns its folder."""

    def write(n_recordings):
        write_season(tmp_path / "season", n_recordings)
        return tmp_path / "season"

    return write


def analyse(sources, folder, **options):
    """Run in a thread of this process: what is not about workers is tested without any."""
    asked = {name: options.pop(name) for name in inspect.signature(make_request).parameters if name in options}
    request = make_request([str(source) for source in sources], **asked)
    if options.keys() & {"workers", "scheduler", "executor"}:
        return run_archive(request, folder, **options)
    with ThreadPoolExecutor(1) as executor:
        return run_archive(request, folder, executor=executor, **options)


def read_bytes(folder):
    """The bytes of all tables of an archive, by path."""
    paths = [folder / "archive.json", folder / "recordings.parquet"]
    paths += [path for name in PARTITIONED for path in sorted((folder / f"{name}.parquet").rglob("*.parquet"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(name="analyse")
def give_analyse():
    return analyse


@pytest.fixture(name="tables_of")
def give_tables_of():
    return read_bytes


@pytest.fixture
def out(tmp_path):
    """A folder for an archive, by name."""
    return partial(tmp_path.joinpath, "archives")


@pytest.fixture(scope="session")
def archive(tmp_path_factory, season, season_hours):
    """An archive on disk: the simulated season, one sound, one recording without a clock, odd ones."""
    return write_archive(tmp_path_factory.mktemp("archive"), season, season_hours)


def write_archive(folder, season, hours):
    sound = folder / "reef.wav"
    soundfile.write(sound, 0.1 * np.random.default_rng(1).standard_normal(60 * 16_000), 16_000)
    events = season.events.assign(start_s=season.events["start_s"] % 55)
    events["end_s"] = events["start_s"] + 1
    undated = season.effort.iloc[[0]].assign(recording="north/<i>no & clock</i>.wav")
    undated = undated.assign(**{name: pd.NaT for name in undated if name.endswith(("_utc", "_local"))})
    short = season.effort.iloc[[9]].assign(analysed=False, reason="the data end early", start_s=3600.0, end_s=3700.0)
    effort = pd.concat([season.effort, undated, short], ignore_index=True)
    recordings = effort.drop_duplicates("recording")[["recording", "site", "start_utc", "start_local"]]
    recordings = recordings.assign(source=str(sound), status="analysed").reset_index(drop=True)
    north = recordings["site"] == "north"
    recordings = recordings.assign(latitude=np.where(north, 26.5, np.nan), longitude=np.where(north, 127.9, np.nan))
    recordings.loc[3, ["status", "problem"]] = ["failed", "not a sound file"]
    classifier = load_classifier()
    for name, table in (("events", events), ("effort", effort), ("hours", hours), ("recordings", recordings)):
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        write_table(folder / f"{name}.parquet", name, rows)
    for site, rows in simulate_minutes(season).groupby("site"):
        table = pa.Table.from_pandas(rows, SCHEMAS["minutes"], preserve_index=False)
        with open_table(folder / f"minutes.parquet/{site}/2023-02.parquet", "minutes") as add:
            add(table)
    about = {"anemone": "0.1.0", "code_sha256": "c" * 64, "config": InferenceConfig().model_dump()}
    model = describe_model(classifier)
    write_provenance(folder, {**about, "model": model, "tables": {"events.parquet": "e" * 64}})
    return open_archive(folder)


@pytest.fixture(scope="session")
def browser():
    """A real Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path:
        assert os.environ.get("CI") != "true", "CI needs Chromium: apt-get install chromium"
        pytest.skip("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()
