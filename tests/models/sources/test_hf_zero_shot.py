"""Zero-shot CLIP and SigLIP against transformers' own logits per image, from folders that it wrote itself."""

import json

import numpy as np
import pytest
import torch

from p2vit.errors import ModelError, P2vitError
from p2vit.models.registry import load_model
from p2vit.program.audit import audit
from p2vit.quant.api import quantize
from p2vit.quant.sensitivity import sqnr_db
from support.tiny import smooth_photos
from support.two_towers import CLASSES, EMBEDDING, SIDE, save_two_towers, tokenizer

KINDS = ("clip", "siglip")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, torchvision_operators):
    pytest.importorskip("transformers")
    made = {}
    for kind in KINDS:
        made[kind] = tmp_path_factory.mktemp(kind)
        save_two_towers(kind, made[kind])
    return made


@pytest.fixture(scope="module")
def photos():
    return smooth_photos((SIDE, SIDE), 12)


def library_logits(kind, folder, photos, template):
    """transformers' own logits, from its own processor and tokenizer."""
    import transformers

    model = {"clip": transformers.CLIPModel, "siglip": transformers.SiglipModel}[kind].from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, use_fast=False)
    pixels = processor(list(photos), return_tensors="pt")["pixel_values"]
    words = transformers.AutoTokenizer.from_pretrained(folder)
    prompts = [template.format(name) for name in CLASSES]
    padding = {"padding": "max_length", "max_length": 12} if kind == "siglip" else {"padding": True}
    with torch.no_grad():
        return model.eval()(
            pixel_values=pixels, **words(prompts, return_tensors="pt", **padding)
        ).logits_per_image


@pytest.mark.parametrize("template", ["a photo of a {}", "a drawing of a {}"])
@pytest.mark.parametrize("kind", KINDS)
def test_float_logits_are_the_librarys(folders, photos, kind, template):
    model = load_model(f"hf:{folders[kind]}", classes=CLASSES, template=(template,))
    wanted = library_logits(kind, folders[kind], photos, template)
    found = model.module(torch.from_numpy(photos))
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()
    assert model.class_names == CLASSES
    assert model.checked.difference < 1e-5
    assert model.checked.pixels


@pytest.mark.parametrize("kind", KINDS)
def test_integer_logits_are_close_and_on_the_same_scale(folders, photos, kind):
    from p2vit.engine.reference import ReferenceExecutor

    model = load_model(f"hf:{folders[kind]}", classes=CLASSES)
    program = quantize(model, [photos[:8]], threads=1).program
    run = ReferenceExecutor(program).run(photos[8:], [node.name for node in program.nodes])
    ours = program.tensors["head"].real(run["head"])[:, 0]
    wanted = library_logits(kind, folders[kind], photos[8:], "a photo of a {}").numpy()
    assert sqnr_db(wanted, ours) > 15
    assert (ours.argmax(1) == wanted.argmax(1)).mean() >= 0.75
    assert program.classes == CLASSES
    assert audit(program).passed
    embedding = program.tensors["embedding"].real(run["embedding"])[:, 0]
    assert np.allclose((embedding**2).mean(axis=1), 1, atol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_embedding_alone_is_the_librarys(folders, photos, kind):
    import transformers

    model = load_model(f"hf:{folders[kind]}", embedding=True)
    width = EMBEDDING if kind == "clip" else 32
    assert model.config.num_classes == 0
    assert model.config.feature_dim == width
    whole = transformers.AutoModel.from_pretrained(folders[kind]).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folders[kind], use_fast=False)
    with torch.no_grad():
        wanted = whole.get_image_features(processor(list(photos), return_tensors="pt")["pixel_values"])
    wanted = torch.nn.functional.normalize(wanted, dim=-1)
    found = model.module(torch.from_numpy(photos)) / width**0.5
    assert (found - wanted).abs().max() < 1e-5
    assert model.checked.difference < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_several_templates_are_averaged(folders, photos, kind):
    templates = ("a photo of a {}", "this is a {}")
    model = load_model(f"hf:{folders[kind]}", classes=CLASSES, template=templates)
    assert model.checked.difference < 1e-5
    single = [load_model(f"hf:{folders[kind]}", classes=CLASSES, template=(each,)) for each in templates]
    mean = sum(torch.nn.functional.normalize(each.module.head.weight, dim=-1) for each in single)
    ours = torch.nn.functional.normalize(model.module.head.weight, dim=-1)
    assert torch.allclose(ours, torch.nn.functional.normalize(mean, dim=-1), atol=1e-5)


def test_the_hash_knows_classes_templates_and_text_weights(folders, tmp_path):
    def sha(folder, **options):
        return load_model(f"hf:{folder}", check=False, **options).sha256

    once = sha(folders["clip"], classes=CLASSES)
    assert sha(folders["clip"], classes=CLASSES) == once
    save_two_towers("clip", tmp_path, seed=1)
    others = {
        sha(folders["clip"], classes=CLASSES[:-1]),
        sha(folders["clip"], classes=CLASSES, template=("this is a {}",)),
        sha(folders["clip"]),
        sha(tmp_path, classes=CLASSES),
    }
    assert len(others | {once}) == 5


def test_what_is_recorded_loads_the_same_model_again(folders, photos, tmp_path):
    from p2vit.workflows.float_model import reload_float

    names = tmp_path / "classes.txt"
    names.write_text("\n".join(CLASSES) + "\n")
    model = load_model(f"hf:{folders['siglip']}", classes=str(names))
    program = quantize(model, [photos], threads=1).program
    names.unlink()
    assert program.provenance["load"]["classes"] == list(CLASSES)
    assert reload_float(program).sha256 == model.sha256


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"classes": "no-such-file"},
            "--classes no-such-file: no such file; give a file with one class per line",
        ),
        ({"classes": ("cat", "cat")}, "--classes: 'cat' is named twice"),
        ({"classes": ("cat", " ")}, "there is no class, or one without a name"),
        ({"classes": ()}, "there is no class"),
        ({"classes": CLASSES, "template": ("a photo",)}, "--template 'a photo' needs one {}"),
        ({"template": ("a {}",)}, "--template: there are no classes"),
        ({"classes": ("cat " * 20,)}, "has 26 tokens; the text tower"),
    ],
)
def test_classes_that_cannot_be(folders, options, message):
    with pytest.raises(P2vitError) as error:
        load_model(f"hf:{folders['clip']}", **options)
    assert message in str(error.value)


def test_models_without_a_text_tower_are_refused(folders, tmp_path):
    import transformers

    for options, start in (({"classes": CLASSES}, "--classes"), ({"embedding": True}, "--output embedding")):
        with pytest.raises(ModelError, match=f"^{start}: digits has no image embedding"):
            load_model("digits", **options)
    tower = transformers.CLIPVisionModelWithProjection.from_pretrained(folders["clip"])
    tower.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"has no text tower .*hf:openai/clip-vit-base-patch16"):
        load_model(f"hf:{tmp_path}", classes=CLASSES)


def test_a_folder_without_a_tokenizer_says_what_is_missing(folders, tmp_path):
    for name in ("config.json", "model.safetensors", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folders["clip"] / name).read_bytes())
    with pytest.raises(ModelError, match=r"the tokenizer of .* cannot be loaded: .*tokenizer\.json"):
        load_model(f"hf:{tmp_path}", classes=CLASSES)


def test_without_classes_nothing_changed(folders):
    assert json.loads((folders["clip"] / "config.json").read_text())["architectures"] == ["CLIPModel"]
    model = load_model(f"hf:{folders['clip']}")
    assert (model.config.num_classes, model.config.embedding_dim) == (EMBEDDING, 0)
    assert tokenizer(bos=True)("a cat")["input_ids"] == [1, 2, 5, 13]
