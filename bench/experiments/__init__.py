"""All experiments, in the order of the report.

Each is a function of a scratch directory that yields what findings.py has. The first line of its
docstring is its heading, the rest the text beneath. Sessions and what they are compared with have
names of one length (84 bytes), the same payloads and the same clients, in one server process where
nothing else is said.
"""

from experiments.clusters import cluster
from experiments.commands import core, durable, many, payloads
from experiments.costs import instructions, memory, pause, refused
from experiments.growth import bulk, growth, sessions
from experiments.rivals import application, script

EXPERIMENTS = {function.__name__: function for function in (
    core, instructions, memory, payloads, many, script, application, durable, sessions, growth,
    bulk, pause, refused, cluster)}
