from __future__ import annotations

from pathlib import Path

import pytest

from bridge.settings.certificate import CertificateError, check_certificate

TLS = Path(__file__).parents[2] / "harness" / "tls"


def test_a_certificate_with_its_key_is_accepted() -> None:
    check_certificate(str(TLS / "server.pem"), str(TLS / "server.key"))


@pytest.mark.parametrize(
    ("certfile", "keyfile", "reason"),
    [
        ("nowhere.pem", "server.key", r"nowhere\.pem cannot be read: No such file"),
        ("server.pem", "nowhere.key", r"nowhere\.key cannot be read: No such file"),
        (".", "server.key", r"cannot be read: Is a directory"),
        ("server.pem", "expired.key", r"the key in .*expired\.key does not belong to the certificate in .*server\.pem"),
        ("server.pem", "encrypted.key", r"the key in .*encrypted\.key is encrypted"),
        ("server.key", "server.key", r"are not a certificate and its key in PEM form"),
        ("server.pem", "server.pem", r"are not a certificate and its key in PEM form"),
        ("expired.pem", "expired.key", r"clients refuse the certificate in .*expired\.pem: certificate has expired"),
    ],
)
def test_an_unusable_certificate_is_refused_with_the_reason(certfile: str, keyfile: str, reason: str) -> None:
    with pytest.raises(CertificateError, match=reason):
        check_certificate(str(TLS / certfile), str(TLS / keyfile))
