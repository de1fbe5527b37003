"""Profiles: what a destination gets, and what may have to go instead."""

from typing import get_args

import pytest

from cad_node.objects import ObjectName, Profile, expanded

NAMES = get_args(ObjectName)


@pytest.mark.parametrize("name", NAMES)
def test_what_may_have_to_go_instead_is_built_too(name):
    profile = Profile((name,))

    assert set(profile.to_build()) == {name, *profile.substitutes(name)}


@pytest.mark.parametrize("name", NAMES)
def test_no_object_is_its_own_substitute_and_every_chain_ends(name):
    chain = Profile().substitutes(name)

    assert name not in chain
    assert len(set(chain)) == len(chain)
    assert not chain or not Profile().substitutes(chain[-1])


def test_a_segmentation_gives_way_to_a_presentation_state_and_that_to_a_secondary_capture():
    assert Profile().substitutes("seg") == ("gsps", "sc")


def test_presets_and_names_may_be_mixed_and_each_object_comes_once():
    assert expanded(["planning", "sr", "seg"]) == ("seg", "rtstruct", "stl", "pdf", "rejection", "sr")
