"""Hook of MkDocs: adds the pages that are generated, and adapts links that leave docs/.

Pages of the repository's root (CONTRIBUTING.md, ...) and of results/ become pages of the site. The API reference comes
from docstrings, the options of the verbs from the commands themselves.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))

import reference
import results_pages

ROOT = Path(__file__).parents[2]
#: Page of the repository's root → page of the site.
ROOT_PAGES = {
    f"{name}.md": f"project/{name.lower().replace('_', '-')}.md"
    for name in ("CONTRIBUTING", "STYLE", "CHANGELOG", "SECURITY", "CODE_OF_CONDUCT")
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def generated_pages() -> dict[str, tuple[str, str]]:
    """Return page of the site → (Markdown, the file in the repository whose folder its links start from)."""
    found = {site: ((ROOT / name).read_text("utf-8"), name) for name, site in ROOT_PAGES.items()}
    for path in sorted((ROOT / "results").rglob("*.md")):
        name = path.relative_to(ROOT).as_posix()
        found[name] = (path.read_text("utf-8"), name)
    for name, text in {**results_pages.pages(), **reference.pages()}.items():
        found[name] = (text, f"docs/{name}" if name.startswith("reference/") else name)
    return found


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the data and pictures of results/."""
    for name, (text, _) in generated_pages().items():
        files.append(File.generated(config, name, content=text))
    for path in sorted((ROOT / "results").rglob("*")):
        if not path.name.startswith(".") and path.suffix in (".json", ".svg", ".png", ".jsonl", ".yaml"):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def source_of(page: str) -> str:
    """Return the file in the repository that a page of the site comes from."""
    for name, site in ROOT_PAGES.items():
        if page == site:
            return name
    return page if page.startswith("results/") else f"docs/{page}"


def site_path(path: str) -> str | None:
    """Return the path on the site of a file in the repository, or None if it is not on the site."""
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    if path == "README.md":
        return "index.md"
    if path == "results":
        return "results/README.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.startswith("results/"):
        return f"{path}/README.md" if (ROOT / path).is_dir() else path
    return None


def adapted(text: str, page: str, files: Files, repository: str | None) -> str:
    """Return Markdown whose relative links lead to pages of the site.

    Args:
        text: Markdown with links as the repository has them.
        page: Page of the site that it becomes.
        files: All files of the site.
        repository: Address of the repository, or None: then a link to a source file becomes its text.
    """
    here = os.path.dirname(source_of(page))

    def replace(match: re.Match[str]) -> str:
        picture, label, target, anchor = match.groups()
        if files.get_file_from_path(os.path.normpath(os.path.join(os.path.dirname(page), target))):
            return match[0]
        path = os.path.normpath(os.path.join(here, target))
        site = site_path(path)
        if site and files.get_file_from_path(site):
            there = os.path.relpath(site, os.path.dirname(page) or ".")
            return f"{picture}[{label}]({there}{anchor or ''})"
        if picture or not (ROOT / path).exists():
            return match[0]  # MkDocs reports it
        return f"[{label}]({repository.rstrip('/')}/blob/main/{path})" if repository else label

    parts = FENCE.split(text)
    return "".join(part if number % 2 else LINK.sub(replace, part) for number, part in enumerate(parts))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files, **_: Any) -> str:
    """Adapt the links of a page."""
    return adapted(markdown, page.file.src_uri, files, config.repo_url)
