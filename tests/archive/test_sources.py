import http.server
import json
import os
import threading
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pytest
from moto import mock_aws

from anemone_lib.archive.sources import check_sources, read_manifest
from anemone_lib.errors import ConfigError


def items_of(*sources, site=None):
    listing = check_sources(sources, site)
    return {item.recording: item for item in listing}, listing


# ---------------------------------------------------------------------- sites


@pytest.mark.parametrize(
    ("name", "site"),
    [("north/20230210_060000.wav", "north"), ("north/2023/a/reef.wav", "north"), ("reef.wav", "season")],
)
def test_a_site_is_the_first_folder_below_the_source_or_the_source(tmp_path, name, site):
    path = tmp_path / "season" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    items, _ = items_of(tmp_path / "season")
    assert items[name].site == site
    assert items[name].source == str(path)


def test_an_expression_finds_the_site_and_where_it_does_not_it_is_said(tmp_path):
    for name in ("FK01_a.wav", "GR02_b.wav", "c.wav"):
        (tmp_path / name).write_bytes(b"")
    items, listing = items_of(tmp_path, site="([A-Z]{2}\\d\\d)_")
    assert [items[name].site for name in sorted(items)] == ["FK01", "GR02", tmp_path.name]
    assert listing.failures[0][0] == "c.wav"
    with pytest.raises(ConfigError, match="not a regular expression"):
        check_sources([tmp_path], "(")


# ---------------------------------------------------------------------- manifests


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest beside some recordings."""
    for name in ("a.wav", "deep/b.flac", "deep/c.wav"):
        path = tmp_path / "card" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")

    def write(text, name="season.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_manifest_says_what_paths_do_not_tell(manifest, tmp_path):
    path = manifest(
        "path,site,recorder,start_time,timezone,calibration_db,latitude,longitude,notes\n"
        "card/a.wav,north reef,ST 1,2023-02-10 06:00,Asia/Tokyo,174.2,26.5,127.9,good\n"
        "card/deep,south reef,,,,,,,\n"
        "\n"
    )
    items, _ = items_of(path)
    first = items["card/a.wav"]
    assert (first.site, first.source) == ("north reef", str(tmp_path / "card" / "a.wav"))
    assert first.about == {
        "recorder": "ST 1",
        "start_time": "2023-02-10 06:00",
        "timezone": "Asia/Tokyo",
        "calibration_db": 174.2,
        "latitude": 26.5,
        "longitude": 127.9,
    }
    assert {name: item.site for name, item in items.items() if name != "card/a.wav"} == {
        "card/deep/b.flac": "south reef",
        "card/deep/c.wav": "south reef",
    }


def test_only_the_path_is_required_and_a_semicolon_separates_too(manifest):
    items, _ = items_of(manifest("Path;Site\ncard/a.wav;\ngone.wav;elsewhere\n"))
    assert items == items_of(manifest("sep=;\nPath;Site\ncard/a.wav;\ngone.wav;elsewhere\n"))[0]
    assert {name: item.site for name, item in items.items()} == {"card/a.wav": "card", "gone.wav": "elsewhere"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,site\na.wav,b\n", "has no column path .*file, site"),
        ("", "has no column path .*no columns"),
        ("path\n", "names no recordings"),
        ("path,site\n,north\n", "line 2: path is empty"),
        ("path,calibration_db\na.wav,loud\n", "line 2: calibration_db is 'loud'; it must be a number"),
        ("path,calibration_db\na.wav,nan\n", "line 2: calibration_db is nan; it must be from -50 to 300"),
        ("path,latitude,longitude\na.wav,1,2\nb.wav,91,0\n", "line 3: latitude is 91; it must be from -90 to 90"),
        ("path,latitude\na.wav,1\n", "line 2: give both latitude and longitude"),
        ("path,timezone\na.wav,Mars\n", "line 2: timezone is 'Mars'"),
        ("path,start_time\na.wav,yesterday\n", "line 2: .*yesterday"),
        ("sep=;\npath;latitude;longitude\na.wav;1;2\nb.wav;91;0\n", "line 4: latitude is 91; it must be from -90"),
        ("path,site\na.wav,north\nlow tide, b.wav,north\n", "line 3: there are more values than columns; put quot"),
        ('path,site\na.wav,"' + "x" * 140_000, "is not CSV: line 1: .*field"),
        ('"path,site\n' + "x" * 140_000, "is not CSV: .*field"),
    ],
)
def test_what_is_wrong_in_a_manifest_is_said_with_its_line(manifest, text, words):
    with pytest.raises(ConfigError, match=words):
        check_sources([manifest(text)])


def test_paths_of_a_manifest_from_windows_are_found(manifest, tmp_path):
    items, _ = items_of(manifest("path,site\ncard\\deep\\b.flac,north\n"))
    assert items["card/deep/b.flac"].source == str(tmp_path / "card" / "deep" / "b.flac")


@pytest.mark.skipif(os.name == "nt", reason="has drives")
@pytest.mark.parametrize("place", ["D:\\card\\a.wav", "d:/card/a.wav"])
def test_a_path_on_a_drive_of_windows_is_refused_with_what_to_write(manifest, place):
    with pytest.raises(ConfigError, match="line 3: [Dd]:/card/a.wav is on a drive of Windows.*from the folder of the"):
        items_of(manifest(f"path,site\ncard/a.wav,north\n{place},south\n"))


def test_columns_of_a_manifest_that_are_not_known_are_named(manifest):
    _, listing = items_of(manifest("path,site,lattitude,depth\ncard/a.wav,north,26.5,3\n"))
    assert listing.notes[0].startswith("columns of season.csv that are not used: lattitude, depth (known are path,")


def test_a_start_is_that_of_one_recording_and_not_of_all_in_a_folder(manifest, tmp_path):
    (tmp_path / "disk").mkdir()
    for name in ("a.wav", "b.wav"):
        (tmp_path / "disk" / name).write_bytes(b"")
    path = manifest("path,start_time\ndisk,2023-02-10 06:00\n")
    with pytest.raises(ConfigError, match=r"line 2: start_time is when one recording began, but disk has 2"):
        items_of(path)
    (tmp_path / "disk" / "b.wav").unlink()
    assert items_of(path)[0]["disk/a.wav"].about["start_time"] == "2023-02-10 06:00"


def test_the_site_of_what_lies_elsewhere_is_the_folder_that_is_named_or_that_holds_it(manifest, tmp_path):
    card = tmp_path / "elsewhere" / "card 1"
    for name in ("2023-02/a.wav", "b.wav", "c/d.wav"):
        (card / name).parent.mkdir(parents=True, exist_ok=True)
        (card / name).write_bytes(b"")
    items, _ = items_of(manifest(f"path\n{card}/2023-02\n{card}/b.wav\n"))
    assert sorted(item.site for item in items.values()) == ["2023-02", "card 1"]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "season.csv").write_text("path\n../elsewhere/card 1\n")
    items, _ = items_of(tmp_path / "lists" / "season.csv")
    assert [item.site for item in items.values()] == ["card 1"] * 3


def test_a_recording_in_two_lines_is_refused(manifest):
    path = manifest("path,site\ncard/a.wav,north\ncard/../card/a.wav,south\n")
    with pytest.raises(ConfigError, match="line 3: .* is in line 2, too"):
        items_of(path)


def test_a_manifest_that_is_not_there_or_no_text_is_said(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the manifest"):
        check_sources([tmp_path / "none.csv"])
    (tmp_path / "odd.csv").write_bytes(b"path\n\xff\xfe")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        list(read_manifest(tmp_path / "odd.csv"))


# ---------------------------------------------------------------------- buckets and web servers


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """A web server as those of public archives: listings, and files by range."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.translate_path(self.path)
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        self.server.authorizations.append(self.headers.get("Authorization"))
        if asked is None or path.endswith("/"):
            super().do_GET()
            return
        with open(path, "rb") as file:
            content = file.read()
        first, last = (int(part) for part in asked.removeprefix("bytes=").split("-"))
        part = content[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def end_headers(self):
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def web(tmp_path, request):
    """A server of the folder of the test, on this machine only."""
    handler = getattr(request, "param", RangeHandler)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=tmp_path))
    server.asked, server.authorizations = [], []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_listing_of_a_web_server_gives_the_same_events_by_range(make_season, analyse, out, web):
    folder = make_season(4)
    address = f"http://127.0.0.1:{web.server_port}/season/"
    far, near = analyse([address], out("far")), analyse([folder], out("near"))
    columns = ["id", "site", "recording", "start_utc", "confidence"]
    assert far.events[columns].equals(near.events[columns])
    assert len(far.events)
    assert far.recordings["sha256"].tolist() == near.recordings["sha256"].tolist()
    assert any(asked and asked.startswith("bytes=") for asked in web.asked)


def test_an_address_where_nothing_is_is_said(analyse, out, web):
    address = f"http://127.0.0.1:{web.server_port}/none/"
    with pytest.raises(ConfigError, match="there is nothing to analyse: http://127.0.0.1"):
        analyse([address], out("a"))


class GoogleHandler(RangeHandler):
    """What of Google's JSON API lists a bucket, describes objects and reads them by range."""

    def do_GET(self):
        address = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        bucket, _, name = address.path.partition("/b/")[2].partition("/o")
        folder = Path(self.directory)
        if address.path.startswith("/download/"):
            self.path = f"/{unquote(name.strip('/'))}"
            super().do_GET()
        elif name.strip("/"):
            path = folder / unquote(name.strip("/"))
            self.answer(self.describe(bucket, path) if path.is_file() else None)
        else:
            prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter")
            found = [self.describe(bucket, path) for path in sorted(folder.rglob("*")) if path.is_file()]
            found = [one for one in found if one["name"].startswith(prefix)]
            deep = [one for one in found if delimiter and delimiter in one["name"].removeprefix(prefix)]
            heads = {prefix + one["name"].removeprefix(prefix).split(delimiter)[0] + delimiter for one in deep}
            self.answer({"items": [one for one in found if one not in deep], "prefixes": sorted(heads)})

    def describe(self, bucket, path):
        name = path.relative_to(self.directory).as_posix()
        times = dict.fromkeys(("timeCreated", "updated"), "2023-02-10T00:00:00.000Z")
        return {"kind": "storage#object", "bucket": bucket, "name": name, "size": str(path.stat().st_size), **times}

    def answer(self, content):
        text = json.dumps(content or {"error": {"code": 404, "message": "Not Found"}}).encode()
        self.send_response(200 if content else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.mark.parametrize("web", [GoogleHandler], indirect=True)
def test_a_bucket_of_google_gives_the_same_events_without_an_account(make_season, analyse, out, web, monkeypatch):
    from gcsfs.core import GCSFileSystem

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{web.server_port}")
    folder = make_season(3)
    low = {"settings": {"confidence_threshold": 0.5}}
    far, near = analyse([f"gs://reefs/{folder.name}/"], out("far"), **low), analyse([folder], out("near"), **low)
    GCSFileSystem.clear_instance_cache()
    columns = ["id", "site", "recording", "start_utc", "confidence"]
    assert far.events[columns].equals(near.events[columns])
    assert len(far.events)
    assert far.recordings["source"][0].startswith(f"gs://reefs/{folder.name}/")
    assert not any(web.authorizations)


@mock_aws
def test_a_prefix_of_a_bucket_gives_the_same_events(make_season, analyse, out):
    folder = make_season(4)
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="reefs")
    for path in folder.rglob("*.*"):
        client.put_object(Bucket="reefs", Key=f"2023/{path.relative_to(folder)}", Body=path.read_bytes())
    client.put_object(Bucket="reefs", Key="2023/notes.txt", Body=b"calm sea")
    notes = []
    far, near = analyse(["s3://reefs/2023/"], out("far"), note=notes.append), analyse([folder], out("near"))
    columns = ["id", "site", "recording", "start_utc", "confidence"]
    assert far.events[columns].equals(near.events[columns])
    assert "1 object below s3://reefs/2023/ left out" in notes[0]
    assert far.recordings["source"][0].startswith("s3://reefs/2023/")


@mock_aws
def test_a_bucket_that_is_not_there_is_said(analyse, out):
    with pytest.raises(ConfigError, match="cannot list s3://nowhere/"):
        analyse(["s3://nowhere/"], out("a"))
