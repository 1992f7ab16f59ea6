"""Runs the experiments, shows what they find, writes the report. ./bench.sh calls it."""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import redis

import measure
import report
from experiments import EXPERIMENTS
from findings import Plot
from measure import Settings
from server import CLIENT_CORE, TOP


class Parser(argparse.ArgumentParser):
    def error(self, message):
        sys.stderr.write(f"bench: {message}; see ./bench.sh --help\n")
        sys.exit(2)


def positive(kind):
    def number(text):
        value = kind(text)
        if value <= 0:
            raise ValueError
        return value
    return number


def arguments():
    parser = Parser(add_help=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(EXPERIMENTS))
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--pairs", type=positive(int))
    parser.add_argument("--seconds", type=positive(float))
    chosen = parser.parse_args()
    for name in chosen.only:
        if name not in EXPERIMENTS:
            parser.error(f"there is no experiment '{name}'")
    return chosen


def main():
    chosen = arguments()
    if chosen.list:
        for name, experiment in EXPERIMENTS.items():
            print(f"{name:14}{experiment.__doc__.splitlines()[0]}")
        return
    if chosen.quick:
        Settings.quick, Settings.pairs, Settings.seconds = True, 3, 0.08
    Settings.pairs = chosen.pairs or Settings.pairs
    Settings.seconds = chosen.seconds or Settings.seconds
    whole = not chosen.quick and set(chosen.only) == set(EXPERIMENTS)
    directory = chosen.out or TOP / ("bench" if whole else "build/bench/report")
    (directory / "results").mkdir(parents=True, exist_ok=True)
    os.sched_setaffinity(0, {CLIENT_CORE})
    facts = report.Facts()
    log = measure.log = measure.Log(directory / "results" / "figures.csv", len(chosen.only))
    log.say(facts.text())
    with tempfile.TemporaryDirectory(prefix="sessiongate-bench-") as scratch:
        sections = [(EXPERIMENTS[name].__doc__, run(log, name, pathlib.Path(scratch)))
                    for name in chosen.only]
    facts.finish()
    report.write(directory, facts, sections)
    log.say(f"\n{facts.ending()}\nTook {facts.minutes:.1f} minutes. Written: "
            f"{os.path.relpath(directory)}/README.md, and the raw figures in results/ beside it.")


def run(log, name, scratch):
    """The findings of one experiment, shown as they come."""
    log.begin(name)
    found = []
    for finding in EXPERIMENTS[name](scratch):
        found.append(finding)
        if not isinstance(finding, Plot):
            log.say(report.as_text(finding))
    for path in scratch.iterdir():
        path.unlink()
    return found


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # and servers with it
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("bench: stopped")
    except subprocess.CalledProcessError as error:
        sys.exit(f"bench: {error.cmd[0]} failed: {error.stderr or error.stdout or error}")
    except (RuntimeError, OSError, redis.RedisError) as error:
        sys.exit(f"bench: {error}")
