"""Write src/p2vit/models/tags.py: what timm's configurations say about the tags of the architectures that p2vit knows.

Run it where timm can be imported, after a new release of timm: python scripts/timm_tags.py
"""

from pathlib import Path

import timm
from timm.data import resolve_data_config
from timm.models import get_pretrained_cfg, list_pretrained

from p2vit.models.architectures import ARCHITECTURES

FILE = Path(__file__).parent.parent / "src/p2vit/models/tags.py"
FIELDS = ("mean", "std", "crop_pct", "crop_mode", "interpolation")
HEAD = '''"""Preprocessing of each of timm's weight tags, where it differs from the architecture's default.

Written by scripts/timm_tags.py from the configurations of timm {version}.
"""

from typing import Any

#: timm's ``NAME.TAG`` -> fields that differ from the architecture's default preprocessing.
TAGS: dict[str, dict[str, Any]] = {{
'''


def stated(name: str) -> dict[str, object]:
    """Fields of timm's configuration, by `Preprocessing`'s names but for ``crop_mode``."""
    config = get_pretrained_cfg(name)
    assert config is not None
    data = resolve_data_config(pretrained_cfg=config.to_dict())
    return {field: data[field] for field in FIELDS}


def main() -> None:
    """Write the file."""
    lines = []
    for name, entry in ARCHITECTURES.items():
        pre = entry.preprocessing
        usual = {field: getattr(pre, field) for field in FIELDS if field != "crop_mode"} | {
            "crop_mode": "center"
        }
        for tagged in list_pretrained(f"{name}.*"):
            differ = {field: value for field, value in stated(tagged).items() if value != usual[field]}
            lines.append(f"    {tagged!r}: {differ!r},\n".replace("'", '"'))
    FILE.write_text(HEAD.format(version=timm.__version__) + "".join(lines) + "}\n", encoding="utf-8")
    print(f"{FILE}: {len(lines)} tags")


if __name__ == "__main__":
    main()
