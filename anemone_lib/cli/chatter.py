"""Catch what decoders and model runners write to standard error without Python.

libmpg123, FFmpeg, XNNPACK, oneDNN and TensorFlow print lines of their own. Those that say nothing about the recording
are dropped; those of a decoder become a note on the recording that was read; the rest goes on to standard error.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from anemone_lib.errors import spell_count

#: Lines that say nothing about a recording.
_NOISE = re.compile(
    r"XNNPACK|oneDNN|TensorFlow Lite|tensorflow|cpu_feature_guard|rebuild TensorFlow|absl::InitializeLog|cuda|CUDA"
    r"|TF-TRT|^WARNING: All log messages|^INFO: |^I0000|^W0000|^E0000"
)
#: Lines of a decoder about the bytes that it reads.
_DECODER = re.compile(
    r"^Note: |^Warning: |resync|bytes in input|bitreservoir|big_values|part2_3|mpg123|MPEG|Xing|ID3|libsndfile|FLAC"
    r"|ogg|vorbis|opus|aac|\[mp3|\[wav|\[matroska|\[mov",
    re.I,
)
#: The most different messages of a decoder that are shown for one recording.
SHOWN_LINES = 3


class Chatter:
    """The text that was written to standard error since the last call."""

    def __init__(self, file: IO[bytes] | None, stderr: int) -> None:
        self._file, self._stderr, self._position = file, stderr, 0

    def take_notes(self) -> list[str]:
        """The messages of decoders since the last call, shortened; known noise is dropped, the rest printed."""
        if self._file is None:
            return []
        with suppress(OSError):
            size = os.fstat(self._file.fileno()).st_size
            content = os.pread(self._file.fileno(), size - self._position, self._position)
            self._position = size
            lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
            worth = [line for line in lines if not _NOISE.search(line)]
            said = [line for line in worth if _DECODER.search(line)]
            other = [line for line in worth if line not in said]
            if other:
                os.write(self._stderr, ("\n".join(other) + "\n").encode("utf-8", "replace"))
            different = list(dict.fromkeys(re.sub(r"^\[[^\]]*\]\s*", "", line)[:200] for line in said))
            if different:
                shown = different[:SHOWN_LINES]
                hidden = len(said) - len(shown)
                more = f" and {spell_count(hidden, 'more line')}" if hidden else ""
                return [f"the decoder says: {'; '.join(shown)}{more}"]
        return []


_caught: Chatter | None = None


@contextmanager
def catch_chatter() -> Iterator[Chatter]:
    """Catch what libraries write to file descriptor 2; Python's own `sys.stderr` goes on to where it went.

    Where standard error is not file descriptor 2 (in tests, in notebooks), nothing is caught. Within itself it goes on
    with what is caught already.
    """
    global _caught
    if _caught:
        yield _caught
        return
    try:
        ours = sys.stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours:
        yield Chatter(None, 2)
        return
    before = sys.stderr
    before.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        sys.stderr = open(  # noqa: SIM115 closed below
            os.dup(kept), "w", buffering=1, encoding=before.encoding, errors=before.errors, closefd=True
        )
        chatter = _caught = Chatter(file, kept)
        try:
            yield chatter
        finally:
            _caught = None
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            sys.stderr.close()
            sys.stderr = before
            chatter.take_notes()
            os.dup2(kept, 2)
            os.close(kept)
