"""What the tests of good but odd files share."""

import pytest
import typer

from faconv_cli import app
from faconv_cli.regimes import significance
from tests.fuzz.agreement import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patched.setattr(app, "app", typer.main.get_command(app.app))  # built once, not for each command
        patched.setattr(significance, "SURROGATES", 3)  # p-values are no matter here
        yield Bench(tmp_path_factory.mktemp("odd"))
