"""What a deployment costs, worked out: the table in ``terraform/README.md``, checked by a test.

Prices are AWS's list prices in us-east-1 without any free tier; look yours up before you rely on them. What was not
measured on AWS is an assumption, and says so.
"""

import math

from anemone_lib.archive.cloud import BATCH_S
from anemone_lib.config import InferenceConfig
from anemone_lib.scoring.chunks import CHUNK_WINDOWS
from anemone_lib.service.jobs import PART_BYTES

# Prices in US dollars
GB_SECOND = 0.0000166667  # Lambda, x86
TMP_GB_SECOND = 0.0000000309  # Lambda, /tmp beyond 512 MB
INVOCATION = 0.20e-6
TRANSITION = 25e-6  # Step Functions, Standard
S3_WRITE, S3_READ, S3_GB_MONTH = 5e-6, 0.4e-6, 0.023
LOG_GB, ALARM, ECR_GB_MONTH, METRIC_MONTH = 0.50, 0.10, 0.10, 0.30

# Assumptions
MEMORY_GB, TMP_GB = 3008 / 1024, (6144 - 512) / 1024  # the defaults
MB_PER_HOUR = 48_000 * 2 * 3600 / 1e6  # 48 kHz, 16 bit, one channel
KEPT_DAYS = 7  # s3_input_expiration_days
CALL_OVERHEAD_S = 0.5  # of each call: reading its bytes, writing its result
WRITES_PER_CHUNK, READS_PER_CHUNK = 3, 10  # objects and listings
LOG_BYTES_PER_CALL = 3000
MODELS = {"the demonstration model": 1000, "a four-block CNN": 26}  # windows a second in one function
IMAGE_GB, IMAGES, ALARMS, METRICS = 0.7, 10, 7, 8
BATCH_HOURS = BATCH_S / 3600  # of an archive on AWS, where its recordings are small
BATCH_STEPS = 5  # transitions of a batch's execution for each call: start, call, count, ask, end
WRITES_PER_BATCH, READS_PER_FILE = 6, 4  # objects and listings; ranges of a recording of a minute
FILE_OVERHEAD_S = 0.1  # of each recording: opening it, reading its bytes


def hour(windows_per_s: float) -> dict[str, float]:
    """Dollars for one hour of audio, as a job, by what they are for."""
    windows = 3600 / InferenceConfig().stride_duration
    chunks = math.ceil(windows / CHUNK_WINDOWS)
    calls = chunks + 3  # plan, the recording's hash, merge
    seconds = windows / windows_per_s + calls * CALL_OVERHEAD_S
    parts = MB_PER_HOUR * 1e6 / PART_BYTES
    return {
        "Lambda": seconds * (MEMORY_GB * GB_SECOND + TMP_GB * TMP_GB_SECOND) + calls * INVOCATION,
        "Step Functions": calls * TRANSITION,
        "S3 requests": (chunks * WRITES_PER_CHUNK + parts + 10) * S3_WRITE + chunks * READS_PER_CHUNK * S3_READ,
        "S3 storage": MB_PER_HOUR / 1000 * S3_GB_MONTH * KEPT_DAYS / 30,
        "logs": calls * LOG_BYTES_PER_CALL / 1e9 * LOG_GB,
    }


def archive_hour(windows_per_s: float) -> dict[str, float]:
    """Dollars for one hour of an archive of recordings of a minute, which are in S3 already, by what they are for."""
    seconds = 3600 / InferenceConfig().stride_duration / windows_per_s + 60 * FILE_OVERHEAD_S
    calls = math.ceil(seconds * BATCH_HOURS / 840) / BATCH_HOURS  # of 900 s, of which a minute is kept for the result
    return {
        "Lambda": seconds * (MEMORY_GB * GB_SECOND + TMP_GB * TMP_GB_SECOND) + calls * INVOCATION,
        "Step Functions": calls * BATCH_STEPS * TRANSITION,
        "S3 requests": WRITES_PER_BATCH / BATCH_HOURS * S3_WRITE + 60 * READS_PER_FILE * S3_READ,
        "logs": calls * LOG_BYTES_PER_CALL / 1e9 * LOG_GB,
    }


def month() -> float:
    """Dollars a month that are due even when nobody calls."""
    return ALARMS * ALARM + IMAGES * IMAGE_GB * ECR_GB_MONTH + METRICS * METRIC_MONTH


def tables() -> str:
    """An hour of audio by what it pays for, as a job and of an archive; a month of jobs at three volumes."""
    lines = []
    for title, by_model in (
        ("an hour of audio pays for", {name: hour(speed) for name, speed in MODELS.items()}),
        ("an hour of an archive pays for", {name: archive_hour(speed) for name, speed in MODELS.items()}),
    ):
        lines += [f"| {title} | {' | '.join(by_model)} |", "|---|" + "---:|" * len(by_model)]
        for item in next(iter(by_model.values())):
            lines.append(f"| {item} | {' | '.join(f'${cost[item]:.4f}' for cost in by_model.values())} |")
        lines += [
            f"| **together** | {' | '.join(f'**${sum(cost.values()):.4f}**' for cost in by_model.values())} |",
            "",
        ]
    lines += [f"| hours of audio a month | {' | '.join(MODELS)} |", "|---|" + "---:|" * len(MODELS)]
    for hours in (10, 1000, 10_000):
        cells = (f"${month() + hours * sum(hour(speed).values()):,.2f}" for speed in MODELS.values())
        lines.append(f"| {hours:,} | {' | '.join(cells)} |")
    return "\n".join(lines)
