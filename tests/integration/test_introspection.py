"""What the server tells of the commands: COMMAND INFO, DOCS, GETKEYS, GETKEYSANDFLAGS.

It is compared with the pages, and with what the commands do when they are called as told.
"""

import re

import pytest

from features import payloads, sg
from harness import KEY, TOP, Stream, Wire, pset, signed, start
from pages import section, text

INTERNAL = re.compile(r"SGREPLAY\..*|SESSIONGATE\.PROBE(READ)?")

# name: arity, flags besides those that all have, ACL categories, what happens to the token's key.
# RO: reads it. RW: reads or changes it. RM: removes it. Behind that, what is done with the
# contents: access: the reply tells them. insert: it is new. update: they are changed. delete: some
# are gone.
COMMANDS = {
    "START": (-3, "write denyoom fast", None),
    "ADOPT": (-4, "write denyoom fast", "RW insert"),
    "PSET": (-5, "write denyoom fast", "RW update"),
    "PMSET": (-5, "write denyoom fast", "RW update"),
    "PGET": (4, "readonly fast", "RO access"),
    "PMGET": (-4, "readonly fast", "RO access"),
    "PGETALL": (3, "readonly", "RO access"),
    "PTTL": (4, "readonly fast", "RO access"),
    "PDEL": (-4, "write fast", "RW delete"),
    "PPOP": (4, "write fast", "RW access delete"),
    "TTL": (3, "readonly fast", "RO access"),
    "INFO": (3, "readonly fast", "RO access"),
    "EXPIRE": (4, "write fast", "RW update"),
    "TOUCH": (-3, "write fast", "RW update"),
    "ROTATE": (-3, "write denyoom fast", "RW update"),
    "END": (3, "write fast", "RM delete"),
    "OSTART": (-4, "write denyoom fast", "RW update"),
    "OLIST": (3, "readonly", "RO access"),
    "OEND": (-3, "write", "RW delete"),
}
SECRET = {"skip_monitor", "skip_slowlog", "skip_commandlog"}  # the names of Redis and of Valkey 8.1


@pytest.fixture
def wire(server):
    with server.wire(protocol=3) as wire:
        yield wire


@pytest.fixture
def known(wire):
    """{second word of the name: what COMMAND DOCS tells} of the commands for clients."""
    names = [name.decode() for name in
             wire.call("COMMAND", "LIST", "FILTERBY", "MODULE", "sessiongate")]
    public = [name for name in names if not INTERNAL.fullmatch(name)]
    docs = wire.call("COMMAND", "DOCS", *public)
    return {name.removeprefix("SESSIONGATE."): about for name, about in strings(docs).items()}


def strings(about):
    """The same with str for bytes, however deep."""
    if isinstance(about, bytes):
        return about.decode()
    if isinstance(about, list):
        return [strings(one) for one in about]
    if isinstance(about, dict):
        return {strings(name): strings(value) for name, value in about.items()}
    return about


def info(wire, command):
    return strings(wire.call("COMMAND", "INFO", "SESSIONGATE." + command)[0])


# The pages ---------------------------------------------------------------------------------------

def syntax(argument):
    """An argument of COMMAND DOCS, as it is written for people."""
    kind, flags, token = argument["type"], argument.get("flags", []), argument.get("token", "")
    words = [syntax(one) for one in argument.get("arguments", [])]
    if kind == "oneof":
        text = "|".join(words)
    elif kind == "block":
        text = " ".join(words)
    elif kind == "pure-token":
        text, token = token, ""
    else:
        text = f"<{argument.get('display_text', argument['name'])}>"
    if "multiple" in flags:
        text = f"{text} [{text} ...]"
    if token:
        text = f"{token} {text}"
    return f"[{text}]" if "optional" in flags else text


def sections():
    """{command: (first sentence, syntax, complexity)} of each command's section, in their order."""
    about = re.compile(r"^## SESSIONGATE\.(\S+)\n\n```text\n(.*)\n```\n\n([^.]*\.)(?:.*\n)*?"
                       r"- Complexity: (.*)$", re.M)
    return {name: (sentence, syntax, complexity)
            for name, syntax, sentence, complexity in about.findall(text("docs/commands.md"))}


def table():
    """{command: [sentence, kind]} of the front page's table of commands."""
    link = r"\[(\w+)\]\(docs/commands\.md#sessiongate(\w+)\)"
    rows = re.findall(rf"^\| {link} \| (.*) \| (read|write) \|$",
                      section("README.md", "Commands"), re.M)
    assert all(name.lower() == anchor for name, anchor, *_ in rows)
    return {name: about for name, _, *about in rows}


def test_the_reference_has_exactly_the_commands_of_the_server(known):
    assert set(sections()) == set(known) == set(COMMANDS)
    assert list(table()) == list(sections())


def test_a_section_has_the_summary_the_syntax_and_the_complexity_that_the_server_tells(known):
    for name, said in sections().items():
        words = ["SESSIONGATE." + name, *map(syntax, known[name]["arguments"])]
        assert said == (known[name]["summary"], " ".join(words), known[name]["complexity"])


def test_the_table_of_commands_says_what_the_server_tells(wire, known):
    for name, said in table().items():
        kind = "read" if "readonly" in info(wire, name)[2] else "write"
        assert said == [known[name]["summary"], kind]


# What the server tells ---------------------------------------------------------------------------

def test_docs_tell_group_since_and_no_history(known):
    version = re.search(r'VERSION "(.*)"', (TOP / "src" / "server" / "version.h").read_text())[1]
    for name, about in known.items():
        told = {"summary", "since", "group", "complexity", "module", "arguments"}
        assert set(about) == told, name
        assert (about["group"], about["module"]) == ("module", "sessiongate"), name
        assert about["since"] == version == "1.0.0", name  # all are from the first release


@pytest.mark.parametrize("command", COMMANDS)
def test_info_tells_arity_flags_key_and_categories(server, wire, command):
    arity, flags, key = COMMANDS[command]
    told = info(wire, command)
    assert told[0] == "SESSIONGATE." + command
    assert told[1] == arity
    flags = set(flags.split())
    assert {flag for flag in told[2] if flag not in SECRET} == flags | {"module"}
    assert len(SECRET & set(told[2])) == 2
    assert told[3:6] == ([2, 2, 1] if key else [0, 0, 0])
    kind, speed = "read" if "readonly" in flags else "write", "fast" if "fast" in flags else "slow"
    if has_category(wire):
        assert set(told[6]) == {"@" + kind, "@" + speed, "@sessiongate"}
    else:
        assert server.version < (7, 2) and told[6] == []
    assert told[7] == [] and told[9] == []  # no tips, no subcommands
    if key:
        [spec] = told[8]
        assert set(spec["flags"]) == set(key.split())
        assert spec["begin_search"] == {"type": "index", "spec": {"index": 2}}
        assert spec["find_keys"] == {"type": "range",
                                     "spec": {"lastkey": 0, "keystep": 1, "limit": 0}}
    else:
        assert told[8] == []


def has_category(wire):
    return b"sessiongate" in wire.call("ACL", "CAT")


def test_the_category_has_all_commands(wire, known):
    if not has_category(wire):
        pytest.skip("this server has no ACL categories of modules")
    named = {name.decode().upper() for name in wire.call("ACL", "CAT", "sessiongate")}
    public = {name for name in named if not INTERNAL.fullmatch(name)}
    assert public == {"SESSIONGATE." + name for name in known}


def test_the_internal_commands_say_that_they_are(wire):
    names = wire.call("COMMAND", "LIST", "FILTERBY", "MODULE", "sessiongate")
    internal = [name for name in names if INTERNAL.fullmatch(name.decode())]
    assert len(internal) == len(names) - len(COMMANDS) > 0
    for name in internal:
        [about] = wire.call("COMMAND", "DOCS", name).values()
        assert about[b"summary"].startswith(b"Internal: ")
        assert wire.call(name, *[b"x"] * 6).code == "ERR"


# What the commands do ----------------------------------------------------------------------------

VALUES = {"sign_key": KEY, "ttl": 50, "max_ttl": 60, "new_sign_key": b"another", "grace": 9,
          "minage": 0, "count": 1, "limit": 2, "payload_name": b"n", "payload_data": b"d", "data": b"d",
          "seconds": 5, "milliseconds": 5000}


def words_of(argument, token):
    """One call's words for an argument of COMMAND DOCS, for each way to give it."""
    kind = argument["type"]
    if kind == "oneof":
        ways = [way for one in argument["arguments"] for way in words_of(one, token)]
    elif kind == "block":
        ways = [[]]
        for one in argument["arguments"]:
            ways = [way + words for way in ways for words in words_of(one, token)]
    elif kind == "pure-token":
        return [[argument["token"]]]
    else:
        assert (kind == "key") == (argument["name"] in ("token", "owner")) or "token" in argument
        value = token if kind == "key" else VALUES[argument["name"]]
        assert isinstance(value, int) == (kind == "integer")
        ways = [[value]]
    if "token" in argument:
        ways = [[argument["token"], *way] for way in ways]
    return ways


def calls_of(about, token):
    """Calls that the documentation of a command allows: without options, with each, with all; and
    once more what may be repeated."""
    needed, options, repeated = [[]], [], []
    for argument in about["arguments"]:
        ways = words_of(argument, token)
        if "optional" in argument.get("flags", []):
            options.append(ways)
        else:
            needed = [call + way for call in needed for way in ways]
            if "multiple" in argument.get("flags", []):
                repeated.append(needed[0] + ways[0] + ways[0])
    every = needed[0] + [word for ways in options for word in ways[0]]
    return needed + [needed[0] + way for ways in options for way in ways] + [every] + repeated


def fresh(r, command):
    """A key that the command can be called with: a token, of a session with a payload but for ADOPT;
    or an owner, of the session that VALUES has the token of."""
    r.flushall()
    if command == "ADOPT":
        return signed()
    if command in ("OSTART", "OLIST", "OEND"):
        VALUES["token"] = sg(r, "OSTART", b"an owner", 1000)
        return b"an owner"
    token = start(r, KEY, 1000)
    pset(r, token, b"n", b"d")
    return token


@pytest.mark.parametrize("command", COMMANDS)
def test_a_call_is_accepted_in_every_form_that_the_docs_tell(r, wire, known, command):
    calls = calls_of(known[command], b"")
    assert len(calls) >= 2
    for number in range(len(calls)):
        call = calls_of(known[command], fresh(r, command))[number]
        assert not isinstance(wire.call("SESSIONGATE." + command, *call), Wire.Error), call


@pytest.mark.parametrize("command", COMMANDS)
def test_the_arity_is_the_number_of_words_that_a_call_needs(r, wire, known, command):
    arity, name = COMMANDS[command][0], "SESSIONGATE." + command
    shortest = calls_of(known[command], fresh(r, command))[0]
    assert len(shortest) + 1 == abs(arity)
    assert wire.call(name, *shortest[:-1]).code == "ERR"
    if arity > 0:
        assert "number of arguments" in wire.call(name, *shortest, b"x")


@pytest.mark.parametrize("command", COMMANDS)
def test_getkeys_tells_the_key_and_what_is_done_with_it(r, wire, known, command):
    token, key = fresh(r, command), COMMANDS[command][2]
    for call in calls_of(known[command], token):
        call = ["SESSIONGATE." + command, *call]
        if key:
            assert wire.call("COMMAND", "GETKEYS", *call) == [token]
            assert strings(wire.call("COMMAND", "GETKEYSANDFLAGS", *call)) == [
                [token.decode(), key.split()]]
        else:
            assert wire.call("COMMAND", "GETKEYS", *call).code == "ERR"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_does_with_its_key_what_its_flags_tell(server, r, wire, known, command):
    key = (COMMANDS[command][2] or "RW insert").split()
    token = fresh(r, command)
    before = server.sessions()
    [call, *_] = calls_of(known[command], token)
    if command in ("PSET", "PMSET"):
        call[-1] = b"new"
    with Stream(server) as stream:
        answer = wire.call("SESSIONGATE." + command, *call)
        assert (stream.commands() == []) == ("RO" in key)
    after = server.sessions()
    assert (after == before) == ("RO" in key)
    if "insert" in key:
        assert len(after) == len(before) + 1
    if "update" in key:
        assert len(after) == len(before) + (command == "OSTART") and after != before
    if "RM" in key or command == "OEND":
        assert after == {}
    elif "delete" in key:
        assert payloads(r, token) == {}
    if command not in ("TTL", "PTTL", "INFO", "OLIST"):  # these are marked as the server's own TTL is
        assert (strings(answer) in ("d", ["d"], {"n": "d"})) == ("access" in key)


@pytest.mark.parametrize("command", COMMANDS)
def test_denyoom_is_told_of_what_is_refused_without_memory(r, wire, known, command):
    [call, *_] = calls_of(known[command], fresh(r, command))
    r.config_set("maxmemory", 1)
    answer = wire.call("SESSIONGATE." + command, *call)
    refused = isinstance(answer, Wire.Error) and answer.code == "OOM"
    assert refused == ("denyoom" in COMMANDS[command][1])
