"""What the experiments found, as text for a terminal, and as bench/README.md with its plots."""

import os
import pathlib
import re
import statistics
import subprocess
import time

from experiments import Bar, Plot, Skip, Table
from server import CLIENT_CORE, SERVER_CORE, TOP


def as_text(part):
    if isinstance(part, Table):
        cells = [part.header] + [[str(cell) for cell in row] for row in part.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(part.header))]
        lines = ["  ".join(cell.ljust(width) if i < 1 else cell.rjust(width)
                           for i, (cell, width) in enumerate(zip(row, widths))) for row in cells]
        return "\n".join(["", part.title, "", *lines] + ([f"({part.note})"] if part.note else []))
    if isinstance(part, Bar):
        return "  ".join(["bar:", *bar_cells(part)])
    if isinstance(part, Skip):
        return f"skipped: {part.what}: {part.why}"
    return f"plot: {part.title}"


def bar_cells(bar):
    number = f"{bar.value:.2f}" if not bar.unit else f"{bar.value:.0f}{bar.unit}"
    limit = f"{bar.limit:.2f}" if not bar.unit else f"{bar.limit:.0f}{bar.unit}"
    goal = "" if bar.goal is None else f"goal {bar.goal:g}{bar.unit}"
    return [bar.what, number, f"{'≥' if bar.at_least else '≤'} {limit}",
            "met" if bar.met else "NOT MET", goal]


class facts:
    """Where and how it was measured."""

    def __init__(self, quick):
        self.quick = quick
        self.began = time.monotonic()
        self.server = subprocess.run(["redis-server", "--version"], text=True,
                                     stdout=subprocess.PIPE).stdout.split()[2].partition("=")[2]
        self.cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
        self.cpu = self.cpu[1] if self.cpu else os.uname().machine
        self.waited, self.skips = [], []

    def text(self):
        return (f"Redis {self.server}; server on core {SERVER_CORE}, clients on core {CLIENT_CORE} of "
                f"{os.cpu_count()} ({self.cpu}); load {os.getloadavg()[0]:.1f}"
                + (", quick run" if self.quick else ""))

    def finish(self, waited, log):
        self.waited = waited
        self.minutes = (time.monotonic() - self.began) / 60

    def ending(self):
        share = statistics.median(self.waited) if self.waited else 0
        return (f"\nTook {self.minutes:.1f} minutes. The server had to wait for its core {share:.1%} of "
                f"the time (median of {len(self.waited)} runs, at most {max(self.waited or [0]):.1%}): "
                + ("quiet." if share < 0.02 else "other programs disturbed; trust the CPU ratios."))


def write(out, facts, sections):
    pass
