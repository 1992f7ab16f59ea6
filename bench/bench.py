"""Runs the experiments, shows what they find, writes the report. bench/run calls it."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import redis

import experiments
import measure
import options
import report
from findings import Plot
from measure import Settings
from server import CLIENT_CORE, TOP


def main():
    chosen = options.read()
    if chosen.quick:
        Settings.quick, Settings.pairs, Settings.seconds = True, 3, 0.08
    Settings.pairs = chosen.pairs or Settings.pairs
    Settings.seconds = chosen.seconds or Settings.seconds
    whole = not chosen.quick and set(chosen.only) == set(experiments.MODULES)
    directory = chosen.out or TOP / ("bench" if whole else "build/bench/report")
    (directory / "results").mkdir(parents=True, exist_ok=True)
    os.sched_setaffinity(0, {CLIENT_CORE})
    facts = report.Facts()
    log = measure.log = measure.Log(directory / "results" / "figures.csv", len(chosen.only))
    log.say(facts.text())
    with tempfile.TemporaryDirectory(prefix="sessiongate-bench-") as scratch:
        sections = [(experiment.__doc__, run(log, experiment, pathlib.Path(scratch)))
                    for experiment in map(experiments.load, chosen.only)]
    facts.finish()
    report.write(directory, facts, sections)
    log.say(f"\n{facts.ending()}\nTook {facts.minutes:.1f} minutes. Written: "
            f"{os.path.relpath(directory)}/README.md, and the raw figures in results/ beside it.")


def run(log, experiment, scratch):
    """The findings of one experiment, shown as they come."""
    log.begin(experiment.__name__)
    found = []
    for finding in experiment(scratch):
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
