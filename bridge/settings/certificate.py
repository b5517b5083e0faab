"""Checks the certificate and key of an HTTPS server before it starts, and makes our own commands trust it."""

from __future__ import annotations

import ssl
from pathlib import Path


class CertificateError(Exception):
    """The certificate and key are unusable; the message names the file and the reason."""


def check_certificate(certfile: str, keyfile: str) -> None:
    """Check certificate and key with a TLS handshake in memory.

    Raises:
        CertificateError: a file cannot be read or is not a PEM file, the key is encrypted or belongs to another
            certificate, or the certificate has expired or is not valid yet.
    """
    for file in (certfile, keyfile):
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise CertificateError(f"{file} cannot be read: {error.strerror or error}") from None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certfile, keyfile, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(f"the key in {keyfile} does not belong to the certificate in {certfile}") from None
        raise CertificateError(f"{certfile} and {keyfile} are not a certificate and its key in PEM form") from None
    except _EncryptedKey:
        raise CertificateError(f"the key in {keyfile} is encrypted; write it without a passphrase") from None
    try:
        _shake_hands(server, trusting(certfile))
    except ssl.SSLCertVerificationError as error:
        raise CertificateError(f"clients refuse the certificate in {certfile}: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise CertificateError(f"{certfile} cannot be used for a server: {error.reason or error}") from None


def trusting(certfile: str) -> ssl.SSLContext:
    """Return the TLS settings of a client that trusts only this certificate, under any host name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it may be signed by an authority that is not in the file
    context.load_verify_locations(certfile)
    return context


class _EncryptedKey(Exception):
    """Raised when OpenSSL requests the passphrase; otherwise it would prompt at the terminal."""


def _no_password() -> str:
    raise _EncryptedKey


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    while sides:
        for side in tuple(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)
