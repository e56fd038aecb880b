"""The sandbox's own signing, by the vectors of the providers."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from server.sandbox import connectips, esewa, imepay, keys, stripe_objects

REQUEST = "total_amount,transaction_uuid,product_code"


@pytest.mark.parametrize(
    ("total", "uuid", "signature"),
    [
        ("110", "241028", "i94zsd3oXF6ZsSr/kGqT4sSzYQzjj1W/waxjWyRwaME="),
        ("100", "11-201-13", "5DZywcrTKD0gia/rsSMcrRHmJl+4Tbol6S+lWgdJ94E="),
        ("1500.50", "PY-20260901-7f3a", "PrULsalNQcT9MHbDN6+mOL4MUu04mUwCjVAih/m68HE="),
        ("1500.5", "PY-20260901-7f3a", "RBur/YuL4okI4mrcikKXsRhYSZzu38dbHS01o/qTIX0="),
    ],
)
def test_esewas_signature_of_a_request_is_that_of_the_vectors(total, uuid, signature):
    values = {"total_amount": total, "transaction_uuid": uuid, "product_code": "EPAYTEST"}
    assert esewa.sign(values, REQUEST) == signature


@pytest.mark.parametrize(
    ("code", "total", "uuid", "signature"),
    [
        ("000AWEO", "1000.0", "250610-162413", "62GcfZTmVkzhtUeh+QJ1AqiJrjoWWGof3U+eTPTZ7fA="),
        ("00096MV", "2640.0", "W-G-e-f-K", "FTlWw0z+hRmfQ0QAFCyptPljl+gz9WwaQ3kpN+3krnA="),
        ("000PYT1", "1500.0", "PY-1", "qhD+9tqdpKXwhAIy/2JEU929i2msqvVCJLNYbAxSOfg="),
    ],
)
def test_esewas_signature_of_an_answer_is_that_of_the_vectors(code, total, uuid, signature):
    names = "transaction_code,status,total_amount,transaction_uuid,product_code,signed_field_names"
    values = {
        "transaction_code": code,
        "status": "COMPLETE",
        "total_amount": total,
        "transaction_uuid": uuid,
        "product_code": "EPAYTEST",
        "signed_field_names": names,
    }
    assert esewa.sign(values, names) == signature


@pytest.mark.parametrize(
    ("paisa", "text"),
    [(150000, "1500.0"), (150050, "1500.5"), (150055, "1500.55"), (5, "0.05"), (100, "1.0")],
)
def test_esewa_writes_rupees_with_a_point(paisa, text):
    assert esewa.rupees(paisa) == text


@pytest.mark.parametrize(("paisa", "text"), [(150000, "1500.0000"), (150055, "1500.5500")])
def test_ime_pay_writes_rupees_with_four_decimals(paisa, text):
    assert imepay.long_rupees(paisa) == text


def _sign(message: str) -> str:
    key = serialization.load_pem_private_key(keys.CONNECTIPS_PRIVATE_KEY.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    signature = key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256())
    return base64.b64encode(signature).decode()


def test_connectips_signs_the_message_of_the_documentations_form():
    fields = {
        "MERCHANTID": "550", "APPID": "MER-550-APP-1", "APPNAME": "Test", "TXNID": "txn123",
        "TXNDATE": "15-03-2022", "TXNCRNCY": "NPR", "TXNAMT": "500", "REFERENCEID": "REF-001",
        "REMARKS": "RMKS-001", "PARTICULARS": "PART-001",
    }  # fmt: skip
    token = _sign(connectips.form_message(fields))
    assert token.startswith("qbx4G0gsdfAVkVNN58Pk9eR6JOfOPZalp19SCRy+dX8BxCiazHzjPJP5GWC6Wyy")
    assert token.endswith("6Vg9fuVznQsdQ==")


def test_connectips_signs_the_message_of_the_documentations_question():
    token = _sign(connectips.query_message("550", "MER-550-APP-1", "txn123", "500"))
    assert token.startswith("K/9tinV8AUlNhnkeftx3GgNqw0ZUmxHedu2mLOKuV59AGv4aeR0pFc")
    assert token.endswith("kXxvnZx+CCT7DEImeQ==")


def test_stripes_signature_of_a_webhook_is_that_of_the_vector():
    body = (
        b'{"id":"evt_py_1","object":"event","type":"payment_intent.succeeded","livemode":false,'
        b'"created":1760000000,"data":{"object":{"id":"pi_py_1","object":"payment_intent",'
        b'"amount":150000,"amount_received":150000,"currency":"npr","status":"succeeded",'
        b'"metadata":{"payment_id":"pay_1"}}}}'
    )
    assert len(body) == 280
    header = stripe_objects.sign_webhook("whsec_pandityatra_unit_test", 1760000000, body)
    wanted = "8414e8ca1471a3d8cbb2190e5c61792f06d2c04eb1a1c36061cddf9ef20664ed"
    assert header == f"t=1760000000,v1={wanted}"
