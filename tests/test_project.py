"""Files for people who join: they agree with each other and with the Makefile."""

import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
YAML_FILES = sorted([*ROOT.glob(".github/**/*.yml"), ROOT / "CITATION.cff", ROOT / ".pre-commit-config.yaml"])


def read(path: Path):
    return YAML(typ="safe").load(path.read_text("utf-8"))


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_the_file_is_yaml(path):
    assert read(path)


def test_the_citation_has_the_version_and_the_paper():
    found = read(ROOT / "CITATION.cff")
    assert found["version"] == PROJECT["version"]
    assert found["license"] == PROJECT["license"]
    assert "2405.19915" in str(found["preferred-citation"]["identifiers"])


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/workflows/*.yml")), ids=lambda path: path.name)
def test_workflows_call_targets_that_exist(path):
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    for job in read(path)["jobs"].values():
        made = [step["run"] for step in job["steps"] if "make" in step.get("run", "")]
        assert len(made) == 1, "one step, which calls make"
        matrix = job.get("strategy", {}).get("matrix", {}).get("target", [])
        called = re.findall(r"make (\S+)", made[0].replace("${{ matrix.target }}", ""))
        assert set(matrix or called) - {"JOBS=4"} <= targets


def test_pre_commit_runs_what_make_lint_runs():
    lint = MAKEFILE.split("\nlint:")[1].split("\n\n")[0]
    made = {re.sub(r" (src|tests|scripts).*", "", line) for line in re.findall(r"\$\(BIN\)/(.*)", lint)}
    hooks = [hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert {hook["entry"].removeprefix(".venv/bin/") for hook in hooks} == made


def test_every_extra_that_the_makefile_installs_exists():
    for extras in re.findall(r"-e \"\.\[([^\]]+)\]", MAKEFILE):
        assert set(extras.replace("$(COMMA)", ",").split(",")) <= set(PROJECT["optional-dependencies"])


def test_no_address_is_claimed():
    """Project addresses are left to the owner."""
    assert "urls" not in PROJECT
