"""How fast a server is asked, and how long to wait before asking it again."""

import math
import random
import sys
import time
from email.utils import parsedate_to_datetime
from typing import Any

from aiolimiter import AsyncLimiter

FIRST_WAIT_S, LONGEST_WAIT_S, LONGEST_ASKED_S = 0.5, 60.0, 600.0
RATE_WINDOW_S = 6.0
TELL_S = 10.0
_told = [-math.inf]  # when


class TryAgain(Exception):
    """A request that failed in a way that may pass; `after` is the seconds the server asked to wait.

    `passes`: whether waiting alone may help, so that many tries are worth their time.
    """

    def __init__(self, why: str, after: float = 0.0, passes: bool = True):
        super().__init__(why)
        self.after, self.passes = after, passes


def tell(line: str) -> None:
    """Say on standard error what is waited for, unless this process has said something of it within TELL_S seconds."""
    if time.monotonic() - _told[0] >= TELL_S:
        _told[0] = time.monotonic()
        print(line, file=sys.stderr, flush=True)


def limiter(a_minute: int | None) -> AsyncLimiter | None:
    """A limiter that lets a tenth of a minute's rate through at once."""
    window = RATE_WINDOW_S if a_minute and a_minute * RATE_WINDOW_S >= 60 else 60.0
    return AsyncLimiter(a_minute * window / 60, window) if a_minute else None


def backoff(attempt: int, after: float) -> float:
    """Seconds to wait after attempt 0, 1, ...: exponential with full jitter; never less than the server asked."""
    own = random.uniform(0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempt + 1)))
    return max(own, after + random.uniform(0, FIRST_WAIT_S) if after else 0.0)


def retry_after(headers: Any) -> float:
    """Seconds of a Retry-After header (a number or a date), 0 without one; at most ten minutes."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_ASKED_S)
