"""How a figure is got: a load that is run and timed, and loads that are compared in pairs.

    Mode        how many clients send how many commands before they wait
    Sample      one run of one load: rate, the server's CPU time for an operation, and where load.c
                knows them the bytes on the wire, (sent, received)
    benchmark   a load by redis-benchmark: one command, whose keys may hold random numbers
    load        a load by load.c: keys from a file, answers that are errors, several commands
    compare     runs loads by turns; its ratios are medians over neighbours, with quartiles

A ratio is ours / theirs of operations a second, so that 1 is equal and more is better. The ratio of
CPU time is theirs / ours, so that it reads the same way: it is steadier, as it does not count the
time in which other programs had the core.
"""

import collections
import concurrent.futures
import csv
import re
import statistics
import subprocess
import sys
import time

from server import CLIENT_CORE, TOP

LOAD = TOP / "build" / "bench" / "load"

Mode = collections.namedtuple("Mode", "name clients depth")
PIPELINED = Mode("pipelined", 50, 16)  # 50 clients, 16 commands before each waits
PARALLEL = Mode("50 clients", 50, 1)  # 50 clients, each waits for each answer
SINGLE = Mode("one at a time", 1, 1)  # one client that waits for each answer
Sample = collections.namedtuple("Sample", "operations seconds rate cpu_ns waited wire",
                                defaults=[None])


class Settings:
    """How long to measure, and how quiet it was."""
    quick = False
    pairs = 9  # how often each load is run
    seconds = 0.2  # how long one run takes, about
    waited = []  # of each run, the share of its time that the server waited for its core


class Log:
    """The raw figures, a line for each run, and the progress line."""

    def __init__(self, path, total):
        self.file = open(path, "w", newline="")
        self.csv = csv.writer(self.file)
        self.csv.writerow(["experiment", "case", "mode", "load", "round", "operations", "seconds",
                           "operations_per_second", "server_cpu_ns_per_operation",
                           "server_waited_share"])
        self.began = time.monotonic()
        self.step, self.total = 0, total
        self.experiment = ""

    def begin(self, experiment):
        self.step += 1
        self.experiment = experiment
        self.progress(experiment)

    def row(self, case, mode, load, number, sample):
        self.csv.writerow([self.experiment, case, mode, load, number, sample.operations,
                           f"{sample.seconds:.6f}", f"{sample.rate:.1f}", f"{sample.cpu_ns:.1f}",
                           f"{sample.waited:.4f}"])
        self.file.flush()

    def figure(self, case, what, value, number=0):
        """A figure that is not a rate: `what` says its unit."""
        self.csv.writerow([self.experiment, case, "", what, number, "", value, "", "", ""])
        self.file.flush()

    def progress(self, text):
        if sys.stderr.isatty():
            minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
            text = f"[{self.step}/{self.total} {minutes}:{seconds:02}] {text}"
            sys.stderr.write(f"\r\033[K{text[:110]}")
            sys.stderr.flush()

    def say(self, text=""):
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
        print(text, flush=True)


log = None  # the Log, set by the program


# Loads -------------------------------------------------------------------------------------------

def client_of(arguments, data):
    """Run a client on the clients' core, with data for its standard input."""
    if isinstance(data, str):
        data = data.encode()
    return subprocess.run(["taskset", "-c", str(CLIENT_CORE), *map(str, arguments)],
                          input=b"" if data is None else data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)


def sampled(servers, operations, run):
    """A Sample of run(), which returns its seconds, or None: then all of its time counts."""
    def cpu_ns():
        return [sum(part) for part in zip(*(server.cpu_ns() for server in servers))]
    ran_before, waited_before = cpu_ns()
    began = time.monotonic()
    seconds = run() or time.monotonic() - began
    ran, waited = cpu_ns()
    ran, waited = ran - ran_before, waited - waited_before
    share = waited / max(1, ran + waited)
    Settings.waited.append(share)
    return Sample(operations, seconds, operations / seconds, ran / operations, share)


def benchmark(server, mode, command, database=0, random=None, data=None):
    """A load by redis-benchmark: a function of the number of operations that returns a Sample.

    random    __rand_int__ in the command is a number below this
    data      the last argument of the command, where it is too large for a command line; text, as
              redis-benchmark ends it at a NUL
    """
    def run(operations):
        operations = max(operations, mode.clients * mode.depth)
        arguments = ["redis-benchmark", "-p", server.port, "--dbnum", database, "-c", mode.clients,
                     "-P", mode.depth, "-n", operations, "--csv"]
        if random:
            arguments += ["-r", random]
        if data is not None:
            arguments.append("-x")

        def once():
            ran = client_of(arguments + list(command), data)
            lines = ran.stdout.decode(errors="replace").strip().splitlines()
            if ran.returncode or not lines or not re.search(r'"[\d.]+"$', lines[-1]):
                raise RuntimeError(f"redis-benchmark {command[:2]} failed: "
                                   + (ran.stderr + ran.stdout).decode(errors="replace")[-500:])
            # "<command>","<operations a second>","<average latency>",...: seven numbers in all
            rate = float(lines[-1].split(",")[-7].strip('"'))
            return operations / rate if rate > 0 else None
        return sampled([server], operations, once)
    return run


def load(server, mode, command, keys=None, database=0, seed=None, first=None, output=None,
         verify=None, data=None, errors=False):
    """A load by load.c, likewise; the options are load.c's."""
    def run(operations):
        arguments = [LOAD, "-p", server.port, "-n", operations, "-b", database, "-c", mode.clients,
                     "-d", mode.depth]
        for option, value in (("-k", keys), ("-s", seed), ("-f", first), ("-o", output),
                              ("-v", verify)):
            if value is not None:
                arguments += [option, value]
        arguments += ["-x"] * (data is not None) + ["-e"] * errors

        def once():
            nonlocal said
            ran = client_of(arguments + list(command), data)
            if ran.returncode:
                raise RuntimeError(f"load {command[:2]} failed: " + ran.stderr.decode()[-500:])
            said = ran.stdout.split()
            return float(said[1])
        said = []
        sample = sampled([server], operations, once)
        return sample._replace(wire=(int(said[3]), int(said[4])))
    return run


def together(loads):
    """Several loads at once, on servers of their own, as one load."""
    def run(operations):
        each = max(1, operations // len(loads))
        with concurrent.futures.ThreadPoolExecutor(len(loads)) as pool:
            samples = list(pool.map(lambda load: load(each), loads))
        seconds = max(sample.seconds for sample in samples)
        number = each * len(loads)
        return Sample(number, seconds, number / seconds,
                      statistics.mean(sample.cpu_ns for sample in samples),
                      statistics.mean(sample.waited for sample in samples))
    return run


# Comparing ---------------------------------------------------------------------------------------

Ratio = collections.namedtuple("Ratio", "median low high")


def ratio(values):
    """Median and quartiles."""
    values = sorted(values)
    if len(values) < 3:
        return Ratio(statistics.median(values), values[0], values[-1])
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Ratio(statistics.median(values), low, high)


class Comparison:
    """What compare() found: samples of each load, in the order of their rounds."""

    def __init__(self, case, mode, samples):
        self.case, self.mode, self.samples = case, mode, samples

    def rate(self, name):
        """Operations a second, median."""
        return statistics.median(sample.rate for sample in self.samples[name])

    def cpu(self, name):
        """ns of the server's CPU for an operation, median."""
        return statistics.median(sample.cpu_ns for sample in self.samples[name])

    def speed(self, ours, theirs):
        """Ratio of rates, of neighbours."""
        return ratio([a.rate / b.rate for a, b in zip(self.samples[ours], self.samples[theirs])])

    def cheapness(self, ours, theirs):
        """Ratio of CPU times, of neighbours; more is better, as with speed."""
        return ratio([b.cpu_ns / a.cpu_ns
                      for a, b in zip(self.samples[ours], self.samples[theirs])])


def compare(case, mode, loads, before=None, operations=None, rounds=None):
    """Run loads, {name: function of the number of operations}, by turns.

    before        called with the name right before each run, untimed
    operations    how many for each run; left out: as many as take Settings.seconds
    """
    before = before or (lambda name: None)
    log.progress(f"{log.experiment}: {case}, {mode.name}")
    number = dict.fromkeys(loads, operations)
    if operations is None:
        for name, run in loads.items():
            before(name)
            trial = run(mode.clients * mode.depth * 2)  # the first run warms up, and is not counted
            before(name)
            trial = run(max(mode.clients * mode.depth * 2, int(trial.rate * Settings.seconds / 5)))
            number[name] = max(mode.clients * mode.depth, int(trial.rate * Settings.seconds))
    samples = {name: [] for name in loads}
    for number_of_round in range(rounds or Settings.pairs):
        names = list(loads)
        if number_of_round % 2:
            names.reverse()  # what comes second has no advantage
        for name in names:
            before(name)
            sample = loads[name](number[name])
            samples[name].append(sample)
            log.row(case, mode.name, name, number_of_round, sample)
    return Comparison(case, mode, samples)
