"""How the node shows a DICOMweb service who it is."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from cad_node.settings.section import Section
from cad_node.settings.tls import PeerTls


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def keeps_secrets(url: str) -> bool:
    """Whether what goes there can't be read on the way: over TLS, or not over a network at all."""
    parts = urlsplit(url)
    return parts.scheme == "https" or _is_loopback(parts.hostname or "")


def _is_web(url: str) -> str:
    if url and not re.fullmatch(r"https?://[^\s?#]+", url):
        raise ValueError("write http:// or https://, host and path, without ? or #")
    return url


def _without_credentials(url: str) -> str:
    """URLs are logged."""
    if urlsplit(url).username is not None:
        raise ValueError("holds a user name; URLs are logged")
    return url


OptionalWebUrl = Annotated[str, AfterValidator(_is_web), AfterValidator(_without_credentials)]
WebUrl = Annotated[OptionalWebUrl, StringConstraints(min_length=1)]


class OAuth2(Section):
    token_url: WebUrl
    """Where the token server gives tokens (its token endpoint), https."""
    client_id: Annotated[str, StringConstraints(min_length=1)]
    """What the token server calls this node."""
    client_secret: SecretStr | None = None
    """The secret that goes with it; better from a variable or a file."""
    client_secret_file: Path | None = None
    """File that holds it. Read again for each token."""
    scope: str = ""
    """Scopes to ask for, with spaces between; empty: those the token server gives by itself."""
    tls: PeerTls | None = None
    """TLS to the token server; without it, as to the service."""

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        if (self.client_secret is None) == (self.client_secret_file is None):
            raise ValueError("set client_secret or client_secret_file")
        if not keeps_secrets(self.token_url):
            raise ValueError("token_url must be https: the client's secret is sent there")  # RFC 6749 2.3.1
        return self


class WebAccess(Section):
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """More headers of each request to its DICOMweb service, such as an API key, or Authorization for HTTP Basic."""
    token: SecretStr | None = None
    """Bearer token for it; better from a variable or a file."""
    token_file: Path | None = None
    """File that holds the bearer token. Read again for each request."""
    oauth2: OAuth2 | None = None
    """Or bearer tokens by OAuth2, as client credentials."""

    def require_safe(self, *urls: str) -> None:
        """Raises ValueError where there is more than one kind of token, or one would go where others can read it, RFC 6750 5.3."""
        if sum(one is not None for one in (self.token, self.token_file, self.oauth2)) > 1:
            raise ValueError("set one of token, token_file and oauth2")
        if self.token or self.token_file or self.oauth2:
            for url in filter(None, urls):
                if not keeps_secrets(url):
                    raise ValueError(f"the token would go to {url} in the clear; use https")
