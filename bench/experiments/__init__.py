"""All experiments, in the order of the report.

Each is a function of a scratch directory that yields what findings.py has. The first line of its
docstring is its heading, the rest the text beneath. Sessions and what they are compared with have
names of one length (84 bytes), the same payloads and the same clients, in one server process where
nothing else is said.
"""

import ast
import importlib
import pathlib

# Each experiment's file. They import what may not be installed yet, so this imports none of them.
MODULES = {
    "core": "commands", "request": "requests", "instructions": "instructions", "memory": "costs",
    "payloads": "commands", "many": "commands", "script": "rivals", "application": "rivals",
    "durable": "commands", "sessions": "growth", "growth": "growth", "bulk": "bulk",
    "pause": "pauses", "refused": "costs", "owners": "owners", "cluster": "clusters",
    "migration": "migrations"}


def load(name):
    """The experiment, to be run."""
    return getattr(importlib.import_module(f"experiments.{MODULES[name]}"), name)


def heading(name):
    """The experiment's heading, read from its file without an import."""
    source = pathlib.Path(__file__).with_name(MODULES[name] + ".py").read_text()
    [function] = [node for node in ast.parse(source).body if getattr(node, "name", None) == name]
    return ast.get_docstring(function).splitlines()[0]
