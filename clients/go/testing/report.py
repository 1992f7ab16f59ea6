"""Sums up what clients/go/test ran: report.py RESULTS [JUNIT-FILE].

RESULTS has, for each step, NAME.status (its exit status; 77: skipped) and NAME.log; a step of tests also NAME.json,
by `go test -json`. A test with subtests counts by these alone.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def tests_of(path):
    """(package, test, "pass", "fail" or "skip", seconds, output) of each test without subtests."""
    output, ended = {}, {}
    for line in path.read_text().splitlines():
        event = json.loads(line)
        test = (event.get("Package"), event.get("Test"))
        if event["Action"] == "output":
            output[test] = output.get(test, "") + event["Output"]
        elif test[1] and event["Action"] in ("pass", "fail", "skip"):
            ended[test] = (event["Action"], event.get("Elapsed", 0))
    parents = {(package, name.rsplit("/", depth)[0]) for package, name in ended
               for depth in range(1, name.count("/") + 1)}
    for test, (action, seconds) in ended.items():
        if test not in parents or action == "fail":
            yield *test, action, seconds, output.get(test, "")


def main(results, junit):
    suites = ElementTree.Element("testsuites")
    passed, failed, skips = 0, 0, []
    for status in sorted(results.glob("*.status")):
        step = status.stem
        suite = ElementTree.SubElement(suites, "testsuite", name=step)
        path = status.with_suffix(".json")
        cases = list(tests_of(path)) if path.exists() else []
        outcome = {"0": "pass", "77": "skip"}.get(status.read_text().strip(), "fail")
        if not cases or outcome == "fail" and not any(case[2] == "fail" for case in cases):
            log = status.with_suffix(".log").read_text(errors="replace")
            cases.append((step, step, outcome, 0, log))
        for package, name, action, seconds, output in cases:
            case = ElementTree.SubElement(suite, "testcase", classname=package, name=name, time=str(seconds))
            if action == "fail":
                failed += 1
                ElementTree.SubElement(case, "failure", message="failed").text = printable(output)
            elif action == "skip":
                said = [line.split(": ", 1)[-1] for line in output.splitlines() if not line.startswith(("---", "==="))]
                said = [line for line in said if line.strip() and not line.lstrip().startswith("---")]
                reason = said[-1] if said else "no reason given"
                skips.append(reason)
                ElementTree.SubElement(case, "skipped", message=printable(reason))
            else:
                passed += 1
    if junit:
        ElementTree.ElementTree(suites).write(junit, encoding="utf-8", xml_declaration=True)
    for reason in sorted(set(skips)):
        print(f"skipped {skips.count(reason)}: {reason}")
    print(f"{passed} passed, {failed} failed, {len(skips)} skipped")


def printable(text):
    """XML has no control characters."""
    return "".join(c if c >= " " or c in "\t\n" else "?" for c in text)


main(pathlib.Path(sys.argv[1]), sys.argv[2])
