"""Windows to images: the spectrogram as the model sees it.

*Conventions.* An image is ``(height_pixels, width_pixels, channels)``, float32 in [0, 1], row 0 the highest
frequency. It is what ``librosa.display.specshow`` and matplotlib draw at that size, which is how published Keras models
of this task were trained: one channel within 1/255 a pixel, three channels exactly.

*Definition.* For one window ``y`` with ``D = librosa.stft(y, n_fft, hop_length)`` (periodic Hann, centred, zero
padding) and ``P = |D|²``:

1. ``dB = 10·log10(max(1e-10, P)) − 10·log10(max(1e-10, max P))``, then at least −80; the maximum is over the window.
2. ``Z = (dB − min dB) / (0 − min dB)``; a window whose dB is constant gives zeros.
3. Column c of W shows frame ``ceil((c + ½)/W · n_frames) − 1``: a pixel on the line between two frames shows the
   earlier one, as matplotlib draws it.
4. Row r of H from the bottom, with ``n_bins = n_fft/2 + 1`` and ``top = int(fmax_hz / (sr/2) · n_bins)``, shows bin
   ``floor((r + ½)/H · top + ½)`` if ``top < n_bins``, else bin ``floor((r + ½)/H · n_bins)``.
5. One channel is Z; three are matplotlib's magma at Z, rounded to 8 bits, divided by 255: equal to the picture that
   matplotlib renders, except for a level on the line between two of its 256 colours.

*Speed.* Only the bins that are drawn need a logarithm; of the others only the largest and smallest power counts.
If windows overlap by whole hops (the usual 0.4 s at 16, 32, 48 or 96 kHz), they are a view of the samples
(`anemone_lib.scoring.windows.cut_windows`). The strides of the view show the overlap, and shared frames are transformed
once. Every frame is computed by the same operations in both ways, so the images are the same, bit for bit. The last
step, which repeats rows or columns, writes an image where it is needed (`paint_images`): in the model's own memory.
"""

import base64
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

#: Power below which the logarithm is cut off (librosa's amin) and range of the image below its maximum, in dB.
POWER_FLOOR = 1e-10


TOP_DB = 80.0


#: Frames transformed at once: few calls, and work arrays (2 MB) that stay in the cache.
BLOCK_FRAMES = 256


#: Images prepared at once: fewer calls, each of which gives Python's lock away and waits for it.
IMAGES_TOGETHER = 8


#: Windows that share their frames, at most.
SHARING_WINDOWS = 128


#: Draws an image into an array [shape=(height_pixels, width_pixels, channels)], float32.
Paint = Callable[[np.ndarray], object]


_DB_PER_NEPER = np.float32(10 / np.log(10))


# matplotlib's magma (CC0, Nathaniel Smith and Stéfan van der Walt), 256 × RGB, so that serving needs no matplotlib. The
# values are rounded, as matplotlib's renderer does for a mesh; `Colormap(bytes=True)` cuts them off.
_MAGMA = (
    "c-jE~1ONO000aR51pxsD0RadC0SN*E3jzWS0|O5O0}=!T6a@qp1_c-"
    "f1sVqi90&&<2?rnw2qFs!Bn$~A4GJj^3o8%{EfEYa5)CmE4Kx%EHWdyy77sfZ4?P(WKN=8191uhu5l0>oNgxqRArVd@5l|!&Qza5rClX"
    "jG5n3t{Tr3e^EfHZa5o0kCWit?GG!SVv5NkLPY&j2ZI}dO@4{<*aazGDsLJxIB4|YWmcSjI-Nf3BS5P3`ydQK60PZE1k5`0n<d{h&CRu"
    "p|#6@FP2ep(iOTo!*_7k^(Ee_$AZVi|yB8h~XQfM*+kXdHoR9D!>cfo&auZXSVfAAxcofpZ{%bs>RvA%S=zfq5c=dn1B;BZ7V;f`BE0f"
    "hB>1CV_+|frcl6h$n%GD1nP9fs84Ejw*qWDuIzJfs-qMlq`UjEP$9TfSE0Tn=XHxE`Odcf1odap)h`<Fn*;mex@;fs4{)3GkvQwe62Km"
    "t~7hFHG8r(d$TrrwKjUUH+i@>dAc}wyg7KiId{K0cfdM!!aH@uJaxr9bjLk&$Ubw*K61=Iam_$+&p>d{L2uGRZ_`6=)kJO9MQqqbY}rO"
    "@+ed2LNNL_lXx~a`;7n)YO=jaxW#ms}<xphjQe)^-V(C<3>Q-"
    "UvS77W|VC`C8?pt2(U0(2CUh!aE@?u@`WL)!QT=ZvL^l4o6Yh3nhT=s5U_i$YIa$NXyT=;fe`FLIVd0qK?UHW}q`hQ;ffnWQBU;Bk%`-"
    "frtiDCSTV*HF_{ElS&kY)XnX8n|B{g!C`m}&i*YW<sQ{+(?8pKbo3ZvLZh{-"
    "tsLr*i(ObN;Gy{;YQXu6O>hc>c0_{<M4kwtW7#e*U?C{=0$xy@LL~g#N*W{=$d;#EAaJivGxq{>qL1%#Z%fkp9n-"
    "{?U~F)0O_!m;Tq8{@9xR+MNB|p8ejS{otYf;-mfJrTyin{pYFu>8kzfto-b*{O+*)@Ur~!wEXn8{Pwu~_qqJ}yZrmT{QbXW%3v1"
)


def draw_images(
    windows: np.ndarray,
    *,
    sample_rate: int,
    n_fft: int = 1024,
    hop_length: int = 256,
    fmax_hz: float = 2000.0,
    height_pixels: int = 256,
    width_pixels: int = 256,
    channels: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Draw every window's spectrogram.

    Parameters
    ----------
    windows : np.ndarray [shape=(n, window_samples)], float32
        Finite samples; a window with NaN or infinity gives an image without meaning.
    sample_rate : int > 0, in Hz
    n_fft : int, even, samples per transform
    hop_length : int > 0, samples between frames
    fmax_hz : float > 0, in Hz
        Highest frequency drawn; beyond half the sample rate, all bins are.
    height_pixels, width_pixels : int > 0
    channels : int, 1 or 3
        1 for the normalised level, 3 for magma colours.
    out : np.ndarray, optional
        Array to draw into, of the shape and type of the result: using memory again is faster than new memory.

    Returns
    -------
    images : np.ndarray [shape=(n, height_pixels, width_pixels, channels)], float32 in [0, 1]

    Raises
    ------
    ValueError
        `windows` is not two-dimensional, `channels` is neither 1 nor 3, or `out` has another shape or type.

    Examples
    --------
    A tone of 1000 Hz is brightest in the middle of an image that ends at 2000 Hz:

    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000).astype(np.float32)
    >>> images = draw_images(tone[np.newaxis], sample_rate=8000)
    >>> images.shape, float(images.max())
    ((1, 256, 256, 1), 1.0)
    >>> 120 <= int(images[0, :, 128, 0].argmax()) <= 136
    True
    """
    if windows.ndim != 2 or windows.shape[1] == 0:
        raise ValueError(f"windows has shape {windows.shape}; it must be (n, window_samples)")
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels}; it must be 1 (level) or 3 (magma)")
    shape = (len(windows), height_pixels, width_pixels, channels)
    images = np.empty(shape, np.float32) if out is None else out
    if images.shape != shape or images.dtype != np.float32:
        raise ValueError(f"out is {images.dtype} of shape {images.shape}; it must be float32 of shape {shape}")
    paints = paint_images(
        windows,
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=hop_length,
        fmax_hz=fmax_hz,
        height_pixels=height_pixels,
        width_pixels=width_pixels,
        channels=channels,
    )
    for image, paint in zip(images, paints, strict=True):
        paint(image)
    return images


def paint_images(
    windows: np.ndarray,
    *,
    sample_rate: int,
    n_fft: int,
    hop_length: int,
    fmax_hz: float,
    height_pixels: int,
    width_pixels: int,
    channels: int,
) -> Iterator[Paint]:
    """Prepare every window's image, and yield what draws it where it is needed: parameters as in `draw_images`.

    Examples
    --------
    >>> settings = dict(n_fft=1024, hop_length=256, fmax_hz=2000.0, height_pixels=64, width_pixels=64, channels=1)
    >>> image = np.zeros((64, 64, 1), np.float32)
    >>> [paint] = paint_images(np.eye(1, 8000, dtype=np.float32), sample_rate=8000, **settings)
    >>> _ = paint(image)
    >>> float(image.max())
    1.0
    """
    windows = np.asarray(windows, np.float32)
    layout = _plan_layout(windows.shape[1], sample_rate, n_fft, hop_length, float(fmax_hz), height_pixels, width_pixels)
    together = SHARING_WINDOWS if _share_frames(windows, layout) else IMAGES_TOGETHER
    for first in range(0, len(windows), together):
        yield from _paint(windows[first : first + together], layout, channels)


def _paint(windows: np.ndarray, layout: "_Layout", channels: int) -> Iterator[Paint]:
    """Transform windows at once, and yield what draws the image of each."""
    levels, highest, lowest, frames = _transform_frames(windows, layout)
    # Reference and range of each window, in dB, over all its frames.
    reference = _to_decibels(highest)
    bottom = np.maximum(_to_decibels(lowest) - reference, np.float32(-TOP_DB))
    scale = np.divide(-1.0, bottom, out=np.zeros_like(bottom), where=bottom < 0)
    floor = reference + bottom
    # If few of many bins are shown, rows are taken from single frames first, and the frames are repeated last.
    widen_last = layout.n_drawn >= len(layout.rows)
    picked, axis = (layout.frames, 1) if widen_last else (layout.rows, 0)
    for first in range(0, len(windows), IMAGES_TOGETHER):
        some = slice(first, first + IMAGES_TOGETHER)
        shown = levels.take(frames[some] if widen_last else frames[some, layout.frames], axis=0)  # (…, frames, bins)
        shown -= floor[some, None, None]
        np.maximum(shown, 0, out=shown)
        shown *= scale[some, None, None]
        drawn = shown.transpose(0, 2, 1)
        drawn = drawn.take(layout.rows, axis=1) if widen_last else np.ascontiguousarray(drawn)
        if channels == 3:
            drawn = load_magma()[np.minimum((drawn * 256).astype(np.intp), 255)]
        else:
            drawn = drawn[..., np.newaxis]
        for one in drawn:
            yield partial(one.take, picked, axis, mode="clip")


@lru_cache(maxsize=1)
def load_magma() -> np.ndarray:
    """Return matplotlib's magma as float32 [shape=(256, 3)], values rounded to 8 bits and divided by 255."""
    table = np.frombuffer(zlib.decompress(base64.b85decode(_MAGMA)), np.uint8)
    return table.reshape(256, 3).astype(np.float32) / np.float32(255)


@dataclass(frozen=True)
class _Layout:
    """The parts of drawing that depend on the settings alone."""

    n_fft: int
    hop_length: int
    n_frames: int
    left: int  # frames that reach before the window's start
    inner: int  # frames within
    hann: np.ndarray
    n_drawn: int  # bins from 0 that are drawn
    rows: np.ndarray  # (height_pixels,) bin of each row, from the top
    frames: np.ndarray  # (width_pixels,) frame of each column


@lru_cache(maxsize=32)
def _plan_layout(
    window_samples: int,
    sample_rate: int,
    n_fft: int,
    hop_length: int,
    fmax_hz: float,
    height_pixels: int,
    width_pixels: int,
) -> _Layout:
    n_bins, pad = n_fft // 2 + 1, n_fft // 2
    n_frames = 1 + window_samples // hop_length
    left = min(n_frames, -(-pad // hop_length))
    fits = (window_samples + pad - n_fft) // hop_length  # last frame that ends within the window
    inner = max(0, min(n_frames - 1, fits) - left + 1)
    top = int(fmax_hz / (sample_rate / 2) * n_bins)
    # Whole numbers, so that a pixel on the line between two bins or frames never depends on rounding.
    row, column = 2 * np.arange(height_pixels) + 1, 2 * np.arange(width_pixels) + 1
    if top < n_bins:
        bins = (row * top + height_pixels) // (2 * height_pixels)
    else:
        bins = row * n_bins // (2 * height_pixels)
    columns = -(-column * n_frames // (2 * width_pixels)) - 1
    return _Layout(
        n_fft=n_fft,
        hop_length=hop_length,
        n_frames=n_frames,
        left=left,
        inner=inner,
        hann=(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32),
        n_drawn=int(bins.max()) + 1,
        rows=bins[::-1].copy(),
        frames=columns,
    )


def _share_frames(windows: np.ndarray, layout: _Layout) -> bool:
    """Whether windows are a view of one stretch of samples in which they overlap by whole hops."""
    (n_windows, window_samples), (step, within), item = windows.shape, windows.strides, windows.itemsize
    overlap = within == item and 0 < step < window_samples * item
    return n_windows > 1 and overlap and step % (layout.hop_length * item) == 0


def _transform_frames(windows: np.ndarray, layout: _Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Transform the frames of all windows, each once.

    Returns
    -------
    levels : np.ndarray [shape=(n_transformed, n_drawn)], in dB re 1
    highest, lowest : np.ndarray [shape=(n,)], power over all frames and bins of each window
    frames : np.ndarray [shape=(n, n_frames)], row of `levels` of each frame of each window
    """
    n_windows, window_samples = windows.shape
    n_fft, hop, item = layout.n_fft, layout.hop_length, windows.itemsize
    step, within = windows.strides
    shared = _share_frames(windows, layout)
    # Frames within the windows: a strided view, of the stretch where they are shared, else of each window.
    first = layout.left * hop - n_fft // 2  # where the first inner frame starts in its window
    hops = step // (hop * item) if shared else layout.inner
    if layout.inner == 0:
        inner = np.empty((0, n_fft), np.float32)
    elif shared:
        n_inner = (n_windows - 1) * hops + layout.inner
        inner = np.lib.stride_tricks.as_strided(
            windows[:, first:], (n_inner, n_fft), (hop * item, item), writeable=False
        )
    else:
        inner = np.lib.stride_tricks.as_strided(
            windows[:, first:],
            (n_windows, layout.inner, n_fft),
            (step, hop * within, within),
            writeable=False,
        )
    # Frames that reach over a window's edge: each window has its own, on zeros.
    edges = np.r_[0 : layout.left, layout.left + layout.inner : layout.n_frames]
    outer = np.zeros((n_windows, len(edges), n_fft), np.float32)
    for i, frame in enumerate(edges):
        start = frame * hop - n_fft // 2
        begin, end = max(0, start), min(window_samples, start + n_fft)
        outer[:, i, begin - start : end - start] = windows[:, begin:end]

    n_inner = inner.size // n_fft
    n_total = n_inner + n_windows * len(edges)
    levels = np.empty((n_total, layout.n_drawn), np.float32)
    highest, lowest = np.empty(n_total, np.float32), np.empty(n_total, np.float32)
    parts = [inner] if inner.ndim == 2 else list(inner)
    position = 0
    for part in [*parts, outer.reshape(-1, n_fft)]:
        for start in range(0, len(part), BLOCK_FRAMES):
            block = part[start : start + BLOCK_FRAMES]
            into = slice(position, position + len(block))
            _transform(block, layout, levels[into], highest[into], lowest[into])
            position += len(block)
    _to_decibels(levels, out=levels)

    # Which transformed frame is frame t of window k.
    rows = np.empty((n_windows, layout.n_frames), np.intp)
    k = np.arange(n_windows)[:, None]
    rows[:, layout.left : layout.left + layout.inner] = k * hops + np.arange(layout.inner)
    rows[:, edges] = n_inner + k * len(edges) + np.arange(len(edges))
    return levels, highest[rows].max(axis=1), lowest[rows].min(axis=1), rows


def _transform(block: np.ndarray, layout: _Layout, drawn: np.ndarray, highest: np.ndarray, lowest: np.ndarray) -> None:
    """Fill the powers of the drawn bins and the extremes of all bins for a block of frames."""
    from scipy.fft import rfft  # takes longer to import than all other imports here

    spectrum = rfft(block * layout.hann, axis=-1, overwrite_x=True)
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    np.max(power, axis=1, out=highest)
    np.min(power, axis=1, out=lowest)
    drawn[:] = power[:, : layout.n_drawn]


def _to_decibels(power: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    levels = np.maximum(power, np.float32(POWER_FLOOR), out=out)
    np.log(levels, out=levels)
    levels *= _DB_PER_NEPER
    return levels
