"""The key that connectIPS payments are signed with in tests; it belongs to nobody."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

PEM = """\
-----BEGIN PRIVATE KEY-----
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQC4Sa9AaD6Xz5xS
tclqb2EGkTn4Mb9SCL/AnN4XEfXzR/gisI/kYlh5vnt4SH4W5h8IPIq0FK99UgKH
R4RbQqiwoZNMhBo4ACXwEkhN+7+mGKXEDrN0R1sJ4Di7oyZfiU6Wr8AC0uoDarsD
bAB2F2qae+oJaJnzpL6jNsRelon1NbCrVJ8M9Sb4D1n5w3vrZtfrCDt+HnrIAyaz
KScgUQIpgRtk+d62irtfpWef7fBaa+I29/qTEz+P9py9h7M3JikbFQKzRNT8hX34
HCyohHwDfvwCDkYdhrNKIED4BCGJkeVtY0jIqK1/i2qnuYueXAETU+bH6SbUEpUj
Lcjo+2OZAgMBAAECggEAFSkm1bUynMFy0H99t3o/EJ874g8qSgvlosMQcGM4U91L
dYZDG4UcZixUZqEiU1RMs2gqQBfQ98mjLy/r14PNtWx0KrjPfucrdAfRZBz4amTR
ofPTMNKhtj5YHVmURiuQydY37MsVoltOyouL+QNi0wbP/pETfmnIFxsqjLbp8+0q
NHXF3+Iu8j7//zCNU1J5CLkvtyXotn9SBTQDzHZgahvUfofKBH1bnwKUi9dY4Ix2
JDAlSDzXD50zY/nShvUiKv/ab13LdH0qaA1udwoT3Gy7TlPY0ovUSMWvwGi4HbWU
lZROM34fpu79W6CCz43TINUqsstV+QNONboYZJKkIQKBgQD5sO9gHlWT09vBWMOi
H3MUhsmtfdc7Ru8lOKh4qkx1wPHDZNSa1Gp4LnE3DYXbMFK6ZCQtqqboXX3BouBm
JPnq9ZLtoozqGodhaEEGF28Uyny/Jb/rLUPd+ug6AMb4qIHuVnoiHFyd5/gh5x5J
7AWQmWS8GqJB6M5wiKZJw03qyQKBgQC88bRWL+l1/VzGtZz3Uh7na1jG2iXC41Ty
cy3NmPUmkK1CgWPvRw44YPNu2sBNkjfilOlv+PXvv157jmmKMXkhJkOrI+oKsp4J
myW19PykEuEHDJ/kqKV1ovlhemHkAIO6zYB9vhYegeRbq94zAb3Oy+0xS3rvFCoR
iPTqAMZKUQKBgQC00bFIRi9rEm1+Iy3pZiUMpF/Ax/Tp9ICSz+kRGSKt08BA4/Ai
/9jql5ddaumYxfHjEUox1/dvJuU/KRigX/6sbJKujJzHm9aWb81HAAltYQXd1xSY
1vri8iTifFWbFUyisPVZZnib0bUbuCdzGP0erjcJEbCXUmTNkef6Wvk+IQKBgDi+
Vix0Iyb+OjirHkLgdMuHX5gIt8J5x28wzBas0yML3BzXAw4/RrQD2df29j3Vpdb0
Zc7s899Wl6d/s45/ISOlfDkPhiBEWFYGNCMbOiyERvR5BCQFyfs0QLTXrkJtLSKS
yP36cmYjGFO3n/mtkjVi5Q8i3f6jDadKfFMyfFqhAoGBANo4ZFA9wGwHvVugpAnn
BulGIL2ctv9MP7iyQNvHtZ4HcbZUsmcdxNPTcFrjfOByWAl2yJ+pDJgcL6AtF5Ya
azG7bk0z9iAc3LJWsAdk+2/wqmjRBOtUwihMqNFcmdm5JL+HAlhmVquUnRm7eYrK
GZFXEUB06wvRFBdOGxzJlINM
-----END PRIVATE KEY-----
"""


def throw_away_key() -> RSAPrivateKey:
    key = serialization.load_pem_private_key(PEM.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def write_pfx(path: Path, password: str, key: pkcs12.PKCS12PrivateKeyTypes | None = None) -> Path:
    """A CREDITOR.pfx as NCHL gives it out."""
    key = key or throw_away_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CREDITOR")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(throw_away_key(), hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(password.encode())
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(b"CREDITOR", key, certificate, None, encryption)
    )
    return path
