"""Every kind of input: it is there, what goes into it arrives as it was given, and what is left out stays out."""

from __future__ import annotations

import base64
import io
import json
import subprocess

import numpy as np
import pytest
from page_browser import Browser
from page_server import EVERY, Fake, picture_of, sound_of
from PIL import Image

from suffuse.modalities.audio_ops import as_wav

NOTHING = {"picture": None}  # a record of nothing: its first column, empty
FREE = ".places .drop:not([hidden]):not(:has(.preview:not([hidden])))"
TONE = np.sin(np.arange(8000) * 2 * np.pi * 440 / 16_000).astype(np.float32)


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "PNG")
    return file.getvalue()


def ask(page: Browser) -> None:
    page.run("document.querySelector('#said').replaceChildren()")
    page.run("document.querySelector('#form').requestSubmit()")
    page.wait("document.querySelector('#said .target')")


def enter(page: Browser, where: str, text: str) -> None:
    page.run(f"document.querySelector({where!r}).focus()")
    page.type(text)


def choose(page: Browser, where: str, value: str, event: str) -> None:
    act = f"e.value = {value!r}; e.dispatchEvent(new Event({event!r}))"
    page.run(f"(e => {{ {act} }})(document.querySelector({where!r}))")


def state(page: Browser, name: str) -> str:
    return page.run(f"""[...document.querySelectorAll('.card')].find(
      c => c.querySelector('h2').textContent === {name!r}).dataset.state""")


def test_every_kind_has_its_widget_and_is_left_out_at_first(page: Browser, fake: Fake) -> None:
    names = page.run("[...document.querySelectorAll('.card h2')].map(e => e.textContent)")
    assert names == [i["name"] for i in EVERY["inputs"]]
    assert page.run("[...document.querySelectorAll('.chip')].every(e => e.textContent === 'left out')")
    counts = {
        "[data-kind=image] input[type=file]": 1 + 2 + 3,
        "[data-kind=text] textarea": 1,
        "[data-kind=audio] .record": 1,
        "[data-kind=audio] input[type=file]": 1,
        "[data-kind=tabular] input[inputmode=decimal]": 1,
        "[data-kind=tabular] select": 1,
        "[data-kind=tabular] datalist option": 60,
        "[data-kind=tabular] input[type=date]": 1,
        "[data-kind=sequence] textarea": 1,
    }
    for where, count in counts.items():
        assert page.run(f"document.querySelectorAll({where!r}).length") == count, where
    ask(page)
    assert fake.records == [NOTHING]
    assert "before it has seen anything" in page.run("document.querySelector('#said').textContent")


@pytest.mark.parametrize("event, where", [("drop", "[data-kind=image] .drop"), ("drop", "main"), ("paste", "body")])
def test_a_picture_arrives_as_it_was_given(page: Browser, fake: Fake, event: str, where: str) -> None:
    content = png("red")
    page.drop(content, "red.png", "image/png", where, event)
    page.wait("document.querySelector('.preview').naturalWidth === 64")
    assert "64 × 48 pixels" in page.run("document.querySelector('.seen').textContent")
    assert state(page, "picture") == "given"
    ask(page)
    assert base64.b64decode(fake.records[0]["picture"]["base64"]) == content
    assert list(fake.records[0]) == ["picture"]


def test_files_go_where_there_is_room(page: Browser, fake: Fake) -> None:
    for colour in ("red", "green", "blue", "gray", "white"):
        before = page.run("document.querySelectorAll('.preview:not([hidden])').length")
        page.drop(png(colour), f"{colour}.png", "image/png", "main")
        page.wait(f"document.querySelectorAll('.preview:not([hidden])').length === {before + 1}")
    page.drop(as_wav(TONE, 16_000), "tone.wav", "audio/wav", "main")
    page.wait("document.querySelector('[data-kind=audio]').dataset.state === 'given'")
    ask(page)
    record = fake.records[0]
    assert set(record) == {"picture", "front", "back", "album", "sound"}
    assert [picture_of(cell).getpixel((0, 0)) for cell in record["album"]] == [(128, 128, 128), (255, 255, 255)]


def test_several_pictures_show_one_free_place_until_they_are_full(page: Browser, fake: Fake) -> None:
    places = "document.querySelectorAll('.places .drop:not([hidden])').length"
    assert page.run(places) == 1
    for count, expected in ((1, 2), (2, 3), (3, 3)):
        page.drop(png("red"), f"{count}.png", "image/png", FREE)
        page.wait(f"document.querySelectorAll('.places .preview:not([hidden])').length === {count}")
        assert page.run(places) == expected
    page.run("document.querySelector('.places .seen button').click()")
    ask(page)
    assert len(fake.records[0]["album"]) == 2


def test_a_picture_that_only_the_browser_reads_arrives_as_png(page: Browser, fake: Fake) -> None:
    drawing = (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="7"><rect width="9" height="7" fill="red"/></svg>'
    )
    page.drop(drawing, "drawing.svg", "image/svg+xml", "[data-kind=image] .drop")
    page.wait("document.querySelector('.preview').naturalWidth === 9")
    assert "converted by the browser to PNG" in page.run("document.querySelector('.seen').textContent")
    ask(page)
    made = picture_of(fake.records[0]["picture"])
    assert (made.format, made.size, made.convert("RGB").getpixel((4, 4))) == ("PNG", (9, 7), (255, 0, 0))


def test_what_is_no_picture_is_said_at_once_and_not_sent(page: Browser, fake: Fake) -> None:
    page.drop(b"nothing", "broken.xyz", "image/x-unknown", "[data-kind=image] .drop")
    page.wait("!document.querySelector('[data-kind=image] .wrong').hidden")
    assert state(page, "picture") == "out"
    ask(page)
    assert fake.records == [NOTHING]


def test_a_picture_that_only_the_server_reads_is_sent_without_a_preview(page: Browser, fake: Fake) -> None:
    file = io.BytesIO()
    Image.new("RGB", (5, 5), "blue").save(file, "TIFF")
    page.drop(file.getvalue(), "scan.tiff", "image/tiff", "[data-kind=image] .drop")
    page.wait("document.querySelector('[data-kind=image]').dataset.state === 'given'")
    page.wait("document.querySelector('.preview').hidden")
    ask(page)
    assert picture_of(fake.records[0]["picture"]).format == "TIFF"


def test_a_dropped_sound_arrives_as_it_was_given_and_can_be_heard(page: Browser, fake: Fake) -> None:
    content = as_wav(TONE, 16_000)
    page.drop(content, "tone.wav", "audio/wav", "[data-kind=audio] .drop")
    page.wait("document.querySelector('audio').duration === 0.5")
    assert "0.5 s" in page.run("document.querySelector('.heard').textContent")
    page.run("document.querySelector('audio').play()")
    ask(page)
    assert base64.b64decode(fake.records[0]["sound"]["base64"]) == content


def test_a_recording_arrives_as_a_wav_file_that_the_server_reads(page: Browser, fake: Fake) -> None:
    page.run("document.querySelector('.record').click()")
    page.wait("document.querySelector('.record').textContent.startsWith('Stop (1 s')")
    page.run("document.querySelector('.record').click()")
    page.wait("document.querySelector('[data-kind=audio]').dataset.state === 'given'")
    assert page.run("document.querySelector('.record').textContent") == "Record"
    ask(page)
    samples, rate = sound_of(fake.records[0]["sound"])
    assert samples.ndim == 1 and 0.5 < len(samples) / rate < 10
    assert np.abs(samples).max() > 0.01  # the browser's own test tone, not silence


def test_a_sound_in_two_channels_is_averaged(page: Browser) -> None:
    made = page.run("""(async () => {
      const { wav } = await import("./static/wav.js");
      const channels = [[0.5, -1, 2], [0.1, 0, 2]];
      const heard = {numberOfChannels: 2, length: 3, sampleRate: 8000, getChannelData: n => channels[n]};
      return [...new Uint8Array(await wav(heard).arrayBuffer())];
    })()""")
    samples, rate = sound_of({"base64": base64.b64encode(bytes(made)).decode()})
    assert rate == 8000
    np.testing.assert_allclose(samples, [0.3, -0.5, 1.0], atol=1e-4)


def test_columns_arrive_in_their_types_and_empty_ones_not_at_all(page: Browser, fake: Fake) -> None:
    enter(page, "[data-kind=tabular] input[inputmode=decimal]", "-1.5e3")
    enter(page, "[data-kind=tabular] input[list]", "nowhere")
    choose(page, "select[id^=column]", "green", "change")
    choose(page, "input[type=date]", "2024-02-29", "input")
    ask(page)
    assert fake.records[0] == {"price": -1500, "colour": "green", "city": "nowhere", "day": "2024-02-29"}
    assert "partly used: city: unknown" in page.run("document.querySelector('[data-input=order]').textContent")


@pytest.mark.parametrize(
    "typed, steps",
    [("1, 2; 3", [1, 2, 3]), ("1 2\n3 4.5", [[1, 2], [3, 4.5]]), ("1\n2", [1, 2]), ("[[1], [2]]", [[1], [2]])],
)
def test_a_series_is_read(page: Browser, fake: Fake, typed: str, steps: list) -> None:
    enter(page, "[data-kind=sequence] textarea", typed)
    ask(page)
    assert fake.records[0] == {"sensor": steps}


def test_a_series_that_is_none_is_not_sent_and_a_file_is(page: Browser, fake: Fake) -> None:
    enter(page, "[data-kind=sequence] textarea", "1, two")
    page.run("document.querySelector('#form').requestSubmit()")
    assert not page.run("document.querySelector('[data-kind=sequence] .wrong').hidden")
    file = io.BytesIO()
    np.save(file, np.arange(6.0).reshape(3, 2))
    page.drop(file.getvalue(), "steps.npy", "", "[data-kind=sequence] .drop")
    ask(page)
    sent = np.load(io.BytesIO(base64.b64decode(fake.records[0]["sensor"]["base64"])), allow_pickle=False)
    assert sent.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_what_is_left_out_keeps_its_content_and_is_not_sent(page: Browser, fake: Fake) -> None:
    enter(page, "[data-kind=text] textarea", "a question")
    mute = "[data-kind=text] .mute"
    page.run(f"document.querySelector('{mute}').click()")
    assert state(page, "question") == "out"
    ask(page)
    assert page.run("document.querySelector('[data-input=question]').textContent") == "question not used: left out"
    page.run(f"document.querySelector('{mute}').click()")
    ask(page)
    assert fake.records == [NOTHING, {"question": "a question"}]
    page.run("document.querySelector('#clear').click()")
    assert page.run("document.querySelector('[data-kind=text] textarea').value") == ""
    assert page.run("[...document.querySelectorAll('.chip')].every(e => e.textContent === 'left out')")


def test_the_command_for_a_shell_says_the_same(page: Browser, fake: Fake) -> None:
    enter(page, "[data-kind=text] textarea", 'what\'s "it" $HOME?')
    ask(page)
    said = page.run("document.querySelector('#said pre').textContent")
    spoken = subprocess.run(
        ["sh", "-c", said.replace("curl", "printf '%s\\n'", 1)], capture_output=True, text=True, check=True
    )
    lines = spoken.stdout.splitlines()
    assert lines[0].endswith("/v1/models/every%20kind/predict")
    assert lines[1:] == ["-F", 'question=what\'s "it" $HOME?', "-F", "_contributions=true"]


def test_the_command_is_json_where_a_form_can_not_hold_it(page: Browser, tmp_path) -> None:
    (tmp_path / "my red.png").write_bytes(b"12345")
    made = page.run("""(async () => (await import("./static/command.js")).command("http://a/b",
      [["picture", "@my red.png"], ["text", "it's"], ["sensor", [[1, 2]]]], 0.5))()""")
    command = ["sh", "-c", made.replace("curl", "printf '%s\\n'", 1)]
    spoken = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.splitlines()
    record = {"picture": {"base64": "MTIzNDU="}, "text": "it's", "sensor": [[1, 2]]}
    assert json.loads(spoken[-1]) == {"records": [record], "threshold": 0.5, "contributions": True}
