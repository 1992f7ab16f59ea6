"""What an experiment yields: tables, plots, bars, skips and an answer, for report.py to show."""

import dataclasses


@dataclasses.dataclass
class Table:
    title: str
    header: list
    rows: list
    note: str = ""


@dataclasses.dataclass
class Plot:
    """Lines, {label: ([x, ...], [y, ...])}; or columns where the x are names."""
    name: str  # of the file
    title: str
    x: str
    y: str
    lines: dict
    log_x: bool = False
    log_y: bool = False
    level: float = None  # where a line across is drawn


@dataclasses.dataclass
class Bar:
    """A promise: `value` is at least (or at most) `limit`."""
    what: str
    value: float
    limit: float
    at_least: bool = True
    goal: float = None
    unit: str = ""
    steadier: float = None  # the same of CPU time, for where other programs disturbed

    @property
    def met(self):
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclasses.dataclass
class Skip:
    what: str
    why: str


@dataclasses.dataclass
class Answer:
    """What the page begins with: a sentence or two, one table, one plot."""
    text: str
    table: Table
    plot: Plot
