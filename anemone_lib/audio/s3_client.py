"""The client of S3 that reads recordings."""

import os
import time
from functools import lru_cache
from typing import Any

#: Seconds after which credentials are searched again.
CLIENT_S = 600.0
#: Connections of one client: headers of recordings are read by several threads.
CONNECTIONS = 32


def open_s3_client(boto3: Any) -> Any:
    """Return a client of S3; without credentials, it reads only public buckets.

    Making a client takes as long as analysing a minute of sound, and longer if there are no credentials to find. So the
    client is kept for a while, for this process and these environment variables.
    """
    environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    return _make_s3_client(boto3, os.getpid(), environment, time.monotonic() // CLIENT_S)


@lru_cache(maxsize=4)
def _make_s3_client(boto3: Any, *_: Any) -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config

    session = boto3.session.Session()
    signing = {} if session.get_credentials() is not None else {"signature_version": UNSIGNED}
    return session.client("s3", config=Config(max_pool_connections=CONNECTIONS, **signing))
