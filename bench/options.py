"""The arguments of bench/run. Read before anything is installed: the standard library is enough."""

import argparse
import pathlib
import sys

import experiments


class Parser(argparse.ArgumentParser):
    def error(self, message):
        sys.stderr.write(f"bench: {message}; see bench/run --help\n")
        sys.exit(2)


def positive(kind):
    def number(text):
        value = kind(text)
        if value <= 0:
            raise ValueError
        return value
    return number


def read():
    """The arguments of this program, each as an attribute; a wrong one ends it with status 2."""
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", type=lambda text: text.split(","),
                        default=list(experiments.MODULES))
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--pairs", type=positive(int))
    parser.add_argument("--seconds", type=positive(float))
    chosen = parser.parse_args()
    for name in chosen.only:
        if name not in experiments.MODULES:
            parser.error(f"there is no experiment '{name}'")
    return chosen


if __name__ == "__main__":
    if read().list:
        for name in experiments.MODULES:
            print(f"{name:14}{experiments.heading(name)}")
