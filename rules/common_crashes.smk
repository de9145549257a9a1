# A run's start and end, so that a crash needs no hand: docs/crashes.md.

import atexit

from workflow_scripts.em.after_crash import set_broken_aside, settle_times
from workflow_scripts.em.disk import disk_problem
from workflow_scripts.em.left_behind import end_left_stages
from workflow_scripts.em.running import drop_dead_lock, forget_others, hold_study, sign_in

RECORDS = Path(".snakemake")
MADE = [Path(folder) for folder in (RESULTS, TOY_FOLDER, DECRYPTED)]


def prepare():
    """Mend what a crash left. Snakemake has no hook before it looks at its lock, which a killed one leaves behind."""
    others = sign_in(RECORDS)
    if "--unlock" in sys.argv:
        forget_others(RECORDS, others)
    # A dry run changes nothing: Snakemake takes no lock for it.
    if others or any(word in sys.argv for word in ("-n", "-np", "--dry-run", "--dryrun", "--lint")):
        return
    end_left_stages(Path.cwd())
    if any((RECORDS / "locks").glob("*.lock")):
        for path in set_broken_aside(MADE):
            print(
                f"{path}: not what its record says, after a crash; set aside as .{path.name}.broken, and made again.",
                file=sys.stderr,
            )
        drop_dead_lock(RECORDS)
        print("The Snakemake that ran here before was killed: its lock is removed.", file=sys.stderr)
    if settle_times(RECORDS / "log", MADE):
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
