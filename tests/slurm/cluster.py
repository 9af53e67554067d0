"""A real SLURM cluster of one node on this machine, for the length of a test session.

munged, slurmctld and slurmd, started by hand as root: no systemd, cgroups or accounting database.
Debian's packages are slurm-wlm and munge (`make test-slurm` installs them).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

DAEMONS = ("slurmd", "slurmctld", "munged")
HOST = socket.gethostname().partition(".")[0]  # what `hostname -s` and slurmd call the node

# Partitions: `high` takes cores from `low`, whose jobs are told (USR2) GraceTime seconds before.
# The scheduler's intervals are short, for the defaults collect work for up to a minute.
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
SlurmdPort={port_of_node}
AuthType=auth/munge
AuthInfo=socket={base}/munge/socket
CredType=cred/munge
StateSaveLocation={base}/state
SlurmdSpoolDir={base}/spool
SlurmctldPidFile={base}/run/slurmctld.pid
SlurmdPidFile={base}/run/slurmd.pid
SlurmctldLogFile={base}/log/slurmctld.log
SlurmdLogFile={base}/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
KillWait=5
MinJobAge=3600
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} Boards=1 SocketsPerBoard=1 \
CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=low Nodes={host} State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=high Nodes={host} State=UP PriorityTier=20 PreemptMode=OFF
"""

# `sacct` needs the database. submitit asks it for states; this answers from squeue instead.
SACCT = """\
#!/bin/sh
ids=
while [ $# -gt 0 ]; do
  case "$1" in -j) ids=${ids:+$ids,}$2; shift ;; esac
  shift
done
echo 'JobID|State|NodeList'
exec squeue -h -r -t all ${ids:+-j "$ids"} -o '%i|%T|%N'
"""


class Cluster:
    """Starts and stops the daemons.

    Args:
        base: an empty folder of its own.
        cpus: to advertise; may be more than there are.
    """

    def __init__(self, base: Path, cpus: int = 2) -> None:
        self.base = base
        for name in ("munge", "state", "spool", "run", "log", "bin"):
            (base / name).mkdir(parents=True)
        base.chmod(0o755)  # munged refuses a folder that others may write to
        (base / "munge").chmod(0o755)
        key = base / "munge/key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(1024))
        port, port_of_node = _free_ports(2)
        text = CONF.format(host=HOST, base=base, cpus=cpus, port=port, port_of_node=port_of_node)
        (base / "slurm.conf").write_text(text)
        (base / "cgroup.conf").write_text("CgroupAutomount=no\n")
        (base / "bin/sacct").write_text(SACCT)
        (base / "bin/sacct").chmod(0o755)
        self.env = os.environ | {
            "SLURM_CONF": str(base / "slurm.conf"),
            "PATH": f"{base / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    def start(self) -> None:
        munge, conf = self.base / "munge", str(self.base / "slurm.conf")
        self.call(
            "munged",
            f"--key-file={munge / 'key'}",
            f"--socket={munge / 'socket'}",
            f"--pid-file={self.base / 'run/munged.pid'}",
            f"--log-file={self.base / 'log/munged.log'}",
            f"--seed-file={munge / 'seed'}",
            "--force",
        )
        self.call("slurmctld", "-c", "-f", conf)
        wait_for(lambda: "UP" in self.call("scontrol", "ping", check=False), "slurmctld")
        self.call("slurmd", "-f", conf, "-N", HOST)
        wait_for(
            lambda: "idle" in self.call("sinfo", "-h", "-o", "%T", check=False), "an idle node"
        )

    def stop(self) -> None:
        """Cancel what runs, then stop what was started, by its process id."""
        self.call("scancel", "-u", "root", check=False)
        for name in DAEMONS:
            file = self.base / f"run/{name}.pid"
            if not file.exists():
                continue
            pid = int(file.read_text())
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda pid=pid: not Path(f"/proc/{pid}").exists(), f"the end of {name}")

    def call(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or not check, f"{command}: {done.stderr}{done.stdout}"
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """Job ids (of array tasks: ``12_0``) and their states, ended ones included."""
        lines = self.call("squeue", "-h", "-r", "-t", "all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def restarts(self, job: str) -> int:
        shown = self.call("scontrol", "show", "job", job)
        return int(shown.partition("Restarts=")[2].split()[0])

    def wait_for_restart(self, job: str, restarts: int) -> None:
        """Until a requeued job runs again. SLURM would hold it for two minutes; not here."""

        def running() -> bool:
            if self.restarts(job) < restarts:
                return False
            state = self.jobs()[job]
            if state == "PENDING":
                time.sleep(3)  # the node still revokes the credential of the job that was
                self.call("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)
            return state == "RUNNING"

        wait_for(running, f"restart {restarts} of {job}")

    def release(self, jobs: list[str]) -> None:
        """Let requeued jobs start that SLURM would hold for two minutes."""
        states = self.jobs()
        time.sleep(3)  # the node still revokes the credentials of the jobs that were
        for name in jobs:
            if states[name] == "PENDING" and self.restarts(name):
                self.call("scontrol", "update", f"JobId={name}", "StartTime=now", check=False)


def missing() -> str:
    """Why there can be no cluster here; empty if there can."""
    if os.geteuid() != 0:
        return "needs root, to start SLURM's daemons"
    absent = [name for name in DAEMONS if shutil.which(name) is None]
    return f"needs {', '.join(absent)}: apt-get install slurm-wlm munge" if absent else ""


def wait_for(condition: Callable[[], object], what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
