"""TLS to foreign databases: what was asked for is checked, and never silently left out."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization

from db.embedded import SUPERUSER, EmbeddedServer, PgBinaries
from db.probe import ProbeError, Tls, tls_context
from db.vault import Vault
from tests.db.foreign import address_of_our_own, ask_for_password, certificate, of, tried


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory, pg15_binaries: PgBinaries
) -> Iterator[tuple[EmbeddedServer, Path]]:
    """A PostgreSQL 15 with TLS and passwords on two addresses; its certificate names the first. And the certificates."""
    if sys.platform != "linux":
        pytest.skip("addresses in 127/8 without further ado are Linux's")
    folder = tmp_path_factory.mktemp("certificates")
    good, other = certificate(folder, "good"), certificate(folder, "other")
    assert other.exists()
    here, there = address_of_our_own(77), address_of_our_own(78)
    own = certificate(folder, "server", good, here)
    server = EmbeddedServer(tmp_path_factory.mktemp("pgtls"), pg15_binaries)
    with server:
        account = server.data_dir.stat()
        for suffix, name in ((".pem", "server.crt"), (".key", "server.key")):
            path = server.data_dir / name
            path.write_bytes(own.with_suffix(suffix).read_bytes())
            path.chmod(0o600)
            os.chown(path, account.st_uid, account.st_gid)
        ask_for_password(server, "hostssl all {login} 127.0.0.0/8 scram-sha-256")
        with psycopg.connect(server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
            connection.execute(f"alter system set listen_addresses = '{here},{there}'".encode())
            connection.execute("alter system set ssl = on")
    with server:
        yield server, folder


@pytest.mark.parametrize(
    ("tls", "place", "said"),
    [
        (Tls(ca_file="good.pem"), 77, None),
        (Tls(ca_file="good.pem"), 78, "certificate"),  # right authority, another name
        (Tls(ca_file="good.pem", mode="verify-ca"), 78, None),
        (Tls(ca_file="other.pem", mode="verify-ca"), 77, "certificate"),
        (Tls(), 77, "certificate"),  # not one of the system's authorities
        (Tls(mode="require"), 78, None),
        (Tls(mode="disable"), 77, "no encryption"),
    ],
)
async def test_tls_checks_what_was_asked_for(
    conn: Any, vault: Vault, users: tuple[str, str], secure: tuple[EmbeddedServer, Path], tls: Tls, place: int,
    said: str | None,
) -> None:  # fmt: skip
    server, folder = secure
    files = msgspec.structs.replace(tls, ca_file=str(folder / tls.ca_file) if tls.ca_file else "")
    answer = await tried(conn, vault, users[0], of(server, host=address_of_our_own(place), tls=files))
    if said is None:
        assert answer.ok and answer.tls and answer.server_version.startswith("15"), answer
    else:
        assert not answer.ok and said in answer.error


async def test_a_server_without_tls_gets_no_password(
    conn: Any, vault: Vault, users: tuple[str, str], pg_server: EmbeddedServer
) -> None:
    """It answers "N" to the question for TLS; whoever goes on in the clear would tell it everything."""
    heard: list[bytes] = []

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.write(b"N")
        heard.append(await reader.read(1_000))
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    try:
        new = of(pg_server, host="127.0.0.1", port=server.sockets[0].getsockname()[1], tls=Tls(mode="require"))
        answer = await tried(conn, vault, users[0], new)
    finally:
        server.close()
    assert not answer.ok and heard == [b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b""]


def test_a_key_with_a_passphrase_is_refused_instead_of_asked_for(tmp_path: Path) -> None:
    own = certificate(tmp_path, "own")
    key = serialization.load_pem_private_key(own.with_suffix(".key").read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    (tmp_path / "locked.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    with pytest.raises(ProbeError, match=r"locked\.key"):
        tls_context(Tls(cert_file=str(own), key_file=str(tmp_path / "locked.key")))
    context = tls_context(Tls(cert_file=str(own), key_file=str(own.with_suffix(".key"))))
    assert context is not None and context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname
