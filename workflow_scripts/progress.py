"""Show how far a running study is: its jobs, the time left, what the running jobs say, and EM rates so far.

On a terminal it follows the study until Ctrl-C; elsewhere (a pipe, a file, CI) it prints what there is and ends. It
only reads, so it can be started and stopped at any time, and in any number of terminals.
"""

import argparse
import contextlib
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from workflow_scripts.em.plan import Plan
from workflow_scripts.em.progress_earlier import seconds_before
from workflow_scripts.em.progress_rates import Rates
from workflow_scripts.em.progress_record import record_of
from workflow_scripts.em.progress_run import Job, Run
from workflow_scripts.em.progress_view import view
from workflow_scripts.em.provenance import run
from workflow_scripts.em.study_files import load_plan
from workflow_scripts.scores import METRICS, flat

REFRESH_S = 1.0
# Of that, for reading judgments: a study of many shows them over some seconds.
READING_S = 0.3
# Lines where no terminal limits them.
LINES = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", nargs="+", default=[Path("config.yaml")], type=Path, help="the study")
    args = parser.parse_args()
    plan = load_plan(args.configfile)
    study, console = plan.config.study, Console(highlight=False)
    jobs = Run(record_of(Path(".snakemake"), study))
    look(plan, jobs)
    rates = Rates(plan, lambda row, domains: flat(row, domains, METRICS))
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        console.height = LINES
        console.print(view(console, study, jobs, rates, float("inf")))
        return
    live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
    with contextlib.suppress(KeyboardInterrupt), live:
        while True:
            rates.note(job.log for job in look(plan, jobs))
            live.update(view(console, study, jobs, rates, READING_S), refresh=True)
            time.sleep(REFRESH_S)


def look(plan: Plan, jobs: Run) -> list[Job]:
    """What is new; when a run is seen first, also what such jobs took before it."""
    before, ended = jobs.about, jobs.look()
    if jobs.goes_on and jobs.about is not before:
        jobs.earlier = seconds_before(plan, jobs.about["jobs"])
    return ended


if __name__ == "__main__":
    run(main)
