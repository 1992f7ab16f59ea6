"""Shows what experiments found: as text for a terminal, and as a README.md with plots.

    Facts       where it was measured, and how quiet it was there
    as_text     one finding for a terminal
    write       README.md and results/*.svg
"""

import datetime
import os
import pathlib
import re
import statistics
import subprocess
import textwrap
import time

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "sessiongate", "svg.fonttype": "none", "font.size": 9,
                            "axes.spines.top": False, "axes.spines.right": False})
from matplotlib import pyplot  # noqa: E402, after the choice of what it draws on

from findings import Answer, Bar, Plot, Skip, Table
from measure import Settings
from server import CLIENT_CORE, SERVER_CORE, TOP

COLOURS = ["#1f6f8b", "#d9822b", "#7a9e3f", "#8a5aa3", "#b0413e", "#5c6b73"]
QUIET = 0.02  # the share of its time that a server may wait for its core on a quiet machine


class Facts:
    """Where and how it was measured."""

    def __init__(self):
        self.began = time.monotonic()
        self.minutes = 0
        self.day = datetime.date.today().isoformat()
        self.server = said("redis-server", "--version").split()[2].removeprefix("v=")
        model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
        self.processor = model[1] if model else os.uname().machine
        self.commit = said("git", "-C", TOP, "describe", "--always", "--dirty=, changed")
        self.load = os.getloadavg()[0]

    def text(self):
        return (f"Redis {self.server} on core {SERVER_CORE}, clients on core {CLIENT_CORE} of "
                f"{os.cpu_count()} ({self.processor}), load average {self.load:.1f}"
                + ("; a quick run" if Settings.quick else ""))

    def finish(self):
        self.minutes = (time.monotonic() - self.began) / 60

    def ending(self):
        shares = sorted(Settings.waited) or [0]
        share = statistics.median(shares)
        verdict = ("The machine was quiet" if share < QUIET else
                   "Other programs disturbed, so trust the ratios of CPU time, pipelined")
        tenth = shares[len(shares) * 9 // 10]
        return (f"{verdict}: servers waited for their core {share:.1%} of the time (the median of "
                f"{len(shares):,} runs; in one run of ten, {tenth:.1%} or more).")


def said(*command):
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return ran.stdout.strip()


# For a terminal ----------------------------------------------------------------------------------

def as_text(finding):
    if isinstance(finding, Table):
        cells = [[str(cell) for cell in row] for row in [finding.header, *finding.rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(finding.header))]
        lines = ["  ".join(cell.rjust(width) if i else cell.ljust(width)
                           for i, (cell, width) in enumerate(zip(row, widths))) for row in cells]
        notes = textwrap.wrap(finding.note, 110)
        return "\n".join(["", finding.title, "", *lines, *([""] if notes else []), *notes])
    if isinstance(finding, Bar):
        what, value, limit, goal, verdict = bar_cells(finding)
        return f"bar: {what}: {value}, {limit}{', goal ' + goal if goal else ''}: {verdict}"
    if isinstance(finding, Answer):
        return "\n".join(["", *textwrap.wrap(finding.text, 110), as_text(finding.table)])
    if isinstance(finding, Skip):
        return f"skipped: {finding.what}: {finding.why}"
    return ""  # plots are for the report


def bar_cells(bar):
    def number(value):
        return f"{value:,.0f}{bar.unit}" if bar.unit else f"{value:.2f}"
    sign = "≥" if bar.at_least else "≤"
    value = number(bar.value)
    if bar.steadier is not None:
        value += f" (CPU {number(bar.steadier)})"
    return [bar.what, value, f"{sign} {number(bar.limit)}",
            "" if bar.goal is None else f"{sign} {number(bar.goal)}",
            "met" if bar.met else "not met"]


# For the README ----------------------------------------------------------------------------------

TITLE = """\
# How fast SessionGate is
"""

METHOD = """\
## How it was measured

This page and its plots are written by `bench/run`; `bench/run --help` says how to repeat it.
Every run of every load is in [results/figures.csv](results/figures.csv).

The server runs on one core and the clients on another. Loads that are compared run by turns,
{pairs} times each or more, about {seconds:g} s a time. A **ratio** is SessionGate's figure over that of
what it is compared with, arranged so that 1 is equal and more is better for SessionGate: the median
over pairs of neighbouring runs, with the quartiles behind it. There is one of operations a
second, and one of the server's CPU time for an operation, which leaves out the network and whatever
else ran on the machine. *Pipelined* is 50 clients that each send 16 commands before they wait for
the answers, *50 clients* the same without pipelining, *one at a time* a single client that waits
for each answer. What redis-benchmark cannot send (tokens by the thousand, calls that are refused)
is sent by [load.c](load.c), which works as it does.

- Measured on {day} at commit {commit}, in {minutes:.0f} minutes.
- Server: Redis {server}. Processor: {processor}, {cores} cores.
- {ending}
{shorter}"""

SHORTER = "- A quick run: fewer sessions and payloads than the text says; the tables tell.\n"


def write(directory, facts, sections):
    """README.md and results/*.svg in that directory; sections are (heading and text, findings)."""
    findings = [finding for _, found in sections for finding in found]
    bars = [bar_cells(finding) for finding in findings if isinstance(finding, Bar)]
    lines = [TITLE, *answers(findings),
             *contents(["How it was measured", *(["Bars"] if bars else []),
                        *(text.partition("\n")[0] for text, _ in sections)]),
             METHOD.format(pairs=Settings.pairs, seconds=Settings.seconds, cores=os.cpu_count(),
                           ending=facts.ending(), shorter=SHORTER if Settings.quick else "",
                           **vars(facts))]
    if bars:
        lines += ["## Bars", "", *markdown(["", "measured", "bar", "goal", ""], bars), ""]
    skips = [finding for finding in findings if isinstance(finding, Skip)]
    if skips:
        lines += ["## Left out", "", *(f"- {skip.what}: {skip.why}." for skip in skips), ""]
    for text, found in sections:
        lines += section(text, found)
    for finding in findings:
        plot = finding.plot if isinstance(finding, Answer) else finding
        if isinstance(plot, Plot):
            draw(plot, directory / "results" / f"{plot.name}.svg")
    (directory / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def answers(findings):
    """What a reader sees first."""
    for finding in findings:
        if isinstance(finding, Answer):
            yield from ["## Is it fast enough for me?", "", finding.text, ""]
            yield from in_page(finding.table)
            yield from in_page(finding.plot)


def contents(headings):
    """Links to all that comes below."""
    links = [f"[{heading}](#{re.sub(r'[^a-z -]', '', heading.lower()).replace(' ', '-')})"
             for heading in headings]
    yield from [f"Below: {'; '.join(links)}.", ""]


def section(text, found):
    heading, _, rest = text.partition("\n")
    rest = textwrap.dedent(rest).strip()
    yield from [f"## {heading}", ""]
    yield from [rest, ""] if rest else []
    for finding in found:
        yield from in_page(finding)


def in_page(finding):
    if isinstance(finding, Plot):
        yield from [f"![{finding.title}](results/{finding.name}.svg)", ""]
    elif isinstance(finding, Table):
        yield from [f"**{finding.title}**", "", *markdown(finding.header, finding.rows), ""]
        yield from [finding.note, ""] if finding.note else []


def markdown(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "| --- |" + " ---: |" * (len(header) - 1)
    for cells in rows:
        yield "| " + " | ".join(str(cell) for cell in cells) + " |"


def draw(plot, path):
    first = next(iter(plot.lines.values()))[0]
    columns = isinstance(first[0], str)
    figure, axes = pyplot.subplots(figsize=(7.5, 0.9 + 0.2 * len(first) * (len(plot.lines) + 1))
                                   if columns else (7.5, 3.8))
    if columns:
        draw_columns(plot, axes)
    else:
        for colour, (label, (x, y)) in zip(COLOURS, plot.lines.items()):
            axes.plot(x, y, marker="o", markersize=4, color=colour, label=label)
        axes.set_xlabel(plot.x)
        axes.set_ylabel(plot.y)
        if plot.log_x:
            axes.set_xscale("log")
        if plot.log_y:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        if plot.level is not None:
            axes.axhline(plot.level, color="black", linewidth=0.8, linestyle=":")
        axes.grid(True, linewidth=0.3)
    axes.set_title(plot.title, fontsize=10, loc="left")
    if len(plot.lines) > 1:
        below = {"loc": "upper left", "bbox_to_anchor": (0, -0.5 / figure.get_figheight()),
                 "ncol": 3} if columns else {}  # columns leave it no room
        axes.legend(frameon=False, fontsize=8, **below)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)


def draw_columns(plot, axes):
    """Groups of horizontal columns, with the value behind each."""
    names = next(iter(plot.lines.values()))[0]
    thick = 0.8 / len(plot.lines)
    for number, (colour, (label, (_, values))) in enumerate(zip(COLOURS, plot.lines.items())):
        at = [index + (number + 0.5) * thick - 0.4 for index in range(len(names))]
        drawn = axes.barh(at, values, height=thick * 0.9, color=colour, label=label)
        axes.bar_label(drawn, padding=2, fontsize=7, labels=[
            f"{value:.2f}" if value < 50 else f"{value:,.0f}" for value in values])
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(plot.y)
    axes.margins(x=0.12)
    if plot.level is not None:
        axes.axvline(plot.level, color="black", linewidth=0.8, linestyle=":")
