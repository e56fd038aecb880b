"""What a merchant of the sandbox has to set, written down for a PanditYatra server.

The one place that knows the names of our settings and routes; nothing of it is imported.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from server.sandbox import keys
from server.sandbox.world import Merchant

SETTINGS_FILE: Final = "settings.toml"
_KEY_FILE: Final = "creditor.pfx"
_WEBHOOK_PATH: Final = "/api/payments/webhooks/STRIPE/"
_RETURN_PATH: Final = "/api/payments/CONNECT_IPS/return/"


def merchant_of(options: argparse.Namespace) -> Merchant:
    """Make the merchant that the command line tells of."""
    site = options.site.rstrip("/")
    hook, back = (f"{site}{path}" if site else "" for path in (_WEBHOOK_PATH, _RETURN_PATH))
    return Merchant(
        stripe_webhook=options.stripe_webhook or hook,
        stripe_webhook_secret=options.stripe_webhook_secret or keys.STRIPE_WEBHOOK_SECRET,
        connectips_success=options.connectips_success or back,
        connectips_failure=options.connectips_failure or back,
    )


def write_settings(folder: Path, url: str, merchant: Merchant) -> Path:
    """Write settings and key file of a server that pays at ``url``; the settings' path.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key_path = folder.resolve() / _KEY_FILE
    _put(key_path, key_file())
    path = folder.resolve() / SETTINGS_FILE
    _put(path, settings_text(url, merchant, key_path).encode())
    return path


def key_file() -> bytes:
    """The PKCS#12 file of connectIPS, as NCHL would hand it out."""
    key = serialization.load_pem_private_key(keys.CONNECTIPS_PRIVATE_KEY.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the key of connectIPS is an RSA key")
    lock = serialization.BestAvailableEncryption(keys.CONNECTIPS_KEY_PASSWORD.encode())
    return pkcs12.serialize_key_and_certificates(b"creditor", key, None, None, lock)


def settings_text(url: str, merchant: Merchant, key_path: Path) -> str:
    """Write the sections of all gateways as TOML."""
    sections: dict[str, dict[str, str]] = {
        "khalti": {
            "api_url": f"{url}/khalti/api/v2/",
            "refund_url": f"{url}/khalti/api/",
            "secret_key": keys.KHALTI_SECRET_KEY,
            "widget_secret_key": keys.KHALTI_WIDGET_SECRET_KEY,
        },
        "esewa": {
            "product_code": keys.ESEWA_PRODUCT_CODE,
            "secret_key": keys.ESEWA_SECRET_KEY,
            "form_url": f"{url}/esewa/api/epay/main/v2/form",
            "status_url": f"{url}/esewa/api/epay/transaction/status/",
            "v1_form_url": f"{url}/esewa/epay/main",
            "v1_verify_url": f"{url}/esewa/epay/transrec",
        },
        "connect_ips": {
            "base_url": f"{url}/connectips",
            "merchant_id": str(keys.CONNECTIPS_MERCHANT_ID),
            "app_id": keys.CONNECTIPS_APP_ID,
            "app_name": "PanditYatra sandbox",
            "app_password": keys.CONNECTIPS_APP_PASSWORD,
            "key_path": str(key_path),
            "key_password": keys.CONNECTIPS_KEY_PASSWORD,
        },
        "ime_pay": {
            "base_url": f"{url}/imepay",
            "merchant_code": keys.IMEPAY_MERCHANT_CODE,
            "module": keys.IMEPAY_MODULE,
            "user": keys.IMEPAY_USER,
            "password": keys.IMEPAY_PASSWORD,
        },
        "stripe": {
            "api_url": f"{url}/stripe",
            "secret_key": keys.STRIPE_SECRET_KEY,
            "webhook_secret": merchant.stripe_webhook_secret,
        },
    }
    lines = ["# Payments go to the sandbox: no real money. Written by it at its start."]
    for name, values in sections.items():
        lines += ["", f"[{name}]", "enabled = true"]
        lines += [f"{key} = {_quoted(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _put(path: Path, content: bytes) -> None:
    """Write a file that is whole at every moment, readable by its owner alone."""
    beside = path.with_name(path.name + ".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    beside.replace(path)
