"""The tokens that every client library is tested with, held against the module."""

import json

import pytest

from features import sg
from harness import TOP, error_code

VECTORS = json.loads((TOP / "clients" / "testing" / "vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["what"])
def test_a_good_token_is_adopted(r, vector):
    sign_key, token = bytes.fromhex(vector["sign_key_hex"]), vector["token"].encode()
    assert token.startswith(vector["form"].encode() + b".")
    assert error_code(sg, r, "TTL", token, sign_key=sign_key) == "NOSESSION"
    assert sg(r, "ADOPT", token, 60, sign_key=sign_key) == b"OK"
    assert sg(r, "TTL", token, sign_key=sign_key) == 60


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda vector: vector["what"])
def test_a_bad_token_is_refused(r, vector):
    sign_key, token = bytes.fromhex(vector["sign_key_hex"]), bytes.fromhex(vector["token_hex"])
    for command, *rest in (("TTL",), ("ADOPT", 60), ("PSET", b"n", b"d"), ("END",)):
        assert error_code(sg, r, command, token, *rest, sign_key=sign_key) == vector["error"]
    assert r.dbsize() == 0


def test_a_token_is_in_its_hash_slot(make_server):
    client = make_server(cluster_enabled="yes").client()
    for vector in VECTORS["slots"]:
        assert client.execute_command("CLUSTER", "KEYSLOT", vector["token"]) == vector["slot"]
