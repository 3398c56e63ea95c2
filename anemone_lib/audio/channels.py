"""Choose which of several hydrophones is analysed."""

from collections.abc import Callable, Sequence

import numpy as np

from anemone_lib.errors import ChannelError, ConfigError

#: Number of stretches of a recording in which its channels are compared, and seconds of each.
STRETCHES, STRETCH_S = 30, 0.5
#: Channels whose correlation is below this are the same sound with its sign turned.
INVERTED = -0.8

Channel = int | str


def parse_channel(channel: Channel, *, words: Sequence[str] = ("mean", "loudest")) -> Channel:
    """Read a choice of channel: a number from 1, or one of some words.

    Parameters
    ----------
    channel : int or str
    words : sequence of str, the words that are a choice

    Raises
    ------
    ConfigError
        It is neither a number from 1 nor one of the words.

    Examples
    --------
    >>> parse_channel("2"), parse_channel("loudest")
    (2, 'loudest')
    """
    if isinstance(channel, str) and channel.strip().isascii() and channel.strip().isdigit():
        channel = int(channel)
    if channel in words or (isinstance(channel, int) and not isinstance(channel, bool) and channel >= 1):
        return channel
    raise ConfigError(f"channel is {channel!r}; give a number from 1, {', '.join(words[:-1])} or {words[-1]}")


def check_channel(channel: Channel, channels: int, name: str) -> Channel:
    """Return a choice of channel as a number from 1, ``mean`` or ``loudest``.

    Parameters
    ----------
    channel : int from 1, its digits, ``"mean"`` or ``"loudest"``
    channels : int, of the recording
    name : the recording's, for the message

    Raises
    ------
    ChannelError
        There is no such channel.

    Examples
    --------
    >>> check_channel("2", 4, "reef.wav")
    2
    """
    if isinstance(channel, str) and channel.isascii() and channel.isdigit():
        channel = int(channel)
    if channel in ("mean", "loudest"):
        return channel
    if isinstance(channel, int) and not isinstance(channel, bool) and 1 <= channel <= channels:
        return channel
    many = f"{channels} channels" if channels > 1 else "1 channel"
    raise ChannelError(
        f"channel is {channel!r}; {name} has {many}: give a number from 1 to {channels}, 'mean' or 'loudest'"
    )


def compare_channels(
    read: Callable[[int, int], np.ndarray], n_frames: int, sample_rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the level of the channels and their correlation, in stretches throughout the recording.

    Parameters
    ----------
    read : callable (start, stop), frames of shape (n, channels)
    n_frames : int
    sample_rate : int, in Hz

    Returns
    -------
    levels : np.ndarray [shape=(channels,)], root mean square without the offset
    correlations : np.ndarray [shape=(channels, channels)], 0 where a channel is constant
    """
    length = max(1, min(n_frames, round(STRETCH_S * sample_rate)))
    sums: np.ndarray | None = None
    n = 0
    for start in np.unique(np.linspace(0, n_frames - length, STRETCHES).astype(int)):
        frames = read(int(start), int(start) + length).astype(np.float64)
        frames = frames[np.isfinite(frames).all(axis=1)]
        if not len(frames):
            continue
        frames -= frames.mean(axis=0)
        products = frames.T @ frames
        sums = products if sums is None else sums + products
        n += len(frames)
    if sums is None:
        return np.zeros(1), np.zeros((1, 1))
    levels = np.sqrt(np.diag(sums) / n)
    scale = np.outer(levels, levels) * n
    return levels, np.divide(sums, scale, out=np.zeros_like(sums), where=scale > 0)


def describe_channels(levels: np.ndarray, correlations: np.ndarray) -> list[str]:
    """Warn of what the mean of the channels hides: two channels that cancel each other, a dead channel."""
    warnings = []
    for first, second in zip(*np.nonzero(np.triu(correlations, 1) < INVERTED), strict=True):
        warnings.append(
            f"channels {first + 1} and {second + 1} are the same sound with opposite signs and cancel in the mean; "
            f"choose one, like channel={first + 1}"
        )
    if levels.max() > 0:
        for silent in np.flatnonzero(levels == 0):
            alive = int(levels.argmax()) + 1
            warnings.append(f"channel {silent + 1} is constant, and weakens the mean; choose channel={alive}")
    return warnings
