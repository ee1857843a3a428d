import json
import subprocess
import sys

import pytest

from p2vit.models.architectures import ARCHITECTURES, macs, parameters
from p2vit.models.source_names import FAMILIES, family, sources


def test_every_architecture_of_the_registry_is_listed(p2vit):
    rows = {row["name"]: row for row in p2vit("list", "--json").json["architectures"]}
    assert set(rows) == set(ARCHITECTURES)
    for name, row in rows.items():
        config = ARCHITECTURES[name].config
        assert row["parameters"] == parameters(config) > 0
        assert row["macs"] == macs(config) > 0
        assert row["image_size"] == list(config.image_size)
        assert row["family"] in {known for _, known in FAMILIES} | {"digits"}
        assert row["sources"] or row["family"] == "digits"


def test_patterns(p2vit):
    found = p2vit("list", "vit_*_dinov2*", "--json").json["architectures"]
    assert {row["family"] for row in found} == {"dinov2", "dinov2-registers"}
    nothing = p2vit("list", "deit_tinny_patch16_224", "--json")
    assert nothing.code == 0
    assert nothing.json["architectures"] == []
    assert (
        "no architecture matches 'deit_tinny_patch16_224'. Did you mean 'deit_tiny_patch16_224'?"
        in nothing.err
    )
    assert "hf:facebook/deit-tiny-patch16-224" in p2vit("list", "deit_tiny*").out


def test_names_of_sources():
    assert sources("vit_small_patch14_dinov2_224") == {
        "timm": "vit_small_patch14_dinov2 --image-size 224",
        "hf": "hf:facebook/dinov2-small --image-size 224",
    }
    assert sources("vit_tiny_patch16_224") == {"timm": "vit_tiny_patch16_224"}
    assert sources("swin_tiny_patch4_window7_224")["hf"] == "hf:microsoft/swin-tiny-patch4-window7-224"
    assert sources("digits") == {}
    assert family("vit_base_patch16_clip_224") == "clip"


@pytest.mark.slow
def test_timm_has_the_names(timm):
    known = set(timm.list_models("*"))
    for name in ARCHITECTURES:
        if found := sources(name):
            assert found["timm"].split()[0] in known, name


def test_it_is_fast_and_takes_no_torch():
    code = (
        "import sys, time; start = time.process_time(); from p2vit.cli.main import run; run(['list', '--json']); "
        "print(time.process_time() - start, 'torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, torch = done.stderr.split()
    assert torch == "False"
    assert float(seconds) < 2.0  # processor time; about 0.4 s on an idle machine
    assert json.loads(done.stdout)["architectures"]
