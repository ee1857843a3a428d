"""Options of loading a float model: they state what the model's file leaves open."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from p2vit.errors import ModelError
from p2vit.program.preprocessing import Interpolation

#: Options of a single run, which are not properties of the model.
OF_A_RUN = ("seed", "check")


@dataclass(frozen=True)
class LoadOptions:
    """Options of loading a float model, shared by the command line and by Python.

    ``None`` means the value that the source states, or the architecture's default.

    Attributes:
        arch: Architecture of a weight file.
        image_size: Image size in pixels, one side or (height, width), if it is not the model's own.
        seed: Random seed of ``random:ARCH`` weights.
        key: Prefix of the weights in a checkpoint that holds several models.
        heads: Number of attention heads, if neither the weight file nor ``arch`` determines it.
        pool: ``token`` reads the class token, ``avg`` the mean of the patch tokens.
        mean: Mean per channel R, G, B, where black is 0 and white is 1.
        std: Standard deviation per channel R, G, B, where black is 0 and white is 1.
        crop_pct: Share of the scaled photo's side that the centre crop keeps, above 0 and at most 1.
        crop_mode: ``center`` scales the shorter side and crops the centre; ``squash`` scales both sides.
        interpolation: Resampling filter of Pillow: ``bilinear``, ``bicubic``, ``nearest``, ``lanczos``...
        embedding: Whether to put out the image embedding of a CLIP or SigLIP model: projected, and normalised to a root
            mean square of 1.
        classes: Classes that a CLIP or SigLIP model tells apart: names, or a file with one per line.
        template: Prompts with ``{}`` for the class; ``a photo of a {}`` if empty. Embeddings of several are averaged.
        check: Whether to compare the model with the original library, if that can be imported.
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
    classes: str | tuple[str, ...] | None = None
    template: str | tuple[str, ...] = ()
    check: bool = True

    @property
    def preparation(self) -> dict[str, Any]:
        """The stated fields of the preprocessing: arguments of `override_preprocessing`."""
        names = ("mean", "std", "crop_pct", "crop_mode", "interpolation")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def flags(self) -> str:
        """The options of `preparation` as command-line flags, e.g. ``--mean, --crop-pct``."""
        return ", ".join("--" + name.replace("_", "-") for name in self.preparation)

    @property
    def stated(self) -> dict[str, Any]:
        """The stated options as plain JSON values. A program's provenance records them to load the same model again."""
        names = [each.name for each in fields(LoadOptions) if each.name not in OF_A_RUN]
        found = {name: getattr(self, name) for name in names}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in found.items()
            if value is not None and value is not False and value != ()
        }

    @property
    def of_the_model(self) -> "LoadOptions":
        """A plain `LoadOptions` with these values, without the fields that a workflow's subclass adds."""
        return LoadOptions(**{each.name: getattr(self, each.name) for each in fields(LoadOptions)})

    @classmethod
    def from_record(cls, record: Any) -> "LoadOptions":
        """Read options that `stated` wrote.

        Raises:
            ModelError: The record is damaged.
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
