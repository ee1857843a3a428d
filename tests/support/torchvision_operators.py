"""torchvision beside a torch that it was not built for: its missing operators are defined, which nobody calls."""

import sys


def define():
    """Define what torchvision misses, so that it, timm and transformers can be imported.

    Returns:
        torch's library object, which must stay alive; None where nothing helps.
    """
    import torch

    # A torchvision without its compiled operators registers fakes for them all the same, which fails unless
    # they are defined. No test calls them.
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for _ in range(8):
        try:
            import torchvision  # noqa: F401

            return fragment
        except ImportError:
            return fragment  # whoever needs it says so
        except RuntimeError as error:
            missing = str(error).partition("torchvision::")[2].split()
            if not missing:
                return None
            fragment.define(f"{missing[0]}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
                del sys.modules[name]  # half imported: the next try starts anew
    return None
