"""Settings: one file, variables that outrank it, and nothing unknown."""

from pathlib import Path

import pytest

from cad_node.errors import SettingsError
from cad_node.objects import DEFAULT_OBJECTS
from cad_node.settings import read_settings


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str) -> Path:
        file = tmp_path / "cad_node.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return _write


def test_without_a_file_the_embedded_defaults_hold():
    read = read_settings()

    assert read.node.ae_title == "CAD_NODE"
    assert read.database_url.startswith("sqlite:///")
    assert read.destinations == {}


def test_a_variable_outranks_the_file(write, monkeypatch):
    file = write('[scp]\nport = 104\nhost = "127.0.0.1"\n')
    monkeypatch.setenv("CAD_NODE_SCP__PORT", "11113")

    read = read_settings(file)

    assert (read.scp.port, read.scp.host) == (11113, "127.0.0.1")


def test_a_destination_can_come_from_variables_alone(monkeypatch):
    monkeypatch.setenv("CAD_NODE_DESTINATIONS__PACS1__AE_TITLE", "PACS")
    monkeypatch.setenv("CAD_NODE_DESTINATIONS__PACS1__HOST", "pacs")
    monkeypatch.setenv("CAD_NODE_DESTINATIONS__PACS1__PORT", "104")

    read = read_settings()

    assert read.destinations["pacs1"].ae_title == "PACS"
    assert read.destinations["pacs1"].objects == DEFAULT_OBJECTS


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[scp]\nprot = 104\n", "scp.prot"),
        ("[spc]\nport = 104\n", "spc"),
        ("[scp]\nport = 70000\n", "scp.port"),
        ('[node]\nae_title = "SEVENTEEN_LETTERS"\n', "node.ae_title"),
        ('[node]\nae_title = "BACK\\\\SLASH"\n', "node.ae_title"),
        ("[queue]\nmax_crashes = 0\n", "queue.max_crashes"),
        ("[scp]\nplain = false\n", "nothing would listen"),
        ('[scp.tls]\nkey = "key.pem"\nclient_certificates = "none"\n', "scp.tls.certificate"),
        ('[scp.tls]\ncertificate = "a.pem"\nkey = "key.pem"\n', "authorities"),
        ('[scp]\naddresses = ["10.0.0.0/33"]\n', "scp.addresses.0"),
        ('[peers.ct]\nmay = ["store"]\n', "peers.ct"),
        ('[peers.ct]\nae_title = "CT"\nmay = ["delete"]\n', "peers.ct.may.0"),
        ('[sources.pacs]\nae_title = "P"\nhost = "p"\nport = 104\n[sources.pacs.tls]\ncertificate = "a.pem"\n', "sources.pacs.tls"),
        ('[destinations.pacs1]\nae_title = "PACS"\nhost = "pacs"\n', "destinations.pacs1.port"),
        ('[destinations.pacs1]\nae_title = "PACS"\nhost = "pacs"\nport = 104\nobjects = ["rtss"]\n', "destinations.pacs1.objects"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_its_name(write, text, key):
    file = write(text)

    with pytest.raises(SettingsError) as error:
        read_settings(file)

    assert key in str(error.value)
    assert str(file) in str(error.value)


def test_a_misspelt_variable_is_refused(monkeypatch):
    monkeypatch.setenv("CAD_NODE_SPC__PORT", "104")

    with pytest.raises(SettingsError, match="CAD_NODE_SPC__PORT"):
        read_settings()


def test_a_misspelt_key_in_a_variable_is_refused(monkeypatch):
    monkeypatch.setenv("CAD_NODE_SCP__PROT", "104")

    with pytest.raises(SettingsError, match=r"scp\.prot"):
        read_settings()


def test_a_missing_file_says_what_to_name(tmp_path):
    with pytest.raises(SettingsError, match="--config"):
        read_settings(tmp_path / "nowhere.toml")


def test_a_file_that_is_not_toml_says_so(write):
    file = write("[scp\nport")

    with pytest.raises(SettingsError, match="TOML"):
        read_settings(file)


def test_a_destination_that_is_asked_by_qido_rs_needs_its_url(write):
    file = write('[destinations.pacs]\nae_title = "PACS"\nhost = "pacs"\nport = 104\nconfirm = "qido"\n')

    with pytest.raises(SettingsError, match="qido_url"):
        read_settings(file)


def test_a_destination_may_be_asked_elsewhere_than_it_is_sent_to(write):
    file = write('[destinations.pacs]\nae_title = "PACS"\nhost = "pacs"\nport = 104\nconfirm_ae_title = "ARCHIVE"\nconfirm_port = 4104\n')

    asked = read_settings(file).destinations["pacs"].confirming

    assert (asked.ae_title, asked.host, asked.port) == ("ARCHIVE", "pacs", 4104)
