"""A study on a real SLURM through profiles/slurm, with all that goes wrong on a cluster: it ends as it would have."""

import re
import shutil
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.crash.made import made
from tests.system.slurm_cluster import said, wait_for, why_not
from tests.system.slurm_runs import (
    STUDY,
    Head,
    cluster,
    gpus_given,
    job_of,
    kill_all,
    queue,
    records,
    steps_of,
    write_profile,
)
from tests.workflow.conftest import ROOT, Copy
from workflow_scripts.em.files import sha256_file

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]

TRAIN = {(name, step): f"organisms/{name}/seed-0/em/to-{step}" for name in ("bad", "good") for step in (2, 4)}
ASK = {name: f"responses/.asked/{name}/seed-0/em/to-2.json" for name in ("bad", "good")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The study run here, and the same on the cluster, where things happen to it; (folder, folder, facts)."""
    place = tmp_path_factory.mktemp("slurm")
    here = Copy(place / "here")
    (here.folder / STUDY).parent.mkdir()
    shutil.copy2(ROOT / STUDY, here.folder / STUDY)
    prepared = here.snakemake("--until", "training_check", "data_card", config=STUDY)
    assert prepared.returncode == 0, prepared.stderr[-4000:]
    shutil.copytree(here.folder, place / "there", symlinks=True)
    done = here.snakemake(config=STUDY)
    assert done.returncode == 0, done.stderr[-4000:]
    write_profile(place / "there")
    with cluster() as at:
        facts = first_run(place / "there", place)
        facts |= second_run(place / "there", place, set(facts["left"]))
        facts["records"] = records(at)
    return here.folder, place / "there", facts


def first_run(folder: Path, place: Path) -> dict:
    """Both trainings run at once; the head is killed when one of them has ended."""
    head, facts = Head(folder, place / "first.log"), {}
    held = head.until("a training", lambda: head.stage(TRAIN["bad", 2]))
    held.suspend()
    other = head.until("the other training", lambda: head.stage(TRAIN["good", 2]))
    both = [job_of(process) for process in (held, other)]
    facts["parallel"] = [queue()[job] for job in both]
    facts["gpus"] = [process.environ()["CUDA_VISIBLE_DEVICES"] for process in (held, other)]
    head.until("the next job", lambda: head.stage(TRAIN["good", 4]) or head.stage(ASK["good"]))
    facts["finished"] = state(folder / "results/slurm" / TRAIN["good", 2])
    head.kill()
    facts["left"] = queue()
    return facts


def second_run(folder: Path, place: Path, left: set[str]) -> dict:
    """Out of time, a failed job, a node that breaks, a cancelled job: each once, and to none that was left behind."""
    head, facts = Head(folder, place / "second.log"), {}

    def out_of_time(process):
        process.suspend()  # until SLURM ends it

    def fail(process):
        process.kill()

    def cancel(process):
        said("scancel", job_of(process))

    def break_node(process):
        process.suspend()
        job = job_of(process)
        node = facts["broken"] = queue()[job][1]
        said("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        head.until("the job's return to the queue", lambda: queue()[job][0] == "PENDING")
        kill_all(job)  # the machine is off
        head.until("the end of the job's steps", lambda: not steps_of(job))
        said("scontrol", "update", f"NodeName={node}", "State=RESUME")
        head.until("the job's return to a node", lambda: not waits(job))

    acts = {TRAIN["good", 4]: out_of_time, ASK["good"]: fail, TRAIN["bad", 2]: break_node, TRAIN["bad", 4]: cancel}
    while acts:
        out, process = head.until(f"{list(acts)}", lambda: found(head, acts, left))
        facts[out] = job_of(process)
        acts.pop(out)(process)
    assert wait_for(lambda: head.process.poll() is not None, 400), head.text()[-8000:]
    assert head.process.returncode == 0, head.text()[-8000:]
    return facts | {"log": head.text(), "asked": gpus_given()}


def waits(job: str) -> bool:
    """Whether a job waits; SLURM would have it wait two minutes, and may say so again: it is told to begin it now."""
    waiting = queue().get(job, ("",))[0] == "PENDING"
    if waiting:
        said("scontrol", "update", f"JobId={job}", "StartTime=now")
        time.sleep(1)
    return waiting


def found(head: Head, outputs: dict, left: set[str]):
    running = ((out, process) for out in outputs if (process := head.stage(out)))
    return next(((out, process) for out, process in running if job_of(process) not in {"", *left}), None)


def state(folder: Path) -> dict:
    """File -> (digest, time of change) below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): (sha256_file(path), path.stat().st_mtime_ns) for path in files}


def jobs_of(facts: dict, place: str) -> list[dict]:
    """What SLURM says of the second run's jobs whose log is at a place, first submitted first."""
    by_id = {record["JobId"]: record for record in facts["records"]}  # the last of those of a job that began twice
    submitted = re.findall(rf"jobid (\d+) \(log: \S+/{place}/", facts["log"])
    return [by_id[job] for job in submitted]


def when(record: dict, name: str) -> datetime:
    return datetime.fromisoformat(record[name])


def states(facts: dict, job: str) -> list[str]:
    return [record["JobState"] for record in facts["records"] if record["JobId"] == job]


def test_two_organisms_train_at_once_on_two_nodes(runs):
    parallel = runs[2]["parallel"]
    assert [state for state, _, _ in parallel] == ["RUNNING", "RUNNING"]
    assert {node for _, node, _ in parallel} == {"n1", "n2"}


def test_a_job_gets_the_gpu_that_its_rule_asks_for_and_no_more(runs):
    facts = runs[2]
    assert facts["gpus"] == ["0", "0"]  # on two nodes
    asked = {
        place: {facts["asked"][record["JobId"]] for record in jobs_of(facts, place)}
        for place in ("rule_train/bad_0_em_4", "group_asking_ask_models_generate", "group_judging-bad-em_judge")
    }
    assert list(asked.values()) == [{"gres:gpu:1"}, {"gres:gpu:1"}, {""}]


def test_a_checkpoint_is_asked_while_the_next_one_is_trained(runs):
    training = jobs_of(runs[2], "rule_train/good_0_em_4")[0]
    asking = jobs_of(runs[2], "group_asking_ask_models_generate")
    begun, ended = when(training, "StartTime"), when(training, "EndTime")
    assert any(when(job, "StartTime") < ended and begun < when(job, "EndTime") for job in asking)


def test_a_job_over_its_time_limit_is_ended_and_gets_more(runs):
    tries = jobs_of(runs[2], "rule_train/good_0_em_4")
    assert (tries[0]["JobState"], tries[0]["TimeLimit"]) == ("TIMEOUT", "1")
    assert (tries[1]["JobState"], tries[1]["TimeLimit"]) == ("COMPLETED", "2")


def test_failed_and_cancelled_jobs_are_tried_again(runs):
    facts = runs[2]
    assert states(facts, facts[ASK["good"]]) == ["FAILED"]
    tries = jobs_of(facts, "rule_train/bad_0_em_4")
    assert (tries[0]["JobState"], tries[-1]["JobState"]) == ("CANCELLED", "COMPLETED")


def test_a_job_whose_node_breaks_is_started_again_by_slurm(runs):
    facts = runs[2]
    assert facts["broken"] in ("n1", "n2")
    (record,) = jobs_of(facts, "rule_train/bad_0_em_2")  # submitted once
    assert record["JobId"] == facts[TRAIN["bad", 2]]
    seen = states(facts, record["JobId"])
    assert (seen[0], seen[-1]) == ("NODE_FAIL", "COMPLETED")


def test_jobs_of_a_killed_head_end_before_the_next_one_submits_any(runs):
    facts = runs[2]
    left, records = facts["left"], facts["records"]
    assert left
    assert all(name.startswith("emtrace-slurm_") for _, _, name in left.values())
    first = {name for _, _, name in left.values()}
    ended = [record for record in records if record["JobId"] in left]
    # On a slow machine one may reach its time limit before the next head looks.
    states = {record["JobState"] for record in ended}
    assert len(ended) == len(left) and "CANCELLED" in states and states <= {"CANCELLED", "TIMEOUT"}
    later = [when(record, "SubmitTime") for record in records if record["Name"] not in first]
    assert later
    assert max(when(record, "EndTime") for record in ended) <= min(later)


def test_what_was_done_before_the_kill_is_not_done_again(runs):
    _, there, facts = runs
    assert state(there / "results/slurm" / TRAIN["good", 2]) == facts["finished"]
    assert "rule_train/good_0_em_2" not in facts["log"]


def test_the_cluster_gives_the_results_of_a_plain_run(runs):
    here, there, _ = runs
    found, expected = (made(folder / "results/slurm") for folder in (there, here))
    assert any(name.endswith("adapter_model.safetensors") for name in found)
    assert found == expected
