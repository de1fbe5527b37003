"""config and db: the settings as they will be used, a database that can be upgraded again and again, and none made by accident."""

from pathlib import Path

from tests.cli.conftest import CadNode


def test_the_settings_are_printed_as_they_will_be_used(cad_node: CadNode, config: Path, monkeypatch):
    with config.open("a") as file:
        file.write('[scp]\nport = 4104\n[destinations.pacs]\nae_title = "PACS"\nhost = "pacs"\nport = 104\n')
    monkeypatch.setenv("CAD_NODE_NODE__AE_TITLE", "FROM_VARIABLE")

    checked = cad_node("config", "check")

    assert (checked.status, checked.err) == (0, "")
    assert (checked.document["scp"]["port"], checked.document["node"]["ae_title"]) == (4104, "FROM_VARIABLE")


def test_a_certificate_that_cannot_be_used_is_an_error_in_one_line(cad_node: CadNode, config: Path, tmp_path: Path):
    with config.open("a") as file:
        file.write(f'[scp.tls]\ncertificate = "{tmp_path}/node.pem"\nkey = "{tmp_path}/key.pem"\nclient_certificates = "none"\n')

    checked = cad_node("config", "check")

    assert checked.status != 0
    assert f"error: certificate {tmp_path}/node.pem: No such file or directory; name a PEM file that this process may read\n" in checked.err


def test_a_node_without_destination_is_told_that_results_stay(cad_node: CadNode):
    checked = cad_node("config", "check")

    assert checked.status == 0
    assert "no [destinations.NAME] is set" in checked.err


def test_the_password_of_the_database_is_not_printed(cad_node: CadNode, monkeypatch):
    monkeypatch.setenv("CAD_NODE_DATABASE__URL", "postgresql://cad:secret@127.0.0.1/cad_node")

    checked = cad_node("config", "check")

    assert checked.document["database"] == {"kind": "postgresql"}
    assert "secret" not in checked.out + checked.err


def test_an_unknown_key_is_an_error_in_one_line_that_names_it_and_the_file(cad_node: CadNode, config: Path):
    with config.open("a") as file:
        file.write("[scp]\nprot = 4104\n")

    checked = cad_node("config", "check")

    assert (checked.status, checked.out) == (78, "")
    assert checked.err.startswith(f"error: {config}: scp.prot: ")
    assert checked.err.count("\n") == 1


def test_a_settings_file_that_is_not_there_is_an_error_in_one_line(cad_node: CadNode, tmp_path: Path):
    checked = cad_node("--config", tmp_path / "nowhere.toml", "config", "check")

    assert checked.status == 78
    assert checked.err == f"error: {tmp_path / 'nowhere.toml'}: No such file or directory; name an existing TOML file with --config\n"


def test_the_database_can_be_upgraded_twice(cad_node: CadNode, tmp_path: Path):
    ended = [cad_node("db", "upgrade"), cad_node("db", "upgrade")]

    assert [(end.status, end.out) for end in ended] == [(0, "the database is current\n")] * 2
    assert (tmp_path / "data" / "cad_node.db").exists()


def test_a_server_that_does_not_answer_is_an_error_without_its_password(cad_node: CadNode, monkeypatch):
    monkeypatch.setenv("CAD_NODE_DATABASE__URL", "postgresql://cad:secret@127.0.0.1:1/cad_node")

    ended = cad_node("db", "upgrade")

    assert ended.status == 1
    assert ended.err.startswith("error: the database doesn't answer")
    assert "secret" not in ended.err


def test_looking_at_jobs_where_no_node_has_run_makes_no_database(cad_node: CadNode, tmp_path: Path):
    listed = cad_node("jobs", "list")

    assert listed.status == 1
    assert f"no database at {tmp_path / 'data' / 'cad_node.db'}" in listed.err
    assert not (tmp_path / "data").exists()
