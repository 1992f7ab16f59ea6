"""Runs the experiments, shows their tables and writes the report. ./bench.sh is how to call it."""

import argparse
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

import measure
import report
from experiments import EXPERIMENTS
from server import CLIENT_CORE, SERVER_CORE, TOP


def arguments():
    names = ", ".join(EXPERIMENTS)
    parser = argparse.ArgumentParser(
        prog="./bench.sh", add_help=False, usage=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(EXPERIMENTS))
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--pairs", type=int)
    chosen = parser.parse_args()
    for name in chosen.only:
        if name not in EXPERIMENTS:
            parser.error(f"there is no experiment '{name}'; there are: {names}")
    return chosen


def main():
    chosen = arguments()
    os.sched_setaffinity(0, {CLIENT_CORE})
    if chosen.quick:
        measure.Settings.quick = True
        measure.Settings.pairs, measure.Settings.seconds = 3, 0.15
    measure.Settings.pairs = chosen.pairs or measure.Settings.pairs
    measure.Settings.seconds = chosen.seconds or measure.Settings.seconds
    whole = not chosen.quick and set(chosen.only) == set(EXPERIMENTS)
    out = chosen.out or (TOP / "bench" if whole else TOP / "build" / "bench" / "report")
    (out / "results").mkdir(parents=True, exist_ok=True)
    measure.log = log = measure.Log(out / "results" / "figures.csv", len(chosen.only))
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="sessiongate-bench-"))
    facts = report.facts(chosen.quick)
    log.say(facts.text())
    sections = []
    try:
        for name in chosen.only:
            log.step += 1
            log.experiment = name
            log.progress(EXPERIMENTS[name].__doc__)
            parts = list(EXPERIMENTS[name](scratch))
            sections.append((name, EXPERIMENTS[name].__doc__, parts))
            for part in parts:
                log.say(report.as_text(part))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    facts.finish(measure.Settings.unsteady, log)
    report.write(out, facts, sections)
    log.say(facts.ending())
    log.say(f"Written: {os.path.relpath(out / 'README.md')}, and the raw figures in results/figures.csv beside it")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("bench: stopped")
    except (RuntimeError, OSError) as error:
        sys.exit(f"bench: {error}")
