"""Print what compliance-checker has to say about a NetCDF file: ``python tests/cf.py FILE.nc``.

A process of its own: the checker imports pyproj, whose libproj and that of eccodes free the same memory when
one process has loaded both.
"""

import sys

from compliance_checker.runner import CheckSuite

VERSION = "cf:1.11"


def main(path: str) -> None:
    CheckSuite.load_all_available_checkers()
    suite = CheckSuite()
    results, failures = suite.run_all(suite.load_dataset(path), [VERSION], skip_checks=[])[VERSION]
    for check, error in failures.items():
        print(f"{check} failed: {error}")
    for result in results:
        passed, of = result.value
        if passed < of:
            print(f"{result.name}: {' '.join(result.msgs)}")


if __name__ == "__main__":
    main(sys.argv[1])
