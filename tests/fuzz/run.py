"""Mutated inputs for every target: python -m tests.fuzz.run --inputs 1000000; ends with 1 at the first defect, whose input it writes."""

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import Target, targets


def fuzz(target: Target, inputs: int, seed: int) -> tuple[int, int]:
    """How many inputs were taken, and how many refused. What the target raises comes through, noted with the input."""
    mutator = Mutator(seed, target.originals, target.tokens)
    taken = 0
    for number in range(inputs):
        mutated = mutator.next()
        try:
            taken += target.check(mutated)
        except BaseException as defect:
            defect.add_note(f"target {target.name}, seed {seed}, input {number}: {mutated[:2000].hex()}")
            raise
    return taken, inputs - taken
