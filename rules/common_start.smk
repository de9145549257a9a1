# What a run looks at before its first job, so that it does not end by it after hours. A dry run does not come here.

from collections import Counter

from workflow_scripts.em.start_check import absent, no_room


def begin_ready():
    """Raises WorkflowError naming the packages and the room that the jobs to run lack."""
    jobs = Counter(job.rule.name for job in workflow.dag.jobs if workflow.dag.needrun(job))
    # With conda the stages have a Python of their own.
    problems = [None if CONDA else absent(), no_room(PLAN, jobs, facts_of, Path.cwd())]
    if lacking := [problem for problem in problems if problem]:
        raise WorkflowError("\n".join(["This run would not come to its end:", *lacking]))
