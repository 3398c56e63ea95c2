"""The client of S3 that reads recordings."""

import os
import time
from functools import lru_cache
from typing import Any

#: Seconds after which a login is looked for again.
CLIENT_S = 600.0
#: Connections of one client: headers of recordings are read by several threads.
CONNECTIONS = 32


def open_s3_client(boto3: Any) -> Any:
    """Return a client of S3, that of the public where there are no credentials.

    To make one takes as long as to analyse a minute of sound, and longer where credentials are looked for in vain; so
    one is kept for a while, for this process and these environment variables.
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
