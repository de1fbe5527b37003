"""Mutated inputs by the million: python -m tests.fuzz.run --inputs 1000000 [--seed 1] [--guided].

Of each hundred inputs one is a conversation with a listening process; the others go to the targets of one process by turns. Ends at the
first defect, and says which input it was. --guided: atheris leads the mutations by coverage, one target in one process of its own each.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import islice
from pathlib import Path

from tests.fuzz.conversations import conversations
from tests.fuzz.door import opened_door
from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import Target, targets

_BETWEEN_CHECKS = 500  # conversations
_PATIENCE_S = 0.02


def fuzz(target: Target, inputs: int, seed: int) -> int:
    """How many of the inputs were taken. What the target raises comes through, with the input as a note."""
    mutator = Mutator(seed, target.originals, target.tokens)
    taken = 0
    for number in range(inputs):
        mutated = mutator.next()
        try:
            taken += target.check(mutated)
        except BaseException as defect:
            defect.add_note(f"target {target.name}, seed {seed}, input {number}: {mutated[:4000].hex()}")
            raise
    return taken


def fuzz_listener(folder: Path, inputs: int, seed: int) -> tuple[int, float]:
    """How many instances were acknowledged, and the memory of the listener at most, in MB; raises on the first defect."""
    acknowledged = 0
    with opened_door(folder) as door:
        for number, conversation in enumerate(islice(conversations(seed), inputs)):
            try:
                answer = door.tell(conversation.stream, 0 if number % 4 else _PATIENCE_S)  # without patience it is over before the end
                acknowledged += door.check_acknowledged(answer)
                if number % _BETWEEN_CHECKS == 0:
                    door.check_serves()
            except BaseException as defect:
                defect.add_note(f"listener, seed {seed}, conversation {number}: {conversation.stream[:4000].hex()}")
                raise
        door.check_serves()
        return acknowledged, door.memory_mb()


def _run(inputs: int, seed: int) -> None:
    share = inputs * 99 // 100 // len(targets())
    for target in targets():
        start = time.monotonic()
        taken = fuzz(target, share, seed)
        print(f"{target.name}: {share} inputs, {taken} taken, {time.monotonic() - start:.0f} s", flush=True)
    with tempfile.TemporaryDirectory(prefix="cad-node-fuzz-") as folder:
        start = time.monotonic()
        acknowledged, memory_mb = fuzz_listener(Path(folder), inputs // 100, seed)
        seconds = time.monotonic() - start
    print(f"listener: {inputs // 100} conversations, {acknowledged} instances acknowledged, {memory_mb:.0f} MB, {seconds:.0f} s")


def _run_guided(inputs: int, seed: int) -> None:
    for target in targets():
        command = [sys.executable, "-m", "tests.fuzz.guided", target.name, f"-atheris_runs={inputs // len(targets())}", f"-seed={seed}"]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # pydicom complains of what it is given
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guided", action="store_true")
    asked = parser.parse_args()
    (_run_guided if asked.guided else _run)(asked.inputs, asked.seed)
