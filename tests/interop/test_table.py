"""Each object before each tool that fits it: docs/interop.json says what comes of it, and nothing else may."""

import json

import pytest

from tests.interop.objects import write_objects
from tests.interop.table import KEPT, OBJECTS, TOOLS, verdict

PAIRS = [(name, tool_name) for name in OBJECTS for tool_name, tool in TOOLS.items() if name in tool.objects]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_objects(tmp_path_factory.mktemp("objects"))


@pytest.fixture(scope="module")
def kept():
    return json.loads(KEPT.read_text())


@pytest.mark.parametrize(("name", "tool_name"), PAIRS)
def test_a_tool_says_of_an_object_what_the_documents_say(name, tool_name, files, kept, tmp_path):
    said = verdict(tool_name, name, files, tmp_path)

    assert said == kept[name][tool_name]


def test_the_documents_name_every_pair_and_no_other(kept, files):
    named = {(name, tool_name) for name, said in kept.items() for tool_name in said}

    assert named == set(PAIRS)
    assert files.keys() - {"source"} == kept.keys()
