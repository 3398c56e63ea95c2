"""Uploads into a folder: parts that come at the same time, break off, are damaged, or come too late."""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from anemone_lib.service.folder_store import FolderStore
from anemone_lib.service.problems import Problem

KEY = "jobs/x/recording"
PART = 1000


@pytest.fixture
def store(tmp_path):
    store = FolderStore(tmp_path)
    store.begin_upload(KEY)
    return store


async def arrive(*blocks):
    """The blocks of a body, one after another; other tasks run in between."""
    for block in blocks:
        yield block
        await asyncio.sleep(0)


def run_apart(coroutine):
    """Run a coroutine in a thread of its own: `asyncio.run` forgets the loop that another library set in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def receive(store, number, *blocks):
    return run_apart(store.receive_part(KEY, number, arrive(*blocks)))


def complete(store, etags, size):
    store.complete_upload(KEY, "local", etags, part_bytes=PART, size_bytes=size)


def upload(store, content):
    """Upload all parts of a recording, the last one first; return their ETags."""
    numbers = range(-(-len(content) // PART), 0, -1)
    return {number: receive(store, number, content[(number - 1) * PART : number * PART]) for number in numbers}


def list_files(tmp_path):
    return sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())


def test_fifty_completions_at_the_same_time_make_one_object_and_none_fails(store, tmp_path, rng):
    content = rng.bytes(20 * PART + 7)
    etags = upload(store, content)
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda _: complete(store, etags, len(content)), range(50)))
    assert store.read(KEY) == content
    assert list_files(tmp_path) == [KEY]


def test_two_uploads_of_one_part_do_not_mix(store, rng):
    one, two = rng.bytes(PART), rng.bytes(PART)

    async def receive_both():
        halves = [arrive(content[:500], content[500:]) for content in (one, two)]
        return await asyncio.gather(*(store.receive_part(KEY, 1, blocks) for blocks in halves))

    etags = run_apart(receive_both())
    assert etags == [f'"{hashlib.sha256(content).hexdigest()}"' for content in (one, two)]
    complete(store, {1: etags[0]}, PART)
    assert store.read(KEY) == one


def test_a_part_that_still_arrives_when_the_upload_is_completed_changes_nothing(store, tmp_path, rng):
    content = rng.bytes(PART)
    etags = upload(store, content)

    async def complete_meanwhile():
        yield b"late"
        complete(store, etags, PART)
        yield b"r"

    with pytest.raises(Problem, match="the upload is complete") as caught:
        run_apart(store.receive_part(KEY, 1, complete_meanwhile()))
    assert caught.value.status == 409
    assert store.read(KEY) == content
    assert list_files(tmp_path) == [KEY]


def test_a_last_part_that_is_cut_off_is_refused_and_can_be_uploaded_again(store, rng):
    content = rng.bytes(PART + 300)
    etags = upload(store, content)
    short = etags | {2: receive(store, 2, content[PART:-1])}
    with pytest.raises(Problem, match="part 2 has 299 bytes, but it must have 300; upload it again"):
        complete(store, short, len(content))
    complete(store, etags, len(content))
    assert store.read(KEY) == content


def test_a_part_that_was_damaged_on_the_disk_is_refused_and_can_be_uploaded_again(store, tmp_path, rng):
    content = rng.bytes(PART + 300)
    etags = upload(store, content)
    [damaged] = (tmp_path / f"{KEY}.parts").glob("2.*")
    damaged.write_bytes(bytes(300))
    with pytest.raises(Problem, match="part 2 was damaged on the disk; upload it again"):
        complete(store, etags, len(content))
    complete(store, etags | {2: receive(store, 2, content[PART:])}, len(content))
    assert store.read(KEY) == content


def test_a_part_that_breaks_off_leaves_nothing_behind(store, tmp_path):
    async def break_off():
        yield b"the beginning"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        run_apart(store.receive_part(KEY, 1, break_off()))
    assert list_files(tmp_path) == []
    with pytest.raises(Problem, match="part 1 was not uploaded"):
        complete(store, {1: "x"}, PART)


@pytest.mark.parametrize("etag", ["", '""', "../../secret", "/etc/passwd", "*", "a\0b", "\udc80", "." * 100])
def test_an_etag_names_no_file_but_its_part(store, tmp_path, etag):
    (tmp_path / "secret").write_bytes(bytes(PART))
    receive(store, 1, bytes(PART))
    with pytest.raises(Problem, match="part 1 has the ETag"):
        complete(store, {1: etag}, PART)
