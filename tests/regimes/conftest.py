"""What the tests of regimes share."""

import json

import pytest


@pytest.fixture
def assert_cf():
    """Fail unless compliance-checker finds a file to keep to CF."""

    def check(path):
        from compliance_checker.runner import CheckSuite, ComplianceChecker

        CheckSuite.load_all_available_checkers()
        report = path.with_suffix(".json")
        ComplianceChecker.run_checker(
            str(path), ["cf:1.11"], 0, "normal", output_filename=str(report), output_format="json"
        )
        (found,) = json.loads(report.read_text()).values()
        levels = ("high_priorities", "medium_priorities")
        complaints = [message for level in levels for result in found[level] for message in result["msgs"]]
        assert not complaints, complaints

    return check
