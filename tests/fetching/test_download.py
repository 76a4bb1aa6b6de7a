"""One address: what it gives, how often it is asked, and why it gives nothing."""

from __future__ import annotations

import pytest
from fetch_tools import Server, png, wav

from suffuse.fetching.download import Downloader, Limits, Rejected

LIMITS = Limits(file_bytes=100_000, timeout=1.0, seconds=0.5, retries=2, redirects=3, backoff=0.0, allow_private=True)


@pytest.fixture(scope="module")
def downloader() -> Downloader:
    return Downloader(LIMITS, 2)


def test_a_picture(server: Server, downloader: Downloader) -> None:
    download = downloader.download(server.address("picture/3.png?size=2"), "image")
    assert download.content == png(3)
    assert (download.suffix, download.content_type) == (".png", "image/png")


def test_a_recording(server: Server, downloader: Downloader) -> None:
    download = downloader.download(server.address("sound/3.wav"), "audio")
    assert (download.content, download.suffix) == (wav(3), ".wav")


def test_letters_beyond_ascii(server: Server, downloader: Downloader) -> None:
    assert downloader.download(server.address("picture/3.png?名=猫"), "image").content == png(3)
    with pytest.raises(Rejected, match=r"no connection: Failed to resolve 'xn--fsq84p1wd673a\.invalid'"):
        Downloader(Limits(retries=0), 1).download("http://例子图片.invalid/猫.png", "image")


def test_a_redirection_is_followed(server: Server, downloader: Downloader) -> None:
    assert downloader.download(server.address("moved/3.png"), "image").content == png(3)


def test_what_fails_for_a_while_is_tried_again(server: Server, downloader: Downloader) -> None:
    assert downloader.download(server.address("sometimes/1.png"), "image").content == png(7)
    assert server.requests["/sometimes/1.png"] == 3


REASONS = {
    "none/1.png": ("404 Not Found", 1),
    "page/1.png": ("neither picture nor recording: text/html", 1),
    "garbage/1.png": ("not a picture", 1),
    "sound/1.wav": ("not a picture", 1),
    "large/1.png": ("too large: 200,000 bytes, expected at most 100,000", 1),
    "endless/1.png": ("too large: more than 100,000 bytes", 1),
    "short/1.png": ("cut off", 3),
    "slow/1.png": ("too slow", 1),
    "silent/1.png": ("timed out", 3),
    "loop/1": ("too many redirections: more than 3", 3),
    "elsewhere/1.png": ("not an address in the web: file:///etc/passwd", 1),
    "busy/1.png": ("503 Service Unavailable", 3),
    "compressed/1.png": ("compressed, which wasn't asked for: gzip", 1),
}


@pytest.mark.parametrize("path", REASONS)
def test_why_an_address_gives_no_file(server: Server, downloader: Downloader, path: str) -> None:
    reason, requests = REASONS[path]
    with pytest.raises(Rejected) as caught:
        downloader.download(server.address(path), "image")
    assert str(caught.value).startswith(reason)
    assert server.requests[f"/{path}"] == requests


def test_a_picture_is_no_recording(server: Server, downloader: Downloader) -> None:
    with pytest.raises(Rejected, match="not audio"):
        downloader.download(server.address("picture/1.png"), "audio")


def test_nobody_answers(downloader: Downloader) -> None:
    with pytest.raises(Rejected, match="no connection"):
        downloader.download("http://127.0.0.1:9/x.png", "image")


@pytest.mark.parametrize(
    "address", ["http://", "http:///x.png", "http://[::1/x.png", "http://a b/x.png", "http://a:b/"]
)
def test_addresses_that_are_none(downloader: Downloader, address: str) -> None:
    with pytest.raises(Rejected):
        downloader.download(address, "image")


def test_a_private_address_is_not_asked(server: Server) -> None:
    guarded = Downloader(Limits(retries=0), 1)
    with pytest.raises(Rejected, match=r"not a public address: 127\.0\.0\.1 is 127\.0\.0\.1, which isn't public"):
        guarded.download(server.address("picture/1.png"), "image")
    assert not server.requests


def test_a_redirection_to_a_private_address_is_not_followed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from suffuse.fetching import public_addresses

    port = server.server.server_port
    asked: list[str] = []

    def judge(host: str, its_port: int) -> list[str]:
        asked.append(host)
        if host == "127.0.0.1":
            raise public_addresses.Refused("127.0.0.1 is 127.0.0.1, which isn't public")
        return ["127.0.0.1"]  # stands for a public server

    monkeypatch.setattr(public_addresses, "resolve", judge)
    server.server.RequestHandlerClass.answer = lambda self, path: self.send(  # type: ignore[attr-defined]
        302, b"", "text/plain", Location=f"http://127.0.0.1:{port}/picture/1.png"
    )
    with pytest.raises(Rejected, match="not a public address"):
        Downloader(Limits(retries=0), 1).download(f"http://photos.example:{port}/start.png", "image")
    assert asked == ["photos.example", "127.0.0.1"]
    assert list(server.requests) == ["/start.png"]
