"""Certificates: the server's own, taken up anew when their files change; and who a caller's certificate is for."""

from __future__ import annotations

import math
import ssl
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc
from cryptography import x509

from recordlayer_server.security.identity import Identity
from recordlayer_server.security.kept_file import KeptFiles

if TYPE_CHECKING:
    from recordlayer_server.config import Tls


def credentials(tls: Tls) -> grpc.ServerCredentials:
    """Credentials that follow their files: every new connection gets what is in them then. Callers have to show a
    certificate if there is an authority for theirs.

    Raises  OSError, ValueError if the files cannot be used now.
    """
    paths = [tls.certificate, tls.key] + ([] if tls.client_ca is None else [tls.client_ca])
    kept: KeptFiles[grpc.ServerCertificateConfiguration] = KeptFiles(paths, _configuration)
    given = kept.value

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal given
        if kept.value is given:
            return None
        given = kept.value
        return given

    return grpc.dynamic_ssl_server_credentials(given, changed, require_client_authentication=tls.client_ca is not None)


def seconds_left(tls: Tls) -> float:
    """Until the certificate is over that new connections get; not a number where its file cannot be read just now."""
    try:
        over = x509.load_pem_x509_certificate(tls.certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return math.nan
    return (over - datetime.now(UTC)).total_seconds()


def _configuration(contents: Sequence[bytes]) -> grpc.ServerCertificateConfiguration:
    certificate, key, *authority = contents
    _judge(certificate, key)
    signed_by = authority[0] if authority else None
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=signed_by)


def _judge(certificate: bytes, key: bytes) -> None:
    """Certificates are replaced file by file: a pair that does not fit is not taken.  Raises  ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:  # the only form in which ssl takes a pair
        file.write(certificate + b"\n" + key)
        file.flush()
        try:
            context.load_cert_chain(file.name)
        except ssl.SSLError as error:
            raise ValueError(f"certificate and key do not make a pair: {error}") from error


def identity_of(auth_context: Mapping[str, Iterable[bytes]]) -> Identity | None:
    """Who the caller's certificate is for; None without one, or if it names nobody.

    `auth_context` is what grpc knows of a connection; it has checked who signed the certificate.
    """
    alternative = [name.decode(errors="replace") for name in auth_context.get("x509_subject_alternative_name", ())]
    common = [name.decode(errors="replace") for name in auth_context.get("x509_common_name", ())]
    names = [name for name in (*alternative, *common) if name and "�" not in name and "*" not in name]
    return Identity(f"certificate:{names[0]}", names[0]) if names else None
