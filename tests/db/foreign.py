"""Foreign databases for the tests of `quantsail databases`: a login with a password, certificates, addresses of our own."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from db import database_configs, pgbin
from db.database_configs import NewDatabase
from db.embedded import SUPERUSER, EmbeddedServer
from db.probe import Tls
from db.vault import Vault

PASSWORD = "p@ss word/%41'\"\\ünï"
LOGIN = "probe_login"


def ask_for_password(server: EmbeddedServer, rule: str) -> None:
    """A login that the server asks for its password, by a line of pg_hba.conf."""
    rules = server.data_dir / "pg_hba.conf"
    if LOGIN in (before := rules.read_text()):
        return
    with rules.open("r+") as file:  # not anew: it belongs to the account that the server runs as
        file.write(f"{rule.format(login=LOGIN)}\n{before}")
    with psycopg.connect(server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        connection.execute(f"create role {LOGIN} login password '{PASSWORD.replace(chr(39), chr(39) * 2)}'".encode())
        connection.execute("select pg_reload_conf()")


def of(server: EmbeddedServer, **changed: Any) -> NewDatabase:
    given = {
        "name": "store", "db_type": "POSTGRESQL", "host": str(server.socket_dir), "port": pgbin.PORT, "database": "postgres",
        "username": LOGIN, "password": PASSWORD, "tls": Tls(mode="disable"),
    }  # fmt: skip
    return NewDatabase(**(given | changed))  # type: ignore[arg-type]


async def tried(conn: Any, vault: Vault, user: str, new: NewDatabase, timeout_s: float = 60) -> Any:
    await database_configs.add(conn, vault, new, user_id=user, actor="ann")
    return await database_configs.test(conn, vault, new.name, user_id=user, actor="ann", timeout_s=timeout_s)


def certificate(folder: Path, name: str, issuer: Path | None = None, address: str = "") -> Path:
    """`folder`/name.pem and name.key: an authority, or with an issuer a server's certificate for an address."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, signed_by = key, subject
    if issuer is not None:
        signer = serialization.load_pem_private_key(issuer.with_suffix(".key").read_bytes(), None)  # type: ignore[assignment]
        signed_by = x509.load_pem_x509_certificate(issuer.read_bytes()).subject
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(signed_by, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    around = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(around, critical=False)
    if issuer is None:
        usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
                               "key_agreement", "encipher_only", "decipher_only"), False)  # fmt: skip
        builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
    else:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    path = folder / f"{name}.pem"
    path.write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.with_suffix(".key").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return path


def address_of_our_own(number: int) -> str:
    """In 127/8, so that nobody else on this machine has it."""
    pid = os.getpid()
    return f"127.{number}.{pid >> 8 & 255}.{(pid & 255) or 1}"
