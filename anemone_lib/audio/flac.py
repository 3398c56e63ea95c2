"""FLAC: frame by frame, so that only damaged frames are lost.

`anemone_lib.audio.flac_frames` finds the frames and decodes them. From S3, an index would need every byte of the file.
So if the end of the file and the numbers of its frames are right, libsndfile reads it until it finds an error.
"""

import threading
from typing import Any

import numpy as np

from anemone_lib.audio.flac_frames import HEADER_BYTES, SYNC, FrameIndex, Stream, find_usual, read_frame_header
from anemone_lib.audio.gaps import Lost
from anemone_lib.audio.sources import RemoteSource, Source, open_as_file, read_around
from anemone_lib.errors import AudioError

#: Bytes at the end of a file in which its last frame is searched.
TAIL_BYTES = 1 << 18
#: Number of places in a file at which the number of a frame is checked, and bytes that are read at each.
PROBES, PROBE_BYTES = 16, 1 << 16

DAMAGED = "a damaged FLAC frame could not be decoded"


class FlacDecoder:
    """A FLAC file.

    Parameters
    ----------
    source : Source
    stream : Stream, from `find_stream`

    Raises
    ------
    AudioError
        There is no frame that can be decoded, or the sample rate changes.
    """

    default_reason = DAMAGED

    def __init__(self, source: Source, stream: Stream) -> None:
        self._source, self._stream = source, stream
        self._lock = threading.Lock()
        self._file: Any = None
        self._index: FrameIndex | None = None
        self.warnings: list[str] = []
        self.comments: dict[str, str] = {}
        self.lost: list[Lost] = []
        self.format = "FLAC"
        self.sample_rate, self.channels, self.n_frames = stream.sample_rate, stream.channels, stream.total
        self._open_file()
        # libsndfile puts silence where frames are missing, without a message; the index shows missing frames. From S3,
        # the index would need every byte.
        if self._file is None or not isinstance(source, RemoteSource) or not self._ends_as_it_says():
            self._close_file()
            self._use_index()
        if self.n_frames == 0:
            raise AudioError(f"no audio could be decoded in {source.name}")

    # ------------------------------------------------------------------ as libsndfile reads it

    def _open_file(self) -> None:
        import soundfile

        self._errors = (soundfile.LibsndfileError, RuntimeError, ValueError, OverflowError, OSError)
        try:
            self._file = soundfile.SoundFile(
                str(self._source.path) if self._source.path else open_as_file(self._source)
            )
            self.format = f"FLAC {self._file.subtype}"
            metadata = self._file.copy_metadata()
            self.comments = {key: text for key, text in metadata.items() if isinstance(text, str) and text}
            same = (self._file.samplerate, self._file.channels, self._file.frames)
            if same != (self.sample_rate, self.channels, self.n_frames):
                self._close_file()
        except self._errors:
            self._file = None

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _ends_as_it_says(self) -> bool:
        """Return whether the last frame of the file ends where the header says, and can be decoded."""
        if not self.n_frames:
            return False
        start = max(self._stream.audio, self._source.size - TAIL_BYTES)
        tail, unreadable = read_around(self._source, start, TAIL_BYTES)
        headers = [h for found in SYNC.finditer(tail) if (h := read_frame_header(tail[found.start() :][:HEADER_BYTES]))]
        if not headers or unreadable:
            return False
        last = headers[-1]
        block = find_usual([header.samples for header in headers])
        end = (last.number if last.variable else last.number * block) + last.samples
        if end != self.n_frames or not self._goes_on():
            return False
        try:
            self._file.seek(self.n_frames - 1)
            return len(self._file.read(1, dtype="float32")) == 1
        except self._errors:
            return False

    def _goes_on(self) -> bool:
        """Return whether the numbers of the frames grow through the file; in joined files, they begin again."""
        last, step = -1, (self._source.size - self._stream.audio) // PROBES
        for k in range(PROBES if step > 2 * PROBE_BYTES else 0):
            block, _ = read_around(self._source, self._stream.audio + k * step, PROBE_BYTES)
            for found in SYNC.finditer(block):
                header = read_frame_header(block[found.start() : found.start() + HEADER_BYTES])
                if header is not None:
                    if header.number < last:
                        return False
                    last = header.number
                    break
        return True

    # ------------------------------------------------------------------ frame by frame

    def _use_index(self) -> None:
        index = self._index = FrameIndex(self._source, self._stream)
        claimed, self.sample_rate, self.channels = self.n_frames, index.sample_rate, index.channels
        self.n_frames = index.n_frames
        rate = self.sample_rate
        if index.changes:
            self.warnings.append(
                f"the number of channels is not always {self.channels}; other parts are the mean of their channels"
            )
        if index.parts > 1:
            self.warnings.append(f"{index.parts} FLAC streams follow each other in the file; all are read")
        elif claimed and claimed != self.n_frames:
            missing = claimed - self.n_frames
            bytes_a_sample = index.n_bytes / max(1, self.n_frames)
            if missing > 0 and 0 < 0.5 * missing * bytes_a_sample <= index.rest:  # the bytes are there, but damaged
                self.n_frames = claimed
            elif missing > 0:
                self.warnings.append(
                    f"the header claims {claimed / rate:.6g} s of audio, the file has {self.n_frames / rate:.6g} s: "
                    "it was cut short"
                )
            else:
                self.warnings.append(
                    f"the header claims {claimed} samples, the stream goes on to {self.n_frames} "
                    f"({self.n_frames / rate:.6g} s)"
                )

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames `start` to `stop`, float32, shape (stop - start, channels)."""
        if self._index is None:
            with self._lock:
                if self._index is None:
                    frames = np.empty((stop - start, self.channels), np.float32)
                    try:
                        if self._file.tell() != start:
                            self._file.seek(start)
                        if len(self._file.read(dtype="float32", out=frames)) == len(frames):
                            return frames
                    except self._errors:
                        pass
                    # Damage: libsndfile cannot go on, and the place that it names depends on the ranges that were read
                    # before.
                    self._index = FrameIndex(self._source, self._stream)
                    self._close_file()
        return self._index.read(start, stop, self.channels)

    def close(self) -> None:
        """Close the file."""
        self._close_file()
