"""The continuous noise of a reef: wind, flow, rain, shrimp, boats, hum, and snaps; or the noise of a recording."""

import numpy as np
from scipy.fft import irfft

from anemone_lib.simulation.noises import CONTINUOUS, make_snaps


class Background:
    """Continuous noise: frames of shaped Gaussian noise, cross-faded at constant power, and snaps.

    Parameters
    ----------
    rng : np.random.Generator
    sample_rate : int > 0, in Hz
    noises : names of `anemone_lib.simulation.noises.CONTINUOUS`, and ``snaps``
    """

    def __init__(self, rng: np.random.Generator, sample_rate: int, noises: tuple[str, ...]) -> None:
        self._rng = rng
        self._frame = 1 << (sample_rate - 1).bit_length()  # 1 to 2 s
        self._fade = self._frame // 8
        ramp = np.sin(np.pi / 2 * (np.arange(self._fade) + 0.5) / self._fade).astype(np.float32)
        self._rise, self._fall = ramp, ramp[::-1]
        frequency = np.arange(self._frame // 2 + 1) * sample_rate / self._frame
        # The hydrophone: a high-pass at 5 to 60 Hz, some a low-pass, and the recorder's own noise.
        response = 1 / (1 + (rng.uniform(5, 60) / np.maximum(frequency, 1)) ** 4)
        if rng.random() < 0.3:
            response /= 1 + (frequency / rng.uniform(2500, 20_000)) ** 6
        self._densities, self._passing = [], []
        for kind, density in CONTINUOUS.items():
            if kind in noises:
                # Within 10 dB of wind at 500 Hz; flow, far below the calls, up to 30 dB above it.
                level = {"wind": 0.0, "flow": rng.uniform(-1, 3)}.get(kind, rng.uniform(-1, 1))
                shape = density(rng, frequency) * 10**level
                self._densities.append(shape * response)
                self._passing.append(kind in ("boat", "rain"))
        self._densities.append(np.full(len(frequency), 10 ** rng.uniform(-4, -1.5)))
        self._passing.append(False)
        self._phases = rng.uniform(0, 2 * np.pi, (len(self._densities), 2))
        total = np.sum(self._densities, axis=0)
        rms = np.sqrt(total.mean() * self._frame)
        self._gain = 10 ** rng.uniform(-2.7, -1.3) / rms
        self._snaps_per_sample = 0.0
        if "snaps" in noises:
            self._snaps_per_sample = np.exp(rng.uniform(np.log(25), np.log(1500))) / 60 / sample_rate
            self._shapes = make_snaps(rng, sample_rate)
            self._snap_level = 10 ** (rng.uniform(0, 1.2) - 0.3) * self._gain * rms
        self._offset = np.float32(rng.normal(0, 2e-3) * (rng.random() < 0.3))
        self._period_s, self._n_read, self._sample_rate = rng.uniform(60, 600), 0, sample_rate
        self._ready = self._make_frame()

    def _make_frame(self) -> np.ndarray:
        """Make one frame, with faded edges."""
        now = self._n_read / self._sample_rate
        power = np.zeros(self._frame // 2 + 1)
        for density, passing, phase in zip(self._densities, self._passing, self._phases, strict=True):
            # Boats and squalls come and go; other noise changes by 2 dB.
            swell = 10 ** (0.2 * np.sin(2 * np.pi * now / 37 + phase[0]))
            visit = np.cos(np.pi * now / self._period_s + phase[1]) ** 6 if passing else 1.0
            power += density * swell * visit
        noise = self._rng.standard_normal((len(power), 2), np.float32).view(np.complex64)[:, 0]
        noise *= (np.sqrt(power / 2) * self._gain * self._frame).astype(np.float32)
        frame = irfft(noise, self._frame, overwrite_x=True)
        frame[: self._fade] *= self._rise
        frame[-self._fade :] *= self._fall
        self._n_read += self._frame - self._fade
        return frame

    def read(self, n: int) -> np.ndarray:
        """Return the next `n` samples, float32."""
        out = np.empty(n, np.float32)
        done = 0
        while done < n:
            if len(self._ready) == self._fade:  # only the falling edge is left
                following = self._make_frame()
                following[: self._fade] += self._ready
                self._ready = following
            part = self._ready[: min(n - done, len(self._ready) - self._fade)]
            out[done : done + len(part)] = part
            self._ready = self._ready[len(part) :]
            done += len(part)
        if self._snaps_per_sample and n > self._shapes.shape[1]:
            count = self._rng.poisson(self._snaps_per_sample * n)
            at = self._rng.integers(0, n - self._shapes.shape[1], count)
            levels = self._snap_level * np.exp(self._rng.normal(0, 1.0, count)).astype(np.float32)
            shapes = self._shapes[self._rng.integers(0, len(self._shapes), count)] * levels[:, None]
            for start, shape in zip(at, shapes, strict=True):
                out[start : start + len(shape)] += shape
        return out + self._offset


class RecordedBackground:
    """Continuous noise from a recording, which is repeated from a random place, with cross-faded ends.

    Parameters
    ----------
    rng : np.random.Generator
    samples : np.ndarray [shape=(n,)], float32, a second or more of recorded noise
    sample_rate : int > 0, in Hz
    """

    def __init__(self, rng: np.random.Generator, samples: np.ndarray, sample_rate: int) -> None:
        fade = min(len(samples) // 4, sample_rate // 5)
        ramp = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / fade).astype(np.float32)
        self._ring = samples[: len(samples) - fade].astype(np.float32)
        self._ring[:fade] = ramp * self._ring[:fade] + ramp[::-1] * samples[len(samples) - fade :]
        self._position = int(rng.integers(len(self._ring)))

    def read(self, n: int) -> np.ndarray:
        """Return the next `n` samples, float32."""
        taken = np.take(self._ring, np.arange(self._position, self._position + n), mode="wrap")
        self._position = (self._position + n) % len(self._ring)
        return taken
