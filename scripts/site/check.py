"""Check a built site: every link and anchor leads somewhere, and no page loads anything from another host.

python scripts/site/check.py out/site
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Elements that a page loads by itself. Links (<a href>) to other hosts are allowed.
LOADING = {"script", "img", "iframe", "source", "video", "audio", "embed", "object", "link"}
STYLE_LOADS = re.compile(r"(?:@import\s+(?!url)|url\()\s*[\"']?([^\"' )]+)")


class Page(HTMLParser):
    """Anchors, links and loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "top"}
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        target = found.get("href") or found.get("src") or found.get("data")
        if target and (tag in LOADING or tag == "a"):
            (
                self.links if tag == "a" or found.get("rel") in ("canonical", "next", "prev") else self.loads
            ).append(target)


def problems(site: Path) -> list[str]:
    """Return a line for each broken link, each missing anchor, and each file that is loaded from another host.

    Args:
        site: Folder of the built site.
    """
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.resolve().rglob("*.html"))}
    found = []
    for path, page in pages.items():
        here = path.relative_to(site.resolve())
        for target in (*page.links, *page.loads):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in page.loads and parts.scheme != "data":
                    found.append(f"{here} loads {target}")
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.is_file() and not (there / "index.html").is_file():
                if (
                    path.name != "404.html"
                ):  # It is shown for any address, so its links are those of a server's root.
                    found.append(f"{here} links to {target}, which does not exist")
            elif there in pages and unquote(parts.fragment) not in pages[there].anchors:
                found.append(f"{here} links to {target}, which has no such anchor")
    for path in sorted(site.rglob("*.css")):
        for target in STYLE_LOADS.findall(path.read_text("utf-8")):
            if urlsplit(target).netloc:
                found.append(f"{path.relative_to(site)} loads {target}")
    return sorted(set(found))


def main() -> None:
    """Print what is wrong with the site; exit status 1 if anything is."""
    site = Path(sys.argv[1])
    found = problems(site)
    print("\n".join(found) or f"{site}: every link leads somewhere, and nothing is loaded from elsewhere")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
