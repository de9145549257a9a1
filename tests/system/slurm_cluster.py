"""A real SLURM on the loopback of this machine: munge, a controller and two nodes with two fake GPUs each.

`python -m tests.system.slurm_cluster FOLDER` starts it, says "ready", and stops all of it, jobs too, when its standard
input ends: so also when the test is killed. Nothing outside FOLDER is touched. Its name is short: sockets lie in it.
"""

import ctypes
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
REAL = ("/etc/slurm/slurm.conf", "/run/slurm/conf/slurm.conf")
NODES = ("n1", "n2")
PR_SET_CHILD_SUBREAPER = 36
# Device files that exist everywhere stand for GPUs.
GPUS = ("/dev/null", "/dev/zero")
CONF = """
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthInfo=socket={at}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/%n
SlurmctldPidFile={at}/slurmctld.pid
SlurmdPidFile={at}/%n.pid
SlurmctldLogFile={at}/slurmctld.log
SlurmdLogFile={at}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=100000
GresTypes=gpu
MinJobAge=3600
KillWait=1
JobCompType=jobcomp/filetxt
JobCompLoc={at}/jobs.txt
{nodes}
PartitionName=toy Nodes=ALL Default=YES DefaultTime=10
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=64000 Gres=gpu:2"


def why_not() -> str:
    """Why no cluster can be had here; empty where one can."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"no SLURM: {', '.join(absent)} not found (apt-get install slurm-wlm munge)"
    if os.geteuid():
        return "only root can start a SLURM"
    real = any(Path(name).exists() for name in REAL) or "SLURM_CONF" in os.environ
    return "this machine belongs to a SLURM cluster, which tests leave alone" if real else ""


def wait_for(done: Callable[[], object], seconds: float) -> bool:
    """Whether `done` came true in time."""
    end = time.monotonic() + seconds
    while not (found := done()) and time.monotonic() < end:
        time.sleep(0.1)
    return bool(found)


def said(*command: str) -> str:
    """What a SLURM command prints; nothing where it fails, as while the controller starts."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def write_files(at: Path) -> None:
    host, sockets = socket.gethostname().partition(".")[0], [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    port, *ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    nodes = (NODE.format(name=name, host=host, port=own) for name, own in zip(NODES, ports, strict=True))
    (at / "slurm.conf").write_text(CONF.format(at=at, host=host, port=port, nodes="\n".join(nodes)), encoding="utf-8")
    gpus = (f"NodeName={name} Name=gpu File={device}\n" for name in NODES for device in GPUS)
    (at / "gres.conf").write_text("".join(gpus), encoding="utf-8")
    (at / "key").write_bytes(secrets.token_bytes(128))
    (at / "key").chmod(0o400)
    # The step inside a job calls srun without SLURM's variables, and would look into /etc.
    (at / "bin").mkdir()
    (at / "bin/srun").write_text(f'#!/bin/sh\nSLURM_CONF={at}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    (at / "bin/srun").chmod(0o755)


def serve(at: Path) -> None:
    """Start the daemons, wait for the end of standard input, stop jobs and daemons."""
    write_files(at)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # daemons leave their parents, and so stay our children
    os.environ["SLURM_CONF"] = f"{at}/slurm.conf"
    munge = ["munged", "--foreground", "--force", f"--key-file={at}/key", f"--socket={at}/munge.socket"]
    munge += [f"--pid-file={at}/munged.pid", f"--log-file={at}/munged.log", f"--seed-file={at}/seed"]
    null, daemons = subprocess.DEVNULL, []
    # Each begins when the one that it asks is there, or it would end at once.
    starts = [
        (munge, lambda: (at / "munge.socket").exists()),
        (["slurmctld", "-D", "-c"], lambda: "UP" in said("scontrol", "ping")),
        *((["slurmd", "-D", "-N", name], lambda: True) for name in NODES),
    ]
    try:
        for command, there in starts:
            daemons.append(subprocess.Popen(command, stdin=null, stdout=null, stderr=null))
            wait_for(there, 30)
        up = wait_for(lambda: said("sinfo", "-h", "-t", "idle", "-o", "%D") == str(len(NODES)), 60)
        print("ready" if up else "the nodes do not come up", flush=True)
        sys.stdin.read()
    finally:
        said("scancel", "--me")
        wait_for(lambda: not said("squeue", "--me", "-h"), 20)
        while children := psutil.Process().children(recursive=True):
            for process in children:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(children, timeout=1)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
