"""One run of one contender, in a process of its own: `CONTENDER JOB_FILE STARTED RESULT_FILE`."""

import os
import sys
from importlib import import_module
from pathlib import Path

import msgspec

from tests.benchmarks.peak import peak_memory
from tests.benchmarks.race.asked import Job, Seen


def run(module: str, job: Job, started: float) -> Seen:
    """What was seen of it, but for the wall time."""
    contender = import_module(f"tests.benchmarks.race.{module}")
    if module == "with_ftui":
        seen: Seen = contender.train(job, started)
        return seen
    from tests.benchmarks.race.shared import Watch

    watch = Watch(started)
    contender.train(job, watch)
    watch.seen.peak = peak_memory()
    return watch.seen


def main() -> None:
    module, job_file, started, result_file = sys.argv[1:]
    job = msgspec.json.decode(Path(job_file).read_bytes(), type=Job)
    Path(result_file).write_bytes(msgspec.json.encode(run(module, job, float(started))))
    sys.stderr.flush()
    os._exit(0)  # an orderly exit after torch takes a second more, for everybody


if __name__ == "__main__":
    main()
