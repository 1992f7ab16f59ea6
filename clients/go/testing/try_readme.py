"""Does what the README tells a new user: try_readme.py TOP.

Each program of the README (a Go block with `package main`) is built in an empty module with a
`replace`, and run against a server of its own on a free port, which takes the place of 6379. A program
that listens on :8080 is visited twice, with the cookie that it gave; any other has to end by itself.
"""

import http.cookiejar
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

MODULE = "github.com/f0rmiga/sessiongate/clients/go"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def visit_twice(port):
    """What two visits of one browser are answered."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(
        http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https")))))
    deadline, answers = time.monotonic() + 30, []
    while len(answers) < 2:
        try:
            answers.append(browser.open(f"http://127.0.0.1:{port}/", timeout=10).read().decode())
        except urllib.error.HTTPError:
            raise
        except OSError:  # it does not listen yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    return answers


def try_program(source, top, server):
    port = free_port()
    source = source.replace("localhost:6379", server).replace('":6379"', f'"{server}"')
    source = source.replace('"localhost:8080"', f'"127.0.0.1:{port}"')
    modules = sorted(set(re.findall(rf'"({MODULE}[^"]*)"', source)), key=len)
    with tempfile.TemporaryDirectory() as directory:
        def go(*arguments):
            subprocess.run(["go", *arguments], cwd=directory, check=True)
        pathlib.Path(directory, "main.go").write_text(source)
        go("mod", "init", "example.com/app")
        for suffix in ["", "/gorilla", "/gin", "/scs"]:
            go("mod", "edit", "-replace", f"{MODULE}{suffix}={top}/clients/go{suffix}")
        go("mod", "tidy")
        go("build", "-o", "app", ".")
        app = subprocess.Popen([f"{directory}/app"], cwd=directory)
        try:
            if "ListenAndServe" in source:
                first, second = visit_twice(port)
                assert first != second, f"two visits of one browser were answered {first!r}"
                print(f"{modules[-1]}: {first!r}, then {second!r}")
            else:
                assert app.wait(30) == 0, f"the program ended with status {app.returncode}"
        finally:
            app.kill()
            app.wait()


def main(top):
    programs = [block for block in re.findall(r"```go\n(.*?)```", (top / "clients/go/README.md").read_text(), re.S)
                if "package main" in block]
    assert len(programs) >= 2, "the README has not the two programs"
    serve = subprocess.Popen([top / "clients/testing/serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        node = json.loads(serve.stdout.readline())["nodes"][0]
        for program in programs:
            try_program(program, top, f"{node['host']}:{node['port']}")
    finally:
        serve.stdin.close()
        serve.wait()


main(pathlib.Path(sys.argv[1]).resolve())
