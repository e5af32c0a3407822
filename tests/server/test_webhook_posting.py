"""Where webhooks may lead, and one request: what was judged is what is connected to; what answers may be like."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from recordlayer.client import webhooks
from recordlayer.errors import WebhookRefused, WrongType
from recordlayer_server.webhooks.addresses import is_public, parse
from recordlayer_server.webhooks.posting import Poster, Undeliverable
from tests.support.certificates import Authority
from tests.support.receivers import receiving
from tests.support.service import run

PRIVATE = """
    127.0.0.1 127.9.9.9 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 192.0.0.1 198.18.0.1
    224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 fe80::1 fe80::1%eth0 fc00::1 fd12::1 fec0::1 ff02::1 2001:db8::1
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1::1 2002:7f00:1::1
    2002:c0a8:101::1 2001:0:4136:e378:8000:63bf:80ff:fffe
"""
PUBLIC = "1.1.1.1 93.184.216.34 2606:4700:4700::1111 ::ffff:1.1.1.1 64:ff9b::101:101 2002:101:101::1"


@pytest.mark.parametrize(("ips", "expected"), [(PRIVATE, False), (PUBLIC, True)], ids=["private", "public"])
def test_addresses_of_the_public_internet_are_told_from_all_others(ips: str, expected: bool) -> None:
    assert [ip for ip in ips.split() if is_public(ipaddress.ip_address(ip)) is not expected] == []


def test_the_parts_of_an_address() -> None:
    plain = parse("https://Hooks.Example.com")
    assert (plain.host, plain.port, plain.target, plain.name) == ("hooks.example.com", 443, "/", "hooks.example.com")
    full = parse("https://[2606:4700::1]:8443/a/b?c=d")
    assert (full.host, full.port, full.target, full.name) == ("2606:4700::1", 8443, "/a/b?c=d", "[2606:4700::1]:8443")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hooks.example.com",
        "http://hooks.example.com",
        "https://",
        "https:///path",
        "https://user:pass@hooks.example.com",
        "https://@hooks.example.com",
        "https://hooks.example.com/#part",
        "https://hooks.example.com:0",
        "https://hooks.example.com:65536",
        "https://hooks.example.com:x",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\r\nx: y",
        "https://bücher.example",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.0.0.1/",
        "https://[::1",
        "https://[::1%25eth0]x/",
        "https://exa$mple.com/",
        "https://hooks.example.com/" + "a" * 2_048,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


class Names:
    """A name server that says the next of some answers each time, and the last one from then on."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = deque(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers.popleft() if len(self.answers) > 1 else self.answers[0]


def test_a_name_that_leads_inside_is_not_connected_to_however_often_it_changes(tmp_path: Path) -> None:
    async def scenario() -> None:
        authority = Authority(tmp_path)
        context = ssl.create_default_context(cafile=authority.certificate)
        async with receiving(authority, host="hooks.example") as receiver:
            address = parse(receiver.address(host="hooks.example"))
            rebinding = Names(["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], [], ["nonsense"])
            poster = Poster(context=context, resolve=rebinding)
            for expected in ("public internet", "public internet", "not known", "not known"):
                with pytest.raises(Undeliverable, match=expected):
                    await poster.post(address, {}, b"{}")
            assert receiver.connections == 0
            names = Names(["127.0.0.1"], ["203.0.113.1"])
            poster = Poster(private=True, context=context, resolve=names)
            assert (await poster.post(address, {"webhook-id": "1"}, b"{}")).status == 200
            assert names.asked == 1, "what was judged is what was connected to"
            assert receiver.taken[0].headers["host"] == f"hooks.example:{receiver.port}"
            elsewhere = parse(receiver.address(host="other.example"))
            with pytest.raises(Undeliverable, match="certificate"):
                await Poster(private=True, context=context, resolve=Names(["127.0.0.1"])).post(elsewhere, {}, b"{}")
            with pytest.raises(Undeliverable, match="certificate"):
                await Poster(private=True, resolve=Names(["127.0.0.1"])).post(address, {}, b"{}")

    run(scenario())


def test_answers_that_are_none_are_said_in_words(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    answers = {
        "/early": (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 Fine\r\nretry-after: soon\r\n\r\n", "204 None"),
        "/later": (b"HTTP/1.1 429 Later\r\nRetry-After: 7\r\n\r\n", "429 7.0"),
        "/ends": (b"HTTP/1.1 2", "ended before the answer"),
        "/other": (b"220 mail.example ESMTP\r\n\r\n", "not HTTP"),
        "/long": (b"HTTP/1.1 200 Fine\r\n" + b"a: b\r\n" * 10_000, "head of more than"),
        "/endless": (b"HTTP/1.1 100 Go\r\n\r\n" * 10, "does not come to an end"),
        "/silent": (b"", "no answer within"),
    }

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        writer.write(answers[path][0])
        if path == "/silent":
            await reader.read()  # until the sender goes
        await asyncio.gather(writer.drain(), return_exceptions=True)
        writer.transport.abort() if path == "/silent" else writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        trusting = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        poster = Poster(private=True, context=trusting, timeout=timedelta(seconds=5))
        hurried = Poster(private=True, context=trusting, timeout=timedelta(seconds=0.5))
        for path, (_, expected) in answers.items():
            try:
                sender = hurried if path == "/silent" else poster
                found = await sender.post(parse(f"https://localhost:{port}{path}"), {}, b"{}")
                said = f"{found.status} {found.retry_after}"
            except Undeliverable as error:
                said = str(error)
            assert expected in said, path
        server.close()
        with pytest.raises(Undeliverable, match="refused"):
            await poster.post(parse(f"https://localhost:{port}/"), {}, b"{}")
        poster.close()
        hurried.close()

    run(scenario())


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AT = 1_614_265_330
HEADERS = {
    "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "Webhook-Timestamp": str(AT),
    "Webhook-Signature": "v1,bm90aGluZw== v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
BODY = b'{"test": 2432232314}'


def test_a_request_is_verified_as_standard_webhooks_says() -> None:
    """The vector is the one that its libraries publish."""
    assert webhooks.verify(HEADERS, BODY, SECRET, now=AT + 200).number == 0
    bad = [
        ({}, BODY, SECRET, AT),
        (HEADERS, BODY + b" ", SECRET, AT),
        (HEADERS, BODY, "whsec_" + "A" * 32, AT),
        (HEADERS, BODY, "whsec_?", AT),
        (HEADERS, BODY, SECRET, AT + 301),
        (HEADERS, BODY, SECRET, AT - 301),
        ({**HEADERS, "Webhook-Timestamp": "soon"}, BODY, SECRET, AT),
        ({**HEADERS, "Webhook-Timestamp": str(AT + 1)}, BODY, SECRET, AT),
        ({**HEADERS, "Webhook-Id": "another"}, BODY, SECRET, AT),
        ({**HEADERS, "Webhook-Signature": "v1,é"}, BODY, SECRET, AT),
    ]
    for headers, body, secret, now in bad:
        with pytest.raises(WebhookRefused):
            webhooks.verify(headers, body, secret, now=now)
    with pytest.raises(WrongType):
        webhooks.verify(HEADERS, BODY.decode(), SECRET, now=AT)  # type: ignore[arg-type]
    signed = webhooks.signature(SECRET, "i", AT, b"[1]")
    told = {"webhook-id": "i", "webhook-timestamp": str(AT), "webhook-signature": signed}
    with pytest.raises(WebhookRefused, match="no notification"):
        webhooks.verify(told, b"[1]", SECRET, now=AT)
