# What a run looks at before its first job, so that it does not end by it after hours. A dry run does not come here.

from workflow_scripts.em import kept_config
from workflow_scripts.em.start_check import absent, no_room


def begin_ready():
    """Raises WorkflowError naming the packages that stages lack; warns where the disk may lack room."""
    # With conda the stages have a Python of their own.
    if lacking := None if CONDA else absent():
        raise WorkflowError(f"This run would not come to its end: {lacking}")
    kept_config.keep(Path(RESULTS), config, FILES)
    # By what they write: a workflow that imports this one may call rules as it likes.
    outputs = {str(path) for job in workflow.dag.needrun_jobs() for path in job.output}
    if warning := no_room(PLAN, outputs, facts_of):
        print(warning, file=sys.stderr)
