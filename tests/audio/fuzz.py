"""Damage recordings in every way that disks, cards and networks do, and hold the reader to what it promises.

    python -m tests.audio.fuzz --cases 2000 --seed 0     what the tests run
    python -m tests.audio.fuzz --hours 1                 goes on from a random seed; prints the seed of what fails

With ``atheris`` installed, ``--atheris`` lets the coverage of the reader's Python choose the damage instead.

*The oracle.* FFmpeg, through PyAV, decoding every packet that it can and ignoring errors: its timeline's end is the
duration that is expected, within 0.1 s. It is wrong in two ways, and there the recording that was damaged is the truth:
for frames without a clock (MP3), it leaves out what it cannot decode, so that all that follows is too early; and in WAV
it believes the header. So a duration is right between FFmpeg's and that of the recording before the damage (plus what
was inserted), give or take 0.1 s.
"""

import argparse
import contextlib
import faulthandler
import inspect
import io
import os
import random
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import av
import numpy as np
import soundfile

from anemone_lib import AudioError, InferenceConfig, detect, open_recording

KINDS = ("wav", "flac", "ogg", "opus", "mp3", "m4a")
DAMAGES = ("flip", "zero", "cut", "insert", "remove", "duplicate", "noise")
SAMPLE_RATE = 16_000
TOLERANCE_S = 0.1
#: Samples of a FLAC frame, as libFLAC makes them at this rate, seconds.
FLAC_FRAME_S = 4096 / SAMPLE_RATE
#: No case may take more time of the processor, seconds, nor the process more memory, bytes.
MAX_CASE_S, MAX_BYTES = 10.0, 500 << 20


# ---------------------------------------------------------------------- recordings


@cache
def samples_of(seconds: float) -> np.ndarray:
    """Noise with pulses in it, int16, the same every time."""
    rng = np.random.default_rng(11)
    n = round(seconds * SAMPLE_RATE)
    sound = 0.02 * rng.standard_normal(n)
    t = np.arange(320) / SAMPLE_RATE
    for start in range(3000, n - 400, 5000):
        sound[start : start + 320] += 0.4 * np.sin(2 * np.pi * 600 * t) * np.exp(-t / 0.005)
    return (np.clip(sound, -1, 1) * 32767).astype(np.int16)


@cache
def recording_of(kind: str, seconds: float) -> bytes:
    """A whole recording of a kind."""
    samples = samples_of(seconds)
    file = io.BytesIO()
    if kind in ("wav", "flac"):
        soundfile.write(file, samples, SAMPLE_RATE, format=kind.upper(), subtype="PCM_16")
        return file.getvalue()
    if kind == "ogg":
        with soundfile.SoundFile(file, "w", SAMPLE_RATE, 1, format="OGG", subtype="VORBIS") as encoder:
            for start in range(0, len(samples), SAMPLE_RATE):
                encoder.write(samples[start : start + SAMPLE_RATE])
        return file.getvalue()
    container, codec = {"opus": ("ogg", "libopus"), "mp3": ("mp3", "libmp3lame"), "m4a": ("mp4", "aac")}[kind]
    # A movie in fragments has its index beside the audio, not at one end, where one cut would lose everything.
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}
    return encode(samples, SAMPLE_RATE, container, codec, options if kind == "m4a" else {})


def encode(
    samples: np.ndarray,
    sample_rate: int,
    container: str,
    codec: str,
    options: dict[str, str] | None = None,
    *,
    bit_rate: int | None = None,
    codec_options: dict[str, str] | None = None,
) -> bytes:
    """Encode mono int16 samples with FFmpeg."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as box:
        stream = box.add_stream(codec, rate=sample_rate, options=codec_options or {})
        stream.layout = "mono"
        if bit_rate:
            stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = sample_rate
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=stream.rate)
        fifo = av.AudioFifo()
        for part in resampler.resample(frame):
            fifo.write(part)
        while (part := fifo.read(stream.frame_size or 4096, partial=True)) is not None:
            box.mux(stream.encode(part))
        box.mux(stream.encode(None))
    return file.getvalue()


# ---------------------------------------------------------------------- damage


@dataclass
class Case:
    """A recording and what was done to it."""

    seed: int
    kind: str
    seconds: float
    content: bytes
    damages: list[tuple[str, int, int]] = field(default_factory=list)  # name, place, bytes
    inserted: int = 0

    @property
    def name(self) -> str:
        """What a file of this kind is called."""
        return f"case{self.seed}.{self.kind}"

    def times(self) -> list[tuple[float, float]]:
        """Seconds of the recording that the damage may reach, roughly: where its bytes lie in the file."""
        size = len(recording_of(self.kind, self.seconds))
        return [(place / size * self.seconds, (place + n) / size * self.seconds) for _, place, n in self.damages]


def make_case(seed: int, *, seconds: float = 2.0, kind: str | None = None) -> Case:
    """Damage a recording in one to three ways, all of it decided by the seed."""
    rng = random.Random(seed)
    kind = kind or KINDS[seed % len(KINDS)]
    content = bytearray(recording_of(kind, seconds))
    case = Case(seed, kind, seconds, b"")
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        damage = rng.choice(DAMAGES)
        # Headers are short, and would hardly ever be hit.
        place = rng.randrange(0, min(200, len(content))) if rng.random() < 0.1 else rng.randrange(len(content))
        size = min(rng.choice((1, 2, 16, 100, 512, 4096)), len(content) - place)
        case.damages.append((damage, place, size))
        if damage == "flip":
            content[place] ^= 1 << rng.randrange(8)
        elif damage == "zero":
            content[place : place + size] = bytes(size)
        elif damage == "noise":
            content[place : place + size] = rng.randbytes(size)
        elif damage == "cut":
            del content[max(1, place) :]
        elif damage == "insert":
            content[place:place] = rng.randbytes(size)
            case.inserted += size
        elif damage == "remove":
            del content[place : place + size]
        elif damage == "duplicate":
            content[place:place] = content[place : place + size]
            case.inserted += size
        if len(content) < 2:
            break
    case.content = bytes(content)
    return case


# ---------------------------------------------------------------------- what FFmpeg makes of it


def ffmpeg_duration(content: bytes) -> float | None:
    """Seconds that FFmpeg decodes with errors ignored; None where it opens nothing."""
    first: float | None = None
    end, n = 0.0, 0
    rate = 0
    try:
        with av.open(io.BytesIO(content), options={"protocol_whitelist": "none"}) as box:
            if not box.streams.audio or box.streams.audio[0].codec_context is None:
                return None
            for packet in box.demux(box.streams.audio[0]):
                with contextlib.suppress(av.FFmpegError):
                    for frame in packet.decode():
                        rate = rate or frame.sample_rate
                        n += frame.samples
                        if frame.pts is not None and frame.time_base and frame.sample_rate:
                            at = float(frame.pts * frame.time_base)
                            first = at if first is None else first
                            end = max(end, at - first + frame.samples / frame.sample_rate)
    except (av.FFmpegError, ValueError, OverflowError):
        pass
    if not n:
        return None
    decoded = n / rate
    # A damaged timestamp may say anything; then the number of samples is what was decoded.
    return end if end < decoded + 10 else decoded


# ---------------------------------------------------------------------- what is promised


class BrokenPromise(AssertionError):
    """A promise of the reader does not hold for a case."""


def check_reading(case: Case) -> str:
    """Open and read a case; return what happened.

    Raises
    ------
    BrokenPromise
        The samples depend on how they were read, the duration is wrong, it took too long or too much memory.
    Exception
        Anything but AudioError.
    """
    began = time.process_time()
    rng = random.Random(case.seed)
    try:
        with open_recording(io.BytesIO(case.content), name=case.name) as recording:
            n, duration = recording.n_samples, recording.duration
            whole = recording.read(0, n)
            for _ in range(3):
                start = rng.randrange(n)
                stop = min(n, start + rng.randrange(1, 2 * SAMPLE_RATE))
                _require(np.array_equal(recording.read(start, stop), whole[start:stop], equal_nan=True), case, "cut")
    except AudioError as error:
        _require(case.name in str(error) or "recording" in str(error), case, f"no name in {error}")
        lost = ffmpeg_duration(case.content)
        _require(lost is None or lost < 0.5 or _header_hit(case), case, f"refused ({error}), FFmpeg reads {lost} s")
        return "refused"
    _require(time.process_time() - began < MAX_CASE_S, case, "too slow")
    _check_duration(case, duration)
    lost_s = float(np.isnan(whole).sum() / recording.sample_rate)
    return "damaged" if lost_s else "whole"


def _header_hit(case: Case) -> bool:
    return any(place < 600 for _, place, _ in case.damages)


def _check_duration(case: Case, duration: float) -> None:
    size = len(recording_of(case.kind, case.seconds))
    # FFmpeg counts a part of the frame within which a FLAC was cut.
    lower = FLAC_FRAME_S if case.kind == "flac" and any(name == "cut" for name, _, _ in case.damages) else 0.0
    upper = case.seconds * (1 + case.inserted / size) + TOLERANCE_S
    if case.kind in ("mp3", "m4a", "opus", "ogg"):  # codecs pad the end to whole frames
        upper += 0.1
    if _header_hit(case):  # the sample rate or the clock itself may be what was hit
        return
    if case.kind == "wav":
        expected = (len(case.content) - 44) / (2 * SAMPLE_RATE)
        _require(abs(duration - expected) <= TOLERANCE_S, case, f"{duration} s, the file holds {expected} s")
        return
    oracle = ffmpeg_duration(case.content)
    if oracle is not None:
        _require(duration >= oracle - TOLERANCE_S - lower, case, f"{duration} s, FFmpeg reads {oracle} s")
        upper = max(upper, oracle + TOLERANCE_S)
    _require(duration <= upper, case, f"{duration} s, more than the {upper} s there were")


def check_detecting(case: Case, classifier: object) -> str:
    """Detect in a case; return what happened.

    Raises
    ------
    BrokenPromise
        Coverage does not add up, or a window far from the damage has other probabilities than in the whole recording.
    """
    config = InferenceConfig.for_sample_rate(SAMPLE_RATE)
    try:
        found = detect(io.BytesIO(case.content), config=config, classifier=classifier)  # type: ignore[arg-type]
    except AudioError:
        return "refused"
    coverage = found.metadata["coverage"]
    skipped = sum(gap["end_time"] - gap["start_time"] for gap in coverage["skipped"])
    total = coverage["analysed_s"] + skipped
    _require(abs(total - found.metadata["audio_duration"]) < 1e-6, case, f"{total} s analysed and skipped")
    _require(all(gap["reason"] for gap in coverage["skipped"]), case, "a gap without a reason")
    if found.scores.sample_rate == whole_scores(case.kind, case.seconds, classifier).sample_rate and not _header_hit(
        case
    ):
        _check_probabilities(case, found.scores, whole_scores(case.kind, case.seconds, classifier))
    return "damaged" if skipped else "whole"


_whole: dict[tuple[str, float], object] = {}


def whole_scores(kind: str, seconds: float, classifier: object):
    """The scores of a whole recording."""
    if (kind, seconds) not in _whole:
        config = InferenceConfig.for_sample_rate(SAMPLE_RATE)
        found = detect(io.BytesIO(recording_of(kind, seconds)), config=config, classifier=classifier)  # type: ignore[arg-type]
        _whole[kind, seconds] = found.scores
    return _whole[kind, seconds]


#: Seconds around the damage's place in the file that it may reach: a page, a fragment, a bit reservoir; and how
#: exactly the rest is equal: a codec that adapts remembers a little of what was before.
REACH_S = {"wav": 0.1, "flac": 0.6, "mp3": 0.8, "ogg": 1.5, "opus": 1.5, "m4a": 1.5}
EXACT = {"wav": 0.0, "flac": 0.0, "mp3": 1e-6, "ogg": 1e-6, "opus": 0.02, "m4a": 0.02}


def _check_probabilities(case: Case, scores, whole) -> None:
    n = min(scores.n_windows, whole.n_windows)
    starts, ends = whole.start_times[:n], whole.end_times[:n]
    reach = REACH_S[case.kind] + 1.0  # a window that holds lost samples is moved by up to half its length
    far = np.isfinite(scores.probabilities[:n]).all(axis=1)
    for (name, _, _), (begin, end) in zip(case.damages, case.times(), strict=True):
        moves = name in ("insert", "remove", "duplicate") and case.kind in ("wav", "mp3", "m4a")
        far &= (ends < begin - reach) | ((starts > end + reach) & (not moves))
    far[-3:] &= scores.n_windows == whole.n_windows
    if case.kind == "mp3" and any(name in ("zero", "noise", "flip") for name, _, _ in case.damages):
        first = min(begin for begin, _ in case.times())
        far &= ends < first - reach  # frames lost among frames of varying size: their number is an estimate
    difference = np.abs(scores.probabilities[:n][far] - whole.probabilities[:n][far])
    _require(not len(difference) or difference.max() <= EXACT[case.kind], case, f"probabilities differ by {difference}")


def _require(holds: bool, case: Case, what: str) -> None:
    if not holds:
        raise BrokenPromise(f"seed {case.seed}, {case.kind}, {case.damages}: {what}")


# ---------------------------------------------------------------------- by the hour


class Loudness:
    """A classifier without a model: a pure function of the image."""

    card = None
    sha256, version = "0" * 64, "loudness"
    input_shape, n_classes = (256, 256, 1), 3

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Return three classes' probabilities."""
        level = images.mean(axis=(1, 2, 3), dtype=np.float64)
        texture = images[:, ::7, ::5, 0].std(axis=(1, 2), dtype=np.float64)
        weights = np.stack([1 - level, level, texture], axis=1) + 1e-3
        return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def run(seeds: range, *, until: float | None = None, detect_every: int = 20) -> dict[str, dict[str, int]]:
    """Check cases; return how many of each kind came to what."""
    outcomes: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    classifier = Loudness()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        if until is not None and time.monotonic() > until:
            break
        outcome = check_reading(make_case(seed))
        kind = KINDS[seed % len(KINDS)]
        outcomes[kind][outcome] = outcomes[kind].get(outcome, 0) + 1
        if seed // len(KINDS) % detect_every == 0:
            check_detecting(make_case(seed, seconds=10.0), classifier)
            outcomes[kind]["detected"] = outcomes[kind].get("detected", 0) + 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
    if grown > MAX_BYTES:
        raise BrokenPromise(f"{grown / 1e6:.0f} MB of memory for seeds {seeds}")
    return outcomes


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hours", type=float, help="go on from a random seed for so long, past failures")
    parser.add_argument("--keep", type=Path, help="folder for the recordings that fail")
    parser.add_argument("--atheris", action="store_true", help="let coverage choose the damage")
    options = parser.parse_args()
    faulthandler.enable()
    if options.atheris:
        return _with_atheris(options.hours or 1.0)
    if options.hours is None:
        for kind, counts in run(range(options.seed, options.seed + options.cases)).items():
            print(kind, counts)
        return 0
    until = time.monotonic() + options.hours * 3600
    seed, failures, done = random.SystemRandom().randrange(1 << 40), 0, 0
    print(f"from seed {seed}", flush=True)
    while time.monotonic() < until:
        try:
            run(range(seed, seed + 1))
        except Exception as error:  # noqa: BLE001 the next seeds are tried, too
            failures += 1
            print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                case = make_case(seed)
                (options.keep / case.name).write_bytes(case.content)
        seed, done = seed + 1, done + 1
    print(f"{done} cases, {failures} failures")
    return 1 if failures else 0


def _with_atheris(hours: float) -> int:
    """Begin with damaged recordings of every kind, and change them so that other lines of the decoders run."""
    try:
        import atheris
    except ImportError:
        print("atheris is not installed here (pip install atheris); --hours needs nothing")
        return 2

    def one(data: bytes) -> None:
        with contextlib.suppress(AudioError), open_recording(io.BytesIO(data), name="fuzz") as recording:
            recording.read(0, min(recording.n_samples, 1 << 20))

    for name, module in list(sys.modules.items()):
        if name.startswith("anemone_lib.audio"):
            for holder in [module, *(member for member in vars(module).values() if isinstance(member, type))]:
                for function in vars(holder).values():
                    if inspect.isfunction(function) and function.__module__ == name:
                        atheris.instrument_func(function)
    with tempfile.TemporaryDirectory(prefix="anemone-fuzz-") as corpus:
        for seed in range(4 * len(KINDS)):
            case = make_case(seed, seconds=1.0)
            Path(corpus, f"{seed}").write_bytes(case.content)
        print(f"atheris: {len(os.listdir(corpus))} recordings to begin with", flush=True)
        limits = [f"-max_total_time={round(3600 * hours)}", "-max_len=200000", "-rss_limit_mb=4096", "-timeout=60"]
        atheris.Setup([sys.argv[0], *limits, corpus], one)
        atheris.Fuzz()  # ends the process
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
