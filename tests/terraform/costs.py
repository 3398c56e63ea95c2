"""What a deployment costs, worked out: the table in ``terraform/README.md``, checked by a test.

Prices are AWS's list prices in us-east-1 without any free tier; look yours up before you rely on them. What was not
measured on AWS is an assumption, and says so.
"""

import math

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


def month() -> float:
    """Dollars a month that are due even when nobody calls."""
    return ALARMS * ALARM + IMAGES * IMAGE_GB * ECR_GB_MONTH + METRICS * METRIC_MONTH


def tables() -> str:
    """Both tables: an hour of audio by what it pays for, a month at three volumes."""
    models = {name: hour(speed) for name, speed in MODELS.items()}
    heads = " | ".join(models) + " |\n|---|" + "---:|" * len(models)
    lines = [f"| an hour of audio pays for | {heads}"]
    for item in next(iter(models.values())):
        cells = (f"${cost[item]:.4f}" for cost in models.values())
        lines += [f"| {item} | {' | '.join(cells)} |"]
    cells = (f"**${sum(cost.values()):.4f}**" for cost in models.values())
    lines += [f"| **together** | {' | '.join(cells)} |", "", f"| hours of audio a month | {heads}"]
    for hours in (10, 1000, 10_000):
        cells = (f"${month() + hours * sum(cost.values()):,.2f}" for cost in models.values())
        lines += [f"| {hours:,} | {' | '.join(cells)} |"]
    return "\n".join(lines)
