"""Read preprocessor_config.json as transformers' (slow) image processors do. Unknown keys are refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from p2vit.errors import ModelError
from p2vit.models.architectures import CLIP_MEAN, CLIP_STD, HALF
from p2vit.program.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Interpolation, Preprocessing

Size = tuple[int, int]
FILE = "preprocessor_config.json"
#: Pillow's filter numbers, which the file uses.
FILTERS: dict[int, Interpolation] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "box",
    5: "hamming",
}
#: Largest allowed side of a scaled photo, pixels.
MOST = 1 << 14


@dataclass(frozen=True)
class ProcessorDefaults:
    """Defaults and allowed settings of one image processor class.

    Attributes:
        size: Default size after resizing, (height, width); a single number is the shorter side.
        crop: Default side of the centre crop, pixels; None for a class that does not crop.
        resample: Pillow's number of the default filter.
        mean, std: Default normalisation per channel R, G, B.
        edges: Whether ``size`` may have ``shortest_edge``. A single number then means the shorter side.
        squares: Whether ``size`` may have ``height`` and ``width``.
    """

    size: int | Size
    crop: int | None
    resample: int
    mean: tuple[float, float, float] = HALF
    std: tuple[float, float, float] = HALF
    edges: bool = False
    squares: bool = True


KINDS = {
    "ViTImageProcessor": ProcessorDefaults((224, 224), None, 2),
    "DeiTImageProcessor": ProcessorDefaults((256, 256), 224, 3),
    "BitImageProcessor": ProcessorDefaults(224, 224, 3, CLIP_MEAN, CLIP_STD, edges=True),
    "CLIPImageProcessor": ProcessorDefaults(224, 224, 3, CLIP_MEAN, CLIP_STD, edges=True),
    "SiglipImageProcessor": ProcessorDefaults((224, 224), None, 3),
    "BeitImageProcessor": ProcessorDefaults((256, 256), 224, 3),
    "DINOv3ViTImageProcessor": ProcessorDefaults((224, 224), None, 2, IMAGENET_MEAN, IMAGENET_STD),
    "ConvNextImageProcessor": ProcessorDefaults(384, None, 2, edges=True, squares=False),
}
#: Classes that exist only with torchvision. They resize before they round to whole grey levels, which programs read; so
#: their pixels differ by up to one level and are not compared.
FAST_ONLY = ("DINOv3ViTImageProcessor",)
#: model_type -> the class that transformers uses if the file names none.
USUAL = {
    "vit": "ViTImageProcessor",
    "deit": "DeiTImageProcessor",
    "swin": "ViTImageProcessor",
    "dinov2": "BitImageProcessor",
    "dinov2_with_registers": "BitImageProcessor",
    "dinov3_vit": "DINOv3ViTImageProcessor",
    "clip": "CLIPImageProcessor",
    "clip_vision_model": "CLIPImageProcessor",
    "siglip": "SiglipImageProcessor",
    "siglip_vision_model": "SiglipImageProcessor",
    "vit_mae": "ViTImageProcessor",
    "vit_msn": "ViTImageProcessor",
    "ijepa": "ViTImageProcessor",
    "beit": "BeitImageProcessor",
    "data2vec-vision": "BeitImageProcessor",
}
#: Keys that do not change the pixels of RGB photos.
SILENT = {
    "image_processor_type", "feature_extractor_type", "processor_class", "_processor_class", "do_convert_rgb",
    "data_format", "input_data_format", "return_tensors", "device", "disable_grouping", "_name_or_path",
    "_valid_processor_keys", "default_to_square", "transformers_version", "num_channels", "do_reduce_labels",
    "reduce_labels",
}  # fmt: skip
READ = {
    "do_resize", "size", "resample", "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std",
}  # fmt: skip


def preprocessing_from_hf(
    processor: Mapping[str, Any], model_type: str, image_size: Size, source: str
) -> Preprocessing:
    """Read preprocessor_config.json.

    Args:
        processor: Content of the file.
        model_type: Value of model_type in config.json.
        image_size: Image size of the model in pixels, (height, width), for a file that states no size.
        source: Name of the source for error messages.

    Returns:
        The preprocessing. Its ``image_size`` is the size of the photos that the processor makes.

    Raises:
        ModelError: A key or value is not supported. The message names the key, its value, and the allowed values.
    """
    at = f"{source}: {FILE}"
    name = kind_name(processor, model_type, at)
    kind = KINDS[name]
    _refuse_unknown(processor, name, at)
    mean, std = _normalisation(processor, kind, at)
    number = processor.get("resample")
    number = kind.resample if number is None else number
    if isinstance(number, bool) or not isinstance(number, int) or number not in FILTERS:
        known = ", ".join(f"{key} ({name})" for key, name in FILTERS.items())
        raise ModelError(f"{at}: resample {number!r} is not supported. Supported filters: {known}")
    fields = _geometry(processor, name, image_size, at)
    try:
        return Preprocessing(mean=mean, std=std, interpolation=FILTERS[number], **fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ModelError(f"{at}: {first['loc'][0]}: {first['msg']}") from None


def usual_preprocessing(model_type: str, image_size: Size) -> Preprocessing:
    """Return the preprocessing that is assumed for a repository without preprocessor_config.json.

    Args:
        model_type: Value of model_type in config.json.
        image_size: Image size of the model in pixels, (height, width).
    """
    family = model_type.removesuffix("_vision_model")
    halves = dict.fromkeys(("vit", "siglip", "beit", "data2vec-vision"), (HALF, HALF))
    mean, std = {"clip": (CLIP_MEAN, CLIP_STD), **halves}.get(family, (IMAGENET_MEAN, IMAGENET_STD))
    return Preprocessing(
        image_size=image_size,
        interpolation="bilinear" if family in ("vit", "dinov3_vit") else "bicubic",
        mean=mean,
        std=std,
    )


def kind_name(processor: Mapping[str, Any], model_type: str, at: str) -> str:
    """Return the name of the (slow) image processor class that reads the file.

    Args:
        processor: Content of preprocessor_config.json.
        model_type: Value of model_type in config.json.
        at: Source and file name for error messages.

    Raises:
        ModelError: The class is not one of `KINDS`.
    """
    stated = processor.get("image_processor_type") or processor.get("feature_extractor_type")
    name = str(stated or USUAL.get(model_type, model_type)).removesuffix("Fast")
    name = name.replace("FeatureExtractor", "ImageProcessor")
    if processor.get("auto_map") or name not in KINDS:
        code = " with code of its own" if processor.get("auto_map") else ""
        raise ModelError(
            f"{at}: image processor '{name}'{code} is not supported. Supported classes: {', '.join(KINDS)}. "
            "To ignore the file, state all of --crop-mode, --crop-pct, --interpolation, --mean and --std"
        )
    return name


def _refuse_unknown(processor: Mapping[str, Any], name: str, at: str) -> None:
    """Refuse keys that may change the pixels but are not read."""
    reads = set(READ)
    if KINDS[name].crop is not None:
        reads |= {"do_center_crop", "crop_size"}
    if name == "ConvNextImageProcessor":
        reads.add("crop_pct")
    if name == "CLIPImageProcessor":
        reads.add("use_square_size")
    idle = {"crop_size"} if not processor.get("do_center_crop") else set()
    for key, value in processor.items():
        if key in reads or key in SILENT or key in idle or value is None or value is False:
            continue
        raise ModelError(
            f"{at}: '{key}' is {value!r}, but {name} does not read this key, so its meaning is unknown. Set it to null "
            "if it does not change the photos"
        )


def _normalisation(
    processor: Mapping[str, Any], kind: ProcessorDefaults, at: str
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and std where black is 0 and white is 1, whatever the rescale factor is."""
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if _flag(processor, "do_normalize", at):
        mean = _three(processor.get("image_mean"), kind.mean, "image_mean", at)
        std = _three(processor.get("image_std"), kind.std, "image_std", at)
        if min(std) <= 0:
            raise ModelError(f"{at}: image_std {list(std)} must be above 0")
    factor = 1.0
    if _flag(processor, "do_rescale", at):
        given = processor.get("rescale_factor")
        factor = 1 / 255 if given is None else given
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < 1e6:
            raise ModelError(f"{at}: rescale_factor {factor!r} must be a number above 0")
    white = 255 * factor
    if abs(white - 1) > 1e-9:
        return tuple(m / white for m in mean), tuple(s / white for s in std)  # type: ignore[return-value]
    return mean, std


def _geometry(processor: Mapping[str, Any], name: str, image_size: Size, at: str) -> dict[str, Any]:
    """Return the fields of `Preprocessing` for resizing and cropping."""
    kind = KINDS[name]
    size = _size(processor, name, at) if _flag(processor, "do_resize", at) else None
    crops = kind.crop is not None and _flag(processor, "do_center_crop", at)
    fields: dict[str, Any] = {"convention": "transformers"}
    if name == "ConvNextImageProcessor" and isinstance(size, int):
        share = processor.get("crop_pct")
        share = 224 / 256 if share is None else share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise ModelError(f"{at}: crop_pct {share!r} must be above 0 and at most 1")
        if size >= 384:
            return {"image_size": (size, size), "resize": "squash"}
        scaled = int(size / share)
        return fields | {"image_size": (size, size), "resize": "crop", "scale_to": (scaled, scaled)}
    if not crops:
        if size is None:
            return {"image_size": image_size, "resize": "none"}
        if isinstance(size, int):
            raise ModelError(
                f"{at}: size {{'shortest_edge': {size}}} without do_center_crop makes photos of different shapes, but "
                "a program takes one shape. Add do_center_crop and crop_size to the file, or state --crop-mode"
            )
        return {"image_size": size, "resize": "squash"}
    crop = processor.get("crop_size")
    cut = _pair(kind.crop if crop is None else crop, "crop_size", at)
    if size is None:
        return fields | {"image_size": cut, "resize": "cut"}
    if isinstance(size, int):
        return fields | {"image_size": cut, "resize": "crop", "scale_to": (size, size)}
    if size == cut:
        return {"image_size": cut, "resize": "squash"}
    return fields | {"image_size": cut, "resize": "squash", "scale_to": size}


def _size(processor: Mapping[str, Any], name: str, at: str) -> int | Size:
    """Read ``size``: the shorter side, or (height, width)."""
    kind, value = KINDS[name], processor.get("size")
    if value is None:
        return kind.size
    if isinstance(value, Mapping) and set(value) == {"shortest_edge"} and kind.edges:
        side = _side(value["shortest_edge"], "size", at)
        return (side, side) if processor.get("use_square_size") else side
    if isinstance(value, int) and kind.edges:
        side = _side(value, "size", at)
        return (side, side) if processor.get("use_square_size") else side
    if kind.squares and not (name == "SiglipImageProcessor" and isinstance(value, int)):
        return _pair(value, "size", at, kind)
    raise ModelError(f"{at}: size {value!r} is not supported by {name}; {_allowed(kind)}")


def _pair(value: Any, key: str, at: str, kind: ProcessorDefaults | None = None) -> Size:
    """Read (height, width) from a number, a list of two numbers, or an object with both."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _side(value, key, at), _side(value, key, at)
    if isinstance(value, list | tuple) and len(value) == 2:
        return _side(value[0], key, at), _side(value[1], key, at)
    if isinstance(value, Mapping) and set(value) == {"height", "width"}:
        return _side(value["height"], key, at), _side(value["width"], key, at)
    raise ModelError(f"{at}: {key} {value!r} is not supported; {_allowed(kind)}")


def _allowed(kind: ProcessorDefaults | None) -> str:
    """List the allowed forms of a size, for messages."""
    forms = ["{'height': H, 'width': W}"] if kind is None or kind.squares else []
    forms += ["{'shortest_edge': N}"] if kind is not None and kind.edges else []
    return f"write {' or '.join(forms)}"


def _side(value: Any, key: str, at: str) -> int:
    """Check a number of pixels."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MOST:
        raise ModelError(f"{at}: {key}: {value!r} is not a number of pixels from 1 to {MOST}")
    return value


def _flag(processor: Mapping[str, Any], key: str, at: str) -> bool:
    """Read a switch. If the file does not state it, it is on, as in every class that reads it."""
    value = processor.get(key)
    if value is None:
        return True
    if not isinstance(value, bool):
        raise ModelError(f"{at}: {key} {value!r} must be true or false")
    return value


def _three(value: Any, usual: tuple[float, float, float], key: str, at: str) -> tuple[float, float, float]:
    """Read one number per channel, or one number for all channels."""
    if value is None:
        return usual
    numbers = [value] * 3 if isinstance(value, int | float) else value
    if not isinstance(numbers, list | tuple) or len(numbers) != 3:
        raise ModelError(f"{at}: {key} {value!r} must be three numbers, or one for all channels")
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in numbers):
        raise ModelError(f"{at}: {key} {value!r} must be numbers")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])
