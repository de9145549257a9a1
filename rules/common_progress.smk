# What a run does is written down for those who look on: `python -m workflow_scripts.progress`, docs/progress.md.

import atexit
from collections import Counter

from snakemake.logging import logger

from workflow_scripts.em.failures import failures
from workflow_scripts.em.progress_record import Recorder, record_of


def begin_progress():
    """At the start of a run. What cannot be written is not told: a full disk is told of elsewhere."""
    jobs = dict(Counter(job.rule.name for job in workflow.dag.needrun_jobs()))
    try:
        recorder = Recorder(record_of(RECORDS, CONFIG.study), jobs)
    except OSError as error:
        print(f"warning: no progress view of this run ({error})", file=sys.stderr)
        return
    logger.addHandler(recorder)

    def tell_end():
        """The last words of a run, after all that Snakemake says: why jobs failed, or where to look."""
        for text in failures(recorder.failed.values(), recorder.began):
            print(text, file=sys.stderr)
        if "page" in recorder.finished:
            print(f"What was found, to open in a browser: {RESULTS}/report.html", file=sys.stderr)

    atexit.register(tell_end)
