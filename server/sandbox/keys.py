"""The test values of the sandbox: published, worthless, and refused by every real provider.

The eSewa pair and the Khalti keys are printed in the providers' own documentation; the key pair of
connectIPS was made for tests and belongs to nobody. Nothing here is a secret.
"""

from __future__ import annotations

from typing import Final

KHALTI_SECRET_KEY: Final = "05bf95cc57244045b8df5fad06748dab"  # noqa: S105 - published by Khalti
KHALTI_WIDGET_SECRET_KEY: Final = "test_secret_key_f59e8b7d18b4499ca40f68195a846e9b"  # noqa: S105
KHALTI_SECRET_KEYS: Final = frozenset({KHALTI_SECRET_KEY, KHALTI_WIDGET_SECRET_KEY})
KHALTI_PUBLIC_KEY: Final = "test_public_key_dc74e0fd57cb46cd93832aee0a390234"
KHALTI_PIN: Final = "1111"
KHALTI_CODE: Final = "987654"

ESEWA_PRODUCT_CODE: Final = "EPAYTEST"
ESEWA_SECRET_KEY: Final = "8gBm/:&EnhH.1/q"  # noqa: S105 - published by eSewa

CONNECTIPS_MERCHANT_ID: Final = 550
CONNECTIPS_APP_ID: Final = "MER-550-APP-1"
CONNECTIPS_APP_PASSWORD: Final = "Abcd@123"  # noqa: S105 - the example of the documentation
CONNECTIPS_KEY_PASSWORD: Final = "sandbox"  # noqa: S105 - a test value
CONNECTIPS_PRIVATE_KEY: Final = """\
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

IMEPAY_MERCHANT_CODE: Final = "PANDIT"
IMEPAY_MODULE: Final = "PANDIT"
IMEPAY_USER: Final = "pandityatra"
IMEPAY_PASSWORD: Final = "secret"  # noqa: S105 - a test value

STRIPE_SECRET_KEY: Final = "sk_test_pandityatra_sandbox"  # noqa: S105 - a test value
STRIPE_WEBHOOK_SECRET: Final = "whsec_pandityatra_sandbox"  # noqa: S105 - a test value
