"""The six commands: what they answer, which error comes first, and what a refused call leaves."""

import hashlib
import random
import time

import pytest
import redis

from features import ALL, sg
from harness import (KEY, LARGEST_DATA, LARGEST_NAME, LARGEST_SIGN_KEY, LARGEST_TTL, Stream, end, error_code, expire,
                     is_token, pdel, pget, pset, signed, start, wait_for)

OTHER_KEY = b"another application's sign key"


# What they do ------------------------------------------------------------------------------------

def test_start_answers_a_token_signed_with_the_sign_key(r):
    token = start(r, KEY, 60)
    assert is_token(token, KEY)
    assert len(token) == 84


def test_start_never_answers_the_same_token_twice(server):
    with server.wire() as wire:
        tokens = wire.pipeline([("SESSIONGATE.START", KEY, 60)] * 20_000)
    assert len(set(tokens)) == 20_000


def test_the_characters_of_ids_are_drawn_uniformly(server):
    with server.wire() as wire:
        tokens = wire.pipeline([("SESSIONGATE.START", KEY, 60)] * 20_000)
    counts = {}
    for token in tokens:
        for character in token[3:19]:
            counts[character] = counts.get(character, 0) + 1
    expected = 20_000 * 16 / 62
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert len(counts) == 62
    assert chi_square < 150  # 61 degrees of freedom: by chance once in 10^9 runs; "% 62" gives 3600


def test_the_whole_life_of_a_session(r):
    token = start(r, KEY, 60)
    assert pset(r, token, b"user", b"jane") == b"OK"
    assert pset(r, token, b"cart", b"3 apples") == b"OK"
    assert pget(r, token, b"user") == b"jane"
    assert pget(r, token, b"cart") == b"3 apples"
    assert pset(r, token, b"user", b"john") == b"OK"
    assert pget(r, token, b"user") == b"john"
    assert pdel(r, token, b"user") == b"OK"
    assert error_code(pget, r, token, b"user") == "NOPAYLOAD"
    assert pget(r, token, b"cart") == b"3 apples"
    assert expire(r, token, 120) == b"OK"
    assert end(r, token) == b"OK"
    assert r.exists(token) == 0


def test_commands_are_known_in_any_case_of_letters(r):
    token = r.execute_command("sessiongate.start", KEY, 60)
    assert r.execute_command("SessionGate.PSet", KEY, token, b"n", b"d") == b"OK"
    assert r.execute_command("sessiongate.pget", KEY, token, b"n") == b"d"


@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_are_ok_as_simple_string_and_data_as_bulk_string(server, protocol):
    with server.wire(protocol) as wire:
        token = wire.call("SESSIONGATE.START", KEY, 60)
        assert isinstance(token, bytes)
        assert wire.call("SESSIONGATE.PSET", KEY, token, b"n", b"d") == "OK"
        assert wire.call("SESSIONGATE.PGET", KEY, token, b"n") == b"d"
        assert wire.call("SESSIONGATE.PDEL", KEY, token, b"n") == "OK"
        assert wire.call("SESSIONGATE.PGET", KEY, token, b"n").code == "NOPAYLOAD"
        assert wire.call("SESSIONGATE.EXPIRE", KEY, token, 60) == "OK"
        assert wire.call("SESSIONGATE.END", KEY, token) == "OK"


def test_a_payload_may_be_set_again_after_it_was_deleted(r):
    token = start(r)
    for round in range(3):
        pset(r, token, b"n", b"%d" % round)
        assert pget(r, token, b"n") == b"%d" % round
        pdel(r, token, b"n")
        assert error_code(pdel, r, token, b"n") == "NOPAYLOAD"


def test_deleting_an_absent_payload_answers_nopayload_whatever_else_is_there(r):
    token = start(r)
    assert error_code(pdel, r, token, b"n") == "NOPAYLOAD"
    pset(r, token, b"other", b"d")
    assert error_code(pdel, r, token, b"n") == "NOPAYLOAD"
    assert error_code(pdel, r, token, b"othe") == "NOPAYLOAD"
    assert error_code(pdel, r, token, b"other\0") == "NOPAYLOAD"
    assert pget(r, token, b"other") == b"d"


def test_a_session_without_payloads_lives_on(r):
    token = start(r)
    pset(r, token, b"n", b"d")
    pdel(r, token, b"n")
    assert r.exists(token) == 1
    assert pset(r, token, b"n", b"d") == b"OK"


def test_sessions_of_one_sign_key_do_not_share_payloads(r):
    one, other = start(r), start(r)
    pset(r, one, b"n", b"one")
    assert error_code(pget, r, other, b"n") == "NOPAYLOAD"
    pset(r, other, b"n", b"other")
    assert pget(r, one, b"n") == b"one"
    end(r, other)
    assert pget(r, one, b"n") == b"one"


# Bytes -------------------------------------------------------------------------------------------

BYTES = [b"\0", b"a\0b", b"a\0c", b"\r\n", b"$5\r\nhello\r\n", bytes(range(256))[:200], b" ",
         b"\xff\xfe", "größe".encode(), b"%s%n", b"\n", b"-ERR no", b"*", b"0", b"-1"]


def test_names_and_data_are_bytes(r):
    token = start(r)
    for number, name in enumerate(BYTES):
        assert pset(r, token, name, name + b"\0%d\r\n" % number) == b"OK"
    for number, name in enumerate(BYTES):
        assert pget(r, token, name) == name + b"\0%d\r\n" % number


def test_names_are_told_apart_by_case_and_length(r):
    token = start(r)
    names = [b"a", b"A", b"aa", b"a\0", b"a" * 199, b"a" * 200]
    for name in names:
        pset(r, token, name, b"data of " + name)
    for name in names:
        assert pget(r, token, name) == b"data of " + name
    pdel(r, token, b"a")
    for name in names[1:]:
        assert pget(r, token, name) == b"data of " + name


@pytest.mark.parametrize("sign_key", [
    b"k", b"\0", b"a\0b", b"\r\n", b"x" * 63, b"x" * 64, b"x" * 65, b"x" * 128, b"x" * LARGEST_SIGN_KEY,
    bytes(range(256))], ids=lambda key: f"{len(key)} B {key[:4]!r}")
def test_a_sign_key_may_be_any_bytes(r, sign_key):
    token = start(r, sign_key, 60)
    assert is_token(token, sign_key)
    assert pset(r, token, b"n", b"d", sign_key) == b"OK"
    assert pget(r, token, b"n", sign_key) == b"d"
    longer = "BADSIGNATURE" if len(sign_key) < LARGEST_SIGN_KEY else "ERR"
    assert error_code(pget, r, token, b"n", sign_key + b"x") == longer
    assert error_code(pget, r, token, b"n", sign_key[:-1] or b"x") == "BADSIGNATURE"
    assert end(r, token, sign_key) == b"OK"


@pytest.mark.parametrize("sign_key, same", [
    (b"key", b"key\0"), (b"key\0", b"key" + b"\0" * 61), (b"k" * 65, hashlib.sha256(b"k" * 65).digest())],
    ids=["NULs behind it", "up to 64 bytes", "over 64 bytes"])
def test_sign_keys_that_are_one_key_of_hmac_are_one(r, sign_key, same):
    token = start(r, sign_key)
    assert pset(r, token, b"n", b"d", same) == b"OK"
    assert pget(r, token, b"n", sign_key) == b"d"
    for other in (b"\0" + sign_key, sign_key + b"\0" * 61 + b"x"):
        assert error_code(pget, r, token, b"n", other) == "BADSIGNATURE"


def test_a_key_longer_than_a_block_is_not_cut(r):
    """RFC 2104 hashes keys of more than 64 bytes first; it does not cut them."""
    long = b"x" * 65
    token = start(r, long, 60)
    assert error_code(pget, r, token, b"n", b"x" * 64) == "BADSIGNATURE"


# Limits ------------------------------------------------------------------------------------------

def test_a_sign_key_that_is_too_long_is_refused_wherever_it_stands(server, r):
    token, long = start(r), b"x" * (LARGEST_SIGN_KEY + 1)
    before = server.sessions()
    assert error_code(start, r, long) == "ERR"
    for command, rest in {**ALL, "ADOPT": (60,)}.items():
        assert error_code(sg, r, command, token, *rest, sign_key=long) == "ERR", command
    assert error_code(sg, r, "ROTATE", token, "NEWKEY", long) == "ERR"
    assert server.sessions() == before


def test_the_longest_name_is_taken_and_one_byte_more_is_not(r):
    token = start(r)
    longest = b"\0" * LARGEST_NAME
    assert pset(r, token, longest, b"d") == b"OK"
    assert pget(r, token, longest) == b"d"
    for call in (lambda: pset(r, token, longest + b"\0", b"d"),
                 lambda: pget(r, token, longest + b"\0"), lambda: pdel(r, token, longest + b"\0")):
        assert error_code(call) == "ERR"
    assert pdel(r, token, longest) == b"OK"


def test_the_largest_data_is_taken_and_one_byte_more_is_not(r):
    token = start(r)
    largest = random.Random(1).randbytes(LARGEST_DATA)
    assert pset(r, token, b"n", largest) == b"OK"
    assert error_code(pset, r, token, b"n", largest + b"\0") == "ERR"
    assert pget(r, token, b"n") == largest


def test_empty_names_and_empty_data_are_refused(r):
    token = start(r)
    assert error_code(pset, r, token, b"", b"d") == "ERR"
    assert error_code(pset, r, token, b"n", b"") == "ERR"
    assert error_code(pget, r, token, b"") == "ERR"
    assert error_code(pdel, r, token, b"") == "ERR"


WRONG_TTLS = [b"-1", b"-2", b"-1000", b"", b" ", b" 5", b"5 ", b"+5", b"007", b"-0", b"1e3",
              b"5.0", b"0x10", b"5\0", b"\0", b"five", b"1_000", b"inf", b"nan",
              b"%d" % (LARGEST_TTL + 1),
              b"9007199254740993", b"%d" % ((2**63 - 1) // 1000), b"%d" % ((2**63 - 1) // 1000 + 1),
              b"%d" % (2**63 - 1), b"%d" % 2**63, b"%d" % (2**64 - 1), b"%d" % 2**64,
              b"-%d" % 2**63, b"9" * 40, b"9" * 100_000]


@pytest.mark.parametrize("ttl", WRONG_TTLS, ids=lambda ttl: repr(ttl)[:30])
def test_a_wrong_ttl_is_refused_by_start_and_by_expire(r, ttl):
    token = start(r, KEY, 60)
    assert error_code(start, r, KEY, ttl) == "ERR"
    assert r.dbsize() == 1
    assert error_code(expire, r, token, ttl) == "ERR"
    assert 59_000 < r.pttl(token) <= 60_000


@pytest.mark.parametrize("ttl", [1, 60, 2**31 - 1, 2**31, 2**31 + 1, LARGEST_TTL - 1, LARGEST_TTL])
def test_a_right_ttl_is_the_life_of_the_session_in_seconds(r, ttl):
    token = start(r, KEY, ttl)
    assert ttl * 1000 - 5_000 < r.pttl(token) <= ttl * 1000
    expire(r, token, 1000)
    assert 995_000 < r.pttl(token) <= 1_000_000
    expire(r, token, ttl)
    assert ttl * 1000 - 5_000 < r.pttl(token) <= ttl * 1000


def test_the_server_survives_the_expiry_of_every_edge(server, r):
    """Some servers abort in active expire when they meet an expiry time out of range."""
    for ttl in WRONG_TTLS + [0, LARGEST_TTL]:
        error_code(start, r, KEY, ttl)
        token = start(r, KEY, 1000)
        error_code(expire, r, token, ttl)
    living = r.dbsize()
    for _ in range(100):
        r.pexpire(start(r), 1)
    wait_for(lambda: r.dbsize() == living, 10, "100 other sessions expired")
    assert server.alive()


def test_start_with_ttl_0_answers_a_token_whose_session_is_over(server, r):
    with Stream(server) as stream:
        token = start(r, KEY, 0)
        assert stream.commands() == []
    assert is_token(token, KEY)
    assert r.dbsize() == 0
    assert error_code(pget, r, token, b"n") == "NOSESSION"
    assert error_code(pset, r, token, b"n", b"d") == "NOSESSION"


def test_expire_with_ttl_0_ends_the_session_at_once(r):
    token = start(r)
    assert expire(r, token, 0) == b"OK"
    assert r.exists(token) == 0
    assert error_code(expire, r, token, 0) == "NOSESSION"
    assert error_code(expire, r, token, 60) == "NOSESSION"


def test_a_session_whose_time_is_over_is_gone(r):
    token = start(r, KEY, 1)
    pset(r, token, b"n", b"d")
    wait_for(lambda: error_code(pget, r, token, b"n") == "NOSESSION", 5, "the session is over")
    assert r.exists(token) == 0


def test_no_command_but_expire_changes_the_ttl(r):
    token = start(r, KEY, 60)
    expiry = r.execute_command("PEXPIRETIME", token)
    pset(r, token, b"n", b"d")
    pset(r, token, b"n", b"e")
    pget(r, token, b"n")
    pdel(r, token, b"n")
    error_code(pget, r, token, b"n")
    assert r.execute_command("PEXPIRETIME", token) == expiry


def test_the_life_is_counted_from_the_call(r):
    before = time.time()
    token = start(r, KEY, 60)
    expiry = r.execute_command("PEXPIRETIME", token) / 1000
    assert before + 60 - 0.01 <= expiry <= time.time() + 60 + 0.01


@pytest.mark.slow
def test_300000_payloads_in_one_session_are_right(server):
    numbers = range(300_000)
    deleted = random.Random(1).sample(numbers, 30_000)
    kept = sorted(set(numbers) - set(deleted))
    with server.wire() as wire:
        token = wire.call("SESSIONGATE.START", KEY, 600)
        wire.expect((("SESSIONGATE.PSET", KEY, token, b"name %d" % n, b"%06d" % n)
                     for n in numbers), [b"+OK\r\n"] * len(numbers))
        wire.expect((("SESSIONGATE.PDEL", KEY, token, b"name %d" % n) for n in deleted),
                    [b"+OK\r\n"] * len(deleted))
        wire.expect((("SESSIONGATE.PGET", KEY, token, b"name %d" % n) for n in kept),
                    (b"$6\r\n%06d\r\n" % n for n in kept))
        gone = wire.pipeline(("SESSIONGATE.PGET", KEY, token, b"name %d" % n) for n in deleted)
        assert {reply.code for reply in gone} == {"NOPAYLOAD"}
        assert wire.call("SESSIONGATE.END", KEY, token) == "OK"


# Which error comes first -------------------------------------------------------------------------

# The arguments of the commands, each with right and wrong values. A token is given by a word that
# the fixture `tokens` turns into one.
SIGN_KEYS = {"right": KEY, "empty": b"", "other": OTHER_KEY}
TOKENS = ["living", "ended", "never started", "wrong type", "empty", "malformed", "of another key"]
NAMES = {"present": b"n", "absent": b"m", "empty": b"", "long": b"n" * (LARGEST_NAME + 1)}
DATA = {"right": b"d", "empty": b""}
TTLS = {"right": b"50", "negative": b"-1", "no integer": b"x", "large": b"%d" % (LARGEST_TTL + 1)}


def expected_code(sign_key, token, others_right, name):
    """The first check that fails: sign key, token form, signature, the others, session, payload."""
    if sign_key == "empty" or token == "empty":
        return "ERR"
    if token == "malformed":
        return "BADTOKEN"
    if sign_key == "other" or token == "of another key":
        return "BADSIGNATURE"
    if not others_right:
        return "ERR"
    if token == "wrong type":
        return "WRONGTYPE"
    if token != "living":
        return "NOSESSION"
    return "NOPAYLOAD" if name == "absent" else None


@pytest.fixture
def tokens(r):
    """A token for each word of TOKENS; the right sign key is KEY."""
    living, ended = start(r), start(r)
    pset(r, living, b"n", b"d")
    end(r, ended)
    wrong_type = signed(KEY, b"WrongTypeOfValue")
    r.set(wrong_type, "a string")
    return {"living": living, "ended": ended, "never started": signed(KEY),
            "wrong type": wrong_type, "empty": b"", "malformed": living[:-1],
            "of another key": signed(b"a third key")}


def check_all(r, tokens, cases):
    """Make every refused call of `cases`: each answers its code, and the keys stay as they were."""
    before = r.execute_command("DEBUG", "DIGEST")
    wrong = []
    for words, expected, arguments in cases:
        code = error_code(r.execute_command, *arguments)
        if code != expected:
            wrong.append(f"{words}: {code} instead of {expected}")
    assert wrong == []
    assert r.execute_command("DEBUG", "DIGEST") == before


def refused(command, tokens, *others):
    """All combinations of right and wrong arguments that must be refused, with the code."""
    for sign_key in SIGN_KEYS:
        for token in TOKENS:
            for words, values, right in combinations(others):
                expected = expected_code(sign_key, token, right, words[0] if words else None)
                if command == "SESSIONGATE.PSET" and expected == "NOPAYLOAD":
                    expected = None
                if expected:
                    yield ((sign_key, token, *words), expected,
                           (command, SIGN_KEYS[sign_key], tokens[token], *values))


def combinations(others):
    """(words, values, whether all are right) of each choice of one entry per dictionary."""
    if not others:
        yield (), (), True
        return
    for word, value in others[0].items():
        for words, values, right in combinations(others[1:]):
            yield (word, *words), (value, *values), right and word in ("right", "present", "absent")


@pytest.mark.parametrize("command, others", [
    ("PSET", (NAMES, DATA)), ("PGET", (NAMES,)), ("PDEL", (NAMES,)), ("EXPIRE", (TTLS,)),
    ("END", ())])
def test_the_first_wrong_argument_decides_the_error(r, tokens, command, others):
    cases = list(refused("SESSIONGATE." + command, tokens, *others))
    assert {expected for _, expected, _ in cases} >= {
        "ERR", "BADTOKEN", "BADSIGNATURE", "NOSESSION", "WRONGTYPE"}
    check_all(r, tokens, cases)


def test_start_checks_the_sign_key_and_the_ttl(r, tokens):
    check_all(r, tokens, [((key, ttl), "ERR", ("SESSIONGATE.START", SIGN_KEYS[key], TTLS[ttl]))
                          for key in ("right", "empty") for ttl in TTLS
                          if key == "empty" or ttl != "right"])


def test_the_sentence_names_the_argument_that_is_wrong(r, tokens):
    for arguments, named in [
            (("START", b"", b"x"), "<sign_key>"), (("START", KEY, b"x"), "<ttl>"),
            (("EXPIRE", KEY, tokens["living"], b"x"), "<ttl>"),
            (("PSET", b"", b"", b"", b""), "<sign_key>"),
            (("PSET", KEY, b"", b"", b""), "<token>"),
            (("PSET", KEY, tokens["malformed"], b"", b""), "<token>"),
            (("PSET", OTHER_KEY, tokens["living"], b"", b""), "<token>"),
            (("PSET", KEY, tokens["living"], b"", b""), "<payload_name>"),
            (("PSET", KEY, tokens["living"], b"n", b""), "<payload_data>")]:
        with pytest.raises(redis.ResponseError) as caught:
            r.execute_command("SESSIONGATE." + arguments[0], *arguments[1:])
        assert named in caught.value.text


@pytest.mark.parametrize("command, count, options", [
    ("START", 2, True), ("EXPIRE", 3, False), ("PSET", 4, True), ("PGET", 3, False),
    ("PDEL", 3, True), ("END", 2, False)])
def test_a_wrong_number_of_arguments_is_refused_before_all_else(r, command, count, options):
    """Where options may follow, arguments that are none are refused, too."""
    token = start(r)
    right = [KEY, token, b"n", b"d"] if command != "START" else [KEY, 60]
    before = r.execute_command("DEBUG", "DIGEST")
    for given in range(8):
        if given == count:
            continue
        for arguments in ((right + [b""] * 8)[:given], (right + [b"x"] * 8)[:given], [b""] * given):
            with pytest.raises(redis.ResponseError) as caught:
                r.execute_command("SESSIONGATE." + command, *arguments)
            assert caught.value.code == "ERR"
            if given < count or not options or (command == "PDEL" and given == 4):
                assert caught.value.text.startswith("ERR wrong number of arguments")
    assert r.execute_command("DEBUG", "DIGEST") == before


def test_a_lone_extra_argument_of_start_is_a_wrong_number_of_arguments(r):
    with pytest.raises(redis.ResponseError, match="wrong number of arguments"):
        r.execute_command("SESSIONGATE.START", KEY, 60, b"x")


def malformed_tokens():
    good = signed()
    yield from (b"v1", b"v1.", b"x", b"\0", b"v1..", b".", b"..", good + b"0", good + b"\0",
                good * 2, b"0" * 84)
    yield from (good[:length] for length in range(1, 84))
    yield from (b"v2" + good[2:], b"V1" + good[2:], b"v1-" + good[3:], b" " + good, good + b" ",
                good.upper(), good[:20] + good[20:].upper().replace(b"0", b"A"),
                good[:19] + b":" + good[20:], good[:19] + b"." + b"g" * 64, good + b"\n",
                b"1" * 100_000)
    for position in range(84):
        yield good[:position] + b"\0" + good[position + 1:]
        yield good[:position] + b"-" + good[position + 1:]


def test_anything_that_is_no_token_is_a_badtoken(r):
    wrong = [(token, code) for token in malformed_tokens() for code in [
        error_code(pget, r, token, b"n")] if code != "BADTOKEN"]
    assert wrong == []


def test_a_token_with_any_changed_character_does_not_open_the_session(r):
    token = start(r)
    pset(r, token, b"n", b"d")
    wrong = []
    for position in range(3, 84):
        if position == 19:
            continue
        for character in b"01abcd":
            changed = token[:position] + bytes([character]) + token[position + 1:]
            if changed != token and error_code(pget, r, changed, b"n") != "BADSIGNATURE":
                wrong.append(changed)
    assert wrong == []


# Another's session -------------------------------------------------------------------------------

def test_an_application_cannot_touch_the_session_of_another(r):
    token = start(r, KEY, 60)
    pset(r, token, b"n", b"d")
    id = token[3:19]
    before = r.execute_command("DEBUG", "DIGEST"), r.execute_command("PEXPIRETIME", token)
    for theirs, expected in [(token, "BADSIGNATURE"), (signed(OTHER_KEY, id), "NOSESSION")]:
        for call in (("PGET", b"n"), ("PSET", b"n", b"x"), ("PDEL", b"n"), ("EXPIRE", 0),
                     ("EXPIRE", 99), ("END",)):
            command = "SESSIONGATE." + call[0]
            assert error_code(r.execute_command, command, OTHER_KEY, theirs, *call[1:]) == expected
    assert (r.execute_command("DEBUG", "DIGEST"), r.execute_command("PEXPIRETIME", token)) == before


def test_the_remembered_sign_key_is_never_taken_for_another(r):
    """A session remembers which sign key verified last; every other one is checked as at first."""
    token = start(r, KEY, 60)
    pset(r, token, b"n", b"d")
    for _ in range(3):
        assert pget(r, token, b"n", KEY) == b"d"
        assert error_code(pget, r, token, b"n", OTHER_KEY) == "BADSIGNATURE"
        assert error_code(pget, r, token, b"n", KEY + b"\0" * 64) == "BADSIGNATURE"
    r.execute_command("DEBUG", "RELOAD")
    assert error_code(pget, r, token, b"n", OTHER_KEY) == "BADSIGNATURE"
    assert pget(r, token, b"n", KEY) == b"d"


def test_nothing_brings_an_ended_session_back(r):
    token = start(r)
    pset(r, token, b"n", b"d")
    assert end(r, token) == b"OK"
    for _ in range(2):
        assert error_code(pset, r, token, b"n", b"d") == "NOSESSION"
        assert error_code(pget, r, token, b"n") == "NOSESSION"
        assert error_code(pdel, r, token, b"n") == "NOSESSION"
        assert error_code(expire, r, token, 60) == "NOSESSION"
        assert error_code(expire, r, token, 0) == "NOSESSION"
        assert error_code(end, r, token) == "NOSESSION"
    assert r.dbsize() == 0


# A refused call leaves no trace ------------------------------------------------------------------

REFUSED = [
    ("START", b"", b"60"), ("START", KEY, b"-1"), ("START", KEY), ("PSET", b"", "T", b"n", b"e"),
    ("PSET", KEY, b"v1.x", b"n", b"e"), ("PSET", OTHER_KEY, "T", b"n", b"e"),
    ("PSET", KEY, "T", b"", b"e"), ("PSET", KEY, "T", b"n", b""), ("PSET", KEY, "E", b"n", b"e"),
    ("PDEL", KEY, "T", b"absent"),
    ("PDEL", OTHER_KEY, "T", b"n"), ("PDEL", KEY, "E", b"n"), ("EXPIRE", KEY, "T", b"-1"),
    ("EXPIRE", OTHER_KEY, "T", b"0"), ("EXPIRE", KEY, "E", b"60"), ("EXPIRE", KEY, "T", b"x"),
    ("END", OTHER_KEY, "T"), ("END", KEY, "E"), ("END", KEY), ("PGET", KEY, "T", b"absent"),
    ("PSET", KEY, "S", b"n", b"e"), ("PDEL", KEY, "S", b"n"), ("EXPIRE", KEY, "S", b"0"),
    ("END", KEY, "S")]


def refused_calls(r):
    """The living token, and REFUSED with it for T, with an ended one for E and a string for S."""
    living, ended = start(r), start(r)
    pset(r, living, b"n", b"d")
    end(r, ended)
    string = signed(KEY, b"WrongTypeOfValue")
    r.set(string, "a string")
    words = {"T": living, "E": ended, "S": string}
    return living, [("SESSIONGATE." + name, *(words.get(part, part) for part in rest))
                    for name, *rest in REFUSED]


def test_a_refused_call_changes_and_replicates_nothing(server, r):
    living, calls = refused_calls(r)
    with Stream(server) as stream:
        stream.commands()
        before = server.sessions(), r.info("persistence")["rdb_changes_since_last_save"]
        offset = r.info("replication")["master_repl_offset"]
        for call in calls:
            assert error_code(r.execute_command, *call), call
        after = r.info("replication")["master_repl_offset"]
        assert stream.commands() == []
    # The master may have sent one housekeeping PING meanwhile.
    assert after - offset in (0, len(stream.wire.encode("PING")))
    assert (server.sessions(), r.info("persistence")["rdb_changes_since_last_save"]) == before


def test_a_refused_call_does_not_abort_a_watching_transaction(server, r):
    living, calls = refused_calls(r)
    with server.wire() as wire:
        for call in calls:
            wire.call("WATCH", living, *call[2:3])
            assert error_code(r.execute_command, *call), call
            wire.call("MULTI")
            wire.call("PING")
            assert wire.call("EXEC") == ["PONG"], call


# Where they are called from ----------------------------------------------------------------------

def test_commands_work_in_a_transaction(r):
    with r.pipeline(transaction=True) as transaction:
        start(transaction)
        transaction.ping()
        start(transaction, OTHER_KEY, 60)
        token, _, other = transaction.execute()
    assert is_token(token) and is_token(other, OTHER_KEY)
    with r.pipeline(transaction=True) as transaction:
        pset(transaction, token, b"n", b"d")
        pget(transaction, token, b"n")
        pget(transaction, token, b"absent")
        pdel(transaction, token, b"n")
        end(transaction, token)
        end(transaction, token)
        replies = transaction.execute(raise_on_error=False)
    assert [replies[0], replies[1], replies[3], replies[4]] == [b"OK", b"d", b"OK", b"OK"]
    assert error_code(replies[2]) == "NOPAYLOAD"
    assert error_code(replies[5]) == "NOSESSION"


def test_a_discarded_transaction_does_nothing(server, r):
    token = start(r)
    with server.wire() as wire:
        wire.call("MULTI")
        assert wire.call("SESSIONGATE.START", KEY, 60) == "QUEUED"
        assert wire.call("SESSIONGATE.END", KEY, token) == "QUEUED"
        wire.call("DISCARD")
    assert r.keys() == [token]


def test_commands_work_in_a_pipeline(server):
    with server.wire() as wire:
        token = wire.call("SESSIONGATE.START", KEY, 60)
        commands = []
        for n in range(5_000):
            commands.append(("SESSIONGATE.PSET", KEY, token, b"n%d" % n, b"d%d" % n))
            commands.append(("SESSIONGATE.PGET", KEY, token, b"n%d" % n))
            commands.append(("SESSIONGATE.PGET", OTHER_KEY, token, b"n%d" % n))
        replies = wire.pipeline(commands)
    assert set(replies[0::3]) == {"OK"}
    assert replies[1::3] == [b"d%d" % n for n in range(5_000)]
    assert {reply.code for reply in replies[2::3]} == {"BADSIGNATURE"}


def test_a_session_lives_in_the_database_it_was_started_in(server, r):
    other = server.client(db=9)
    token = start(other)
    pset(other, token, b"n", b"d")
    assert error_code(pget, r, token, b"n") == "NOSESSION"
    assert error_code(end, r, token) == "NOSESSION"
    assert pget(other, token, b"n") == b"d"
    assert (r.dbsize(), other.dbsize()) == (0, 1)
    assert end(other, token) == b"OK"


SCRIPT = """
local token = redis.call('SESSIONGATE.START', ARGV[1], 60)
redis.call('SESSIONGATE.PSET', ARGV[1], token, 'n', ARGV[2])
return {token, redis.call('SESSIONGATE.PGET', ARGV[1], token, 'n')}
"""


def test_commands_work_in_a_script(r):
    token, data = r.eval(SCRIPT, 0, KEY, b"a\0b")
    assert is_token(token) and data == b"a\0b"
    assert pget(r, token, b"n") == b"a\0b"
    read = "return redis.call('SESSIONGATE.PGET', ARGV[1], KEYS[1], 'n')"
    assert r.eval(read, 1, token, KEY) == b"a\0b"
    assert r.eval("return redis.call('SESSIONGATE.END', ARGV[1], KEYS[1])", 1, token, KEY) == b"OK"
    reason = r.eval(read.replace("call", "pcall") + ".err", 1, token, KEY)
    assert reason.startswith(b"NOSESSION")


def test_a_read_only_script_may_read_and_not_write(server, r):
    token = start(r)
    pset(r, token, b"n", b"d")
    read = "return redis.call('SESSIONGATE.PGET', ARGV[1], KEYS[1], 'n')"
    assert r.execute_command("EVAL_RO", read, 1, token, KEY) == b"d"
    for write in ("'PSET', ARGV[1], KEYS[1], 'n', 'e'", "'PDEL', ARGV[1], KEYS[1], 'n'",
                  "'EXPIRE', ARGV[1], KEYS[1], 0", "'END', ARGV[1], KEYS[1]",
                  "'START', ARGV[1], 60"):
        script = "return redis.call('SESSIONGATE.'.." + write + ")"
        assert error_code(r.execute_command, "EVAL_RO", script, 1, token, KEY) == "ERR"
    assert pget(r, token, b"n") == b"d"
    assert r.dbsize() == 1


def test_commands_work_in_a_function(r):
    r.execute_command("FUNCTION", "LOAD", "#!lua name=sessions\n"
                      "redis.register_function('begin', function(keys, args) " + SCRIPT.replace(
                          "ARGV", "args") + " end)")
    token, data = r.execute_command("FCALL", "begin", 0, KEY, b"d")
    assert is_token(token) and data == b"d"
    assert pget(r, token, b"n") == b"d"


def test_the_commands_tell_their_key_their_arity_and_their_kind(server):
    token = signed()
    described = {
        "START": (-3, None, "write"), "EXPIRE": (4, token, "write"), "PSET": (-5, token, "write"),
        "PGET": (4, token, "readonly"), "PDEL": (-4, token, "write"), "END": (3, token, "write")}
    with server.wire() as wire:
        for name, (arity, key, kind) in described.items():
            name = "SESSIONGATE." + name
            told = wire.call("COMMAND", "INFO", name)[0]
            assert told[1] == arity, name
            assert kind in told[2], name
            assert b"summary" in wire.call("COMMAND", "DOCS", name)[1], name
            keys = wire.call("COMMAND", "GETKEYS", name, *[KEY, token, b"n", b"d"][:abs(arity) - 1])
            assert keys == [key] if key else keys.code == "ERR", name


def test_the_module_cannot_be_unloaded_while_its_type_is_known(r):
    token = start(r)
    assert error_code(r.execute_command, "MODULE", "UNLOAD", "sessiongate") == "ERR"
    assert r.exists(token) == 1
