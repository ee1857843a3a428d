"""The page of a web export in headless Chromium, opened from disk: badge, photos, camera, damage, both widths."""

import importlib.util
import shutil

import numpy as np
import pytest
from PIL import Image

from p2vit.data.preprocess import read_pixels
from p2vit.engine.reference import ReferenceExecutor
from p2vit.export.web.write import build_web, write_web
from support.programs import random_pixels, random_program

chromium = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = [
    pytest.mark.skipif(chromium is None, reason="no Chromium; on Debian: apt-get install chromium"),
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("playwright", "ziglang", "wasmtime"))),
        reason="pip install 'p2vit[web]' playwright",
    ),
]
pytestmark = [pytest.mark.extended, *needs_browser]
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    program = random_program(dim=32, heads=2, mlp=64)
    folder = tmp_path_factory.mktemp("web")
    write_web(build_web(program, random_pixels(program, 2), ReferenceExecutor(program)), folder / "page")
    return program, folder / "page"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium as root has no sandbox.
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", *FAKE_CAMERA])
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 420, "height": 800}, offline=True)
    made = context.new_page()
    made.failures = []
    made.on("pageerror", lambda error: made.failures.append(str(error)))
    yield made
    context.close()
    assert not made.failures


def opened(page, folder, query=""):
    page.goto(f"file://{folder}/index.html{query}")
    page.wait_for_selector(".badge.good, .badge.bad")
    return page.inner_text("#badge")


def shown(page, name):
    """Pixels that the newest card shows, uint8 [H, W, 3]."""
    page.wait_for_function("name => document.querySelector('.card h3')?.textContent === name", arg=name)
    page.wait_for_function("document.querySelector('.card .times')?.textContent")
    width, data = page.evaluate("""() => {
      const canvas = document.querySelector('.card canvas');
      return [canvas.width, [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]];
    }""")
    return np.array(data, np.uint8).reshape(-1, width, 4)[:, :, :3]


def test_every_module_shows_the_badge(page, exported):
    _, folder = exported
    kinds = set()
    for variant in ("relaxed", "simd", "scalar"):
        assert opened(page, folder, f"?variant={variant}").startswith(
            "same integers as the reference (2 photos, "
        )
        kinds.add(page.text_content("#kind"))
    assert len(kinds) == 3


def test_photos_become_the_pixels_of_p2vit_run_and_its_logits(page, exported, tmp_path):
    program, folder = exported
    opened(page, folder)
    rng = np.random.default_rng(0)
    for name, (height, width) in {"wide.png": (40, 90), "tall.png": (400, 30), "small.png": (3, 4)}.items():
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(tmp_path / name)
        page.set_input_files("#files", [str(tmp_path / name)])
        expected = read_pixels(tmp_path / name, program.preprocessing)
        assert np.array_equal(shown(page, name), expected), name
        logits = ReferenceExecutor(program).run(expected[None])[program.output].reshape(-1)
        found = page.evaluate(
            "pixels => [...p2vitModel.run(new Uint8Array(pixels))]", expected.reshape(-1).tolist()
        )
        assert found == logits.tolist()
        top = page.inner_text(".card .row:first-child .value").replace("−", "-").replace(",", "")
        assert int(top) == logits[np.argmax(program.tensors[program.output].real(logits))]


def test_a_photo_is_turned_upright(page, exported, tmp_path):
    program, folder = exported
    opened(page, folder)
    exif = Image.Exif()
    exif[0x0112] = 6
    # A PNG may have an orientation too, and is decoded to the same bytes everywhere.
    photo = np.random.default_rng(1).integers(0, 256, (20, 60, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "turned.jpg", quality=95, subsampling=0, exif=exif)
    page.set_input_files("#files", [str(tmp_path / "turned.jpg")])
    expected = read_pixels(tmp_path / "turned.jpg", program.preprocessing)
    apart = np.abs(shown(page, "turned.jpg").astype(int) - expected.astype(int))
    assert apart.max() <= 2  # decoders of JPEG may differ


def test_a_file_that_is_no_photo_is_named(page, exported, tmp_path):
    _, folder = exported
    opened(page, folder)
    (tmp_path / "notes.txt").write_text("no photo")
    page.set_input_files("#files", [str(tmp_path / "notes.txt")])
    page.wait_for_selector(".card.failed")
    assert page.inner_text(".card.failed").split("\n\n") == [
        "notes.txt",
        "this browser cannot read the file as a photo",
    ]


def test_dropped_photos(page, exported, tmp_path):
    program, folder = exported
    opened(page, folder)
    photo = np.random.default_rng(2).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "dropped.png")
    page.evaluate(
        """bytes => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
        }""",
        list((tmp_path / "dropped.png").read_bytes()),
    )
    assert np.array_equal(
        shown(page, "dropped.png"), read_pixels(tmp_path / "dropped.png", program.preprocessing)
    )


def test_the_camera_starts_and_stops(page, exported):
    _, folder = exported
    opened(page, folder)
    page.click("#camera")
    page.wait_for_function("document.querySelector('.card .times')?.textContent")
    assert page.inner_text("#camera") == "Stop the camera"
    page.click("#camera")
    assert page.inner_text("#camera") == "Use the camera"


def test_a_wrong_weight_takes_the_badge_away(page, exported, tmp_path):
    _, folder = exported
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    script = broken / "program.js"
    before, mark, after = script.read_text().partition('"weights": "')
    script.write_text(before + mark + "////" * 40 + after[160:])
    assert "integers differ from the reference" in opened(page, broken)
    assert page.is_disabled("#files")


@pytest.mark.parametrize("width", [420, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out(browser, exported, width, scheme, tmp_path):
    _, folder = exported
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    opened(page, folder)
    name = "a name that is long enough to be cut off at the end of its line " * 2
    Image.new("RGB", (50, 40), "red").save(tmp_path / f"{name}.png")
    page.set_input_files("#files", [str(tmp_path / f"{name}.png")])
    page.wait_for_selector(".card .row")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(246, 247, 249)"
    assert dark == (scheme == "dark")
    context.close()
