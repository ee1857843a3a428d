"""What users may say about a model beside its name: where its file cannot tell, an option settles it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from p2vit.errors import ModelError
from p2vit.program.preprocessing import Interpolation

#: Said once for a run; no property of the model.
OF_A_RUN = ("seed", "check")


@dataclass(frozen=True)
class LoadOptions:
    """Options of loading a float model, shared by the command line and by Python.

    ``None`` means: take what the source says, or the architecture's usual value.

    Attributes:
        arch: Architecture of a weight file.
        image_size: Pixels, one side or (height, width), another than the model's own.
        seed: Random seed of ``random:ARCH`` weights.
        key: Which entry of a checkpoint file holds the weights, where there are several.
        heads: Attention heads, where a weight file does not say them and no ``arch`` does.
        pool: ``token`` reads the class token, ``avg`` the mean of the patch tokens.
        mean: Per channel R, G, B, where black is 0 and white is 1.
        std: Per channel R, G, B, where black is 0 and white is 1.
        crop_pct: Share of the scaled photo's side that the centre crop keeps, above 0 and at most 1.
        crop_mode: ``center`` scales the shorter side and cuts the centre out; ``squash`` scales both sides.
        interpolation: Resampling filter, a name of Pillow's: ``bilinear``, ``bicubic``, ``nearest``, ``lanczos``...
        embedding: Put out the image embedding of a CLIP or SigLIP model: projected, and of length 1.
        check: Compare with the original library where that can be imported.
    """

    arch: str | None = None
    image_size: int | tuple[int, int] | None = None
    seed: int = 0
    key: str | None = None
    heads: int | None = None
    pool: Literal["token", "avg"] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    crop_pct: float | None = None
    crop_mode: Literal["center", "squash"] | None = None
    interpolation: Interpolation | None = None
    embedding: bool = False
    check: bool = True

    @property
    def preparation(self) -> dict[str, Any]:
        """What is stated of the preprocessing, by the names of `restated`."""
        names = ("mean", "std", "crop_pct", "crop_mode", "interpolation")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def flags(self) -> str:
        """The options of `preparation` as the command line has them: ``--mean, --crop-pct``."""
        return ", ".join("--" + name.replace("_", "-") for name in self.preparation)

    @property
    def stated(self) -> dict[str, Any]:
        """What a program's provenance keeps, to load the same model again: plain JSON values."""
        names = [each.name for each in fields(LoadOptions) if each.name not in OF_A_RUN]
        found = {name: getattr(self, name) for name in names}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in found.items()
            if value is not None and value is not False
        }

    @property
    def of_the_model(self) -> "LoadOptions":
        """These alone, of the options of a workflow that inherit from them."""
        return LoadOptions(**{each.name: getattr(self, each.name) for each in fields(LoadOptions)})

    @classmethod
    def from_record(cls, record: Any) -> "LoadOptions":
        """The options that `stated` wrote.

        Raises:
            ModelError: they are none; a file that was edited holds such.
        """
        if record is None:
            return cls()
        known = {each.name for each in fields(LoadOptions)} - set(OF_A_RUN)
        if not isinstance(record, Mapping) or not set(record) <= known:
            raise ModelError(f"the program's provenance is damaged: 'load' is {record!r}")
        try:
            found: LoadOptions = TypeAdapter(cls).validate_python(dict(record))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            at = ".".join(str(part) for part in first["loc"])
            raise ModelError(f"the program's provenance is damaged: load.{at}: {first['msg']}") from None
        return found
