"""Who the node is to a DICOMweb service, and whom it believes: tokens from files, OAuth2, TLS."""

import json
from base64 import b64decode
from urllib.parse import parse_qs

import pytest
from pydantic import SecretStr

from cad_node.deliver.bearer import Bearer
from cad_node.deliver.web import WebService
from cad_node.errors import PacsUnreachable
from cad_node.settings import Destination, ListenerTls, OAuth2, PeerTls, WebAccess
from cad_node.tls import TlsContext
from tests.certificates import Authority, put
from tests.deliver.dicomweb import Says, dicomweb, token_answer
from tests.deliver.peers import relay, rude_peer

SECRET = "s3cr:t/+"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def get(url, access=None, tls=None, timeout_s=5):
    with WebService(url, timeout_s, tls, access).session() as session:
        return session.get("/instances", {})


def authorization(service):
    return [asked.headers.get("Authorization") for asked in service.asked]


def client(token_url, **more) -> OAuth2:
    return OAuth2(token_url=token_url, client_id="cad node", client_secret=SecretStr(SECRET), **more)


def test_without_a_token_none_is_sent_and_netrc_is_not_asked(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))

    with dicomweb(lambda _: Says(204)) as service:
        get(service.url)

    assert authorization(service) == [None]


def test_configured_headers_go_along(monkeypatch):
    with dicomweb(lambda _: Says(204)) as service:
        get(service.url, WebAccess(headers={"X-Api-Key": SecretStr("key")}))

    assert service.asked[0].headers["X-Api-Key"] == "key"


def test_a_token_is_read_from_its_file_each_time_so_that_it_can_be_changed(tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")

    with dicomweb(lambda _: Says(204)) as service:
        to = WebService(service.url, 5, None, WebAccess(token_file=file))
        for content in ("first\n", "second"):
            file.write_text(content)
            with to.session() as session:
                session.get("/instances", {})

    assert authorization(service) == ["Bearer first", "Bearer second"]


def test_a_token_file_that_is_missing_may_come_and_is_named(tmp_path):
    with dicomweb(lambda _: Says(204)) as service, pytest.raises(PacsUnreachable, match=r"token.*No such file") as error:
        get(service.url, WebAccess(token_file=tmp_path / "token"))

    assert error.value.retryable
    assert service.asked == []


def test_a_token_is_asked_for_as_client_credentials_and_used_again():
    with dicomweb(lambda _: token_answer("one")) as tokens, dicomweb(lambda _: Says(204)) as service:
        to = WebService(service.url, 5, None, WebAccess(oauth2=client(tokens.url, scope="dicom.write")))
        for _ in range(2):
            with to.session() as session:
                session.get("/instances", {})

    (asked,) = tokens.asked
    assert authorization(service) == ["Bearer one", "Bearer one"]
    assert parse_qs(asked.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["dicom.write"]}
    assert b64decode(asked.headers["Authorization"].removeprefix("Basic ")) == b"cad%20node:s3cr%3At%2F%2B"  # RFC 6749 2.3.1


def test_a_token_is_replaced_before_it_ends():
    clock = iter([0, 569, 571, 571])  # asked, looked at twice, asked again
    names = iter(["one", "two"])

    with dicomweb(lambda _: token_answer(next(names), expires_in=600)) as tokens:
        bearer = Bearer(WebAccess(oauth2=client(tokens.url)), 5, None, lambda: next(clock))
        seen = [bearer.token() for _ in range(3)]

    assert seen == ["one", "one", "two"]


def test_a_token_that_is_refused_is_replaced_once():
    names = iter(["stale", "fresh"])

    def believes_fresh(asked):
        return Says(204 if asked.headers["Authorization"] == "Bearer fresh" else 401)

    with dicomweb(lambda _: token_answer(next(names))) as tokens, dicomweb(believes_fresh) as service:
        answer = get(service.url, WebAccess(oauth2=client(tokens.url)))

    assert answer.status == 204
    assert authorization(service) == ["Bearer stale", "Bearer fresh"]


def test_a_service_that_takes_no_token_is_asked_twice_and_no_more():
    names = iter("abc")

    with dicomweb(lambda _: token_answer(next(names))) as tokens, dicomweb(lambda _: Says(401)) as service:
        answer = get(service.url, WebAccess(oauth2=client(tokens.url)))

    assert answer.status == 401
    assert len(service.asked) == 2


@pytest.mark.parametrize(
    ("says", "said"),
    [
        (Says(401, json.dumps({"error": "invalid_client"}).encode()), "HTTP 401 Unauthorized invalid_client"),
        (Says(200, b"<html>", "text/html"), "gives no token"),
        (Says(200, b'{"access_token": ""}'), "gives no token"),
        (Says(302, headers={"Location": "http://elsewhere.invalid/"}), "HTTP 302"),
        (None, "can't be reached"),
    ],
)
def test_a_token_that_can_not_be_had_may_be_later_and_tells_no_secret(says, said):
    with (
        dicomweb(lambda _: says) as tokens,
        dicomweb(lambda _: Says(204)) as service,
        pytest.raises(PacsUnreachable, match=said) as error,
    ):
        get(service.url, WebAccess(oauth2=client(tokens.url)))

    assert error.value.retryable
    assert SECRET not in str(error.value)
    assert service.asked == []


def test_only_the_named_authorities_are_believed(authority, tmp_path):
    server = ListenerTls(**keys(authority.issue("web", "localhost")), client_certificates="none")
    elsewhere = Authority(tmp_path / "elsewhere", "Elsewhere")

    with dicomweb(lambda _: Says(204), TlsContext(server).current()) as service:
        believed = get(service.url, tls=PeerTls(authorities=authority.file))
        with pytest.raises(PacsUnreachable, match="its certificate isn't accepted"):
            get(service.url, tls=PeerTls(authorities=elsewhere.file))
        with pytest.raises(PacsUnreachable, match="its certificate isn't accepted"):
            get(service.url)  # the system's authorities

    assert believed.status == 204
    assert len(service.asked) == 1


def test_the_bundle_that_comes_with_requests_is_not_believed(authority, tmp_path, monkeypatch):
    """The variables that would add authorities to it are no settings of this node."""
    server = ListenerTls(**keys(authority.issue("bundle", "localhost")), client_certificates="none")
    elsewhere = Authority(tmp_path / "elsewhere", "Elsewhere")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))

    with dicomweb(lambda _: Says(204), TlsContext(server).current()) as service, pytest.raises(PacsUnreachable, match="isn't accepted"):
        get(service.url, tls=PeerTls(authorities=elsewhere.file))


def test_a_certificate_for_another_host_is_taken_only_where_the_setting_says_so(authority):
    server = ListenerTls(**keys(authority.issue("other", "other.example")), client_certificates="none")

    with dicomweb(lambda _: Says(204), TlsContext(server).current()) as service:
        with pytest.raises(PacsUnreachable, match="its certificate isn't accepted: Hostname mismatch"):
            get(service.url, tls=PeerTls(authorities=authority.file))
        anyway = get(service.url, tls=PeerTls(authorities=authority.file, verify_host=False))

    assert anyway.status == 204


def test_a_new_certificate_of_ours_serves_the_next_session(authority, tmp_path):
    server = ListenerTls(**keys(authority.issue("asking", "localhost")), authorities=authority.file)
    node = authority.issue("node")
    own = authority.issue("own")
    own.certificate.write_text("")

    with dicomweb(lambda _: Says(204), TlsContext(server).current()) as service:
        to = WebService(service.url, 5, PeerTls(authorities=authority.file, **keys(own)))
        with pytest.raises(PacsUnreachable, match="can't be called over TLS"), to.session():
            pass
        put(node, own)
        with to.session() as session:
            answer = session.get("/instances", {})

    assert answer.status == 204


def test_a_token_server_may_have_another_authority_than_the_service(authority, tmp_path):
    public = Authority(tmp_path / "public", "Public")
    inside = ListenerTls(**keys(authority.issue("inside", "localhost")), client_certificates="none")
    outside = ListenerTls(**keys(public.issue("outside", "localhost")), client_certificates="none")

    with (
        dicomweb(lambda _: token_answer("one"), TlsContext(outside).current()) as tokens,
        dicomweb(lambda _: Says(204), TlsContext(inside).current()) as service,
    ):
        oauth2 = client(tokens.url, tls=PeerTls(authorities=public.file))
        answer = get(service.url, WebAccess(oauth2=oauth2), PeerTls(authorities=authority.file))

    assert answer.status == 204
    assert authorization(service) == ["Bearer one"]


def test_a_proxy_of_the_environment_is_gone_through_and_sees_nothing(authority, monkeypatch):
    server = ListenerTls(**keys(authority.issue("behind", "localhost")), client_certificates="none")
    asked = []

    with dicomweb(lambda _: Says(204), TlsContext(server).current()) as service:

        def tunnel(connection):
            asked.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            relay(connection, Destination(ae_title="BEHIND", host="127.0.0.1", port=service.port), 1_000_000)

        with rude_peer(tunnel) as proxy:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            through = get(service.url, WebAccess(token=SecretStr(SECRET)), PeerTls(authorities=authority.file))

    assert through.status == 204
    assert authorization(service) == [f"Bearer {SECRET}"]
    assert asked[0].startswith(f"CONNECT localhost:{service.port} ".encode())
    assert b"Bearer" not in asked[0]


def keys(identity):
    return {"certificate": identity.certificate, "key": identity.key}
