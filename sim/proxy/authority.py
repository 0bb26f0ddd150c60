"""A certificate authority made for one run, and leaf certificates for whatever host a test needs."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["CertificateAuthority", "make_ca"]

_LIFE = timedelta(days=30)  # far longer than a run, far shorter than anything one would come to rely on


class CertificateAuthority:
    """Issues server certificates; a client that is told to trust `certificate_pem` accepts them.

    Its key never leaves this object, so nobody can issue certificates with it after the run.

    Args:
        now_unix_s: certificates are valid from a day before to 30 days after it.
    """

    def __init__(self, now_unix_s: int) -> None:
        now = datetime.fromtimestamp(now_unix_s, UTC)
        self._start, self._end = now - timedelta(days=1), now + _LIFE
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Forecourt"),
                x509.NameAttribute(NameOID.COMMON_NAME, "Forecourt test authority"),
            ]
        )
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self._certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._contexts: dict[str, ssl.SSLContext] = {}

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        # Both key identifiers are there because Python 3.13's default context checks strictly (VERIFY_X509_STRICT).
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._start)
            .not_valid_after(self._end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )

    @property
    def certificate_pem(self) -> str:
        """The authority's certificate, for ``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE`` or ``NODE_EXTRA_CA_CERTS``."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    def write_bundle(self, path: Path) -> Path:
        """Write the authority's certificate (no key) to a file and return its path."""
        path.write_text(self.certificate_pem, encoding="ascii")
        return path

    def issue(self, host: str) -> tuple[str, str]:
        """A leaf certificate and its key, both PEM, for a host name or an IP address.

        Raises:
            ValueError: not a host name.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        name: x509.GeneralName
        try:
            name = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            if not host or len(host) > 253 or not host.isascii() or any(char in host for char in " /*"):
                raise ValueError(f"{host[:80]!r} is not a host name") from None
            name = x509.DNSName(host)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        certificate = (
            self._builder(subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"), private.decode("ascii")

    def server_context(self, host: str) -> ssl.SSLContext:
        """A TLS server context for a host; made once for each.

        Raises:
            ValueError: not a host name.
        """
        context = self._contexts.get(host)
        if context is None:
            certificate, key = self.issue(host)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            # The ssl module reads certificates from files only; this one lives for a moment in a private folder.
            with tempfile.TemporaryDirectory(prefix="forecourt-tls-") as folder:
                path = Path(folder) / "leaf.pem"
                path.touch(mode=0o600)
                path.write_text(key + certificate, encoding="ascii")
                context.load_cert_chain(path)
            self._contexts[host] = context
        return context

    def client_context(self) -> ssl.SSLContext:
        """A TLS client context that trusts this authority and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cadata=self.certificate_pem)
        return context


def make_ca(now_unix_s: int | None = None) -> CertificateAuthority:
    """A new authority; without a time it takes the wall clock, since TLS clients outside this process do too."""
    return CertificateAuthority(int(time.time()) if now_unix_s is None else now_unix_s)
