"""The scripts for SLURM and PBS on the page about clusters: they are parsed, rendered and run without a queue."""

import os
import re
import shlex
import subprocess
import sys
from types import ModuleType

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "howto" / "cluster.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def find_block(words):
    """The one block of the page that begins with some words."""
    (block,) = [block for block in BLOCKS if block.startswith(words)]
    return block


def test_the_worker_that_the_script_starts_has_options_that_dask_knows():
    from distributed.cli import dask_worker

    (command,) = [line for line in find_block("#!/usr/bin/env bash").splitlines() if "dask_worker" in line]
    _, _, module, *arguments = shlex.split(command)
    assert module == dask_worker.__name__
    options = dask_worker.main.make_context("worker", arguments).params
    assert (options["scheduler"], options["n_workers"], options["nthreads"]) == ("tcp://10.0.0.4:37341", "4", 1)
    assert (options["memory_limit"], options["nanny"]) == ("0.93GiB", True)


@pytest.mark.parametrize(
    ("name", "beginning"), [("SLURMCluster", "#!/usr/bin/env bash"), ("PBSCluster", "#PBS -N dask-worker")]
)
def test_the_script_of_the_jobs_is_the_one_on_the_page(name, beginning):
    queues = pytest.importorskip("dask_jobqueue", reason="needs dask-jobqueue, which is no dependency")
    (asked,) = re.findall(r"SLURMCluster(\(.*\))$", find_block("import dask\n"), re.MULTILINE)
    with eval(f"make{asked}", {"make": getattr(queues, name)}) as cluster:
        script = cluster.job_script()
    script = re.sub(r"\S+/python -m (\S+) tcp://\S+", r"/data/venv/bin/python -m \1 tcp://10.0.0.4:37341", script)
    assert find_block(beginning).strip() in script.strip()


@pytest.mark.slow
def test_the_program_that_starts_the_jobs_gives_the_same_tables(whole, out, tables_of, monkeypatch, capsys):
    import dask.config
    from dask.utils import parse_timedelta
    from distributed import LocalCluster

    folder, _, expected = whole
    asked = {}

    class Queue(LocalCluster):
        """Stands for the queue: the jobs are processes of this machine, one at a time."""

        def __init__(self, **options):
            asked.update(options)
            super().__init__(n_workers=0, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1")

        def job_script(self):
            return "the script"

        def adapt(self, *, minimum, maximum):
            asked.update(minimum=minimum, maximum=maximum)
            return super().adapt(minimum=minimum, maximum=1)

    queues = ModuleType("dask_jobqueue")
    queues.SLURMCluster = Queue
    monkeypatch.setitem(sys.modules, "dask_jobqueue", queues)
    program = find_block("import dask\n").replace("/data/season", str(folder)).replace("/data/archive", str(out("a")))
    names = {}
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "15s"}):  # as it was, afterwards
        try:
            exec(compile(program, "cluster.md", "exec"), names)
        finally:
            names["cluster"].close()
        assert parse_timedelta(dask.config.get("distributed.deploy.lost-worker-timeout")) == 600
    assert asked == {"cores": 4, "processes": 4, "memory": "4GB", "walltime": "12:00:00", "minimum": 1, "maximum": 64}
    assert "the script" in capsys.readouterr().out
    assert tables_of(out("a")) == expected


def test_the_parts_of_pbs_are_those_of_slurm():
    slurm, pbs = find_block("#!/bin/bash\n#SBATCH --array"), find_block("#PBS -J")
    command = slurm[slurm.index("anemone ") :]
    assert pbs.endswith(command.replace("SLURM_ARRAY_TASK_ID", "PBS_ARRAY_INDEX"))
    assert ("--array=1-16\n" in slurm, "-J 1-16\n" in pbs, '/16"' in command) == (True, True, True)


@pytest.mark.slow
def test_the_array_of_parts_gives_the_tables(make_season, analyse, out, tables_of, tmp_path):
    folder = make_season(4)
    script = find_block("#!/bin/bash\n#SBATCH --array").replace('/16"', '/2"').replace("--workers 4", "--workers 1")
    plan, *_, last = find_block("anemone archive plan").splitlines()
    last = re.search(r"--wrap '(.*)'", last)[1]
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    for number, commands in enumerate([plan, script, script, last]):
        commands = commands.replace("/data/season", str(folder)).replace("/data/archive", str(out("parts")))
        environ = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "SLURM_ARRAY_TASK_ID": str(number)}
        subprocess.run(["bash", "-euc", commands], env=environ, check=True, timeout=600)
    analyse([folder], out("whole"))
    assert tables_of(out("parts")) == tables_of(out("whole"))
