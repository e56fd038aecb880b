"""Run the tests and count them by kind; the exit status is 0 only if some ran and none failed.

The browser tests run apart: the loop of Playwright's synchronous interface and that of the asyncio
tests do not mix in one process. All run in a few processes, each with a database (and a site) of
its own. Arguments name kinds (``unit``, ``contract``, ``integration``, ``browser``); without any,
all run. What follows ``--`` goes to pytest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from recsys.threads import limit_threads

ROOT = Path(__file__).resolve().parent.parent
# By file: what a module shares is made once. In the order of the folders: the many short unit tests
# come last, so that no process is left alone with a long file in the end.
SHARED_BY_FILE = ["--dist", "loadfile", "--no-loadscope-reorder"]
# A browser keeps a core busy; the other tests wait for much.
OF_THE_BROWSER, OF_THE_OTHERS = "2", "3"
KINDS = ("unit", "contract", "integration", "browser")
# pytest: all passed, some failed, no test found in what was asked for.
ORDINARY_STATUS = (0, 1, 5)


def outcome_of(case: ElementTree.Element) -> str:
    """Return how one test case of a JUnit file ended."""
    tags = {child.tag for child in case}
    if tags & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in tags else "passed"


def kind_of(case: ElementTree.Element) -> str:
    """Return the kind of a test case: the folder below ``tests``."""
    # A module that could not be collected has no class; its name is the module's.
    dotted = case.get("classname") or case.get("name") or ""
    parts = dotted.replace("/", ".").split(".")
    return parts[1] if parts[0] == "tests" and len(parts) > 1 and parts[1] in KINDS else "other"


def read_report(path: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Return ``(class, name) -> (kind, outcome)``; a test that failed twice counts once."""
    cases: dict[tuple[str, str], tuple[str, str]] = {}
    for case in ElementTree.parse(path).iter("testcase"):  # noqa: S314 - pytest wrote it just now
        identity = (case.get("classname", ""), case.get("name", ""))
        outcome = outcome_of(case)
        if outcome == "failed" or identity not in cases:
            cases[identity] = (kind_of(case), outcome)
    return cases


def run_pytest(folders: list[str], extra: list[str], report: Path) -> Counter[tuple[str, str]]:
    """Run pytest once; return the number of tests by kind and outcome.

    A run that broke down without saying which test it was counts as one failure.
    """
    number = OF_THE_BROWSER if folders == ["tests/browser"] else OF_THE_OTHERS
    workers = ["-n", number, *SHARED_BY_FILE]
    command = [sys.executable, "-m", "pytest", *folders, f"--junitxml={report}", *workers, *extra]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    counts: Counter[tuple[str, str]] = Counter()
    if report.exists():
        counts.update(read_report(report).values())
    said_failed = any(outcome == "failed" for _, outcome in counts)
    if status not in ORDINARY_STATUS or (status == 1 and not said_failed):
        print(f"pytest ended with {status} on {' '.join(folders)}")
        counts[("other", "failed")] += 1
    return counts


def groups(kinds: list[str]) -> list[list[str]]:
    """Return what each pytest run is given: everything but the browser, then the browser."""
    if not kinds:
        return [["tests", "--ignore=tests/browser"], *groups(["browser"])]
    existing = [f"tests/{kind}" for kind in kinds if (ROOT / "tests" / kind).is_dir()]
    browser = [folder for folder in existing if folder == "tests/browser"]
    return [group for group in ([f for f in existing if f not in browser], browser) if group]


def print_summary(counts: Counter[tuple[str, str]]) -> None:
    """Print a line for each kind, then the closing line."""
    outcomes = ("passed", "failed", "skipped")
    print("\nTests by kind")
    for kind in (*KINDS, "other"):
        passed, failed, skipped = (counts[kind, outcome] for outcome in outcomes)
        if kind != "other" or passed or failed or skipped:
            print(f"  {kind:<12} {passed + failed:>5} ran, {failed} failed, {skipped} skipped")
    totals = [sum(counts[kind, outcome] for kind in (*KINDS, "other")) for outcome in outcomes]
    print()
    print("{} passed, {} failed, {} skipped".format(*totals), flush=True)


def main() -> int:
    """Run what the arguments name."""
    # As in a training: with a thread for each core in each of the processes they stand in line.
    limit_threads()
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    kinds, extra = arguments[:cut], arguments[cut + 1 :]
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        print(f"unknown kind: {', '.join(unknown)}; known: {', '.join(KINDS)}")
        return 2
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number, folders in enumerate(groups(kinds)):
            counts += run_pytest(folders, extra, Path(folder) / f"report-{number}.xml")
    print_summary(counts)
    failed = sum(number for (_, outcome), number in counts.items() if outcome == "failed")
    passed = sum(number for (_, outcome), number in counts.items() if outcome == "passed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
