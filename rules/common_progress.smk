# What a run does is written down for those who look on: `python -m workflow_scripts.progress`, docs/progress.md.

from collections import Counter

from snakemake.logging import logger

from workflow_scripts.em.progress_record import Recorder, record_of


def begin_progress():
    """At the start of a run. What cannot be written is not told: a full disk is told of elsewhere."""
    jobs = dict(Counter(job.rule.name for job in workflow.dag.needrun_jobs()))
    try:
        logger.addHandler(Recorder(record_of(RECORDS, CONFIG.study), jobs))
    except OSError as error:
        print(f"warning: no progress view of this run ({error})", file=sys.stderr)
