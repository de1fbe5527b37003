"""IHE AI Results (AIR), Radiology Technical Framework supplement, Rev. 1.3, trial implementation: its rules on anyone's objects.

Sections are the supplement's. A rule says nothing of what it isn't about.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cad_node.checks.air_subject import Kind, Subject


class Verdict(StrEnum):
    OK = "ok"
    VIOLATED = "violated"
    NOT_APPLICABLE = "not applicable"
    CANT_TELL = "can't tell"


Judged = tuple[Verdict, str]  # and why


@dataclass(frozen=True, slots=True)
class Rule:
    """judge: of one object among all that were given, itself included."""

    name: str
    section: str
    demands: str
    kinds: frozenset[Kind]
    judge: Callable[[Subject, Sequence[Subject]], Judged]


@dataclass(frozen=True, slots=True)
class Judgement:
    rule: Rule
    verdict: Verdict
    detail: str


def judge(subjects: Sequence[Subject], rules: Sequence[Rule]) -> list[list[Judgement]]:
    """For each object the verdict of every rule, in the rules' order."""
    return [[_judged(rule, subject, subjects) for rule in rules] for subject in subjects]


def _judged(rule: Rule, subject: Subject, subjects: Sequence[Subject]) -> Judgement:
    if subject.kind not in rule.kinds:
        return Judgement(rule, Verdict.NOT_APPLICABLE, f"not of {'an image' if subject.kind is Kind.IMAGE else subject.kind}")
    try:
        return Judgement(rule, *rule.judge(subject, subjects))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as exc:  # anyone's objects can be made in any way
        return Judgement(rule, Verdict.CANT_TELL, f"the object can't be read here ({type(exc).__name__})")
