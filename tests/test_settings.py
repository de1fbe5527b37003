"""Settings: one file, variables that outrank it, and nothing unknown."""

from pathlib import Path

import pytest

from cad_node.errors import SettingsError
from cad_node.objects import DEFAULT_OBJECTS
from cad_node.settings import StowDestination, read_settings


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
        ('[destinations.web]\ntransport = "stow"\nurl = "https://pacs/studies"\n', "destinations.web.url: leave /studies out"),
        ('[destinations.web]\ntransport = "stow"\nurl = "pacs/dicom-web"\n', "destinations.web.url: write http:// or https://"),
        ('[destinations.web]\ntransport = "stow"\nurl = "https://pacs"\nobjects = "ohiff"\n', "called ohiff; objects: seg, "),
        ('[destinations.web]\ntransport = "stow"\nurl = "https://pacs"\nempty_frame = "kept"\n', "web.empty_frame: there is no such key"),
        ('[destinations.pacs1]\ntransport = "ftp"\n', "destinations.pacs1: transport is dimse (or left out), stow, folder or s3"),
        ("[destinations]\npacs1 = 104\n", "destinations.pacs1: transport is"),
        ('[destinations.web]\ntransport = "stow"\n', "destinations.web.url"),
        ('[destinations.web]\ntransport = "stow"\nurl = "ftp://pacs"\n', "destinations.web.url"),
        ('[destinations.web]\ntransport = "stow"\nurl = "https://me:secret@pacs"\n', "destinations.web.url"),
        ('[destinations.web]\ntransport = "stow"\nurl = "https://pacs"\nconfirm = "find"\n', "destinations.web.confirm"),
        ('[destinations.web]\ntransport = "stow"\nurl = "https://pacs"\n[destinations.web.oauth2]\n', "destinations.web.oauth2.token_url"),
        ('[destinations.share]\ntransport = "folder"\npath = "/share"\numask = "999"\n', "destinations.share.umask"),
        ('[destinations.share]\ntransport = "folder"\npath = "/share"\nport = 104\n', "destinations.share.port"),
        ('[destinations.share]\ntransport = "folder"\npath = "/share"\nobjects = ["sr"]\n', "destinations.share"),
        ('[destinations.bucket]\ntransport = "s3"\nbucket = "b"\nkms_key_id = "k"\n', "destinations.bucket"),
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


STOW = '[destinations.web]\ntransport = "stow"\nurl = "{url}"\n'
OAUTH2 = '[destinations.web.oauth2]\ntoken_url = "{url}"\nclient_id = "node"\n{more}\n'


def test_each_transport_has_its_settings(write):
    file = write(
        '[destinations.pacs]\nae_title = "PACS"\nhost = "pacs"\nport = 104\n'
        + STOW.format(url="https://pacs/dicom-web")
        + '[destinations.share]\ntransport = "folder"\npath = "/share"\n'
        + '[destinations.bucket]\ntransport = "s3"\nbucket = "results"\n'
    )

    read = read_settings(file)

    assert {name: to.transport for name, to in read.destinations.items()} == {
        "pacs": "dimse",
        "web": "stow",
        "share": "folder",
        "bucket": "s3",
    }
    assert {to.objects for to in read.destinations.values()} == {DEFAULT_OBJECTS}
    assert (list(read.dicom_destinations), list(read.asked_destinations)) == (["pacs"], ["pacs", "web"])
    assert [to.address for to in read.destinations.values()] == [
        ("PACS", "pacs"),
        ("https://pacs/dicom-web", "pacs"),
        ("folder /share", ""),
        ("s3://results", ""),
    ]


def test_a_destination_of_any_transport_can_come_from_variables_alone(monkeypatch):
    variables = {
        "TRANSPORT": "stow",
        "URL": "https://pacs/dicom-web",
        "OBJECTS": '["seg", "legacy"]',
        "OAUTH2__TOKEN_URL": "https://tokens",
        "OAUTH2__CLIENT_ID": "node",
        "OAUTH2__CLIENT_SECRET": "12345",
        "TLS__AUTHORITIES": "/etc/authority.pem",
        "HEADERS": '{"X-Api-Key": "key"}',
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"CAD_NODE_DESTINATIONS__WEB__{name}", value)

    to = read_settings().destinations["web"]

    assert isinstance(to, StowDestination)
    assert to.oauth2
    assert to.oauth2.client_secret
    assert to.oauth2.client_secret.get_secret_value() == "12345"
    assert to.headers["X-Api-Key"].get_secret_value() == "key"
    assert to.objects[:2] == ("seg", "cad_sr")
    assert to.tls


def test_secrets_are_not_shown(write):
    file = write(
        STOW.format(url="https://pacs")
        + 'headers = { X-Api-Key = "s3cret" }\n'
        + OAUTH2.format(url="https://tokens", more='client_secret = "s3cret"')
        + '[destinations.other]\ntransport = "stow"\nurl = "https://pacs"\ntoken = "s3cret"\n'
    )

    read = read_settings(file)

    assert "s3cret" not in read.model_dump_json() + repr(read)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (STOW.format(url="http://pacs") + 'token = "t"\n', "in the clear"),
        (STOW.format(url="https://pacs") + 'qido_url = "http://pacs"\ntoken_file = "t"\n', "in the clear"),
        (STOW.format(url="https://pacs") + 'token = "t"\ntoken_file = "t"\n', "set one of token, token_file and oauth2"),
        (STOW.format(url="https://pacs") + OAUTH2.format(url="http://tokens", more='client_secret = "s"'), "token_url must be https"),
        (STOW.format(url="https://pacs") + OAUTH2.format(url="https://tokens", more=""), "set client_secret or client_secret_file"),
    ],
)
def test_a_secret_that_others_could_read_or_that_is_missing_is_refused(write, text, why):
    with pytest.raises(SettingsError, match=why) as error:
        read_settings(write(text))

    assert "destinations.web" in str(error.value)


@pytest.mark.parametrize("url", ["http://localhost:8042/dicom-web", "http://127.0.0.1", "http://[::1]:80", "https://pacs"])
def test_a_token_goes_over_tls_or_stays_on_this_machine(write, url):
    to = read_settings(write(STOW.format(url=url) + 'token = "t"\n')).destinations["web"]

    assert to.transport == "stow"


@pytest.mark.parametrize("layout", ["/{sop_instance_uid}", "../{sop_instance_uid}", "{patient_id}/{sop_instance_uid}", "all", "{0}", "{"])
def test_a_layout_stays_in_its_folder_and_names_each_object(write, layout):
    file = write(f'[destinations.share]\ntransport = "folder"\npath = "/share"\nlayout = "{layout}"\n')

    with pytest.raises(SettingsError, match=r"destinations\.share\.layout"):
        read_settings(file)
