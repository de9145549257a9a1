# A run's start and end, so that a crash needs no hand: docs/crashes.md.

import atexit

from workflow_scripts.em import kept_config
from workflow_scripts.em.after_crash import set_broken_aside, settle_times
from workflow_scripts.em.disk import disk_problem
from workflow_scripts.em.left_behind import end_left_stages
from workflow_scripts.em.old_outputs import Output, keep, settle
from workflow_scripts.em.running import alone_on, drop_dead_lock, forget_others, hold_study, sign_in
from workflow_scripts.em.slurm_jobs import end_left_behind, unfinished

RECORDS = Path(".snakemake")
OWN_FOLDERS = [Path(folder) for folder in (RESULTS, TOY_FOLDER, DECRYPTED)]
BEFORE = RECORDS / "before" / f"{CONFIG.study}.jsonl"
# That the run which keeps them submits jobs: those outlive it when it is killed. (A job's mark loses the id on the node.)
SUBMITS = BEFORE.with_suffix(".submits")
# How the names of a study's SLURM jobs begin: those of a Snakemake that was killed are known by it.
JOB_NAME = f"emtrace-{CONFIG.study}_"
DRY = any(word in sys.argv for word in ("-n", "-np", "--dry-run", "--dryrun", "--lint"))


def put_back():
    """What was to be made anew and was not is as it was. Nobody may be at work on it."""
    if found := settle(BEFORE):
        more = f" and {len(found) - 1} more" * (len(found) > 1)
        print(f"Put back as it was, for what was to replace it was not made: {found[0]}{more}", file=sys.stderr)
    SUBMITS.unlink(missing_ok=True)


def put_back_left():
    """What a killed run has left so, before Snakemake looks at it; who is at work for that one is ended first."""
    end_left_stages(Path.cwd())
    if at_work() and DRY:
        print(
            "warning: jobs of a killed run may be at work on the cluster, so what they were to replace is not looked at"
            " here; the next run ends them first",
            file=sys.stderr,
        )
        return
    if at_work():
        end_submitted()
    put_back()


def at_work():
    """Whether jobs may be at work that a run of this study submitted; so they are where SLURM does not answer."""
    try:
        return SUBMITS.exists() and bool(unfinished(JOB_NAME, Path.cwd()))
    except (UserError, OSError):
        return True


def end_submitted():
    """Raises WorkflowError where SLURM does not answer, or jobs of a killed run stay."""
    try:
        end_left_behind(JOB_NAME, Path.cwd())
    except (UserError, OSError) as error:
        raise WorkflowError(f"jobs that a killed run submitted may be at work still: {error}") from None


def prepare():
    """Mend what a crash left. Snakemake has no hook before it looks at its lock, which a killed one leaves behind."""
    others = sign_in(RECORDS)
    if "--unlock" in sys.argv:
        forget_others(RECORDS, others)
    with alone_on(RECORDS, CONFIG.study, others) as alone:
        # For a dry run too: it would not see that what a killed run has deleted is still to be made.
        if alone and BEFORE.exists():
            put_back_left()
        if alone and not DRY:
            kept_config.renew(Path(RESULTS), config, FILES)
    # Else a dry run changes nothing: Snakemake takes no lock for it.
    if others or DRY:
        return
    end_left_stages(Path.cwd())
    if any((RECORDS / "locks").glob("*.lock")):
        for path in set_broken_aside(OWN_FOLDERS):
            print(
                f"{path}: not what its record says, after a crash; set aside as .{path.name}.broken, and made again.",
                file=sys.stderr,
            )
        drop_dead_lock(RECORDS)
        print("The Snakemake that ran here before was killed: its lock is removed.", file=sys.stderr)
    if settle_times(RECORDS / "log", OWN_FOLDERS):
        print("The clock was set back: files of later than now count as just made.", file=sys.stderr)


def tell_of_disk():
    # A full disk takes no log, so what a stage says of it may be lost; and Snakemake may end by it in any way.
    if problem := disk_problem(f"{RESULTS}/logs") or disk_problem(RECORDS / "log"):
        print(f"{problem}; then run again: what is done is kept", file=sys.stderr)


if workflow.is_main_process:
    atexit.register(tell_of_disk)
    if disk_problem(RECORDS / "log"):
        # Not an exception: Snakemake would add a traceback of writing to its own log. At exit it is told why.
        sys.exit(1)
    prepare()


def begin_study():
    """Raises WorkflowError when another Snakemake runs the study; ends when nothing can be written."""
    if disk_problem(f"{RESULTS}/logs"):
        sys.exit(1)
    try:
        hold_study(RECORDS, CONFIG.study)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def begin_keeping():
    """What is made anew from now on is put back at the end where its job failed, or by the next run."""
    records, own = workflow.persistence, os.getpid()
    if not hasattr(records, "_record_path"):  # those in a database are not looked into
        return
    places = [getattr(records, name) for name in ("_metadata_path", "_incomplete_path")]
    paths = [str(path) for job in workflow.dag.needrun_jobs() for path in job.output]
    outputs = (Output(Path(path), *(Path(records._record_path(place, path)) for place in places)) for path in paths)
    if hasattr(workflow.scheduler._executor, "run_uuid"):
        SUBMITS.parent.mkdir(parents=True, exist_ok=True)
        SUBMITS.touch()
    if failed := keep(outputs, OWN_FOLDERS, BEFORE):
        print(
            f"warning: of {failed} outputs that are made anew the old ones cannot be kept until then, as on a file system"
            " without hard links: where such a job fails, check with `snakemake --forcerun <rule>`",
            file=sys.stderr,
        )

    def at_end():
        # What is at work on a cluster still is ended by the next run.
        if os.getpid() == own and not at_work():
            put_back()

    atexit.register(at_end)
