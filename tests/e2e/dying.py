"""Runs one verb of the node, and kills the process with SIGKILL at a named step of the way.

python -m tests.e2e.dying STEP CONFIG VERB…
"""

import importlib
import os
import signal
import sys
from typing import Any

# Step -> (the process that dies, what it was about to call or had just called, whether before or after that call)
STEPS = {
    "an instance was parsed, its file isn't complete": ("scp", "cad_node.store.arriving:ArrivingFile.complete_at_once", "before"),
    "an instance is acknowledged, its file isn't placed": ("scp", "cad_node.store.spool:Spool.place", "before"),
    "a file is placed, its index row isn't written": ("scp", "cad_node.store.studies:Studies.index_all", "before"),
    "an instance is indexed, its file has two names": ("scp", "cad_node.store.studies:Studies.index_all", "after"),
    "a study is complete, its jobs aren't queued": ("scp", "cad_node.store.studies:Studies.settle", "before"),
    "a study's jobs are queued": ("scp", "cad_node.store.studies:Studies.settle", "after"),
    "a job is claimed": ("worker", "cad_node.store.jobs:Jobs.claim", "after"),
    "a volume is loaded": ("worker", "cad_node.pipeline:prepare", "after"),
    "findings are found": ("worker", "cad_node.pipeline:find", "after"),
    "one of the result files is written": ("worker", "cad_node.worker:write_durably", "after"),
    "result files are written, the job isn't done": ("worker", "cad_node.store.jobs:Jobs.finish", "before"),
    "a job is done": ("worker", "cad_node.store.jobs:Jobs.finish", "after"),
    "a delivery is claimed": ("sender", "cad_node.store.deliveries:Deliveries.claim", "after"),
    "an object is delivered, its row isn't": ("sender", "cad_node.store.deliveries:Deliveries.deliver", "before"),
    "a delivery's row is written": ("sender", "cad_node.store.deliveries:Deliveries.deliver", "after"),
}


def die_at(target: str, when: str) -> None:
    """Replace the target by itself and SIGKILL."""
    module_name, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module_name)
    for part in owners:
        owner = getattr(owner, part)
    original = getattr(owner, name)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = original(*args, **kwargs)
        if answer or name != "claim":  # a claim that found nothing is no step
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, dying)


if __name__ == "__main__":
    step, config, *verb = sys.argv[1:]
    _, target, when = STEPS[step]
    die_at(target, when)
    sys.argv = ["cad-node", "--config", config, *verb]
    from cad_node.cli.main import main

    main()
