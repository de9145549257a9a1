"""Every command of the docs is run, page by page, in a clone with the finished default study, as a reader would.

Snakemake makes dry runs of other studies and of what takes minutes (tests/docs_shell.py). What no test runs stands in
tests/docs_exceptions.py.
"""

import pytest

from tests.docs_shell import Shell
from tests.documented_commands import commands, pages
from tests.workflow.warm import warm_python

pytestmark = pytest.mark.slow

RUN = [page for page in pages() if not all(command.skipped for command in commands(page))]


@pytest.fixture(scope="module")
def shell(default) -> Shell:
    return Shell(default.folder, warm_python())


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run(shell, page):
    failed = shell.run(page)
    assert not failed, "\n".join([*failed, "What cannot be run here is named, with the reason, in NOT_RUN."])
