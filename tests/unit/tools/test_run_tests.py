from collections import Counter
from pathlib import Path

import pytest

from tools.run_tests import groups, print_summary, read_report

REPORT = """<?xml version="1.0"?><testsuites><testsuite>
<testcase classname="tests.unit.domain.test_money" name="test_sum"/>
<testcase classname="tests.unit.domain.test_money" name="test_torn"/>
<testcase classname="tests.unit.domain.test_money" name="test_torn"><error/></testcase>
<testcase classname="tests.contract.test_bus.TestBus" name="test_order"><failure/></testcase>
<testcase classname="tests.integration.test_chat" name="test_redis"><skipped/></testcase>
<testcase classname="" name="tests.browser.test_page"><error/></testcase>
<testcase classname="tests.test_docs" name="test_links"/>
</testsuite></testsuites>"""


def test_each_case_counts_once_in_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(REPORT, encoding="utf-8")
    assert Counter(read_report(path).values()) == {
        ("unit", "passed"): 1,
        ("unit", "failed"): 1,
        ("contract", "failed"): 1,
        ("integration", "skipped"): 1,
        ("browser", "failed"): 1,
        ("other", "passed"): 1,
    }


def test_the_browser_has_a_run_of_its_own() -> None:
    assert groups(["unit", "browser"]) == [["tests/unit"], ["tests/browser"]]
    assert groups([])[0] == ["tests", "--ignore=tests/browser"]


def test_the_summary_closes_with_the_totals_alone_on_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_summary(Counter({("unit", "passed"): 3, ("browser", "failed"): 1}))
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 1 failed, 0 skipped"
