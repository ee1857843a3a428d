"""The program object: the same integers and the same figures as the command line, and clear refusals."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image

import p2vit
from p2vit.api.feedback import PythonFeedback
from p2vit.errors import DataError, MissingPackageError, P2vitError, ProgramError
from p2vit.program.format import program_sha256, save
from p2vit.workflows.options.base import OptionError
from p2vit.workflows.plain import to_json
from support.programs import random_program
from support.tiny import float_model, smooth_photos

#: What two runs of the same do not have in common.
TIMES = ("evaluation_seconds", "seconds", "points_per_minute")


@pytest.fixture(scope="module")
def q(digits_program):
    return p2vit.load(digits_program)


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tiny():
    """A float model in memory and photos for it."""
    model = float_model(image_size=(28, 28), patch_size=7, mlp_dim=96)
    return model, smooth_photos((28, 28), 8)


def as_json(result):
    return {key: value for key, value in json.loads(to_json(result)).items() if key not in TIMES}


def same(result, answer):
    """A result is the command line's JSON: keys, order and values."""
    assert answer.code == 0, answer.err
    printed = {key: value for key, value in answer.json.items() if key not in TIMES}
    assert as_json(result.model_dump()) == printed
    assert list(as_json(result.model_dump())) == list(printed)


def test_evaluate_is_eval(q, digits_program, p2vit_command):
    same(
        q.evaluate("digits", limit=60),
        p2vit_command("eval", digits_program, "--data", "digits", "--limit", 60),
    )


def test_audit_and_verify_are_the_verbs(q, digits_program, p2vit_command):
    same(q.audit(), p2vit_command("audit", digits_program))
    answer = p2vit_command("verify", digits_program, "--backends", "reference,native", "--images", 3)
    same(q.verify(["reference", "native"], images=3), answer)
    assert q.verify("reference,native", images=1).passed


@pytest.mark.parametrize("hardware", ["paper", "edge"])
def test_simulate_is_the_verb(q, digits_program, p2vit_command, hardware):
    found = q.simulate(hardware).model_dump()
    answer = p2vit_command("simulate", digits_program, "--hw", hardware).json
    # The command line calls a program by its folder's name.
    assert {**as_json(found), "model": ""} == {**answer, "model": ""}
    assert p2vit.simulate(digits_program, hardware).model_dump() == {**found, "model": answer["model"]}


def test_what_does_not_fit_has_no_levers(q, tmp_path):
    from importlib.resources import files

    text = (files("p2vit.accel.machine") / "descriptions" / "edge.yaml").read_text()
    machine = tmp_path / "small.yaml"
    machine.write_text(text.replace("size_bytes: 262144", "size_bytes: 2048"))
    found = p2vit.simulate("deit_tiny_patch16_224", str(machine))
    assert not found.fits
    assert "levers" not in found.model_dump()
    assert "does not fit" in found._repr_html_()


def test_export_is_the_verb(q, digits_program, p2vit_command, tmp_path):
    pytest.importorskip("onnxruntime")
    file = tmp_path / "model.onnx"
    answer = p2vit_command("export", digits_program, "--format", "onnx-integer", "-o", file)
    found = q.export(file, format="onnx-integer", overwrite=True)
    same(found, answer)
    with pytest.raises(P2vitError, match="exists"):
        q.export(file, format="onnx-integer")


def test_cosim_and_rtl_are_the_verbs(q, digits_program, p2vit_command, tmp_path):
    pytest.importorskip("amaranth")
    pytest.importorskip("pyosys")
    answer = p2vit_command("cosim", digits_program, "--hw", "rtl-small", "--predict")
    same(q.cosim(hardware="rtl-small", predict=True), answer)
    same(p2vit.cosim(digits_program, hardware="rtl-small", predict=True), answer)
    answer = p2vit_command("rtl", digits_program, "--hw", "rtl-small", "-o", tmp_path / "rtl")
    found = p2vit.rtl(digits_program, tmp_path / "rtl", hardware="rtl-small", overwrite=True)
    same(found, answer)


def test_predictions_are_those_of_run(q, digits_program, p2vit_command, photo, tmp_path):
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(photo[:, ::-1] if number else photo).save(files[-1])
    rows = p2vit_command("run", digits_program, *files).json["outputs"]
    assert q.logits(files).tolist() == [row["logits"] for row in rows]
    assert [best[0].label for best in q.predict(files)] == [row["label"] for row in rows]
    assert q.predict(files[0], top=10) == q.predict(files, top=10)[0] == q.predict(tmp_path, top=10)[0]


def test_scores_are_a_softmax_of_the_real_logits(q, photo):
    real = (q.logits(photo) * 2.0 ** q.logit_exponents())[0]
    found = q.predict(photo, top=10)
    assert sum(each.score for each in found) == pytest.approx(1)
    assert [each.index for each in found] == np.argsort(-real, kind="stable").tolist()
    for each in found:
        assert each.score == pytest.approx(np.exp(real[each.index]) / np.exp(real).sum())
        assert each.label == q.classes[each.index]


def test_back_ends_give_the_same_integers(q, photo):
    for backend in ("native", "torch"):
        assert np.array_equal(q.logits(photo, backend=backend), q.logits(photo, backend="reference"))
        assert np.array_equal(q.features(photo, backend=backend), q.features(photo, backend="reference"))
    with pytest.raises(P2vitError, match=r"no back-end 'nativ'. Did you mean 'native'"):
        q.logits(photo, backend="nativ")


def test_features_are_the_programs_tensor(q, photo):
    from p2vit.data.preprocess import to_pixels
    from p2vit.engine.reference import ReferenceExecutor

    pixels = to_pixels(Image.fromarray(photo), q.preprocessing)[None]
    spec, name = q.program.tensors[q.program.feature], q.program.feature
    wanted = spec.real(ReferenceExecutor(q.program).run(pixels)[name]).reshape(1, -1)
    assert np.array_equal(q.features(photo), wanted)


def test_saved_and_loaded_it_is_the_same(tiny, tmp_path):
    model, photos = tiny
    made = p2vit.quantize(model, photos)
    assert "not saved" in made._repr_html_()
    assert made.save(tmp_path / "out") == tmp_path / "out"
    again = p2vit.load(tmp_path / "out")
    assert again.sha256 == made.sha256 == program_sha256(made.program)
    assert np.array_equal(again.logits(photos), made.logits(photos))
    with pytest.raises(P2vitError, match="exists"):
        made.save(tmp_path / "out")
    # A copy has all that stands beside the program.
    again.save(tmp_path / "copy")
    for file in sorted((tmp_path / "out").iterdir()):
        if not file.name.startswith("."):
            assert (tmp_path / "copy" / file.name).read_bytes() == file.read_bytes(), file.name
    for page in (made, again):
        page.report(tmp_path / "page.html", overwrite=True)
        assert "http" not in (tmp_path / "page.html").read_text().replace("http://www.w3.org", "")


def test_a_program_with_damaged_notes_is_sound(digits_program, tmp_path):
    import shutil

    shutil.copytree(digits_program, tmp_path / "p")
    (tmp_path / "p" / "sensitivity.json").write_text("{")
    with pytest.warns(p2vit.P2vitWarning, match=r"sensitivity\.json"):
        assert p2vit.load(tmp_path / "p").audit().passed


def test_without_a_head_there_are_features_alone(tmp_path):
    model = float_model(image_size=(28, 28), patch_size=7, mlp_dim=96, num_classes=0)
    photos = smooth_photos((28, 28), 8)
    made = p2vit.quantize(model, photos)
    assert made.features(photos).shape[0] == 8
    for call in (made.predict, made.logits):
        with pytest.raises(ProgramError, match=r"has no head.*features\(\) to get its features"):
            call(photos)
    assert "features only" in made._repr_html_()


def test_a_float_model_that_is_gone_is_said_to_be_so(tiny, tmp_path):
    from dataclasses import replace

    model, photos = tiny
    model = replace(model, source="memory:VisionTransformer")
    made = p2vit.quantize(model, photos)
    here = made.evaluate(photos)
    assert here.model == "memory:VisionTransformer"
    assert here.sqnr_db > 10
    loaded = p2vit.load(made.save(tmp_path / "out"))
    with pytest.warns(p2vit.P2vitWarning, match=r"was a module in memory \(VisionTransformer\) and is gone"):
        gone = loaded.evaluate(photos)
    assert gone.model is None
    assert gone.sqnr_db is None
    assert "is gone" in gone.notes[0]


def test_few_photos_and_skipped_ones_are_warnings(tmp_path):
    for number in range(2):
        Image.new("RGB", (9, 9), (number * 90, 5, 7)).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"no photo")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        p2vit.quantize("digits", tmp_path, progress=False)
    told = [str(each.message) for each in caught if issubclass(each.category, p2vit.P2vitWarning)]
    assert any("calibrated on 2 photo(s)" in text for text in told)
    assert any("skipped" in text and "broken.png" in text for text in told)
    with pytest.raises(DataError, match=r"broken\.png"):
        p2vit.quantize("digits", tmp_path, strict=True, progress=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda q: p2vit.quantize("digits", "digits", bit="w8a8"), "no option 'bit'. Did you mean 'bits'"),
        (lambda q: p2vit.quantize("digits", "digits", calib_images=0), "calib_images is 0"),
        (lambda q: p2vit.quantize("digits", "digits", bits="w1a8"), "w1a8"),
        (lambda q: p2vit.quantize(3, "digits"), "the model must be a name, a path or a torch.nn.Module .*, not int"),
        (lambda q: p2vit.quantize("digits", 3), "photos must be a path, a folder, .* not int"),
        (lambda q: p2vit.quantize("digits", "digits", preprocessing=p2vit.Preprocessing()), "for a module in memory"),
        (lambda q: p2vit.search("digits", "digits", budget="bits=4"), "bits=4"),
        (lambda q: p2vit.load("nowhere"), "nowhere"),
        (lambda q: p2vit.simulate("digits", "papr"), "did you mean 'paper'"),
        (lambda q: p2vit.simulate("digits", weight_bits=5), "weight_bits is 5"),
        (lambda q: p2vit.explore("digits", point=5), "no option 'point'. Did you mean 'points'"),
        (lambda q: q.predict("nowhere.png"), "nowhere.png: no such photo"),
        (lambda q: q.predict([]), "there are no photos to run"),
        (lambda q: q.predict("noise", top=0), "top is 0"),
        (lambda q: q.predict("noise", thread=1), "no option 'thread'. Did you mean 'threads'"),
        (lambda q: q.verify(["native"]), "at least two different ones are needed"),
        (lambda q: q.verify(["native", "torch"], image=1), "no option 'image'. Did you mean 'images'"),
        (lambda q: q.export("x.onnx", format="onnx"), "format is 'onnx'; allowed are"),
        (lambda q: q.evaluate("digits", labels=[1]), "labels= is only for a list of photos"),
        (lambda q: q.evaluate(np.zeros((2, 9, 9, 3), np.uint8), labels=[1, 99]), "the number 99"),
        (lambda q: q.report("page.json"), "the report is an HTML file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_an_error_of_ours_that_chains_nothing(q, call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(P2vitError, match=message) as caught:
        call(q)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert list(tmp_path.iterdir()) == []


def test_unknown_options_are_type_errors_too(q):
    with pytest.raises(TypeError):
        q.evaluate("digits", limt=3)
    assert issubclass(OptionError, P2vitError)


def test_options_of_loading_are_for_names(tiny):
    model, photos = tiny
    with pytest.raises(OptionError, match="arch= is for a model by name"):
        p2vit.quantize(model, photos, arch="deit_tiny_patch16_224")


def test_without_torch_quantizing_says_what_to_install(monkeypatch):
    monkeypatch.setattr("p2vit.workflows.module.has_torch", lambda: False)
    with pytest.raises(MissingPackageError, match=r"pip install 'p2vit\[quant\]'"):
        p2vit.quantize("digits", "digits")


def test_progress(q, photo, capsys, monkeypatch):
    steps = []
    q.logits([photo] * 20, progress=lambda *step: steps.append(step))
    assert steps == [("run", 8, 20), ("run", 16, 20), ("run", 20, 20)]
    q.logits(photo)
    q.logits(photo, progress=False)
    assert capsys.readouterr().err == ""  # not a terminal
    q.logits(photo, progress=True)
    assert "run: 1/1" in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    q.logits(photo)
    assert "1/1" in capsys.readouterr().err


def test_notes_go_to_the_log(caplog):
    with caplog.at_level("INFO", "p2vit"):
        PythonFeedback().note("something")
    assert caplog.messages == ["something"]


def test_tables_are_escaped_and_load_nothing(tmp_path):
    program = random_program(depth=1)
    program.provenance["source"] = "<script>alert(1)</script>"
    save(program, tmp_path / "p")
    html = p2vit.load(tmp_path / "p")._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    for shown in (
        html,
        p2vit.load(tmp_path / "p").audit()._repr_html_(),
        p2vit.simulate("digits")._repr_html_(),
    ):
        assert "http" not in shown
        assert "src=" not in shown


def test_search_gives_a_program(tmp_path):
    log = tmp_path / "log.jsonl"
    options = {"budget": "average-bits=6", "calib_images": 8, "held_out": 4, "fine": False, "progress": False}
    found = p2vit.search("digits", "digits", log=log, **options)
    assert found.cost <= 6
    assert set(found.bits_per_layer.values()) <= {4, 8}
    assert found.program.sha256 == found.program_sha256
    assert log.read_text().count("\n") >= found.candidates
    assert p2vit.search("digits", "digits", **options).program_sha256 == found.program_sha256


def test_class_names_are_given_as_on_the_command_line(q, photo):
    names = ",".join(f"class {number}" for number in range(10))
    best = q.predict(photo, class_names=names)[0]
    assert best.label == f"class {best.index}"
    made = p2vit.quantize("digits", "digits", class_names=names, calib_images=8, progress=False)
    assert made.classes == tuple(names.split(","))
    with pytest.raises(P2vitError, match="2"):
        q.predict(photo, class_names="cat,dog")
