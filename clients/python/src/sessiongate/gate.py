"""Gate and Session on a blocking client."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from . import session as plans
from .commands import Command, Commands, Plan
from .errors import BadArgument, from_driver
from .payloads import Serializer
from .session import SessionState
from .tokens import Verified, seal

T = TypeVar("T")
P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])
Own = TypeVar("Own", bound="Session")


def described_by(plan: Callable[..., Any]) -> Callable[[F], F]:
    """Give a method the name, the documentation and the signature of the plan that it carries out."""

    def describe(method: F) -> F:
        functools.update_wrapper(method, plan)
        signature = inspect.signature(plan)
        returns = str(signature.return_annotation).removeprefix("Plan[").removesuffix("]")
        method.__annotations__ = {**plan.__annotations__, "return": returns}
        method.__signature__ = signature.replace(return_annotation=returns)  # type: ignore[attr-defined]
        return method

    return describe


def _of_gate(plan: Callable[Concatenate[Commands, P], Plan[T]]) -> Callable[Concatenate[Gate, P], T]:
    @described_by(plan)
    def method(self: Gate, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(plan(self._commands, *args, **kwargs))

    return method


def _of_session(
    plan: Callable[Concatenate[SessionState, P], Plan[T]],
) -> Callable[Concatenate[Session, P], T]:
    @described_by(plan)
    def method(self: Session, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            return self._gate._run(plan(self, *args, **kwargs))

    return method


class BaseGate:
    """What the Gates on a blocking and on an asyncio client share.

    client          a redis-py or valkey-py client, single or of a cluster, which the caller has made,
                    keeps and closes
    sign_keys       the secrets that tokens are signed with, the newest first: new tokens are signed
                    with that, those of the others go on working
    ttl             seconds that a session lives without being used
    max_ttl         seconds after its start when a session ends, however much it is used; None: never
    refresh         seconds between two refreshes of a session that is used, a tenth of ttl at most
    token_format    "v2", or "v1" for a server before SessionGate had v2
    serializer      how sessions store values; JSON when not given

    Threads and tasks may share it. Raises BadArgument.
    """

    _awaits: bool  # whether the client is an asyncio one

    def __init__(
        self,
        client: Any,
        sign_keys: Iterable[bytes],
        ttl: int = 1800,
        max_ttl: int | None = None,
        refresh: int = 60,
        token_format: str = "v2",
        serializer: Serializer | None = None,
    ) -> None:
        sign_keys = seal(sign_keys)  # so that no traceback shows them
        if client is not None and self._awaits != hasattr(client, "__aenter__"):
            other = "sessiongate" if self._awaits else "sessiongate.asyncio"
            raise BadArgument(f"a {type(client).__module__} client is for the Gate of {other}")
        self._client = client
        self._commands = Commands(
            sign_keys,
            ttl=ttl,
            max_ttl=max_ttl,
            refresh=refresh,
            token_format=token_format,
            serializer=serializer,
            cluster=hasattr(client, "get_node_from_key"),
        )

    def __repr__(self) -> str:
        return f"<Gate on {type(self._client).__name__}>"

    def mint(self) -> str:
        """A new token for adopt(), signed with the newest sign key."""
        return self._commands.mint()

    def verify(self, token: str) -> Verified | None:
        """Which sign key a token is signed with, and its form; None where it is none's. Asks nobody."""
        return self._commands.verify(token)


class Gate(BaseGate):
    __doc__ = BaseGate.__doc__
    _awaits = False

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

    def session(self, token: str | None = None) -> Session:
        """The session of that token, loaded when it is first looked at; a new one without a token.

        A token that is forged, unknown or of a session that has ended gives a new one as well.
        """
        return Session(self, token)

    def _run(self, plan: Plan[T]) -> T:
        replies: Any = None
        while True:
            try:
                asked = plan.send(replies)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            if isinstance(asked, list):
                replies = self._send(asked)
            else:
                time.sleep(asked)
                replies = None

    def _send(self, batch: list[Command]) -> list[Any]:
        """One round trip: the replies, errors among them, of which each is made anew."""
        try:
            if len(batch) == 1:
                replies = [self._client.execute_command(*batch[0], NEVER_DECODE=True)]
            else:
                with self._client.pipeline(transaction=False) as pipeline:
                    for command in batch:
                        pipeline.execute_command(*command, NEVER_DECODE=True)
                    replies = pipeline.execute(raise_on_error=False)
        except Exception as error:
            return [from_driver(error)] * len(batch)
        except BaseException as error:
            raise error.with_traceback(None) from None  # the driver's frames hold the sign key
        return [from_driver(r) if isinstance(r, Exception) else r for r in replies]


class Session(SessionState):
    """One session: a mapping, and what there is to do with it at the server.

    It is loaded when it is first looked at. One thread at a time carries out something with it.
    """

    def __init__(self, gate: Gate, token: str | None) -> None:
        super().__init__(gate._commands, token)
        self._gate = gate
        self._lock = threading.Lock()

    load = _of_session(plans.load)
    save = _of_session(plans.save)
    take = _of_session(plans.take)
    rotate = _of_session(plans.rotate)
    login = _of_session(plans.login)
    end = _of_session(plans.end)

    @contextlib.contextmanager
    def lock(self: Own, name: str, seconds: float, *, wait: float | None = None) -> Iterator[Own]:
        """Have the session's lock of that name for a block, so that no other request which takes it
        comes between what the block reads and what it writes:

            with session.lock("cart", 5):
                session["cart"] = session.get("cart", 0) + 1

        name       1 to 194 bytes
        seconds    after which the lock ends by itself, as where its holder died: more than the block takes
        wait       seconds to wait for it; as long as it lives when not given

        What was changed before is saved first, and what the session holds is read afresh under the lock:
        look values up within the block. What the block changes is saved before the lock is released;
        where the block or that save raises, it is forgotten: a later save of it would be unguarded.

        It is not re-entrant: a second one of that name waits for the first, its own session's as well.
        A session that is not stored, and holds nothing to be stored, has nobody to be guarded from: the
        block runs without a lock. Raises LockTimeout, NoSession, BadArgument.
        """
        lock = plans.Lock(name, seconds, wait)
        self.load()
        self.save()
        with self._having(lock):
            try:
                yield self
                self.save()
            except BaseException:
                self._forget_changes()
                raise

    @contextlib.contextmanager
    def _having(self, lock: plans.Lock) -> Iterator[None]:
        try:
            self._gate._run(plans.acquire(self, lock))
            yield
        except BaseException:
            with contextlib.suppress(Exception):
                self._gate._run(plans.release(self, lock))
            raise
        self._gate._run(plans.release(self, lock))

    def _ensure_loaded(self) -> None:
        if not self._loaded:
            self.load()
