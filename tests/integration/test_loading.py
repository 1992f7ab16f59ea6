"""Loading the module where its name is taken: the log says why not, and the first one stays."""

import shutil
import subprocess

import pytest

from harness import TOP, end, error_code, pget, pset, start, wait_for

TAKEN = "a module named sessiongate is loaded already"
ANOTHER = """
#include <redismodule.h>
int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv, (void)argc;
    return RedisModule_Init(ctx, "sessiongate", 1, REDISMODULE_APIVER_1);
}
"""


@pytest.mark.parametrize("copied", [False, True], ids=["the same file", "a copy"])
def test_a_second_load_says_in_the_log_why_not_and_sessions_live_on(
        make_server, module, tmp_path, copied):
    second = shutil.copy(module, tmp_path) if copied else module
    server = make_server()
    client = server.client()
    token = start(client)
    assert error_code(client.execute_command, "MODULE", "LOAD", str(second))
    assert server.log().count(TAKEN) == 1
    pset(client, token, "user", "Ada")
    assert pget(client, token, "user") == b"Ada"
    end(client, token)


def test_a_server_that_is_to_load_it_twice_says_in_the_log_why_it_ends(make_server, module):
    server = make_server(start=False, module=f"{module}\nloadmodule {module}")
    server.start(wait=False)
    wait_for(lambda: not server.alive(), 30, "the server's end")
    assert TAKEN in server.log()
    server.process = None  # that it ended is no fault


def test_another_module_of_that_name_keeps_it(make_server, module, tmp_path):
    source, another = tmp_path / "another.c", tmp_path / "another.so"
    source.write_text(ANOTHER)
    subprocess.run(["gcc", "-shared", "-fPIC", "-isystem", TOP / "build" / "deps", source,
                    "-o", another], check=True)
    server = make_server(module=another)
    assert error_code(server.client().execute_command, "MODULE", "LOAD", str(module))
    assert TAKEN in server.log()
    [kept] = [loaded for loaded in server.client().module_list()
              if loaded[b"name"] == b"sessiongate"]
    assert kept[b"ver"] == 1
