"""The README: its examples answer as printed there, and what it lists is what there is."""

import contextlib
import os
import pty
import re
import shlex
import signal
import subprocess
import tty

import pytest

from harness import TOP, Port, signature

README = (TOP / "README.md").read_text()
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
SIGN_KEY = b"my-secret-sign-key"
TOKEN = re.compile(r"v1\.[a-zA-Z0-9]{16}\.[0-9a-f]{64}"
                   r"|v2\.[a-zA-Z0-9]{22}\.[0-9a-f]{32}[a-zA-Z0-9]{3}")
INTERNAL = re.compile(r"SESSIONGATE\.(REPLAY\..*|PROBE)")


# What a terminal shows ---------------------------------------------------------------------------

@contextlib.contextmanager
def terminal(*command, **options):
    """The process of a command that prints to a terminal, where redis-cli prints for people, and an
    iterator over what it prints."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)  # a line ends with \n, not \r\n
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
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


def blocks(language):
    """(number of the first line, text) of each block of the README in that language."""
    for block in re.finditer(rf"^```{language}\n(.*?)^```$", README, re.M | re.S):
        yield README[:block.start(1)].count("\n") + 1, block[1]


def examples():
    """(number of its line, command, what it prints) of each example that the README shows."""
    for number, block in blocks("console"):
        for example in re.finditer(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
            line = number + block[:example.start()].count("\n")
            yield line, example[1].replace("\\\n", ""), example[2]


EXAMPLES = list(examples())


@pytest.fixture(scope="module")
def printed(module_server, tmp_path_factory):
    """What each example's command prints, when all are typed one after the other into one shell."""
    programs = tmp_path_factory.mktemp("bin")
    cli = programs / "redis-cli"
    cli.write_text(f'#!/bin/sh\nexec {module_server.program}/cli -p {module_server.port} "$@"\n')
    cli.chmod(0o755)
    script = "".join(f"{command}\nprintf '\\036'\n" for _, command, _ in EXAMPLES)
    environment = dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}")
    with terminal("bash", "-c", script, env=environment) as (_, output):
        answers = "".join(output).split("\036")
    assert len(answers) == len(EXAMPLES) + 1
    return dict(zip((number for number, _, _ in EXAMPLES), answers))


@pytest.mark.parametrize("number, command, shown", EXAMPLES,
                         ids=[f"line {number}" for number, _, _ in EXAMPLES])
def test_an_example_prints_what_the_readme_shows(printed, number, command, shown):
    assert hide_tokens(printed[number]) == hide_tokens(shown), command


def test_run_sh_prints_the_transcript_of_the_readme(request, tmp_path):
    if request.config.getoption("server") != "redis-bookworm":
        pytest.skip("run.sh starts this machine's own server: tested with redis-bookworm")
    shown = next(text for _, text in blocks("text") if "Ctrl-C" in text)
    port = Port()
    seen = ""
    with terminal(TOP / "run.sh", "--port", str(port.number), "--dir", tmp_path) as (run, output):
        for some in output:
            seen += some
            if "Ctrl-C stops the server.\n" in seen:
                run.send_signal(signal.SIGINT)
                break
        rest = "".join(output)
    port.release()
    seen = seen[seen.find("redis-server listens"):]  # before that it may have had to build
    seen = seen.replace(str(port.number), "6379")
    seen = seen.replace(str(tmp_path), re.search(r"are in (\S+)\. ", shown)[1])
    assert hide_tokens(seen) == hide_tokens(shown)
    assert "The server has stopped" in rest and run.returncode == 0


def test_every_token_in_the_readme_is_signed_with_the_sign_key_of_its_examples():
    tokens = TOKEN.findall(README)
    assert {token[:3] for token in tokens} == {"v1.", "v2."}
    for token in tokens:
        version, id, rest = token.split(".")
        signed = id if version == "v1" else "v2." + id
        proper = signature(SIGN_KEY, signed.encode()).decode()
        assert rest == proper if version == "v1" else rest[:32] == proper[:32], token


# The command reference ---------------------------------------------------------------------------

def syntax(argument):
    """An argument of COMMAND DOCS, as it is written for people."""
    about = dict(zip(argument[::2], argument[1::2]))
    kind, flags = about[b"type"], about.get(b"flags", [])
    words = [syntax(one) for one in about.get(b"arguments", [])]
    token = about.get(b"token", b"").decode()
    if kind == b"oneof":
        text = "|".join(words)
    elif kind == b"block":
        text = " ".join(words)
    elif kind == b"pure-token":
        text, token = token, ""
    else:
        text = f"<{about.get(b'display_text', about[b'name']).decode()}>"
    if "multiple" in flags:
        text = f"{text} [{text} ...]"
    if token:
        text = f"{token} {text}"
    return f"[{text}]" if "optional" in flags else text


def docs(server):
    """{name: (summary, syntax)} of the public commands, as the server knows them."""
    known = {}
    with server.wire() as wire:
        for name in wire.call("COMMAND", "LIST", "FILTERBY", "MODULE", "sessiongate"):
            name = name.decode()
            if INTERNAL.fullmatch(name):
                continue
            [_, about] = wire.call("COMMAND", "DOCS", name)
            about = dict(zip(about[::2], about[1::2]))
            known[name] = (about[b"summary"].decode(),
                           " ".join([name, *map(syntax, about[b"arguments"])]))
    return known


def reference():
    """{name: (first sentence, syntax)} of the commands that have a section in the README."""
    section = re.compile(r"^### (SESSIONGATE\.\S+)\n\n```text\n(.*)\n```\n\n([^.]*\.)", re.M)
    return {name: (sentence, syntax) for name, syntax, sentence in section.findall(README)}


def test_the_reference_has_exactly_the_commands_of_the_server(server):
    assert set(reference()) == set(docs(server))


def test_the_reference_says_of_each_command_what_the_server_says(server):
    known = docs(server)
    for name, said in reference().items():
        assert said == known[name]


def test_the_table_of_errors_has_exactly_the_errors_that_a_client_can_get():
    source = (TOP / "src" / "core" / "error.h").read_text()
    listed = re.findall(r'X\((ERROR_\w+), "(\w+)", ((?:"[^"]*"[\s\\]*)+)\)', source)
    assert len(listed) == len(re.findall(r"X\(ERROR_", source))
    errors = {(code, "".join(re.findall(r'"([^"]*)"', parts)).replace("%lld", "<limit>"))
              for name, code, parts in listed if name != "ERROR_INTERNAL"}
    table = README[README.index("\n### Errors\n"):README.index("\n## Tokens\n")]
    table = re.sub(r"\d{3,}", "<limit>", table.replace("`<", "<").replace(">`", ">"))
    assert set(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.M)) == errors


def test_the_users_of_the_readme_may_do_what_it_says_and_no_more(r):
    for _, command, _ in EXAMPLES:
        if command.startswith("redis-cli ACL SETUSER"):
            r.execute_command(*shlex.split(command)[1:])
    token = b"v1.3aKq9xZtB07LmPdW.29e3793852110380a17bd3162afc7653cf4e61a3a0932298827abc2c4e6f0d03"
    on_token = {
        b"SESSIONGATE.EXPIRE": [token, 60], b"SESSIONGATE.PSET": [token, "name", "data"],
        b"SESSIONGATE.PGET": [token, "name"], b"SESSIONGATE.PDEL": [token, "name"],
        b"SESSIONGATE.END": [token], b"SESSIONGATE.START": [60]}

    def may(user, *command):
        return r.execute_command("ACL", "DRYRUN", user, *command) == b"OK"

    for name, arguments in on_token.items():
        assert may("shop", name, "key", *arguments), name
        assert may("reader", name, "key", *arguments) == (name == b"SESSIONGATE.PGET"), name
    for user in ("shop", "reader"):
        assert not may(user, "SESSIONGATE.PGET", "key", "other:key", "name")
        for command in (["DUMP", token], ["DEL", token], ["SCAN", 0], ["GET", token], ["MONITOR"]):
            assert not may(user, *command), (user, command)


# Links -------------------------------------------------------------------------------------------

def anchors(text):
    """The names that the headings of a page can be linked by."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page):
    text = (TOP / page).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        aim = TOP / path if path else TOP / page
        assert aim.exists(), target
        assert not anchor or anchor in anchors(aim.read_text()), target


def test_the_table_of_contents_has_every_section():
    contents = set(re.findall(r"\]\(#([^)]+)\)", README[:README.index("\n## ")]))
    sections = anchors("\n".join(re.findall(r"^## .*$", README, re.M)))
    assert sections - contents == {"license"}
