"""A TCP proxy between a client and a real server that does to their connections what networks do."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Self

from demo.services.process import HOST, free_port

_CHUNK_BYTES = 64 * 1024
_ANSWER_S = 10.0


class FaultProxy:
    """Passes bytes both ways, until told to stall, to cut or to refuse; a context manager.

    Parameters
    ----------
    target
        Host and port of the server. May be set to another one later: new connections go there.
    pause
        Waits so many seconds.

    Attributes
    ----------
    address
        Host and port where clients connect; the same for the proxy's life.
    latency_s
        How long each chunk waits, either way.
    bytes_per_s
        How fast replies pass, a connection; 0 is as fast as they come.
    """

    def __init__(self, target: tuple[str, int], pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.target = target
        self._pause = pause
        self.address = (HOST, free_port())
        self.latency_s = 0.0
        self.bytes_per_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._flowing = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._cuts_left = self._cut_after = self._until_cut = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._flowing.set()
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._ask(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_S)
        self._loop.close()

    # -- what a test asks for -----------------------------------------------------------------------------------------

    def stall(self) -> None:
        """Let nothing pass either way: connections stand, and new ones are taken, but nobody answers."""
        self._ask(self._flowing.clear)

    def resume(self) -> None:
        """Let everything pass that waits, and all that comes."""
        self._ask(self._flowing.set)

    def cut(self) -> None:
        """End every connection at once; new ones are welcome."""
        self._ask(self._abort_all)

    def cut_replies(self, after_bytes: int, times: int = 1) -> None:
        """Close the next `times` connections that reply, each when so many bytes of replies have passed."""
        self._cut_after = self._until_cut = after_bytes
        self._cuts_left = times

    @property
    def cuts_left(self) -> int:
        """How many of the cuts asked for have not happened yet."""
        return self._cuts_left

    def refuse(self) -> None:
        """End every connection and listen no more: new ones are refused."""
        self._ask(self._stop_listening)

    def listen(self) -> None:
        """Take connections, again."""
        asyncio.run_coroutine_threadsafe(self._start_listening(), self._loop).result(_ANSWER_S)

    # -- in the thread of the event loop ------------------------------------------------------------------------------

    def _ask(self, act: Callable[[], None]) -> None:
        async def run() -> None:
            act()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(_ANSWER_S)

    async def _start_listening(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, *self.address)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._abort_all()

    def _abort_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _end(self) -> None:
        for pump in self._pumps:
            pump.cancel()

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(*self.target)
        except OSError:
            to_client.transport.abort()
            return
        pair = {to_client, to_server}
        self._writers |= pair
        pumps = {
            asyncio.create_task(self._pump(from_client, to_server, self._pass_on)),
            asyncio.create_task(self._pump(from_server, to_client, self._reply)),
        }
        self._pumps |= pumps
        # Where one direction ends the connection ends: neither of our protocols goes on one-handed.
        _, others = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in others:
            pump.cancel()
        self._pumps -= pumps
        self._writers -= pair
        for writer in pair:
            writer.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        write: Callable[[asyncio.StreamWriter, bytes], Coroutine[None, None, bool]],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                await self._flowing.wait()
                if self.latency_s:
                    await self._pause(self.latency_s)
                if not await write(writer, data):
                    return

    async def _pass_on(self, writer: asyncio.StreamWriter, data: bytes) -> bool:
        writer.write(data)
        await writer.drain()
        return True

    async def _reply(self, writer: asyncio.StreamWriter, data: bytes) -> bool:
        """Pass a reply on; return False when the connection is to be cut behind what has passed."""
        cut = self._cuts_left > 0 and len(data) > self._until_cut
        passing = data[: self._until_cut] if cut else data
        if self.bytes_per_s:
            await self._pause(len(passing) / self.bytes_per_s)
        await self._pass_on(writer, passing)
        if cut:
            self._cuts_left -= 1
            self._until_cut = self._cut_after
        elif self._cuts_left:
            self._until_cut -= len(passing)
        return not cut
