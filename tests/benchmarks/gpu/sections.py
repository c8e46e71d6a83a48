"""Parts of the bench that cannot spoil each other: each has a time limit, and an error of one is told."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import TypeVar

from tests.benchmarks.gpu.timing import time_limit

Found = TypeVar("Found")


def section(title: str, work: Callable[[], Found], seconds: float) -> Found | None:
    """Run ``work`` for so many seconds at most; None, and the reason printed, where it fails."""
    print(f"\n== {title} ==", flush=True)
    started = time.monotonic()
    found = None
    try:
        with time_limit(seconds):
            found = work()
    except Exception as error:
        print(f"FAILED: {type(error).__name__}: {error}", flush=True)
        traceback.print_exc(file=sys.stderr)
    print(f"({time.monotonic() - started:.1f} s)", flush=True)
    return found
