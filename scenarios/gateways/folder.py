"""The folder with the test authority, the merchant's test keys, and the environment that points a client at the harness."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from protocols.rsa_keys import legacy_pkcs12

__all__ = [
    "PHP_FILE",
    "TRUST_STORE_FILE",
    "FolderError",
    "GatewayFolder",
    "environment",
    "export_lines",
    "php_settings",
    "trust_store",
]

TRUST_STORE_FILE: Final = "truststore.p12"
TRUST_STORE_PASSWORD: Final = "changeit"  # noqa: S105 - the one that Java itself ships its store with; nothing in it is secret
PHP_FILE: Final = "php.ini"
_QUOTABLE: Final = re.compile(r"""[^"'$\\:\r\n]+""")


class FolderError(Exception):
    """The folder cannot be made where it was asked for; the text is for the person who asked."""


class GatewayFolder:
    """A new folder of mode 0700 whose files have mode 0600.

    Args:
        wanted: a place where nothing is yet; None makes one among the temporary files, which `remove` takes away again.

    Attributes:
        path: the folder, absolute.

    Raises:
        FolderError: something is there already, it lies in a git work tree (keys do not belong there), or it cannot be written.
    """

    def __init__(self, wanted: Path | None) -> None:
        self.is_kept = wanted is not None
        if wanted is None:
            self.path = Path(tempfile.mkdtemp(prefix="forecourt-gateways-")).resolve()
            return
        try:
            self.path = wanted.absolute()
            tree = next((above for above in self.path.resolve().parents if (above / ".git").exists()), None)
            if tree is not None:
                raise FolderError(f"{wanted} lies in the git work tree {tree}; keys do not belong there")
            self.path.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            raise FolderError(f"{wanted} already exists; keys are never overwritten") from None
        except OSError as error:
            raise FolderError(f"{wanted} cannot be written: {error.strerror or error}") from None

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a new file that only its owner may read.

        Raises:
            OSError: it is there already, or it cannot be written.
        """
        path = self.path / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        return path

    def write_json(self, name: str, data: Mapping[str, object]) -> Path:
        """Write a new JSON file; raises as `write`."""
        return self.write(name, json.dumps(data, indent=1, ensure_ascii=False) + "\n")

    def remove(self) -> None:
        """Take the folder away, unless somebody asked for it by name and there is something in it."""
        if not self.is_kept:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        with contextlib.suppress(OSError):
            self.path.rmdir()


def trust_store(certificate_pem: str) -> bytes:
    """The authority as a Java machine takes it, PKCS #12 in the old algorithms that every one of them reads."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    method = legacy_pkcs12(TRUST_STORE_PASSWORD)
    return pkcs12.serialize_java_truststore([pkcs12.PKCS12Certificate(certificate, b"forecourt")], method)


def php_settings(authority: Path) -> str:
    """An ini file for PHP, whose curl and streams are told of an authority in no other way."""
    return f'curl.cainfo="{authority}"\nopenssl.cafile="{authority}"\n'


def environment(proxy_url: str, authority: Path) -> dict[str, str]:
    """The variables that send a client's HTTPS and HTTP through the proxy and make it trust the test authority.

    ``REQUESTS_CA_BUNDLE`` is Requests', ``SSL_CERT_FILE`` OpenSSL's (httpx, urllib) and Go's, ``CURL_CA_BUNDLE`` curl's,
    ``NODE_EXTRA_CA_CERTS`` Node's, which takes ``HTTPS_PROXY`` from the environment only when told to (from 22.21 and 24 on).
    PHP takes the proxy from ``HTTPS_PROXY`` and the authority from the ini file beside it, Java both from ``JAVA_TOOL_OPTIONS``; neither
    file format can hold every path, and where it cannot, its variable is left out.
    Where both spellings are set, most libraries believe the small letters, so a shell that has them already gets them anew.

    Args:
        proxy_url: of the proxy.
        authority: its certificate; `TRUST_STORE_FILE` and `PHP_FILE` are beside it.
    """
    bundle = str(authority)
    local = "127.0.0.1,localhost"
    variables = {
        "HTTPS_PROXY": proxy_url,
        "https_proxy": proxy_url,
        "HTTP_PROXY": proxy_url,
        "http_proxy": proxy_url,
        "NO_PROXY": local,
        "no_proxy": local,
        "SSL_CERT_FILE": bundle,
        "REQUESTS_CA_BUNDLE": bundle,
        "CURL_CA_BUNDLE": bundle,
        "NODE_EXTRA_CA_CERTS": bundle,
        "NODE_USE_ENV_PROXY": "1",
    }
    folder = authority.parent
    if _QUOTABLE.fullmatch(str(folder)):
        # The empty place before the colon is the folder that PHP was built with.
        variables["PHP_INI_SCAN_DIR"] = f":{folder}"
        variables["JAVA_TOOL_OPTIONS"] = _java_options(proxy_url, folder / TRUST_STORE_FILE)
    return variables


def _java_options(proxy_url: str, store: Path) -> str:
    proxy = urlsplit(proxy_url)
    settings = {
        "https.proxyHost": proxy.hostname,
        "https.proxyPort": proxy.port,
        "http.proxyHost": proxy.hostname,
        "http.proxyPort": proxy.port,
        "javax.net.ssl.trustStore": f'"{store}"',
        "javax.net.ssl.trustStorePassword": TRUST_STORE_PASSWORD,
    }
    return " ".join(f"-D{name}={value}" for name, value in settings.items())


def export_lines(variables: Mapping[str, str]) -> list[str]:
    """The variables as a shell takes them."""
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
