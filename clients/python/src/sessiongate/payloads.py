"""The payloads of a session as JSON values, decoded when they are asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from .errors import BadPayload

LOCK = b"\0lock:"
"""How the names of those payloads begin that are a session's locks: no part of what it holds."""


class Serializer(Protocol):
    """How a value becomes the data of a payload, and the other way round.

    `loads` may raise whatever it likes; the session raises BadPayload. Data may come from whoever may
    write to the server: a serializer that runs code, such as pickle, gives it away.
    """

    def dumps(self, value: Any) -> bytes: ...

    def loads(self, data: bytes) -> Any: ...


def _finite(number: str) -> float:
    """The number, if it is one that dumps() takes."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("a number that JSON has not")
    return value


class JSON:
    """JSON in UTF-8, as short as it gets; NaN and Infinity, which are none, are refused both ways.

    Text with half of a surrogate pair, which UTF-8 cannot hold, makes it JSON in ASCII.
    """

    _encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    _encode_ascii = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
    _decode = json.JSONDecoder(parse_float=_finite, parse_constant=_finite).decode

    def dumps(self, value: Any) -> bytes:
        text = self._encode(value)
        try:
            return text.encode()
        except UnicodeEncodeError:
            return self._encode_ascii(value).encode()

    def loads(self, data: bytes) -> Any:
        return self._decode(data.decode())


def _is_text(name: bytes) -> bool:
    try:
        return name.decode() is not None
    except UnicodeDecodeError:
        return False


class Payloads(Mapping[str, Any]):
    """What the server had, read-only. A name that is not UTF-8 is left out, and so are locks.

    A payload that the serializer does not read raises BadPayload when it is asked for, and hides no
    other.
    """

    def __init__(self, stored: Mapping[bytes, bytes], serializer: Serializer) -> None:
        self._serializer = serializer
        self._values: dict[str, Any] = {}  # decoded, or set by the application
        self._store(stored)

    def _store(self, stored: Mapping[bytes, bytes]) -> None:
        if LOCK in b"".join(stored):  # rare: otherwise no name is looked at alone
            stored = {name: data for name, data in stored.items() if not name.startswith(LOCK)}
        self._unseen: list[bytes] = []
        try:
            self._stored = {name.decode(): data for name, data in stored.items()}
        except UnicodeDecodeError:
            self._stored = {name.decode(): data for name, data in stored.items() if _is_text(name)}
            self._unseen = [name for name in stored if not _is_text(name)]

    def __getitem__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        data = self._stored[name]
        try:
            value = self._serializer.loads(data)
        except Exception:
            data = b""
        else:
            self._values[name] = value
            return value
        raise BadPayload(f"the payload {name!r} is not what the serializer reads")

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)}>"
