"""The fewest retrieves that bring what is wanted, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from cad_node.query.holdings import InstanceThere, requests
from cad_node.query.retrieve import Request

THERE = [InstanceThere(f"1.{series}", f"1.{series}.{number}", "") for series in (1, 2) for number in range(3)]
EVERY_UID = [instance.sop_instance_uid for instance in THERE]


def test_a_whole_study_is_one_retrieve():
    assert requests("1", THERE, EVERY_UID, is_whole=True) == [Request("STUDY", {"StudyInstanceUID": "1"}, 6)]


def test_a_whole_series_is_one_retrieve_and_a_part_of_another_names_its_instances():
    wanted = [*EVERY_UID[:3], EVERY_UID[4]]

    assert requests("1", THERE, wanted, is_whole=True) == [
        Request("SERIES", {"StudyInstanceUID": "1", "SeriesInstanceUID": "1.1"}, 3),
        Request("IMAGE", {"StudyInstanceUID": "1", "SeriesInstanceUID": "1.2", "SOPInstanceUID": ["1.2.1"]}, 1),
    ]


def test_all_of_the_series_that_were_looked_at_is_not_the_whole_study():
    assert [request.level for request in requests("1", THERE[:3], EVERY_UID, is_whole=False)] == ["SERIES"]


def test_a_list_of_uids_fits_into_one_value():
    there = [InstanceThere("1.1", f"{number:064d}", "") for number in range(1201)]

    batches = requests("1", there, [instance.sop_instance_uid for instance in there[1:]], is_whole=True)

    assert [request.instances for request in batches] == [500, 500, 200]
    assert all(len("\\".join(request.keys["SOPInstanceUID"])) < 65_534 for request in batches)


@given(st.sets(st.sampled_from(EVERY_UID)), st.booleans())
def test_what_is_asked_for_is_what_is_wanted(wanted: set[str], is_whole: bool):
    asked: list[str] = []
    for request in requests("1", THERE, wanted, is_whole=is_whole):
        series = request.keys.get("SeriesInstanceUID")
        listed = request.keys.get("SOPInstanceUID", [one.sop_instance_uid for one in THERE if series in {None, one.series_instance_uid}])
        assert request.instances == len(listed)
        asked += listed

    assert sorted(asked) == sorted(wanted)
