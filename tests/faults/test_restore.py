"""RESTORE of dumps that were damaged, each with the checksum that belongs to it.

What the loader lets through must be a session like any other; what it refuses must leave nothing.
The server must live. With the seed of a failed run, FAULTS_SEED=... repeats its payloads.
"""

import collections
import os

import pytest

import dump
from features import OWNER, olist, ostart, sg, signed_v2
from harness import KEY, error_code, pget, pset, signed, start, wait_for

BATCH = 250
NAMES = [b"n", b"user", b"cart", b"\0\xff"]


def token_of(number):
    return signed(KEY, b"%016d" % number)


# Dumps that a server made, or could have made -----------------------------------------------------

def with_lives(r, payloads):
    """A session where each third of the payloads lasts, and each third is over."""
    token = start(r)
    with r.pipeline(transaction=True) as transaction:  # one by one each would remove the one before
        for n in range(payloads):
            life = ("PX", 1), ("EX", 1000 + n), ()
            sg(transaction, "PSET", token, b"n%d" % n, b"%d" % n * 5, *life[n % 3])
        transaction.execute()
    wait_for(lambda: pttl_code(r, token, b"n0") == "NOPAYLOAD", 10, "the first is over")
    return token


def pttl_code(r, token, name):
    return error_code(sg, r, "PTTL", token, name)


def made_by_server(r):
    """Bodies as this server dumps them (with its compression), and its RDB version."""
    bodies = []
    for payloads in ({}, {b"n": b"d"}, {name: b"data " * 9 for name in NAMES},
                     {b"n%d" % i: b"%d" % i * 5 for i in range(9)},
                     {b"n%d" % i: bytes(range(i)) + b"." for i in range(60)},
                     {b"n" * 200: b"a" * 3000, b"cart": bytes(range(250))},
                     {b"n%d" % i: (b"%d" % i).zfill(20_000) for i in range(5)}):
        token = start(r)
        for name, data in payloads.items():
            pset(r, token, name, data)
        body, version = dump.taken_apart(r.dump(token))
        bodies.append(body)
        r.delete(token)
    bodies.append(dump.taken_apart(r.dump(ostart(r, 60, "PAYLOADS", 1, b"n", b"d")))[0])
    bodies += (dump.taken_apart(r.dump(with_lives(r, payloads)))[0] for payloads in (1, 9, 60))
    r.flushall()
    bodies.sort(key=len)
    return bodies, version


def test_a_dump_made_here_is_what_the_server_makes(r):
    r.config_set("rdbcompression", "no")
    token = start(r, KEY, 60)
    pset(r, token, b"n", b"data")
    info = iter(r.execute_command("SESSIONGATE.INFO", KEY, token))
    created = dict(zip(info, info))[b"created"]
    assert dump.taken_apart(r.dump(token))[0] == \
        dump.session(1, [dump.payload(b"n", b"data")], (created, 0, 60))
    new = r.execute_command("SESSIONGATE.ROTATE", KEY, token, "GRACE", 60)
    body, version = dump.taken_apart(r.dump(token))
    assert body == dump.rotated(new)
    assert r.restore(token, 0, dump.footed(body, version), replace=True)
    assert pget(r, token, b"n") == b"data"


def test_a_dump_of_a_life_made_here_is_what_the_server_makes(r):
    r.config_set("rdbcompression", "no")
    token = start(r, KEY, 60)
    body, version = dump.taken_apart(r.dump(token))
    for ends_at in (1, 2**41, 2**48 - 1):
        made = dump.session(1, [dump.payload(b"n", b"data", ends_at=ends_at)])
        assert r.restore(token, 60_000, dump.footed(made, version), replace=True)
        assert dump.taken_apart(r.dump(token))[0] == made
        assert pttl_code(r, token, b"n") == ("NOPAYLOAD" if ends_at == 1 else None)


def test_a_dump_of_an_owner_made_here_is_what_the_server_makes(r):
    r.config_set("rdbcompression", "no")
    tokens = [ostart(r) for _ in range(3)]
    body, version = dump.taken_apart(r.dump(OWNER))
    assert body == dump.owner(map(dump.packed, tokens))
    turned = dump.owner(map(dump.packed, reversed(tokens)))
    assert r.restore(OWNER, 60_000, dump.footed(turned, version), replace=True)
    assert sorted(olist(r)) == sorted(tokens)


# Damages: each takes a random.Random and a body that a server made, and answers another body ------

def cut(rng, body):
    return body[:rng.randrange(1, len(body))]


def insert(rng, body):
    at = rng.randrange(1, len(body) + 1)
    return body[:at] + rng.randbytes(rng.choice((1, 1, 2, 4, 9, 100))) + body[at:]


def remove(rng, body):
    at = rng.randrange(1, len(body))
    return body[:at] + body[at + rng.choice((1, 1, 2, 4, 9)):]


def flip_bits(rng, body):
    body = bytearray(body)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        body[rng.randrange(1, len(body))] ^= 1 << rng.randrange(8)
    return bytes(body)


def replace_bytes(rng, body):
    body = bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 4))):
        body[rng.randrange(1, len(body))] = rng.choice((0, 1, 0x7F, 0x80, 0x81, 0xC3, 0xFF))
    return bytes(body)


HUGE = [0, 1, 1 << 16, (1 << 24) - 1, 1 << 24, (1 << 24) + 1, (1 << 29) + 1, (1 << 31) - 1, 1 << 31,
        (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


def huge_length(rng, body):
    """A length from 32 to 64 bits where another byte, most often a length, stood."""
    number = rng.choice(HUGE)
    encoded = rng.choice((b"\x80" + (number & 0xFFFFFFFF).to_bytes(4, "big"),
                          b"\x81" + number.to_bytes(8, "big"),
                          # LZF: the compressed length, then the length
                          b"\xc3" + dump.length(rng.randrange(40)) + dump.length(number),
                          b"\xc3" + dump.length(number) + dump.length(rng.randrange(40))))
    behind_opcodes = [i for i in range(1, len(body)) if body[i - 1] in (dump.UNSIGNED, dump.STRING)]
    at = rng.choice([1, rng.randrange(1, len(body)), *behind_opcodes])
    return body[:at] + encoded + body[at + 1:]


def some_payload(rng):
    name = rng.choice(NAMES) + b"%d" % rng.randrange(99)
    ends_at = rng.choice((None, None, 1, 2**41, 2**48 - 1))
    return dump.payload(name, rng.randbytes(rng.randrange(1, 50)), ends_at=ends_at)


def wrong_count(rng, _):
    payloads = [dump.payload(b"n%d" % i, b"d") for i in range(rng.randrange(20))]
    announced = rng.choice(HUGE + [max(0, len(payloads) - 1), len(payloads) + 1])
    return dump.session(announced, [b"".join(payloads)] if payloads else [])


def wrong_payload_length(rng, _):
    """Right everywhere but in one length inside a chunk."""
    payloads = [some_payload(rng) for _ in range(rng.randrange(12))]
    lying = {rng.choice(("name_len", "data_len")): rng.choice(HUGE)}
    payloads.insert(rng.randrange(len(payloads) + 1), dump.payload(b"liar", b"data", **lying))
    return dump.session(len(payloads), [b"".join(payloads)])


def name_twice(rng, _):
    payloads = [dump.payload(b"n%d" % i, b"d") for i in range(rng.randrange(1, 20))]
    payloads.append(rng.choice(payloads))
    cut_at = rng.randrange(len(payloads))
    return dump.session(len(payloads), [b"".join(payloads[:cut_at]), b"".join(payloads[cut_at:])])


def odd_lives(rng, _):
    """Lives of nothing, twice before one payload, cut short, or behind the last; and many right."""
    payloads = [dump.payload(b"n%d" % i, b"d", ends_at=rng.choice((None, 1, 2, 2**48 - 1)))
                for i in range(rng.choice((1, 5, 16, 17, 40)))]
    odd = rng.choice([bytes(7), b"\0" + rng.randbytes(6), rng.randbytes(7), b"\0", b""])
    at = rng.randrange(len(payloads) + 1)
    joined = b"".join(payloads[:at]) + odd + b"".join(payloads[at:])
    return dump.session(len(payloads), [joined])


def odd_chunks(rng, _):
    """Chunks that are empty, or end inside a payload."""
    payloads = [some_payload(rng) for _ in range(rng.randrange(1, 12))]
    joined = b"".join(payloads)
    cuts = sorted(rng.randrange(len(joined) + 1) for _ in range(rng.randrange(4)))
    chunks = [joined[a:b] for a, b in zip([0] + cuts, cuts + [len(joined)])]
    return dump.session(len(payloads), chunks)


def other_format(rng, _):
    if rng.random() < 0.3:
        return dump.rotated(token_of(1), format=rng.choice((0, 2, 1023)))
    return dump.session(1, [dump.payload(b"n", b"d")], format=rng.choice((0, 1, 2, 4, 1023)))


def odd_times(rng, _):
    """Right but for times that no clock would show."""
    times = [rng.choice(HUGE) for _ in range(3)]
    return dump.session(1, [dump.payload(b"n", b"d")], times)


def odd_successor(rng, _):
    """Rotated tokens whose successor is none, or is as good as any, or is rotated in turn."""
    return dump.rotated(rng.choice((b"", b"n", token_of(0)[:-1], token_of(0) + b"0",
                                    b"v1." + b"." * 81, b"v2." + b"a" * 58,
                                    *[token_of(rng.randrange(BATCH))] * 6)))


def unusual(rng, _):
    """Right in each part, but with names and data of lengths that no command would set."""
    lengths = rng.choices([1, 200, 201] * 7 + [65_535], k=rng.randrange(1, 4))
    names = {rng.randbytes(length) for length in lengths}
    payloads = [dump.payload(name, b"d" * rng.choice([1] * 20 + [70_000]))
                for name in sorted(names)]
    return dump.session(len(payloads), payloads)


DAMAGES = [cut, insert, remove, flip_bits, replace_bytes, huge_length, wrong_count,
           wrong_payload_length, odd_lives, name_twice, odd_chunks, other_format, odd_times,
           odd_successor, unusual]


# The test ----------------------------------------------------------------------------------------

def restore_all(wire, dumps):
    """RESTORE each under a token of its own. Answers the tokens of those that the server took."""
    tokens = [token_of(number) for number in range(len(dumps))]
    replies = wire.pipeline(("RESTORE", token, 0, one) for token, one in zip(tokens, dumps))
    for reply in replies:
        assert reply == "OK" or reply.code == "ERR", reply
    return [token for token, reply in zip(tokens, replies) if reply == "OK"]


def use(wire, tokens):
    """Each of these can be read, written, dumped, restored and ended.

    A rotated token may lead to no session, and a deadline may be over: then NOSESSION is right.
    """
    def call(command, *arguments, of=tokens):
        return wire.pipeline(("SESSIONGATE." + command, KEY, token, *arguments) for token in of)

    def good(replies, *codes):
        return all(not isinstance(reply, wire.Error) or reply.code in codes for reply in replies)

    kinds = wire.pipeline(("TYPE", token) for token in tokens)
    assert set(kinds) <= {"sgsession", "sgrotated"}
    sessions = [token for token, kind in zip(tokens, kinds) if kind == "sgsession"]
    for command in ("TTL", "INFO", "PGETALL"):
        assert good(call(command, of=sessions))
        assert good(call(command), "NOSESSION")
    for name in NAMES:
        assert good(call("PGET", name, of=sessions), "NOPAYLOAD")
    assert good(call("PTTL", b"n", of=sessions), "NOPAYLOAD")
    assert set(call("PSET", b"ends", b"data", "PX", 1, of=sessions)) <= {"OK"}
    assert set(call("PSET", b"written", b"data", of=sessions)) <= {"OK"}
    assert set(call("PGET", b"written", of=sessions)) <= {b"data"}
    assert all(size > 0 for size in wire.pipeline(("MEMORY", "USAGE", token) for token in tokens))

    copies = [token_of(BATCH + number) for number in range(len(tokens))]
    dumps = wire.pipeline(("DUMP", token) for token in tokens)
    restored = wire.pipeline(("RESTORE", copy, 0, one) for copy, one in zip(copies, dumps))
    assert set(restored) <= {"OK"}
    digests = wire.pipeline(("DEBUG", "DIGEST-VALUE", token, copy)
                            for token, copy in zip(tokens, copies))
    assert all(one == other for one, other in digests)

    assert good(call("ROTATE", "GRACE", 60), "NOSESSION")
    assert good(call("TOUCH"), "NOSESSION")
    assert good(call("EXPIRE", 60), "NOSESSION")
    assert good(call("PSET", b"written", b"more"), "NOSESSION")
    assert good(call("END", of=tokens + copies), "NOSESSION")
    assert set(wire.pipeline(("TYPE", token) for token in tokens + copies)) <= {"none", "sgrotated"}
    wire.call("FLUSHALL")


def find_killer(server, dumps):
    """The first of these dumps that ends a server, in words."""
    for one in dumps:
        server.disconnect()
        if not server.alive():
            server.start()
        try:
            with server.wire() as wire:
                use(wire, restore_all(wire, [one]))
        except (AssertionError, ValueError, OSError) as error:
            return f"{error!r} by RESTORE of {one.hex()}"
    return "by none of the batch's dumps alone"


def restore_corrupt(server, rng, payloads):
    bodies, version = made_by_server(server.client())
    taken, tried = collections.Counter(), collections.Counter()
    client = server.client()
    client.config_set("loglevel", "warning")
    base = None
    wire = server.wire()
    for first in range(0, payloads, BATCH):
        dumps = []
        for number in range(first, min(first + BATCH, payloads)):
            # The last body is large, and slow to checksum here.
            body = bodies[-1] if number % 100 == 99 else rng.choice(bodies[:-1])
            damage = DAMAGES[number % len(DAMAGES)]
            tried[damage.__name__] += 1
            dumps.append(dump.footed(damage(rng, body), version))
        try:
            tokens = restore_all(wire, dumps)
            use(wire, tokens)
        except (AssertionError, ValueError, OSError) as error:
            raise AssertionError(f"payloads {first} to {first + len(dumps) - 1}: {error!r}; "
                                 + find_killer(server, dumps)) from error
        for token in tokens:
            taken[DAMAGES[(first + int(token[3:19])) % len(DAMAGES)].__name__] += 1
        if base is None:
            base = used_memory(client)
    wire.close()
    for name in tried:
        print(f"{name:22} {tried[name]:7} tried {taken[name]:7} taken")
    assert server.alive()
    assert 0 < sum(taken.values()) < payloads
    assert taken["wrong_payload_length"] < tried["wrong_payload_length"]
    return base


def used_memory(client):
    return client.info("memory")["used_memory"]


def corrupt_and_measure(server, rng, payloads):
    base = restore_corrupt(server, rng, payloads)
    # A session that is refused half-way must be freed: 20 bytes lost by each would show.
    wait_for(lambda: used_memory(server.client()) < base + max(100_000, 20 * payloads), 20,
             "used_memory back to what it was")


@pytest.mark.slow
def test_corrupt_dumps_neither_kill_the_server_nor_make_a_session_that_cannot_be_used(server, rng):
    corrupt_and_measure(server, rng, int(os.environ.get("FAULTS_PAYLOADS") or 5000))


@pytest.mark.full
def test_100000_corrupt_dumps_do_no_more_harm_than_a_few(server, rng):
    corrupt_and_measure(server, rng, int(os.environ.get("FAULTS_PAYLOADS") or 100_000))


# Owners ------------------------------------------------------------------------------------------

def listed(number):
    return dump.packed(signed_v2(id=b"%022d" % number))


def twins(rng, _):
    tokens = [listed(number) for number in range(rng.randrange(1, 20))]
    return dump.owner([*tokens, rng.choice(tokens)])


def no_tokens(rng, _):
    return dump.owner([b"", bytes(41), rng.randbytes(41), listed(1)[:-1] + b"-"][rng.randrange(4):])


def other_format_of_owner(rng, _):
    return dump.owner([listed(1)], format=rng.choice((0, 2, 1023)))


def many(rng, _):
    """Right, and of sessions that were never here."""
    return dump.owner(map(listed, range(rng.choice([1, 2, 100, 300]))))


OWNER_DAMAGES = [cut, insert, remove, flip_bits, replace_bytes, huge_length, twins, no_tokens,
                 other_format_of_owner, many]


def use_owners(wire, labels):
    """Each of these can be listed, joined, dumped, restored and ended."""
    def call(command, *arguments):
        return wire.pipeline(("SESSIONGATE." + command, KEY, label, *arguments) for label in labels)

    assert set(wire.pipeline(("TYPE", label) for label in labels)) <= {"sgownedby"}
    assert call("OLIST") == [[] for _ in labels]
    assert all(size > 0 for size in wire.pipeline(("MEMORY", "USAGE", label) for label in labels))
    copies = [b"copy of " + label for label in labels]
    dumps = wire.pipeline(("DUMP", label) for label in labels)
    assert set(wire.pipeline(("RESTORE", copy, 0, one)
                             for copy, one in zip(copies, dumps))) <= {"OK"}
    digests = wire.pipeline(("DEBUG", "DIGEST-VALUE", *pair) for pair in zip(labels, copies))
    assert all(one == other for one, other in digests)
    tokens = call("OSTART", 60)
    assert call("OLIST") == [[token] for token in tokens]
    rotated = wire.pipeline(("SESSIONGATE.ROTATE", KEY, token) for token in tokens)
    assert call("OLIST") == [[token] for token in rotated]
    assert all(ttl > 0 for ttl in wire.pipeline(("TTL", label) for label in labels))
    assert set(call("OEND")) <= {1}
    assert set(wire.pipeline(("EXISTS", label) for label in labels)) <= {0}
    wire.call("FLUSHALL")


@pytest.mark.slow
def test_corrupt_dumps_of_owners_do_no_harm(server, rng):
    r = server.client()
    r.config_set("loglevel", "warning")
    bodies = []
    for count in (1, 2, 30):
        r.flushall()
        for _ in range(count):
            ostart(r)
        body, version = dump.taken_apart(r.dump(OWNER))
        bodies.append(body)
    r.flushall()
    taken = 0
    payloads = int(os.environ.get("FAULTS_PAYLOADS") or 3000)
    with server.wire() as wire:
        for first in range(0, payloads, BATCH):
            damages = rng.choices(OWNER_DAMAGES, k=BATCH)
            dumps = [dump.footed(damage(rng, rng.choice(bodies)), version) for damage in damages]
            labels = [b"owner:%d" % number for number in range(BATCH)]
            replies = wire.pipeline(("RESTORE", label, 0, one)
                                    for label, one in zip(labels, dumps))
            assert all(reply == "OK" or reply.code == "ERR" for reply in replies)
            good = [label for label, reply in zip(labels, replies) if reply == "OK"]
            taken += len(good)
            use_owners(wire, good)
    assert 0 < taken < payloads
