"""Gate and Session on an asyncio client.

    gate = Gate(redis.asyncio.Redis(), sign_keys=[...])
    session = await gate.session(token)
    session["user"] = 42
    await session.save()

They are those of sessiongate, with what goes to the server awaited.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from . import session as plans
from .commands import Command, Commands, Plan
from .errors import from_driver
from .gate import BaseGate, described_by
from .session import SessionState

__all__ = ["Gate", "Session"]

T = TypeVar("T")
P = ParamSpec("P")
Own = TypeVar("Own", bound="Session")

_releases: set[asyncio.Future[None]] = set()  # that go on by themselves: a loop keeps none of its tasks


def _of_gate(
    plan: Callable[Concatenate[Commands, P], Plan[T]],
) -> Callable[Concatenate[Gate, P], Coroutine[Any, Any, T]]:
    @described_by(plan)
    async def method(self: Gate, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(plan(self._commands, *args, **kwargs))

    return method


def _of_session(
    plan: Callable[Concatenate[SessionState, P], Plan[T]],
) -> Callable[Concatenate[Session, P], Coroutine[Any, Any, T]]:
    @described_by(plan)
    async def method(self: Session, /, *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._lock:
            return await self._gate._run(plan(self, *args, **kwargs))

    return method


class Gate(BaseGate):
    __doc__ = BaseGate.__doc__
    _awaits = True

    start = _of_gate(Commands.start)
    adopt = _of_gate(Commands.adopt)
    end = _of_gate(Commands.end)
    pset = _of_gate(Commands.pset)
    pmset = _of_gate(Commands.pmset)
    pget = _of_gate(Commands.pget)
    pmget = _of_gate(Commands.pmget)
    pgetall = _of_gate(Commands.pgetall)
    pdel = _of_gate(Commands.pdel)
    ppop = _of_gate(Commands.ppop)
    pttl = _of_gate(Commands.pttl)
    ttl = _of_gate(Commands.ttl_of)
    info = _of_gate(Commands.info)
    expire = _of_gate(Commands.expire)
    touch = _of_gate(Commands.touch)
    rotate = _of_gate(Commands.rotate)
    ostart = _of_gate(Commands.ostart)
    olist = _of_gate(Commands.olist)
    oend = _of_gate(Commands.oend)
    sessions = _of_gate(Commands.sessions)
    end_session = _of_gate(Commands.end_session)
    end_all = _of_gate(Commands.end_all)

    async def session(self, token: str | None = None) -> Session:
        """The session of that token, loaded; a new one without a token, or where the token is forged,
        unknown or of a session that has ended."""
        session = Session(self, token)
        await session.load()
        return session

    async def _run(self, plan: Plan[T]) -> T:
        replies: Any = None
        while True:
            try:
                asked = plan.send(replies)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            if isinstance(asked, list):
                replies = await self._send(asked)
            else:
                await asyncio.sleep(asked)
                replies = None

    async def _send(self, batch: list[Command]) -> list[Any]:
        """One round trip: the replies, errors among them, of which each is made anew."""
        try:
            if len(batch) == 1:
                replies = [await self._client.execute_command(*batch[0], NEVER_DECODE=True)]
            else:
                async with self._client.pipeline(transaction=False) as pipeline:
                    for command in batch:
                        pipeline.execute_command(*command, NEVER_DECODE=True)
                    replies = await pipeline.execute(raise_on_error=False)
        except Exception as error:
            return [from_driver(error)] * len(batch)
        except BaseException as error:
            raise error.with_traceback(None) from None  # the driver's frames hold the sign key
        return [from_driver(r) if isinstance(r, Exception) else r for r in replies]


class Session(SessionState):
    """One session: a mapping, and what there is to do with it at the server.

    Gate.session() has loaded it. One task at a time carries out something with it.
    """

    def __init__(self, gate: Gate, token: str | None) -> None:
        super().__init__(gate._commands, token)
        self._gate = gate
        self._lock = asyncio.Lock()

    load = _of_session(plans.load)
    save = _of_session(plans.save)
    take = _of_session(plans.take)
    rotate = _of_session(plans.rotate)
    login = _of_session(plans.login)
    end = _of_session(plans.end)

    @contextlib.asynccontextmanager
    async def lock(self: Own, name: str, seconds: float, *, wait: float | None = None) -> AsyncIterator[Own]:
        """As sessiongate.Session.lock(), for `async with`. A task that is cancelled releases it, too."""
        lock = plans.Lock(name, seconds, wait)
        await self.load()
        await self.save()
        async with self._having(lock):
            try:
                yield self
                await self.save()
            except BaseException:
                self._forget_changes()
                raise

    @contextlib.asynccontextmanager
    async def _having(self, lock: plans.Lock) -> AsyncIterator[None]:
        try:
            await self._gate._run(plans.acquire(self, lock))
            yield
        except BaseException:
            with contextlib.suppress(Exception):
                await self._release(lock)
            raise
        await self._release(lock)

    async def _release(self, lock: plans.Lock) -> None:
        """Release it in a task of its own: a task that is cancelled may be cancelled again at each await."""
        release = asyncio.ensure_future(self._gate._run(plans.release(self, lock)))
        _releases.add(release)
        release.add_done_callback(_releases.discard)
        await asyncio.shield(release)
