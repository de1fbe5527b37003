"""Help texts that a newcomer can act on."""

from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperGroup

from cad_node import __version__
from cad_node.cli.main import app
from tests.cli.conftest import CadNode

VERBS = {
    *("serve", "scp", "worker", "sender", "demo", "send", "echo", "fetch", "train", "evaluate", "export", "report", "check-air"),
    *(f"jobs {verb}" for verb in ("list", "show", "retry", "cancel", "priority", "watch")),
    *("deliveries list", "deliveries retry"),
    *("studies list", "studies analyse", "models list", "models verify", "db upgrade", "config check"),
    *("audit verify", "audit list", "retention show", "retention run"),
}


def commands(group: TyperGroup, before: str = "") -> Iterator[tuple[str, typer.core.TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{name} ")
        else:
            yield before + name, command


ALL = dict(commands(typer.main.get_command(app)))


def test_every_verb_is_there():
    assert set(ALL) == VERBS


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_says_what_it_does_and_shows_how(verb: str):
    command = ALL[verb]

    assert command.help
    assert f"cad-node {verb}" in command.epilog.replace("--config cad_node.toml ", "").replace("--config /etc/cad_node.toml ", "")
    assert all(parameter.help for parameter in command.params if parameter.name != "help")


def test_the_root_shows_the_first_steps_and_the_exit_statuses(cad_node: CadNode):
    shown = " ".join(cad_node("--help").out.split())

    assert "cad-node demo" in shown
    assert "Exit status: 0 done" in shown


def test_the_version_is_printed(cad_node: CadNode):
    assert cad_node("--version").out == f"{__version__}\n"


def test_a_command_that_is_not_there_is_wrong_usage(cad_node: CadNode):
    assert cad_node("sevre").status == 2
