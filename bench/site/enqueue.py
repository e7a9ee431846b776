"""Enqueues through Django's own API and prints how long it took: `enqueue.py single|bulk|paced JOBS PAUSE`."""

import sys
import time

import django

django.setup()

from noop.tasks import noop  # noqa: E402 - needs Django to be set up


def main(how: str, jobs: int, pause: float) -> None:
    """Numbers start at 0; `paced` prints the clock before each call."""
    noop.get_backend()
    if how == "paced":
        for number in range(jobs):
            print(time.monotonic_ns())
            noop.enqueue(number)
            time.sleep(pause)
        return
    noop.enqueue(-1)  # opens the connection
    before = time.perf_counter()
    if how == "bulk":
        noop.enqueue_many((number,) for number in range(jobs))
    else:
        for number in range(jobs):
            noop.enqueue(number)
    print(time.perf_counter() - before)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
