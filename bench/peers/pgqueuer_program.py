"""Runs inside pgqueuer's environment: prepares, fills, enqueues, works."""

import asyncio
import os
import signal
import sys
import time

import asyncpg
import record
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver


async def main(verb: str, *arguments: str) -> None:
    connection = await asyncpg.connect(os.environ["BENCH_DATABASE"])
    driver = AsyncpgDriver(connection)
    queries = Queries(driver)
    if verb == "prepare":
        await queries.install()
    elif verb == "fill":
        await bulk(queries, int(arguments[0]))
    elif verb == "work":
        await work(driver)
    elif verb == "bulk":
        before = time.perf_counter()
        await bulk(queries, int(arguments[0]))
        print(time.perf_counter() - before)
    elif verb == "single":
        before = time.perf_counter()
        for number in range(int(arguments[0])):
            await queries.enqueue("noop", str(number).encode())
        print(time.perf_counter() - before)
    elif verb == "paced":
        for number in range(int(arguments[0])):
            print(time.monotonic_ns())
            await queries.enqueue("noop", str(number).encode())
            await asyncio.sleep(float(arguments[1]))
    await connection.close()


async def bulk(queries: Queries, jobs: int) -> None:
    for first in range(0, jobs, 1000):
        numbers = range(first, min(first + 1000, jobs))
        await queries.enqueue(["noop"] * len(numbers), [str(n).encode() for n in numbers], [0] * len(numbers))


async def work(driver: AsyncpgDriver) -> None:
    app = PgQueuer(driver)

    @app.entrypoint("noop")
    async def noop(job: object) -> None:
        record.ran(int(job.payload or b"0"))  # type: ignore[attr-defined]

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, app.shutdown.set)
    await app.run(batch_size=200)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(*sys.argv[1:]))
