"""A program with dense outputs: feature maps of photos, and heads on feature maps."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from p2vit.api.results import DenseOutput
from p2vit.api.runnable import Progress, RunnableProgram
from p2vit.models.dense import PATCH_TOKENS
from p2vit.program.exponents import channel_exponents
from p2vit.quant.dense_head import with_dense_head
from p2vit.workflows.inputs import OpenProgram


class DenseProgram(RunnableProgram):
    """An integer program with feature maps; see `QuantizedProgram`, which adds everything else."""

    def feature_maps(
        self, photos: Any, *, prepared: bool = False, progress: Progress = None, **options: Any
    ) -> dict[str, DenseOutput]:
        """Compute the feature maps of photos: one vector per patch.

        Args:
            photos: One photo or a collection of photos, in any form that `QuantizedProgram` lists.
            prepared: Arrays and tensors already have the model's input size, so they are not resized or cropped.
            progress: A function called with (stage, done, total); True for a progress bar, False for none.
            **options: Fields of `RunOptions`, as in `predict`: ``backend``, ``threads``, ``strict``.

        Returns:
            Name -> feature map, in the program's order: integers [N, rows, columns, channels] and their scale
            exponents, also for one photo.

        Raises:
            DataError: A photo cannot be read.
            ProgramError: The program has no feature maps; quantize with ``outputs="tokens"``.
            BackendError: The back-end cannot run on this machine.
            OptionError: An option does not exist or has a value that is not allowed.

        Example:
            >>> dense = p2vit.quantize("digits", "digits", outputs="layers=0,2", progress=False)
            >>> {name: found.stored.shape for name, found in dense.feature_maps(photo).items()}
            {'layers.0': (1, 4, 4, 64), 'layers.2': (1, 4, 4, 64)}
        """
        if not self.program.maps:
            self.program.feature_map("")  # raises the error that says how to get maps
        parts: dict[str, list[NDArray[Any]]] = {each.name: [] for each in self.program.maps}
        for _, tensors in self._run(photos, prepared, progress, options):
            for each in self.program.maps:
                parts[each.name].append(each.spatial(tensors[each.name]))
        found = {}
        for each in self.program.maps:
            exponents = channel_exponents(self.program.tensors[each.name]).astype(np.int64)
            found[each.name] = DenseOutput(
                each.name, np.concatenate(parts[each.name]), exponents, each.classes
            )
        return found

    def tokens(
        self, photos: Any, *, prepared: bool = False, progress: Progress = None, **options: Any
    ) -> DenseOutput:
        """Compute the normalised patch tokens of the last block.

        Args:
            photos: One photo or a collection of photos, in any form that `QuantizedProgram` lists.
            prepared: Arrays and tensors already have the model's input size, so they are not resized or cropped.
            progress: A function called with (stage, done, total); True for a progress bar, False for none.
            **options: Fields of `RunOptions`, as in `predict`: ``backend``, ``threads``, ``strict``.

        Returns:
            Integers, int8 [N, rows, columns, channels], and their scale exponents, also for one photo.

        Raises:
            DataError: A photo cannot be read.
            ProgramError: The program does not put out patch tokens; quantize with ``outputs="tokens"``.
            BackendError: The back-end cannot run on this machine.
            OptionError: An option does not exist or has a value that is not allowed.

        Example:
            >>> dense = p2vit.quantize("digits", "digits", outputs="tokens", progress=False)
            >>> found = dense.tokens([photo, photo])
            >>> found.stored.dtype, found.stored.shape, found.exponents.shape
            (dtype('int8'), (2, 4, 4, 64), (64,))
        """
        self.program.feature_map(PATCH_TOKENS)
        return self.feature_maps(photos, prepared=prepared, progress=progress, **options)[PATCH_TOKENS]

    def with_dense_head(
        self,
        weight: Any,
        bias: Any = None,
        *,
        name: str = "dense_head",
        on: str = PATCH_TOKENS,
        classes: Sequence[str] = (),
    ) -> Self:
        """Make a program that also runs a linear layer on every patch of a feature map, for instance to segment.

        Args:
            weight: Real numbers [K, channels], fitted on :attr:`DenseOutput.real` of this program, or on the float
                model's patch tokens.
            bias: Real numbers [K]; zeros if None.
            name: Name of the new feature map, int32 [rows, columns, K].
            on: Name of the feature map that the layer reads.
            classes: Labels of the K outputs.

        Returns:
            A new program; this one stays as it is. Weights are rounded to 8 bits, and all outputs have one scale
            exponent.

        Raises:
            ProgramError: There is no such feature map, the name is taken, or the numbers do not fit.

        Example:
            >>> dense = p2vit.quantize("digits", "digits", outputs="tokens", progress=False)
            >>> head = dense.with_dense_head(numpy.eye(2, 64), name="mask", classes=["paper", "ink"])
            >>> head.feature_maps(photo)["mask"].stored.shape
            (1, 4, 4, 2)
        """
        made = with_dense_head(self.program, weight, bias, on=on, name=name, classes=classes)
        return type(self)(OpenProgram(made, notes=self._opened.notes), self._float)
