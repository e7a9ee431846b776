"""A proxy between a worker and its PostgreSQL server that can lose, hold back and cut what goes through it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any


class Proxy:
    """Listens on a free loopback port and passes everything on to `port`, until it is told otherwise."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.passes = True
        self.cuts_at_commit = 0
        self.cut_at_commit = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._gate = asyncio.Event()
        self._gate.set()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def black_hole(self) -> None:
        """Holds everything back; connections stay open and nobody is told."""
        self._call(self._set(False))

    def heal(self) -> None:
        """Passes on again; what was held back is lost with its connections, as it is when a route changes."""
        self._call(self._set(True))

    def cut(self) -> int:
        """Resets every connection; how many there were."""
        return self._call(self._cut())

    def cut_next_commits(self, count: int) -> None:
        """Lets the next so many commits reach the server and cuts before their answers."""
        self.cuts_at_commit += count

    def stop(self) -> None:
        """Ends it."""
        self._call(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _call(self, coroutine: Coroutine[Any, Any, int]) -> int:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        server.close()

    async def _set(self, passes: bool) -> int:
        self.passes = passes
        if passes:
            await self._cut()
            self._gate.set()
        else:
            self._gate.clear()
        return 0

    async def _cut(self) -> int:
        cut = list(self._open)
        for writer in cut:
            with contextlib.suppress(OSError, RuntimeError):
                writer.transport.abort()
        self._open.clear()
        return len(cut) // 2

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        asking, answering = asyncio.Event(), asyncio.Event()
        answering.set()
        await asyncio.gather(
            self._pump(reader, far_writer, answering, asking), self._pump(far_reader, writer, answering, None)
        )
        for end in (writer, far_writer):
            self._open.discard(end)
            end.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answering: asyncio.Event,
        asking: asyncio.Event | None,
    ) -> None:
        """One direction; `asking` is given to the one that carries the client's words."""
        with contextlib.suppress(OSError, RuntimeError):
            while data := await reader.read(65_536):
                await self._gate.wait()
                if asking is not None and self.cuts_at_commit and is_commit(data):
                    self.cuts_at_commit -= 1
                    self.cut_at_commit += 1
                    answering.clear()
                    writer.write(data)
                    await writer.drain()
                    # Long enough for the server to have carried it out; its answer goes nowhere.
                    await asyncio.sleep(0.05)
                    break
                if asking is None and not answering.is_set():
                    break
                writer.write(data)
                await writer.drain()
        writer.close()


def is_commit(data: bytes) -> bool:
    """Whether these words of a client end a transaction."""
    return b"commit" in data.lower()
