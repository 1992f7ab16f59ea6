"""The command `sessiongate`: what an operator asks of sessions, at a terminal."""

from __future__ import annotations

import argparse
import codecs
import json
import os
import secrets
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from . import connection
from .commands import Device
from .errors import BadSignature, BadToken, NoSession, SessionGateError
from .gate import Gate
from .tokens import without_tokens

_DESCRIPTION = """\
Makes sign keys, verifies tokens, shows and ends sessions.

The sign keys are in a file, one a line, the newest first, or in the environment, divided by white
space. They are no arguments: those can be seen by everybody on the machine. A TOKEN of - is read from
the standard input, for the same reason."""

_EPILOG = """\
environment:
  SESSIONGATE_URL           the server, as --url
  SESSIONGATE_KEYS_FILE     the file of the sign keys, as --keys
  SESSIONGATE_KEYS          the sign keys themselves
  DJANGO_SETTINGS_MODULE    with --django: the settings that have SESSIONGATE

exit status: 0 done; 1 there is no such session, or the token is none; 2 the command line, the sign keys
or the server are wrong"""

_NOT_FOUND = (BadSignature, BadToken, NoSession)


class _Wrong(Exception):
    """What is wrong with the command line, to be told to its user."""


class _Parser(argparse.ArgumentParser):
    """argparse repeats what it does not understand, of which a token may be part."""

    def error(self, message: str) -> NoReturn:
        super().error(without_tokens(message))


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line, and return the exit status."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        found, answer, text = _COMMANDS[chosen.command](chosen)
    except _Wrong as error:
        print(f"sessiongate: {error}", file=sys.stderr)
        return 2
    except SessionGateError as error:
        print(f"sessiongate: {error}", file=sys.stderr)
        return 1 if isinstance(error, _NOT_FOUND) else 2
    except Exception as error:  # the driver's
        print(f"sessiongate: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(answer, indent=2, default=str) if chosen.json else text)
    return 0 if found else 1


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="answer in JSON")
    gate = _Parser(add_help=False)
    gate.add_argument("--keys", metavar="FILE", help="the file of the sign keys")
    gate.add_argument("--django", action="store_true", help="take both from Django's settings")
    server = _Parser(add_help=False)
    server.add_argument("--url", metavar="URL", help="the server, redis://127.0.0.1:6379 when not given")
    server.add_argument("--cluster", action="store_true", help="the server is one of a cluster")
    parser = _Parser(
        prog="sessiongate",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("keygen", parents=[common], help="make a sign key")
    for name, parents, argument, summary in (
        ("verify", [gate], "TOKEN", "say what form a token has, and which sign key signed it"),
        ("show", [gate, server], "TOKEN", "show a session: its life, the names and sizes of its payloads"),
        ("sessions", [gate, server], "OWNER", "list the sessions of an owner"),
        ("end-all", [gate, server], "OWNER", "end all sessions of an owner"),
    ):
        command = commands.add_parser(name, parents=[common, *parents], help=summary)
        command.add_argument("what", metavar=argument)
    return parser


_Answer = tuple[bool, Any, str]  # whether it was found, for --json, for people


def _keygen(chosen: argparse.Namespace) -> _Answer:
    key = secrets.token_urlsafe(32)
    return True, {"sign_key": key}, key


def _verify(chosen: argparse.Namespace) -> _Answer:
    verified = _gate(chosen).verify(_token(chosen))
    if verified is None:
        return False, None, "not signed with any of the sign keys, or no token"
    answer = {"form": verified.form, "sign_key": verified.position + 1}
    return True, answer, f"{verified.form}, signed with sign key {verified.position + 1}"


def _show(chosen: argparse.Namespace) -> _Answer:
    gate, token = _gate(chosen), _token(chosen)
    info = gate.info(token)
    sizes = {_text(name): len(data) for name, data in sorted(gate.pgetall(token).items())}
    answer = {
        "created": info.created.isoformat(),
        "ttl": info.ttl,
        "idle": info.idle,
        "deadline": info.deadline and info.deadline.isoformat(),
        "owner": None if info.owner is None else _text(info.owner),
        "payloads": sizes,
    }
    lines = [
        f"created   {info.created:%Y-%m-%d %H:%M:%S} UTC",
        f"ttl       {'none' if info.ttl is None else f'{info.ttl:.0f} of {info.idle:.0f} s'}",
        f"deadline  {f'{info.deadline:%Y-%m-%d %H:%M:%S} UTC' if info.deadline else 'none'}",
        f"owner     {'none' if info.owner is None else _text(info.owner)}",
        f"payloads  {len(sizes)}",
        *[f"  {name}  {size} bytes" for name, size in sizes.items()],
    ]
    return True, answer, "\n".join(lines)


def _sessions(chosen: argparse.Namespace) -> _Answer:
    devices: list[Device] = _gate(chosen).sessions(chosen.what)
    answer = [
        {"id": device.id, "started": device.started.isoformat(), "payloads": sorted(device.payloads)}
        for device in devices
    ]
    lines = []
    for device in devices:
        names = " ".join(_text(name.encode()) for name in sorted(device.payloads))
        lines.append(f"{device.id}  {device.started:%Y-%m-%d %H:%M:%S} UTC  {names}".rstrip())
    return bool(devices), answer, "\n".join(lines) or "no sessions"


def _end_all(chosen: argparse.Namespace) -> _Answer:
    ended = _gate(chosen).end_all(chosen.what)
    return True, {"ended": ended}, f"{ended} ended"


_COMMANDS = {
    "keygen": _keygen,
    "verify": _verify,
    "show": _show,
    "sessions": _sessions,
    "end-all": _end_all,
}


def _gate(chosen: argparse.Namespace) -> Gate:
    if chosen.django:
        import django

        django.setup()
        from . import django as engine

        return engine.gate()
    keys = _sign_keys(chosen)
    if not hasattr(chosen, "url"):
        return Gate(None, keys)
    url = chosen.url or os.environ.get("SESSIONGATE_URL") or "redis://127.0.0.1:6379"
    return Gate(connection.client(url, chosen.cluster), keys)


def _sign_keys(chosen: argparse.Namespace) -> list[bytes]:
    path = chosen.keys or os.environ.get("SESSIONGATE_KEYS_FILE")
    if path:
        try:
            with open(path, "rb") as file:
                keys = file.read().splitlines()
        except OSError as error:
            raise _Wrong(f"the file of the sign keys: {error.strerror}") from None
    else:
        keys = os.environb.get(b"SESSIONGATE_KEYS", b"").split()
    keys = [key for key in keys if key]
    for number, key in enumerate(keys, 1):
        if key != key.strip() or key.startswith(codecs.BOM_UTF8):
            why = "begins or ends with a blank or a byte order mark, which is part of it"
            print(f"sessiongate: sign key {number} {why}", file=sys.stderr)
    if not keys:
        raise _Wrong("no sign key: name a file by --keys, or set SESSIONGATE_KEYS; see --help")
    return keys


def _token(chosen: argparse.Namespace) -> str:
    return sys.stdin.readline().strip() if chosen.what == "-" else str(chosen.what)


def _text(name: bytes) -> str:
    """The name for people: what is not printable is escaped."""
    text = name.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode()
