"""Clips of a recording that a browser plays."""

import io

import numpy as np

from anemone_lib.audio.recording import Recording

#: Highest rate that every browser plays, in Hz.
MAX_PLAYED_HZ = 48_000


def cut_clip(
    recording: Recording, start_time: float, end_time: float, *, margin: float = 0.5, speed: float = 1.0
) -> tuple[np.ndarray, int]:
    """Cut a clip that a browser plays, as loud as possible without clipping.

    Parameters
    ----------
    recording : Recording
    start_time, end_time : float, in seconds
    margin : float >= 0, in seconds, heard before and after
    speed : float > 0
        2 plays twice as fast and an octave higher, so that calls at 100 Hz become audible on small loudspeakers;
        with 0.5 you can hear the single pulses of a train.

    Returns
    -------
    samples : np.ndarray [shape=(n,)], float32 in [-1, 1]
    sample_rate : int, at most `MAX_PLAYED_HZ`

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import open_recording
    >>> recording = open_recording(path)
    >>> samples, rate = cut_clip(recording, 2.0, 3.0, margin=0.25)
    >>> len(samples) / rate, round(float(abs(samples).max()), 2)
    (1.5, 0.9)
    >>> recording.close()
    """
    if not speed > 0:
        raise ValueError(f"speed is {speed}; it must be more than 0: 1 is as recorded, 2 an octave higher")
    import soxr

    rate = recording.sample_rate
    first = max(0, round((start_time - margin) * rate))
    stop = min(recording.n_samples, round((end_time + margin) * rate))
    samples = np.nan_to_num(recording.read(first, stop))
    samples = samples - samples.mean() if len(samples) else samples
    played = round(rate * speed)
    if played > MAX_PLAYED_HZ:
        samples, played = soxr.resample(samples, played, MAX_PLAYED_HZ), MAX_PLAYED_HZ
    peak = float(np.abs(samples).max(initial=0))
    return (samples * np.float32(0.9 / peak if peak else 1)).astype(np.float32), played


def to_wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return samples as a WAV file of 16 bits.

    >>> to_wav(np.zeros(8, np.float32), 8000)[:4]
    b'RIFF'
    """
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
