"""What each command sends to replicas and writes to the AOF, to the argument; effects.h says it."""

import pytest

from features import OWNER, check_restarts, info, ostart, sg, signed_v2
from harness import KEY, Stream, commands_in, end, expire, is_internal, pset, signed, start

AOF = {"appendonly": "yes", "appendfsync": "always", "auto_aof_rewrite_percentage": 0}


def number(value):
    return b"%d" % value


def expiry(r, token):
    return number(r.execute_command("PEXPIRETIME", token))


def start_of(r, token, *payloads):
    """The effect that a session was started or adopted by, in its long form."""
    about = info(r, token)
    return [b"SGST", token, expiry(r, token), number(about["idle"] // 1000),
            number(about["created"]), number(about["deadline"]), *payloads]


def rotate_of(r, old, new, alias):
    about = info(r, new)
    return [b"SGRO", old, new, expiry(r, new), number(about["deadline"]),
            number(about["idle"] // 1000), alias]


def test_start_and_adopt_send_a_session_as_a_whole(r, stream):
    token = sg(r, "START", 770, "MAXTTL", 77, "PAYLOADS", 2, b"n\0", b"d\r\n", b"m", b"d")
    assert stream.commands() == [start_of(r, token, b"n\0", b"d\r\n", b"m", b"d")]
    token = sg(r, "START", 77, "MAXTTL", 770)
    assert stream.commands() == [start_of(r, token)]
    for token in (signed(), signed_v2()):
        sg(r, "ADOPT", token, 77, "PAYLOADS", 1, b"n", b"d", "MAXTTL", 770)
        assert stream.commands() == [start_of(r, token, b"n", b"d")]


def test_a_start_without_a_deadline_and_payloads_is_sent_in_a_short_form(r, stream):
    token = sg(r, "START", 77, "FORMAT", "v2")
    assert stream.commands() == [start_of(r, token)[:4]]
    about = info(r, token)
    assert about["created"] + 77_000 == int(expiry(r, token)) and about["deadline"] == 0
    sg(r, "ADOPT", signed(), 77, "PAYLOADS", 0)
    assert stream.commands() == [start_of(r, signed())[:4]]


def test_commands_on_payloads_send_payloads(r, stream):
    token = start(r)
    stream.commands()
    pset_of = [b"SGPS", token]
    sg(r, "PMSET", token, b"a", b"1", b"\0", b"\r\n", b"a", b"2")
    assert stream.commands() == [[*pset_of, b"a", b"1", b"\0", b"\r\n", b"a", b"2"]]
    sg(r, "PSET", token, b"a", b"3", b"XX")
    sg(r, "PSET", token, b"b", b"4", b"NX")
    assert stream.commands() == [[*pset_of, b"a", b"3"], [*pset_of, b"b", b"4"]]
    sg(r, "PPOP", token, b"\0")
    assert stream.commands() == [[b"SGPD", token, b"\0"]]


def test_expire_sends_the_cut_time_and_the_whole_ttl(r, stream):
    token = sg(r, "START", 60, "MAXTTL", 100)
    stream.commands()
    for ttl in (50, 1000):
        expire(r, token, ttl)
        assert stream.commands() == [
            [b"SGEX", token, expiry(r, token), number(ttl)]]


def test_touch_sends_the_new_time(r, stream):
    token = start(r)
    r.pexpire(token, 5000)
    stream.commands()
    sg(r, "TOUCH", token)
    assert stream.commands() == [[b"SGTO", token, expiry(r, token)]]


def test_a_rotation_is_sent_as_one_step(r, stream):
    token = start(r)
    stream.commands()
    new = sg(r, "ROTATE", token)
    assert stream.commands() == [rotate_of(r, token, new, b"0")]
    newer = sg(r, "ROTATE", new, "GRACE", 100, "TTL", 500, "MAXTTL", 300, "NEWKEY", KEY)
    assert stream.commands() == [rotate_of(r, new, newer, expiry(r, new))]


def test_a_write_through_an_alias_is_sent_for_the_successor(r, stream):
    old = start(r)
    new = sg(r, "ROTATE", old, "GRACE", 100)
    newest = sg(r, "ROTATE", new, "GRACE", 100)
    stream.commands()
    pset(r, old, b"n", b"d")
    sg(r, "PPOP", new, b"n")
    expire(r, old, 99)
    assert stream.commands() == [
        [b"SGPV", newest, b"2", old, new, b"n", b"d"],
        [b"SGPD", newest, b"n", new],
        [b"SGEX", newest, expiry(r, newest), b"99", old, new]]
    r.pexpire(newest, 5000)
    stream.commands()
    sg(r, "TOUCH", old)
    assert stream.commands() == [[b"SGTO", newest, expiry(r, newest), old, new]]
    end(r, old)
    assert stream.commands() == [[b"SGEN", old, new, newest]]


def test_a_rotation_without_grace_through_an_alias_is_sent_with_the_aliases(r, stream):
    old = start(r)
    new = sg(r, "ROTATE", old, "GRACE", 100)
    newest = sg(r, "ROTATE", new, "GRACE", 100)
    stream.commands()
    last = sg(r, "ROTATE", old)
    assert stream.commands() == [[*rotate_of(r, newest, last, b"0"), old, new]]


def test_what_changes_nothing_sends_nothing(r, stream):
    token = sg(r, "START", 1000, "PAYLOADS", 1, b"n", b"d")
    alias = sg(r, "START", 1000)
    sg(r, "ROTATE", alias, "GRACE", 100)
    stream.commands()
    for command, *rest in (("PGETALL",), ("PMGET", b"n", b"m"), ("TTL",), ("INFO",),
                           ("PSET", b"n", b"x", b"NX"), ("PSET", b"m", b"x", b"XX"),
                           ("PSET", b"n", b"x", b"IFEQ", b"y"), ("PDEL", b"n", b"IFEQ", b"y"),
                           ("PDEL", b"m", b"IFEQ", b"y"), ("PTTL", b"n"), ("TOUCH", "MINAGE", 60)):
        sg(r, command, token, *rest)
    sg(r, "ROTATE", alias, "GRACE", 100)
    sg(r, "START", 0, "PAYLOADS", 1, b"n", b"d")
    sg(r, "ADOPT", signed(), 0, "PAYLOADS", 1, b"n", b"d")
    assert stream.commands() == []


def test_a_transaction_sends_the_effects_in_order(r, stream):
    token = start(r)
    stream.commands()
    with r.pipeline(transaction=True) as transaction:
        for command, *rest in (("PMSET", b"a", b"1", b"b", b"2"), ("PGETALL",), ("PPOP", b"a"),
                               ("ROTATE", "GRACE", 100), ("PSET", b"c", b"3"), ("END",)):
            transaction.execute_command("SESSIONGATE." + command, KEY, token, *rest)
        new = transaction.execute()[3]
    sent = stream.commands()
    alias = sent[3]
    assert alias[:3] == [b"SGRO", token, new]
    assert sent == [
        [b"MULTI"], [b"SGPS", token, b"a", b"1", b"b", b"2"],
        [b"SGPD", token, b"a"], alias,
        [b"SGPV", new, b"1", token, b"c", b"3"],
        [b"SGEN", token, new], [b"EXEC"]]


# What follows a server ---------------------------------------------------------------------------

def write_everything(r, round=0):
    """Every command that writes, in ways that leave a session and in ways that do not."""
    for form in ("v1", "v2"):
        options = "FORMAT", form, "MAXTTL", 5000, "PAYLOADS", 2, b"n", b"d", b"\0", b"\r\n"
        tokens = [sg(r, "START", 1000, *options) for _ in range(12)]
        sg(r, "PMSET", tokens[0], b"n", b"changed", b"m", b"x" * 100_000)
        sg(r, "PSET", tokens[1], b"new", b"d", b"NX")
        sg(r, "PSET", tokens[1], b"n", b"changed", b"XX")
        sg(r, "PPOP", tokens[2], b"n")
        expire(r, tokens[3], 10_000)
        expire(r, tokens[4], 500)
        sg(r, "TOUCH", tokens[4])
        r.pexpire(tokens[5], 5000)
        sg(r, "TOUCH", tokens[5])
        sg(r, "ROTATE", tokens[6])
        sg(r, "ROTATE", tokens[7], "GRACE", 300, "TTL", 500, "MAXTTL", 400, "NEWKEY", b"new")
        sg(r, "ROTATE", sg(r, "ROTATE", tokens[8], "GRACE", 100), "GRACE", 200)
        pset(r, tokens[8], b"through", b"an alias")
        sg(r, "PPOP", tokens[8], b"n")
        expire(r, tokens[8], 770)
        sg(r, "ROTATE", tokens[9], "GRACE", 300)
        end(r, tokens[9])
        end(r, tokens[10])
        new = sg(r, "ROTATE", tokens[11], "GRACE", 300)
        expire(r, new, 0)  # leaves an alias without a successor
        sg(r, "ROTATE", sg(r, "ROTATE", tokens[1], "GRACE", 300), "GRACE", 300)
        sg(r, "ROTATE", tokens[1])  # a cut, through two aliases
    sg(r, "ADOPT", signed(KEY, b"Adopted00000000%d" % round), 1000, "MAXTTL", 500,
       "PAYLOADS", 1, b"n", b"d")
    sg(r, "ADOPT", signed_v2(KEY, b"Adopted00000000000000%d" % round), 1000)
    with r.pipeline(transaction=True) as transaction:
        token = signed_v2(KEY, b"InATransaction0000000%d" % round)
        sg(transaction, "ADOPT", token, 1000, "PAYLOADS", 1, b"n", b"d")
        sg(transaction, "ROTATE", token, "GRACE", 100)
        sg(transaction, "PMSET", token, b"n", b"changed", b"m", b"d")
        transaction.execute()


def test_the_aof_holds_exactly_what_replicas_get(make_server):
    server = make_server(aof_use_rdb_preamble="no", **AOF)
    with Stream(server) as stream:
        stream.commands()
        write_everything(server.client())
        sent = stream.commands()
    assert len(sent) > 70
    [file] = (server.directory / "appendonlydir").glob("*.incr.aof")
    written = commands_in(file.read_bytes())
    assert [command for command in written if command[0] != b"SELECT"] == sent


def test_a_replica_holds_what_its_master_holds_after_every_command(make_server, replica_of):
    master = make_server()
    replica = replica_of(master, **AOF)
    second = replica_of(replica)
    write_everything(master.client())
    held = master.sessions()
    assert len(held) > 20
    for each in (replica, second):
        each.wait_synced()
        assert each.sessions() == held
    late = replica_of(master)
    assert late.sessions() == held
    replica.wait_saved()
    replica.kill9()
    master.stop()
    del replica.config["replicaof"]
    replica.start()
    assert replica.sessions() == held, "the replica's own AOF"


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_a_restarted_server_holds_what_it_held_after_every_command(make_server, preamble):
    server = make_server(aof_use_rdb_preamble=preamble, **AOF)
    check_restarts(server, write_everything)


def numbers(*values):
    """Numbers of seven bits a byte, the lowest first, as chunk.h has them."""
    written = bytearray()
    for value in values:
        while value > 127:
            written.append(value & 127 | 128)
            value >>= 7
        written.append(value)
    return bytes(written)


def chunk_of(r, token, owner=b"", **payloads):
    """The one chunk that a session of these payloads is stored as."""
    about = info(r, token)
    head = numbers(about["created"], about["deadline"], about["idle"] // 1000,
                   len(payloads) + (len(owner) > 0) * 2**25)
    return head + (numbers(len(owner)) + owner if owner else b"") + b"".join(
        numbers(len(name), len(data)) + name.encode() + data for name, data in payloads.items())


def rewritten(server):
    """The commands of the AOF that the server rewrites now, but for SELECT."""
    server.client().bgrewriteaof()
    server.wait_saved()
    [file] = (server.directory / "appendonlydir").glob("*.base.aof")
    return [command for command in commands_in(file.read_bytes()) if command[0] != b"SELECT"]


def test_a_rewritten_aof_holds_sessions_as_they_are_stored(make_server):
    server = make_server(aof_use_rdb_preamble="no", **AOF)
    r = server.client()
    token = sg(r, "START", 1000, "MAXTTL", 5000, "PAYLOADS", 1, b"n", b"d")
    pset(r, token, b"m", b"\r\n" * 100)
    owned = ostart(r)
    alias = start(r)
    successor = sg(r, "ROTATE", alias, "GRACE", 300)
    keys = (token, owned, OWNER, alias, successor)
    assert sorted(rewritten(server)) == sorted([
        [b"SGLO", token, chunk_of(r, token, n=b"d", m=b"\r\n" * 100)],
        [b"SGLO", owned, chunk_of(r, owned, OWNER)],
        [b"SGLO", successor, chunk_of(r, successor)],
        [b"SGOW", OWNER, owned],
        [b"SGAL", alias, successor],
        *([b"PEXPIREAT", key, expiry(r, key)] for key in keys)])


SIZES = {0: b"", 1: b"d", 16: b"d" * 100, 17: b"d", 3000: b"d" * 100}


def test_sessions_of_any_size_are_loaded_from_a_rewritten_aof(make_server):
    """Packed and in tables, in one chunk and in many, of an owner and of none, without a life."""
    server = make_server(aof_use_rdb_preamble="no", **AOF)
    r = server.client()
    tokens = []
    for make in (start, ostart):
        for count, data in SIZES.items():
            tokens.append(make(r))
            some = [word for number in range(count) for word in (b"name %d" % number, data)]
            if some:
                sg(r, "PMSET", tokens[-1], *some)
        tokens.append(make(r))
        for number, size in enumerate((65_535, 65_536, 1, 8_000_000, 70_000)):
            pset(r, tokens[-1], b"%d" % number, bytes([number]) * size)
    r.persist(tokens[0])
    held, digest = server.sessions(), r.execute_command("DEBUG", "DIGEST")
    sizes = sorted(len(command) - 2 for command in rewritten(server)
                   if command[0] == b"SGLO")
    assert sizes[:8] == [1] * 8 and sizes[8] > 1 and len(sizes) == 12
    for _ in range(2):
        server.kill9()
        server.start()
        assert server.sessions() == held
        assert server.client().execute_command("DEBUG", "DIGEST") == digest
        rewritten(server)
    assert "damaged" not in server.log()


def effects_in(server):
    """The names of the effects that its AOF holds since it was last rewritten."""
    [file] = (server.directory / "appendonlydir").glob("*.incr.aof")
    return [command[0] for command in commands_in(file.read_bytes())
            if is_internal(command[0])]


@pytest.mark.parametrize("instead", [b"none", b"string"])
def test_an_effect_makes_no_session_of_one_that_a_replica_has_lost(
        make_server, replica_of, instead):
    """What it would make had no life; its AOF, and so its replicas, get the effect all the same."""
    master = make_server()
    replica = replica_of(master, replica_read_only="no", **AOF)
    r, theirs = master.client(), replica.client()
    tokens = [sg(r, "START", 1000, "MAXTTL", 5000, "PAYLOADS", 1, b"n", b"d") for _ in range(7)]
    replica.wait_synced()
    replica.wait_saved()
    theirs.delete(*tokens)
    if instead == b"string":
        theirs.mset(dict.fromkeys(tokens, "x"))
    before = len(effects_in(replica))
    sg(r, "PMSET", tokens[0], b"n", b"new", b"m", b"d")
    sg(r, "PPOP", tokens[1], b"n")
    expire(r, tokens[2], 99)
    rotated = [sg(r, "ROTATE", tokens[3], "GRACE", 100), sg(r, "ROTATE", tokens[4])]
    sg(r, "TOUCH", tokens[5])
    end(r, tokens[6])
    replica.wait_synced()
    assert {theirs.type(token) for token in tokens} == {instead}
    assert theirs.exists(*rotated) == 0
    assert effects_in(replica)[before:] == [
        b"SGPS", b"SGPD", b"SGEX", b"SGRO", b"SGRO", b"SGTO", b"SGEN"]
    assert replica.info("replication")["master_link_status"] == "up"
    assert "error to its master" not in replica.log()


def test_no_effect_depends_on_a_command_of_the_server_that_may_be_renamed(make_server, replica_of):
    away = {"rename_command": "\nrename-command ".join(
        f'{name} ""' for name in ("UNLINK", "DEL", "EXPIRE", "PEXPIRE", "PEXPIREAT", "MULTI", "EXEC"))}
    master = make_server(**AOF, **away)
    replica = replica_of(master, **AOF, **away)
    r = master.client()
    for form in ("v1", "v2"):
        ended, over, touched, rotated, through, cut, written = (
            sg(r, "START", 1000, "FORMAT", form) for _ in range(7))
        expire(r, touched, 500)
        end(r, ended)
        expire(r, over, 0)
        sg(r, "TOUCH", touched)
        sg(r, "ROTATE", rotated)
        sg(r, "ROTATE", through, "GRACE", 100)
        end(r, through)
        sg(r, "ROTATE", cut, "GRACE", 100)
        sg(r, "ROTATE", cut)
        sg(r, "ROTATE", written, "GRACE", 100)
        for command, *rest in (("PSET", b"n", b"d"), ("PMSET", b"m", b"d"), ("PDEL", b"n"),
                               ("PPOP", b"m"), ("EXPIRE", 500), ("TOUCH",)):
            sg(r, command, written, *rest)
    before = master.sessions()
    assert len(before) == 2 * 5
    replica.wait_synced()
    replica.wait_saved()
    for server in (replica, master):
        assert server.sessions() == before
        server.kill9()
    del replica.config["replicaof"]
    for server in (replica, master):
        server.start()
        assert server.sessions() == before
