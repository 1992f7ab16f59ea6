"""What the tests of the commands beyond the six share. It needs no pytest.

    sg            any command of SessionGate, by the second word of its name, with a sign key
    info          the answer of INFO as a dict
    payloads      the answer of PGETALL as a dict
    signed_v2, is_v2, steered
                  tokens of the second form, made and verified here
    ostart, olist, oend
                  the commands on the sessions of an owner
    ALL           each of the commands that take a token, with arguments that it accepts
    Observers     all that hears of a change of a session
    defragment    the server's active defragmentation, of every key
    check_restarts
                  that a server's AOF, rewritten or not, holds what the server held
"""

import contextlib
import hashlib
import hmac
import itertools
import re
import string

from redis.crc import key_slot

from harness import KEY, Stream, wait_for

OTHER_KEY = b"another application's sign key"
OWNER = b"owner:42"


def sg(client, command, *arguments, sign_key=KEY):
    return client.execute_command("SESSIONGATE." + command, sign_key, *arguments)


def pairs(flat):
    return dict(zip(flat[::2], flat[1::2]))


def info(client, token, sign_key=KEY):
    return {name.decode(): value
            for name, value in pairs(sg(client, "INFO", token, sign_key=sign_key)).items()}


def payloads(client, token, sign_key=KEY):
    return pairs(sg(client, "PGETALL", token, sign_key=sign_key))


def signed_v2(sign_key=KEY, id=b"abcdefghijklmnopqrstuv", pad=b"abc"):
    """The v2 token of this id and pad, signed with this key, whether or not it was ever started."""
    mac = hmac.new(sign_key, b"v2." + id, hashlib.sha256).hexdigest().encode()
    return b"v2." + id + b"." + mac[:32] + pad


def is_v2(token, sign_key=KEY):
    """Whether the token has the form v2.<id>.<signature><pad> and is signed with the key."""
    form = re.fullmatch(rb"v2\.([a-zA-Z0-9]{22})\.[0-9a-f]{32}([a-zA-Z0-9]{3})", token)
    return form is not None and token == signed_v2(sign_key, form[1], form[2])


def steered(label, sign_key=KEY, id=b"abcdefghijklmnopqrstuv"):
    """The v2 token of this id in the slot of that label, as ROTATE or OSTART could have made it."""
    for pad in itertools.product(string.ascii_letters + string.digits, repeat=3):
        token = signed_v2(sign_key, id, "".join(pad).encode())
        if key_slot(token) == key_slot(label):
            return token
    raise AssertionError(f"no pad leads to the slot of {label}")


def ostart(client, ttl=60, *options, owner=OWNER, sign_key=KEY):
    return sg(client, "OSTART", owner, ttl, *options, sign_key=sign_key)


def olist(client, owner=OWNER, sign_key=KEY):
    return sg(client, "OLIST", owner, sign_key=sign_key)


def oend(client, *keep, owner=OWNER, sign_key=KEY):
    return sg(client, "OEND", owner, *keep, sign_key=sign_key)


# For the commands on payloads a payload n must be there.
ALL = {
    "EXPIRE": (60,), "PSET": (b"n", b"d"), "PGET": (b"n",), "PDEL": (b"n",), "END": (),
    "PGETALL": (), "PMGET": (b"n", b"absent"), "PMSET": (b"n", b"d", b"m", b"d"), "PPOP": (b"n",),
    "TTL": (), "INFO": (), "TOUCH": (), "ROTATE": (), "PTTL": (b"n",),
}


class Observers:
    """Those who hear of a change of a session: replicas, the replication offset, WATCH, client-side
    caches, keyspace events, and the count of changes that RDB files are saved for."""

    EVERYBODY = {"stream", "offset", "watch", "cache", "events", "dirty"}

    def __init__(self, server, token):
        self.server, self.token = server, token
        server.client().config_set("notify-keyspace-events", "KEA")
        server.client().config_set("repl-ping-replica-period", 3600)  # a ping moves the offset
        with contextlib.ExitStack() as stack:
            self.stream = stack.enter_context(Stream(server))
            self.watcher = stack.enter_context(server.wire())
            self.cache = stack.enter_context(server.wire(3))
            self.events = stack.enter_context(server.wire(3))
            self.cache.call("CLIENT", "TRACKING", "ON")
            self.events.call("PSUBSCRIBE", "__key*__:*")
            self.noticed()
            self.stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def noticed(self):
        """Who of them noticed something since the last call."""
        self.watcher.call("MULTI")
        self.watcher.call("PING")
        offset = self.server.info("replication")["master_repl_offset"]
        dirty = self.server.info("persistence")["rdb_changes_since_last_save"]
        seen = {"watch": self.watcher.call("EXEC") is None, "cache": pushes(self.cache),
                "events": pushes(self.events), "offset": offset != getattr(self, "offset", offset),
                "dirty": dirty != getattr(self, "dirty", dirty), "stream": self.stream.commands()}
        self.dirty = dirty
        self.offset = self.server.info("replication")["master_repl_offset"]
        self.watcher.call("WATCH", self.token)
        self.cache.call("SESSIONGATE.TTL", KEY, self.token)
        return {name for name, noticed in seen.items() if noticed}


def pushes(wire):
    """The messages that the server has pushed to this connection."""
    wire.send("PING")
    return list(iter(wire.read, "PONG"))


def defragment(r):
    """Let the server defragment until it looked at every key; how many blocks it moved."""
    def stats():
        stats = r.info("stats")
        keys = stats["active_defrag_key_hits"] + stats["active_defrag_key_misses"]
        return stats["active_defrag_hits"], keys
    for name, value in (("active-defrag-ignore-bytes", 1), ("active-defrag-threshold-lower", 0),
                        ("active-defrag-cycle-min", 65), ("active-defrag-cycle-max", 75),
                        ("activedefrag", "yes")):
        r.config_set(name, value)
    (moved, seen), keys = stats(), r.dbsize()
    wait_for(lambda: stats()[1] >= seen + keys, 30, "every key was looked at")
    r.config_set("activedefrag", "no")
    return stats()[0] - moved


def check_restarts(server, write):
    """Twice call write(client, round), and kill and start the server."""
    for round in range(2):  # from effects alone, then from a rewritten base and effects
        write(server.client(), round)
        held = server.sessions()
        server.kill9()
        server.start()
        assert server.sessions() == held
        server.client().bgrewriteaof()
        server.wait_saved()
    server.kill9()
    server.start()  # from the rewritten base alone
    assert server.sessions() == held
