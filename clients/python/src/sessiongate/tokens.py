"""Tokens are verified and made here, so that a forged one never reaches the server.

    v1.<id: 16>.<signature: 64>            HMAC-SHA256(sign_key, id), in hex
    v2.<id: 22>.<signature: 32><pad: 3>    the first 16 bytes of HMAC-SHA256(sign_key, "v2." + id)

Each character of an id is drawn uniformly; the pad is not signed.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, NoReturn, SupportsIndex, overload

from .errors import BadArgument, BadSignature, BadToken

_ALPHABET = (string.ascii_letters + string.digits).encode()
# A random byte becomes one of the 62 characters, each with the same chance: the last 8 are left out.
_LEFT_OUT = bytes(range(248, 256))
_CHARACTER = bytes(_ALPHABET[byte % 62] for byte in range(256))
_FORM = re.compile(
    r"(?:v1\.([a-zA-Z0-9]{16})\.([0-9a-f]{64})"
    r"|(v2\.[a-zA-Z0-9]{22})\.([0-9a-f]{32})[a-zA-Z0-9]{3})",
    re.ASCII,
)


class SignKey(bytes):
    """A sign key that shows itself to nobody but the driver.

    It is sent and signed with as the bytes that it is. Printed, formatted, decoded, or shown among the
    local variables of a traceback, it is `<sign key>`.
    """

    def __repr__(self) -> str:
        return "<sign key>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return repr(self)

    def hex(self, sep: str | bytes = "", bytes_per_sep: SupportsIndex = 1) -> str:
        return repr(self)

    @overload
    def __getitem__(self, at: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> SignKey: ...
    def __getitem__(self, at: SupportsIndex | slice) -> int | SignKey:
        """A part of it is shown to nobody either: traceback printers cut what is long."""
        part = super().__getitem__(at)
        return part if isinstance(part, int) else SignKey(part)

    def __add__(self, other: Any) -> SignKey:
        return SignKey(super().__add__(other))

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a sign key is not pickled")


def seal(sign_keys: Any) -> Sequence[SignKey]:
    """The sign keys, hidden; one that is no key is empty. It does not raise: a traceback would show
    what it was given."""
    if isinstance(sign_keys, (bytes, str)) or not isinstance(sign_keys, Iterable):
        return []
    return [SignKey(key if isinstance(key, (bytes, bytearray)) else b"") for key in sign_keys]


class Verified(NamedTuple):
    """What verify() found.

    position    which sign key the token is signed with: 0 is the newest
    form        "v1" or "v2"
    """

    position: int
    form: str


class Keyring:
    """The sign keys of an application, the newest first."""

    def __init__(self, sign_keys: Sequence[SignKey]) -> None:
        if not sign_keys or not all(sign_keys):
            raise BadArgument("sign_keys is a list of bytes, one key at least, and none is empty")
        self.keys = sign_keys

    def verify(self, token: Any) -> Verified | None:
        """Which sign key the token is signed with, or None where it is none's, or no token."""
        found = _FORM.fullmatch(token) if isinstance(token, str) else None
        if found is None:
            return None
        if found[1] is not None:
            form, signed, signature = "v1", found[1], found[2]
        else:
            form, signed, signature = "v2", found[3], found[4]
        for position, key in enumerate(self.keys):
            if hmac.compare_digest(_sign(key, signed)[: len(signature)], signature):
                return Verified(position, form)
        return None

    def position(self, token: str) -> int:
        """The position of the token's sign key; raises BadToken or BadSignature."""
        verified = self.verify(token)
        if verified is None:
            raise BadSignature() if has_form(token) else BadToken()
        return verified.position

    def mint(self, form: str) -> str:
        """A new token of that form, signed with the newest sign key."""
        if form == "v1":
            id = _random(16)
            return f"v1.{id}.{_sign(self.keys[0], id)}"
        signed = f"v2.{_random(22)}"
        return f"{signed}.{_sign(self.keys[0], signed)[:32]}{_random(3)}"


def has_form(token: Any) -> bool:
    """Whether it has a token's form, whoever signed it."""
    return isinstance(token, str) and _FORM.fullmatch(token) is not None


def without_tokens(text: str) -> str:
    """The text with `<token>` in place of each token in it."""
    return _FORM.sub("<token>", text)


def _sign(key: SignKey, text: str) -> str:
    return hmac.digest(key, text.encode(), "sha256").hex()


def _random(count: int) -> str:
    drawn = b""
    while len(drawn) < count:
        drawn += secrets.token_bytes(count + 8).translate(_CHARACTER, _LEFT_OUT)
    return drawn[:count].decode()
