"""The pages: their examples answer as printed there, and what they list is what there is."""

import contextlib
import os
import pty
import re
import shlex
import signal
import string
import subprocess
import sys
import threading
import tty
import types

import pytest

from application import Application, newest
from features import ALL, sg
from harness import (KEY, TOP, Port, Stream, Wire, error_code, is_token, pset, signature, signed,
                     start, wait_for)
from pages import PAGES, anchors, blocks, links, section, text, without_blocks

ALL_PAGES = "".join(text(page) for page in PAGES)
SIGN_KEY = b"my-secret-sign-key"
TOKEN = re.compile(r"v1\.[a-zA-Z0-9]{16}\.[0-9a-f]{64}"
                   r"|v2\.[a-zA-Z0-9]{22}\.[0-9a-f]{32}[a-zA-Z0-9]{3}")


# What a terminal shows ---------------------------------------------------------------------------

@contextlib.contextmanager
def terminal(*command, **options):
    """The process of a command that prints to a terminal, where redis-cli prints for people, and an
    iterator over what it prints."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)  # a line ends with \n, not \r\n
    # Tests that run in a shell's background have Ctrl-C ignored, and what they start would inherit it.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                               **options)
    os.close(theirs)

    def printed():
        while True:
            try:
                some = os.read(ours, 4096)
            except OSError:  # how Linux says that the other side was closed
                return
            yield some.decode()

    try:
        yield process, printed()
    finally:
        process.terminate()
        process.wait(30)
        os.close(ours)


def hide_tokens(text):
    return TOKEN.sub("<token>", text)


def hide_what_differs(text):
    """Tokens are drawn, and times go on: an integer from 1000 on is a time or a large ttl here."""
    return re.sub(r"\(integer\) \d{4,}$", "(integer) <time>", hide_tokens(text), flags=re.M)


def examples():
    """(page, number of its line, command, what it prints) of each example that is shown."""
    for page, number, block in blocks("console"):
        for example in re.finditer(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
            line = number + block[:example.start()].count("\n")
            yield page, line, example[1].replace("\\\n", ""), example[2]


EXAMPLES = list(examples())


def type_in(script, server, programs):
    """What a terminal shows of a shell's script, where redis-cli asks that server."""
    cli = programs / "redis-cli"
    cli.write_text(f'#!/bin/sh\nexec {server.program}/cli -p {server.port} "$@"\n')
    cli.chmod(0o755)
    environment = dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}")
    with terminal("bash", "-c", script, env=environment) as (_, output):
        return "".join(output)


@pytest.fixture(scope="module")
def printed(module_server, tmp_path_factory):
    """What each example's command prints, when all of its page are typed into one shell."""
    programs = tmp_path_factory.mktemp("bin")
    answers = {}
    for page in {page for page, *_ in EXAMPLES}:
        of_page = [example for example in EXAMPLES if example[0] == page]
        script = "".join(f"{command}\nprintf '\\036'\n" for *_, command, _ in of_page)
        said = type_in(script, module_server, programs).split("\036")
        assert len(said) == len(of_page) + 1
        answers.update(zip((example[:2] for example in of_page), said))
    return answers


@pytest.mark.parametrize("page, number, command, shown", EXAMPLES,
                         ids=[f"{page} line {number}" for page, number, *_ in EXAMPLES])
def test_an_example_prints_what_its_page_shows(printed, page, number, command, shown):
    assert hide_what_differs(printed[page, number]) == hide_what_differs(shown), command


def test_run_sh_prints_the_transcript_of_the_front_page(request, tmp_path):
    if request.config.getoption("server") != "redis-bookworm":
        pytest.skip("run.sh starts this machine's own server: tested with redis-bookworm")
    [shown] = [block for _, _, block in blocks("text") if "Ctrl-C" in block]
    port = Port()
    seen = ""
    with terminal(TOP / "run.sh", "--port", str(port.number), "--dir", tmp_path) as (run, output):
        for some in output:
            seen += some
            if "or django, go).\n" in seen:
                run.send_signal(signal.SIGINT)
                break
        rest = "".join(output)
    port.release()
    seen = seen[seen.find("redis-server listens"):]  # before that it may have had to build
    seen = seen.replace(str(port.number), "6379")
    seen = seen.replace(str(tmp_path), re.search(r"are in (\S+)\. ", shown)[1])
    assert hide_tokens(seen) == hide_tokens(shown)
    assert "The server has stopped" in rest and run.returncode == 0


def test_every_token_in_the_pages_is_signed_with_the_sign_key_of_its_examples():
    tokens = TOKEN.findall(ALL_PAGES)
    assert {token[:3] for token in tokens} == {"v1.", "v2."}
    for token in tokens:
        version, id, rest = token.split(".")
        signed = id if version == "v1" else "v2." + id
        proper = signature(SIGN_KEY, signed.encode()).decode()
        assert rest == proper if version == "v1" else rest[:32] == proper[:32], token


# Tables ------------------------------------------------------------------------------------------

def test_the_table_of_errors_has_exactly_the_errors_that_a_client_can_get():
    source = (TOP / "src" / "core" / "error.h").read_text()
    listed = re.findall(r'X\((ERROR_\w+), "(\w+)", ((?:"[^"]*"[\s\\]*)+)\)', source)
    assert len(listed) == len(re.findall(r"X\(ERROR_", source))
    errors = {(code, "".join(re.findall(r'"([^"]*)"', parts)).replace("%lld", "<limit>"))
              for name, code, parts in listed if name != "ERROR_INTERNAL"}
    table = section("docs/commands.md", "Errors")
    table = re.sub(r"\d{3,}", "<limit>", table.replace("`<", "<").replace(">`", ">"))
    assert set(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.M)) == errors


def test_a_section_lists_the_errors_that_its_command_answers(r):
    reference = text("docs/commands.md")
    usual = re.search(r"\*The\s+usual errors\* are (.*?);", reference, re.S)[1]
    sections = re.findall(r"^## SESSIONGATE\.(\w+)\n.*?^- Errors: (.*?)\n\n", reference,
                          re.M | re.S)
    listed = {name: set(re.findall(r"`([A-Z]+)`", errors.replace("the usual ones", usual)))
              for name, errors in sections}
    assert set(listed) == {"START", *ON_TOKEN, *ON_OWNER}
    assert listed.pop("START") == {"ERR", "NOSLOT", "CLUSTERDOWN"}
    living, missing = (sg(r, "OSTART", owner, 60) for owner in ("a", "b"))
    r.set("string", "x")
    for name, rest in ON_OWNER.items():
        calls = [(b"", "a", *rest), (KEY, "", *rest), (KEY, "string", *rest), (KEY, "a", *rest)]
        if name == "OEND":
            calls += [(KEY, "a", "KEEP", token) for token in ("x", missing)]
            calls += [(b"another", "a", "KEEP", living)]
        seen = {error_code(r.execute_command, "SESSIONGATE." + name, *call) for call in calls}
        in_clusters = {"TRYAGAIN", "CLUSTERDOWN"} if name == "OSTART" else {"TRYAGAIN"}
        assert listed.pop(name) == (seen - {None}) | in_clusters, name
    for name, errors in listed.items():
        living, absent, string = start(r), signed(), signed(id=b"0123456789abcdef")
        r.set(string, "x")
        calls = [(b"", living), (KEY, living[:-1]), (b"another", living), (KEY, absent),
                 (KEY, string), (KEY, living)]
        seen = {error_code(r.execute_command, "SESSIONGATE." + name, *call, *ON_TOKEN[name])
                for call in calls}
        in_clusters = {"TRYAGAIN", "CLUSTERDOWN"} if name == "ROTATE" else set()
        assert errors == (seen - {None}) | in_clusters, name
        r.flushall()


def test_the_table_of_effects_is_that_of_the_source():
    source = (TOP / "src" / "keys" / "effects.h").read_text()
    comment = source[:source.index("Times are in unix ms")]
    comment = re.sub(r"\n \* {10,}(?=\[|<)", " ", comment)  # a long effect goes on in the next line
    effects = set(re.findall(r"^ \*     +(\S.*?)  +(\S.*)$", comment, re.M))
    tables = section("docs/operations.md", "Persistence and replication")
    assert set(re.findall(r"^\| (.*) \| `(.*)` \|$", tables, re.M)) == effects
    assert len(effects) >= 8


# Programs ----------------------------------------------------------------------------------------

def program(defines):
    """The Python block of the pages that defines this function."""
    [block] = [block for _, _, block in blocks("python") if f"def {defines}(" in block]
    return block


def maker():
    names = {}
    exec(program("make_v1"), names)
    return types.SimpleNamespace(**names)


def test_the_program_that_makes_tokens_makes_the_test_vectors_and_tokens_that_are_adopted(r):
    made = maker()
    vectors = {token for token in TOKEN.findall(ALL_PAGES) if "3aKq9xZtB07LmPdW" in token}
    assert vectors == {made.v1(SIGN_KEY, "3aKq9xZtB07LmPdW"),
                       made.v2(SIGN_KEY, "3aKq9xZtB07LmPdWm4Rs8Q", "x7K")}
    tokens = {make(SIGN_KEY) for make in (made.make_v1, made.make_v2) for _ in range(100)}
    assert len(tokens) == 200
    for token in tokens:
        assert r.execute_command("SESSIONGATE.ADOPT", SIGN_KEY, token, 60) == b"OK"


def test_the_program_that_makes_tokens_draws_each_character_as_often():
    drawn = maker().random_characters(62_000)
    counts = [drawn.count(character) for character in string.ascii_letters + string.digits]
    assert sum(counts) == 62_000
    # The chance that any of the 62 is 200 (6.4 standard deviations) off is below 1e-8; a remainder
    # of the plain byte puts eight of them at 1211.
    assert max(abs(count - 1000) for count in counts) < 200


DRIVERS = {"this Python's redis-py": (None, None), "the newest, RESP2": (newest, 2),
           "the newest, RESP3": (newest, 3), "the newest": (newest, None)}


@pytest.fixture(params=DRIVERS)
def new_application(request, server):
    """Makes an application that is what the pages show, with each redis-py and protocol."""
    get, protocol = DRIVERS[request.param]
    try:
        python = get(TOP / "build" / "redis-py") if get else sys.executable
    except OSError as error:
        pytest.skip(f"the newest redis-py cannot be had: {str(error).splitlines()[-1]}")
    made = []

    def make():
        made.append(Application(python, program("log_in"), server.port, protocol))
        return made[-1]
    yield make
    for application in made:
        application.close()


@pytest.fixture
def application(new_application):
    return new_application()


def test_a_request_of_the_application_writes_at_most_once_a_minute(server, r, application):
    token = start(r, SIGN_KEY, 3600)
    assert pset(r, token, "lang", "en", SIGN_KEY) == b"OK"
    with Stream(server) as stream:
        for _ in range(3):
            assert application.read(SIGN_KEY, token) == {b"lang": b"en"}
        assert stream.commands() == []
        r.pexpire(token, 3600_000 - 61_000)  # as if 61 seconds had passed
        stream.commands()
        for _ in range(3):
            application.read(SIGN_KEY, token)
        assert [command[0] for command in stream.commands()] == [b"SGREPLAY.TOUCH"]
    assert r.ttl(token) > 3590


def test_a_visitor_without_a_session_gets_one_and_keeps_it(r, application):
    ended, unknown = start(r, SIGN_KEY), signed(SIGN_KEY)
    application.log_out(SIGN_KEY, ended)
    for cookie in (None, "", "rubbish", ended.decode(), unknown.decode(), signed().decode()):
        payloads, token = application.visit(SIGN_KEY, cookie)
        assert payloads == {} and is_token(token.encode(), SIGN_KEY), cookie
        application.put_into_cart(SIGN_KEY, token, "tea", 2)
        assert application.visit(SIGN_KEY, token) == ({b"cart:tea": b"2"}, token)
    assert r.dbsize() == 6


def test_an_error_that_is_no_missing_session_starts_none(r, application):
    token = start(r, SIGN_KEY).decode()
    r.set(token, "of another type")
    assert error_code(application.visit, SIGN_KEY, token) == "WRONGTYPE"
    assert r.dbsize() == 1


def test_requests_at_once_lose_nothing_that_another_put_into_the_cart(new_application):
    applications = [new_application() for _ in range(2)]
    payloads, token = applications[0].visit(SIGN_KEY, None)
    assert applications[0].cart(payloads) == {}

    def requests(application):
        for number in range(100):
            application.visit(SIGN_KEY, token)
            application.put_into_cart(SIGN_KEY, token, f"{number} of {id(application)}", number)
    threads = [threading.Thread(target=requests, args=(each,)) for each in applications]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    payloads, _ = applications[0].visit(SIGN_KEY, token)
    assert applications[0].cart(payloads) == {
        f"{number} of {id(each)}": number for number in range(100) for each in applications}


def test_requests_at_once_count_each_visit(new_application):
    applications = [new_application() for _ in range(2)]
    _, token = applications[0].visit(SIGN_KEY, None)
    threads = [threading.Thread(target=lambda each=each: [each.count_visit(SIGN_KEY, token)
                                                          for _ in range(100)])
               for each in applications]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert applications[0].count_visit(SIGN_KEY, token) == 201


def test_logging_in_leaves_the_old_token_without_a_session_and_logging_out_the_new_one(
        r, application):
    planted = start(r, SIGN_KEY, 3600)
    token = application.log_in(SIGN_KEY, planted, "ada")
    assert application.read(SIGN_KEY, token) == {b"user": b"ada"}
    assert error_code(application.read, SIGN_KEY, planted) == "NOSESSION"
    application.log_out(SIGN_KEY, token)
    assert error_code(application.read, SIGN_KEY, token) == "NOSESSION"


def test_logging_in_as_somebody_keeps_the_cart_and_logging_out_everywhere_keeps_one(
        r, application):
    tokens = []
    for visitor in (start(r, SIGN_KEY, 3600).decode() for _ in range(3)):
        application.put_into_cart(SIGN_KEY, visitor, "tea", 2)
        tokens.append(application.log_in_as(SIGN_KEY, visitor, "42"))
        assert error_code(application.read, SIGN_KEY, visitor) == "NOSESSION"
        assert application.cart(application.read(SIGN_KEY, tokens[-1])) == {"tea": 2}
    assert application.log_out_everywhere(SIGN_KEY, "42", tokens[0]) == 2
    assert application.read(SIGN_KEY, tokens[0]) == {b"cart:tea": b"2"}
    for token in tokens[1:]:
        assert error_code(application.read, SIGN_KEY, token) == "NOSESSION"


def test_a_visitor_without_payloads_can_log_in(r, application):
    token = application.log_in_as(SIGN_KEY, start(r, SIGN_KEY).decode(), "42")
    assert application.read(SIGN_KEY, token) == {}


def test_an_error_of_the_application_does_not_show_the_sign_key(application):
    for call in (application.read, application.log_out):
        with pytest.raises(Application.Refused) as refused:
            call(SIGN_KEY, signed(SIGN_KEY))
        assert SIGN_KEY.decode() not in str(refused.value)


def test_a_change_of_the_sign_key_logs_nobody_out(r, application):
    old = start(r, SIGN_KEY, 3600)
    pset(r, old, "user", "ada", SIGN_KEY)
    payloads, token = application.read_while_keys_change(b"new key", SIGN_KEY, old)
    assert payloads == {b"user": b"ada"} and is_token(token.encode(), b"new key")
    for carried in (token, old, old):  # parallel requests, some with the old token
        answer = application.read_while_keys_change(b"new key", SIGN_KEY, carried)
        assert answer == (payloads, token)


# Users -------------------------------------------------------------------------------------------

ON_TOKEN = {"ADOPT": (60,), **ALL}  # and START, which has no token
ON_OWNER = {"OSTART": (60,), "OLIST": (), "OEND": ()}
WRITES = {"START", "ADOPT", "PSET", "PMSET", "PDEL", "PPOP", "EXPIRE", "TOUCH", "ROTATE", "END",
          "OSTART", "OEND"}
READS = {"PGET", "PTTL", "PMGET", "PGETALL", "TTL", "INFO", "OLIST"}
MAY = {"application": WRITES | READS, "reader": READS, "operator": set(), "monitoring": set()}
OPERATING = [("SCAN", "0"), ("TYPE", "<token>"), ("TTL", "<token>"), ("MEMORY", "USAGE", "<token>"),
             ("UNLINK", "<token>")]
NOBODY = [("DUMP", "<token>"), ("COPY", "<token>", "<token>2"), ("DEL", "<token>"),
          ("RENAME", "<token>", "<token>2"), ("GET", "<token>"), ("SET", "<token>", "x"),
          ("MONITOR",), ("KEYS", "*"), ("SUBSCRIBE", "__keyevent@0__:expired"), ("FLUSHALL",),
          ("EVAL", "", "0"), ("SLOWLOG", "GET"), ("CONFIG", "GET", "sessiongate.*"),
          ("CONFIG", "SET", "sessiongate.max-ttl", "3153600000"), ("CONFIG", "REWRITE")]


def user_lines():
    """{user: the arguments of the page's ACL SETUSER}"""
    lines = [shlex.split(command)[1:] for _, _, command, _ in EXAMPLES if "ACL SETUSER" in command]
    return {line[2]: line[3:] for line in lines}


def user_lines_by_category():
    """The same, with what the page says that the category stands for."""
    lines = user_lines()
    said = section("docs/security.md", "Users")
    assert "`+@sessiongate` stands for the names in `application`" in said
    assert "`+@sessiongate -@write` for those in `reader`" in said
    categories = {"application": ["+@sessiongate"], "reader": ["+@sessiongate", "-@write"]}
    for user, rules in categories.items():
        named = [rule for rule in lines[user] if rule.startswith("+sessiongate.")]
        lines[user] = [rule for rule in lines[user] if rule not in named] + rules
    return lines


def test_each_user_of_the_table_has_a_line_and_each_line_is_in_the_table():
    table = section("docs/security.md", "Users")
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == list(user_lines()) == list(MAY)


@pytest.mark.parametrize("lines", [user_lines, user_lines_by_category], ids=["names", "category"])
def test_the_users_of_the_page_may_do_what_it_says_and_no_more(server, r, lines):
    if lines is user_lines_by_category and not has_category(r):
        pytest.skip(f"{server.name}: it has no ACL categories of modules")
    for user, rules in lines().items():
        r.execute_command("ACL", "SETUSER", user, *rules)
    for user in MAY:
        with server.wire() as wire:
            password = next(rule for rule in lines()[user] if rule.startswith(">"))[1:]
            assert wire.call("AUTH", user, password) == "OK"

            def may(*command):
                reply = wire.call(*command)
                return not (isinstance(reply, Wire.Error) and reply.code == "NOPERM")

            for command in WRITES | READS:
                token = start(r, SIGN_KEY)
                pset(r, token, b"n", b"d", SIGN_KEY)
                owner = command in ON_OWNER
                words = ["owner:42", *ON_OWNER[command]] if owner else (
                    [60] if command == "START" else [token, *ON_TOKEN[command]])
                name = "SESSIONGATE." + command
                assert may(name, SIGN_KEY, *words) == (command in MAY[user]), (user, command)
                if command != "START":
                    words[0] = "another:key"
                    assert not may(name, SIGN_KEY, *words), (user, command)
            for words in OPERATING + NOBODY:
                words = [word.replace("<token>", token.decode()) for word in words]
                assert may(*words) == (user == "operator" and words[0] not in
                                       [forbidden[0] for forbidden in NOBODY]), (user, words)
            for command in ("PING", "INFO"):
                assert may(command) == (user in ("operator", "monitoring")), (user, command)
            assert not may("UNLINK", "another:key")


ALWAYS = {"auth", "hello", "reset", "quit"}  # what a connection may send before it is anybody's


def test_the_operator_may_run_what_the_page_names_of_all_commands_of_the_server(
        server, r):
    rules = user_lines()["operator"]
    r.execute_command("ACL", "SETUSER", "operator", *rules)
    token = signed(SIGN_KEY)
    may = set()
    with server.wire() as wire:
        commands = wire.call("COMMAND")
    for command in commands:
        for name, arity, *_ in command[9] or [command]:  # the subcommands, where it has some
            words = name.split(b"|")
            words += [token] * (abs(arity) - len(words))
            if r.execute_command("ACL", "DRYRUN", "operator", *words) == b"OK":
                may.add(name.decode())
    assert may - ALWAYS == {rule[1:] for rule in rules if rule.startswith("+")}


@pytest.mark.parametrize("default", ["off", ">a password"])
def test_an_operator_reaches_no_payload(make_server, default):
    server = make_server(slowlog_log_slower_than=0)
    payload = "a payload to be kept secret"
    with server.wire() as admin, server.wire() as operator:
        token = admin.call(
            "SESSIONGATE.START", SIGN_KEY, 60, "PAYLOADS", 1, "user", payload).decode()
        admin.call("ACL", "SETUSER", "operator", *user_lines()["operator"])
        password = next(rule for rule in user_lines()["operator"] if rule.startswith(">"))[1:]
        admin.call("ACL", "SETUSER", "default", "resetpass", default)
        if default != "off":
            admin.call("CONFIG", "SET", "requirepass", default[1:])
        users, digest = admin.call("ACL", "LIST"), admin.call("DEBUG", "DIGEST")
        known = ["", password]  # passwords to try, and what CONFIG GET answers

        def attempt(*words):
            nonlocal operator
            try:
                reply = operator.call(*words)
            except ConnectionError:
                reply = None
                operator = server.wire()
            assert payload not in repr(reply), words
            if isinstance(reply, list):
                known.extend(each.decode() for each in reply if isinstance(each, bytes))
            return reply

        script = "return redis.call('DUMP', KEYS[1])"
        for words in (
                ("CONFIG", "GET", "*"), ("CONFIG", "GET", "requirepass"),
                ("CONFIG", "GET", "masterauth"), ("CONFIG", "SET", "requirepass", ""),
                ("CONFIG", "SET", "slowlog-log-slower-than", "0"), ("CONFIG", "REWRITE"),
                ("SLOWLOG", "GET", "-1"), ("COMMANDLOG", "GET", "-1", "slow"), ("MONITOR",),
                ("DEBUG", "OBJECT", token), ("DEBUG", "RELOAD"), ("DEBUG", "SLEEP", "0"),
                ("REPLICAOF", "127.0.0.1", server.port), ("PSYNC", "?", "-1"), ("SYNC",),
                ("MODULE", "LIST"), ("MODULE", "LOAD", "/nowhere.so"),
                ("MIGRATE", "127.0.0.1", server.port, token, "1", "1000", "COPY"),
                ("DUMP", token), ("RESTORE", token + "2", "0", "x"), ("COPY", token, token + "2"),
                ("RENAME", token, token + "2"), ("MOVE", token, "1"), ("SWAPDB", "0", "1"),
                ("SELECT", "1"), ("OBJECT", "ENCODING", token), ("MEMORY", "DOCTOR"),
                ("GET", token), ("SORT", token, "GET", token), ("GETRANGE", token, "0", "-1"),
                ("EVAL", script, "1", token), ("EVAL_RO", script, "1", token),
                ("SCRIPT", "LOAD", script), ("FUNCTION", "DUMP"),
                ("FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('x', print)"),
                ("FCALL", "x", "1", token), ("MULTI",), ("EXEC",), ("WATCH", token),
                ("ACL", "SETUSER", "operator", "+@all"), ("ACL", "GETUSER", "default"),
                ("ACL", "LOG"), ("CLIENT", "LIST"), ("CLIENT", "TRACKING", "ON"),
                ("SUBSCRIBE", "x"), ("PSUBSCRIBE", "__key*"), ("BGSAVE",), ("BGREWRITEAOF",),
                ("SESSIONGATE.PGETALL", SIGN_KEY, token), ("SGREPLAY.PSET", token, "n", "d"),
                ("SESSIONGATE.PPOP", SIGN_KEY, token, "user"),
                ("SESSIONGATE.ROTATE", SIGN_KEY, token),
                ("INFO", "everything"), ("SCAN", "0"), ("TYPE", token), ("TTL", token),
                ("MEMORY", "USAGE", token)):
            assert attempt("AUTH", "operator", password) == "OK"
            attempt(*words)
        for leave in (("AUTH", "{}"), ("AUTH", "default", "{}"), ("RESET",), ("QUIT",),
                      ("HELLO", "2", "AUTH", "default", "{}")):
            for word in known:
                attempt(*(part.format(word) for part in leave))
                attempt("SESSIONGATE.PGETALL", SIGN_KEY, token)
                attempt("DUMP", token)
        assert admin.call("ACL", "LIST") == users and admin.call("DEBUG", "DIGEST") == digest
        operator.close()


def test_where_default_is_off_nobody_may_do_anything_without_a_name(make_server):
    [lines] = [block for _, _, block in blocks("text") if "user default off" in block]
    name, _, rest = lines.partition(" ")
    nobody = make_server(start=False, **{name: rest})
    copy = make_server(start=False, replicaof=f"127.0.0.1 {nobody.port}", **{name: rest})
    for each in (nobody, copy):
        each.start(wait=False)

    def of_admin(server, *words):
        with contextlib.suppress(OSError), server.wire() as wire:
            return wire.call("AUTH", "admin", "the longest one") == "OK" and wire.call(*words)
    wait_for(lambda: of_admin(nobody, "PING") == "PONG", 30, "the server ready")
    token = of_admin(nobody, "SESSIONGATE.START", SIGN_KEY, 60)
    with nobody.wire() as wire:
        for words in (("PING",), ("RESET",), ("SESSIONGATE.TTL", SIGN_KEY, token), ("SCAN", "0"),
                      ("AUTH", "default", ""), ("DUMP", token)):
            reply = wire.call(*words)
            assert reply == "RESET" or reply.code in ("NOAUTH", "WRONGPASS"), words
    wait_for(lambda: of_admin(copy, "EXISTS", token) == 1, 30, "the replica in step")


def has_category(r):
    return b"sessiongate" in r.execute_command("ACL", "CAT")


def test_default_off_refuses_new_connections_and_leaves_those_that_there_are(make_server):
    server = make_server()
    with server.wire() as admin, server.wire() as old:
        assert admin.call("ACL", "SETUSER", "admin", "on", ">secret", "~*", "&*", "+@all") == "OK"
        assert admin.call("AUTH", "admin", "secret") == "OK"
        assert old.call("PING") == "PONG"
        assert admin.call("ACL", "SETUSER", "default", "off") == "OK"
        assert old.call("PING") == "PONG"
        with server.wire() as new:
            assert new.call("PING").code == "NOAUTH"
        assert admin.call("CLIENT", "KILL", "USER", "default") >= 1
        with pytest.raises((ConnectionError, OSError)):
            old.call("PING")


def users_of(server):
    with server.wire() as wire:
        return {line.split()[1] for line in wire.call("ACL", "LIST")}


def make_user(server):
    with server.wire() as wire:
        assert wire.call("ACL", "SETUSER", "somebody", "on", ">secret", "+ping") == "OK"


def test_without_aclfile_users_are_kept_by_config_rewrite(make_server):
    server = make_server()
    make_user(server)
    assert error_code(server.client().execute_command, "ACL", "SAVE") == "ERR"
    server.restart()  # the harness writes the configuration anew
    assert users_of(server) == {b"default"}
    make_user(server)
    assert server.client().config_rewrite()
    rewritten = server.directory / "rewritten.conf"
    (server.directory / "server.conf").rename(rewritten)
    server.module, server.config = None, {}  # the rewritten file has all of it
    server.restart(include=rewritten)
    assert users_of(server) == {b"default", b"somebody"}


def test_with_aclfile_users_are_kept_by_acl_save(make_server):
    server = make_server(start=False)
    aclfile = server.directory / "users.acl"
    server.config["aclfile"] = aclfile
    ends_at_start(server)  # there is no such file yet
    aclfile.touch()
    server.start()
    make_user(server)
    assert server.client().config_rewrite()
    assert not re.search("^user ", (server.directory / "server.conf").read_text(), re.M)
    assert server.client().execute_command("ACL", "SAVE") == b"OK"
    server.restart()
    assert users_of(server) == {b"default", b"somebody"}
    server.stop()
    server.config["user"] = "another on nopass +ping"
    ends_at_start(server)


def ends_at_start(server):
    server.start(wait=False)
    assert server.process.wait(30) != 0
    server.process = None  # it was to end


# Loading, upgrading, uninstalling ----------------------------------------------------------------

def test_after_config_rewrite_an_included_loadmodule_ends_the_server_with_the_lines_that_are_shown(
        make_server, module):
    server = make_server(start=False, module=None)
    included = server.directory / "included.conf"
    included.write_text(f"loadmodule {module}\nsessiongate.max-ttl 99\n")
    server.config["include"] = included
    server.start()
    assert server.client().config_rewrite()
    main = server.directory / "server.conf"
    assert "\nsessiongate.max-ttl 99\n" in main.read_text()
    rewritten = main.rename(server.directory / "rewritten.conf")
    server.stop()
    server.config = {"include": rewritten}
    ends_at_start(server)
    logged = server.log()
    [shown] = [block for _, _, block in blocks("text") if "loaded already" in block]
    page = section("docs/install.md", "After CONFIG REWRITE")
    for line in shown.splitlines():
        line = line.replace("/usr/lib/redis/modules/sessiongate.so", str(module))
        if server.valkey:
            busy = re.search("second line ends with `(.*?)`", page)[1]
            line = line.replace("Module not loaded", busy)
        assert line in logged
    rewritten.write_text(re.sub("^include .*$", "", rewritten.read_text(), flags=re.M))
    server.start()
    assert server.client().config_get("sessiongate.max-ttl") == {"sessiongate.max-ttl": "99"}


def test_valkey_9_says_at_its_end_what_is_shown(make_server):
    server = make_server()
    if not server.valkey or server.program_version < (9,):
        pytest.skip(f"{server.name}: only Valkey 9 tries to unload modules when it ends")
    [shown] = [block for _, _, block in blocks("text") if block.startswith("Failed to unload")]
    server.stop()
    assert shown in server.log()


def test_the_formats_are_those_of_the_source():
    row = re.search(r"^\| 1\.0 \| (.*) \|$", section("docs/install.md", "Upgrading"), re.M)[1]
    source = {name: (TOP / "src" / "keys" / f"{name}.c").read_text()
              for name in ("type", "alias", "owner")}
    assert row.split(" | ") == [re.search(r"#define RDB_FORMAT (\d+)", code)[1]
                                for code in source.values()]


def test_a_server_whose_sessions_were_uninstalled_starts_without_the_module(make_server, tmp_path):
    server = make_server(appendonly="yes")
    r = server.client()
    start(r)
    sg(r, "ROTATE", start(r), "GRACE", 60)
    sg(r, "OSTART", "owner:\nof two lines", 60)
    r.set("another key", "stays")
    script = re.search(r"```sh\n(.*?)```", section("docs/install.md", "Uninstalling"), re.S)[1]
    type_in(script, server, tmp_path)
    assert r.keys() == [b"another key"]
    wait_for(lambda: not r.info("persistence")["aof_rewrite_in_progress"], 30, "the AOF rewritten")
    server.module = None
    for appendonly in ("yes", "no"):  # the AOF, then the RDB file
        server.restart(appendonly=appendonly)
        assert server.client().keys() == [b"another key"]


# The front page ----------------------------------------------------------------------------------

def test_the_front_page_has_at_most_200_lines():
    assert text("README.md").count("\n") <= 200


def test_the_front_page_leads_to_every_page_and_each_says_first_what_it_is_for():
    table = section("README.md", "Documentation")
    listed = re.findall(r"^\| \[[^\]]+\]\(([^)#]+)\) \|", table, re.M)
    assert sorted(listed) == sorted(set(PAGES) - {"README.md"})
    for page in listed:
        assert re.match(r"# .*\n\nThis page ", text(page)), page


@pytest.mark.parametrize("page", PAGES)
def test_a_cell_of_a_table_has_at_most_130_characters_for_people(page):
    for row in re.findall(r"^\| (.*) \|$", without_blocks(text(page)), re.M):
        for cell in row.split(" | "):
            words = re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "", cell))
            assert len(words) <= 130, cell


def test_the_figures_of_speed_are_those_of_the_benchmark():
    bars = section("bench/README.md", "Bars")
    measured = {name: re.match(r"[\d.]+", figure)[0] for name, figure in
                re.findall(r"^\| (.*?) \| (.*?) \|", bars, re.M) if re.match(r"\d", figure)}
    pipelined, alone = (measured[f"PGET / HGET, {how}"] for how in ("pipelined", "one at a time"))
    said = " ".join(section("README.md", "When not to use it").split())
    assert f"{pipelined} times HGET's calls a second; one call at a time, {alone} times" in said
    speed = " ".join(section("docs/operations.md", "Speed").split())
    assert f"PGET makes {pipelined} times the calls a second that HGET makes" in speed
    size = measured["bytes a session with 1 payload, against HSET + EXPIRE"]
    assert f"takes {size} bytes" in speed


@pytest.mark.parametrize("language, client",
                         [("js", "node"), ("python", "python"), ("go", "go")])
def test_what_the_front_page_shows_of_a_client_is_in_the_clients_own_pages(language, client):
    def bare(code):
        """Without white space, comments, and commas that end a list."""
        return re.sub(r",(?=[)}\]])", "", re.sub(r"\s", "", re.sub(r"(//|#) .*", "", code)))
    theirs = bare(text("clients/README.md") + text(f"clients/{client}/README.md"))
    shown = [block for page, _, block in blocks(language) if page == "README.md"]
    statements = [one for block in shown for one in re.split(r"\n(?! )", block.strip())]
    assert len(statements) >= 4
    for statement in statements:
        assert bare(statement) in theirs, statement


# ASVS --------------------------------------------------------------------------------------------

# OWASP ASVS 5.0.0, chapter V7: sections, and how many requirements each has.
REQUIREMENTS = [f"7.{section}.{number}" for section, count in
                enumerate((3, 4, 2, 5, 3, 2), 1) for number in range(1, count + 1)]


def test_the_table_of_asvs_has_each_requirement_once():
    rows = re.findall(r"^\| ([\d.]+) \|(?:[^|]*\|){3}$", section("docs/security.md", "ASVS"),
                      re.M)
    assert rows == REQUIREMENTS


PROOFS = [(number, file, expression.strip('"')) for number, cell in
          re.findall(r"^\| ([\d.]+) \| (`.*`) \|$", section("docs/security.md", "ASVS"), re.M)
          for file, expression in re.findall(r"`(\S+) -k (.*?)`", cell)]


@pytest.mark.parametrize("number, file, expression", PROOFS)
def test_what_is_said_to_show_a_requirement_is_a_test(number, file, expression):
    assert number in REQUIREMENTS
    tests = re.findall(r"^ *(?:async )?def (test_\w+)", (TOP / file).read_text(), re.M)
    for name in expression.split(" or "):
        assert any(name in test for test in tests), name


# Links -------------------------------------------------------------------------------------------

LINKED = [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md", "tests/README.md", "bench/README.md",
          *(f"clients/{path}README.md" for path in ("", "python/", "node/", "go/"))]


@pytest.mark.parametrize("page, target", [
    (page, target) for page in LINKED for target in links(page)
    if not re.match("https?:", target)])  # what other sites have is theirs
def test_a_link_leads_to_what_is_there(page, target):
    path, _, anchor = target.partition("#")
    aim = ((TOP / page).parent / path).resolve() if path else TOP / page
    assert aim.exists()
    assert not anchor or anchor in anchors(aim.relative_to(TOP))


