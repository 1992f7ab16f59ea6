"""Tokens are verified and made as the module does it; sign keys show themselves to nobody."""

import copy
import json
import logging
import pickle
import pprint
import re
import traceback
from collections import Counter

import pytest
from support import KEY, OLD_KEY, TOP

from sessiongate import BadArgument, BadSignature, BadToken, Gate
from sessiongate.tokens import Keyring, SignKey, seal

VECTORS = json.loads((TOP / "clients" / "testing" / "vectors.json").read_text())


def keyring(*keys):
    return Keyring(seal(keys))


def what(vector):
    return vector["what"]


@pytest.mark.parametrize("vector", VECTORS["good"], ids=what)
def test_a_good_token_verifies_with_its_key_whatever_its_position(vector):
    key = bytes.fromhex(vector["sign_key_hex"])
    assert keyring(key).verify(vector["token"]) == (0, vector["form"])
    assert keyring(b"another", key).verify(vector["token"]) == (1, vector["form"])
    assert keyring(b"another").verify(vector["token"]) is None


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=what)
def test_a_bad_token_does_not_verify(vector):
    keys = keyring(bytes.fromhex(vector["sign_key_hex"]))
    token = bytes.fromhex(vector["token_hex"]).decode("utf-8", "surrogateescape")
    assert keys.verify(token) is None
    with pytest.raises({"BADTOKEN": BadToken, "BADSIGNATURE": BadSignature}[vector["error"]]):
        keys.position(token)


@pytest.mark.parametrize("nothing", ["", None, 3, b"v1.x"])
def test_what_is_no_text_of_a_token_does_not_verify(nothing):
    assert keyring(KEY).verify(nothing) is None
    with pytest.raises(BadToken):
        keyring(KEY).position(nothing)


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("v1", r"v1\.[a-zA-Z0-9]{16}\.[0-9a-f]{64}"),
        ("v2", r"v2\.[a-zA-Z0-9]{22}\.[0-9a-f]{32}[a-zA-Z0-9]{3}"),
    ],
)
def test_minted_tokens_verify_and_every_character_of_an_id_is_as_likely(form, pattern):
    keys = keyring(KEY, OLD_KEY)
    minted = {keys.mint(form) for _ in range(5000)}
    assert len(minted) == 5000
    assert all(re.fullmatch(pattern, token) and keys.verify(token) == (0, form) for token in minted)
    drawn = Counter("".join(token.split(".")[1] for token in minted))
    expected = sum(drawn.values()) / 62
    assert len(drawn) == 62
    # 61 degrees of freedom: chance exceeds 130 once in a million runs
    assert sum((count - expected) ** 2 / expected for count in drawn.values()) < 130


def test_a_sign_key_is_shown_by_no_way_to_print_it(caplog):
    key = SignKey(KEY)
    shown = [
        repr(key),
        str(key),
        f"{key}",
        f"{key!r}",
        f"{key:>40}",
        "%s %r" % (key, key),
        key.decode(),
        key.decode("latin-1", "replace"),
        key.hex(),
        repr([key]),
        repr({"key": (key,)}),
        pprint.pformat([key]),
        f"{key}",
    ]
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("any").debug("%s %r", key, key)
    shown.append(caplog.text)
    assert all("sign key" in text for text in shown)
    assert not any(KEY.decode() in text or KEY.hex() in text for text in shown)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        copy.deepcopy([key])
    assert b"".join([key]) == KEY


@pytest.mark.parametrize("keys", [[], [b""], [KEY, b""], KEY, "text", ["text"], [None], [KEY, "x"]])
def test_sign_keys_that_are_none_are_refused_without_being_shown(keys):
    with pytest.raises(BadArgument) as raised:
        Gate(None, keys)
    frames = [frame for frame, _ in traceback.walk_tb(raised.value.__traceback__)][1:]
    assert frames
    shown = repr(raised.value) + repr([frame.f_locals for frame in frames])
    assert KEY.decode() not in shown
    assert "text" not in shown


@pytest.mark.parametrize(
    "settings",
    [{"ttl": 0}, {"ttl": -1}, {"max_ttl": 0}, {"refresh": -1}, {"token_format": "v3"}],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(BadArgument):
        Gate(None, [KEY], **settings)
