"""What reaches standard error: events with their places, and no word that a library took from a data set."""

import errno
import json
import logging
import warnings
from collections.abc import Callable, Iterator

import pytest
import structlog
from pydicom.valuerep import validate_value

from cad_node.errors import CadNodeError
from cad_node.log import configure_logging, get_logger

NAME = "Doe^John"


pytestmark = pytest.mark.parametrize("as_json", [False, True], ids=["lines", "json"])


@pytest.fixture(autouse=True)
def _configured_again() -> Iterator[None]:
    libraries = [logging.getLogger(name) for name in ("pynetdicom", "pydicom", "highdicom", "PIL")]
    levels = [library.level for library in libraries]
    with warnings.catch_warnings():
        yield
    structlog.reset_defaults()
    for library, level in zip(libraries, levels, strict=True):
        library.setLevel(level)


def _foreign() -> None:
    raise ValueError(NAME)


def _chained() -> None:
    try:
        _foreign()
    except ValueError as exc:
        raise CadNodeError("instance 1.2.3: not readable") from exc


def _unchained() -> None:
    try:
        _foreign()
    except ValueError:
        raise KeyError(NAME)  # noqa: B904 - as a defect would


def _suppressed() -> None:
    try:
        _foreign()
    except ValueError:
        raise CadNodeError("nothing before this matters") from None


def _file_error() -> None:
    raise OSError(errno.EIO, NAME, f"/data/{NAME}")


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        (_foreign, ["ValueError", "_foreign"]),
        (_chained, ["CadNodeError: instance 1.2.3: not readable", "_chained", "caused by ValueError", "_foreign"]),
        (_unchained, ["KeyError", "_unchained", "caused by ValueError", "_foreign"]),
        (_suppressed, ["CadNodeError: nothing before this matters"]),
        (_file_error, ["OSError EIO", "_file_error"]),
    ],
)
def test_a_name_in_a_foreign_exception_is_not_logged_but_its_place_is(
    capsys: pytest.CaptureFixture[str], as_json: bool, fail: Callable[[], None], said: list[str]
) -> None:
    configure_logging(json=as_json)

    try:
        fail()
    except (CadNodeError, ValueError, KeyError, OSError):
        get_logger().exception("step.failed", job=7)

    printed = capsys.readouterr().err
    assert NAME not in printed
    assert [part for part in [*said, "test_log.py:", "step.failed"] if part not in printed] == []
    assert ("caused by" in printed) == ("caused by ValueError" in said)


def test_an_exception_handed_over_is_rendered_like_a_caught_one(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    configure_logging(json=as_json)

    get_logger().error("instance.failed", exc_info=ValueError(NAME))

    printed = capsys.readouterr().err
    assert "ValueError" in printed
    assert NAME not in printed


@pytest.mark.parametrize("library", ["pydicom", "pynetdicom", "highdicom.image", "PIL.Image"])
def test_a_library_that_quotes_values_is_silent(caplog: pytest.LogCaptureFixture, as_json: bool, library: str) -> None:
    configure_logging(json=as_json)

    logging.getLogger(library).error("Invalid value for VR UI: %s", NAME)

    assert caplog.records == []


def test_a_warning_that_quotes_a_value_is_not_printed(as_json: bool) -> None:
    with warnings.catch_warnings(record=True) as warned:
        configure_logging(json=as_json)

        validate_value("UI", NAME, 1)

    assert warned == []


def test_an_event_is_one_line_with_its_values(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    configure_logging(json=as_json)

    get_logger().info("job.done", job=7)

    (line,) = capsys.readouterr().err.splitlines()
    assert "job.done" in line
    assert not as_json or json.loads(line)["job"] == 7
