"""Every example of README and docs runs, in the order in which a reader would type it, and shows what the page shows."""

from __future__ import annotations

import importlib.util
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

_spec = importlib.util.spec_from_file_location("docs_examples", Path(__file__).with_name("examples.py"))
assert _spec is not None
assert _spec.loader is not None
examples = importlib.util.module_from_spec(_spec)
sys.modules["docs_examples"] = examples  # dataclasses look their module up
_spec.loader.exec_module(examples)

PAGES = examples.pages()
RUN_HERE = {"console", "python", "yaml"}
SHOWN_ONLY = {"", "text", "json", "mermaid"}


class Reader:
    """Someone who works through a page in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: dict[str, str] = {}
        self.background: list[subprocess.Popen[str]] = []
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "COLUMNS": "110",
            "NO_PROXY": "127.0.0.1",
            "PYTHONUNBUFFERED": "1",
        }

    def text(self, text: str) -> str:
        for number, real in self.ports.items():
            text = text.replace(number, real)
        return text

    def learn_ports(self, block) -> None:
        for number in block.values("port"):
            if number not in self.ports:
                with socket.create_server(("127.0.0.1", 0)) as reserved:
                    self.ports[number] = str(reserved.getsockname()[1])

    def follow(self, block) -> None:
        self.learn_ports(block)
        name = block.value("file")
        if name is not None:
            path = self.folder / name
            assert path.resolve().is_relative_to(self.folder)
            path.write_text(self.text(block.text), "utf-8")
        elif block.language == "python":
            self.run(block, [sys.executable, "-W", "error", "-c", self.text(block.text)])
        elif block.language == "yaml":
            check_part(block)
        elif block.language == "console":
            self.type(block)

    def type(self, block) -> None:
        folder = self.folder
        if block.has("checkout"):
            folder = self.folder / "checkout"
            copy_checkout(folder)
        commands = examples.commands(block)
        code = int(block.value("exit") or 0)
        for command in commands:
            words = ["bash", "-euo", "pipefail", "-c", self.text(command.text)]
            if block.has("background"):
                self.start(block, words, self.text(command.output))
                continue
            output = self.run(block, words, code if command is commands[-1] else 0, folder)
            shown = self.text(command.output)
            assert not shown or examples.looks_like(shown, output), (
                f"{block.place} shows another output:\n{output}"
            )

    def run(self, block, words, code=0, folder=None) -> str:
        done = subprocess.run(
            words,
            cwd=folder or self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{block.place} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def start(self, block, words, shown) -> None:
        """Start a server and read until it has shown what the page shows."""
        words[-1] = "exec " + words[-1]
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.background.append(process)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        seen = ""
        deadline_s = time.monotonic() + 60
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            # A server goes on talking: what follows may come in the same breath.
            # On a line of its own: a full stop before it would be taken for one of its dots.
            while not examples.looks_like(shown + "\n...", seen):
                left_s = deadline_s - time.monotonic()
                assert left_s > 0, f"{block.place} never showed what the page shows:\n{seen}"
                if ready.select(left_s):
                    data = os.read(process.stdout.fileno(), 65_536)
                    assert data, f"{block.place} ended:\n{seen}"
                    seen += data.decode()

    def leave(self) -> None:
        """Ctrl-C for whatever runs in the background; it must end cleanly."""
        for process in self.background:
            process.send_signal(signal.SIGINT)
        for process in self.background:
            text, _ = process.communicate(timeout=60)
            assert process.returncode == 0, text


def check_part(block) -> None:
    """Put a part of a scenario file into ``smoke`` and check the whole."""
    from scenarios import parse
    from scenarios.loader import LIBRARY
    from scenarios.model import Scenario

    tree = YAML(typ="safe").load(block.text)
    assert isinstance(tree, dict), f"{block.place}: not a mapping"
    assert block.has("part"), f"{block.place}: YAML is a `file` for a later command or a `part` of a scenario"
    whole = YAML(typ="rt").load((LIBRARY / "smoke.yaml").read_text("utf-8"))
    for key, value in tree.items():
        assert key in Scenario.model_fields, f"{block.place}: {key}"
        if isinstance(value, dict) and isinstance(whole.get(key), dict):
            whole[key].update(value)
        else:
            whole[key] = value
    import io

    text = io.StringIO()
    YAML(typ="rt").dump(whole, text)
    parse(text.getvalue(), block.place)


def copy_checkout(target: Path) -> None:
    if not target.exists():
        hidden = shutil.ignore_patterns(
            ".git", ".tox", ".venv", "evidence", "*.egg-info", "__pycache__", ".*cache*"
        )
        shutil.copytree(examples.ROOT, target, ignore=hidden)


def follow_page(page: Path, folder: Path, *, slowly: bool) -> None:
    reader = Reader(folder)
    try:
        for block in examples.blocks(page):
            if block.has("ci") or (block.has("slow") and not slowly):
                continue
            reader.follow(block)
    finally:
        reader.leave()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page, tmp_path):
    follow_page(page, tmp_path, slowly=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.has("slow") for block in examples.blocks(page))],
    ids=lambda page: page.name,
)
def test_page_with_its_long_examples(page, tmp_path):
    follow_page(page, tmp_path, slowly=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_of_a_kind_that_is_tested(page):
    all_blocks = list(examples.blocks(page))
    for block in all_blocks:
        assert block.language in RUN_HERE | SHOWN_ONLY, f"{block.place}: ```{block.language}"
        if (name := block.value("file")) is not None:
            later = [b.text for b in all_blocks if b.language == "console" and b.line > block.line]
            assert any(name in text for text in later), f"{block.place}: no later command uses {name}"


def test_what_is_left_to_ci_is_what_ci_runs():
    ci = (examples.ROOT / ".ci" / "run").read_text("utf-8")
    left = [block for page in PAGES for block in examples.blocks(page) if block.has("ci")]
    assert left
    for block in left:
        for command in examples.commands(block):
            assert command.text == "python3 -m pip install tox && python3 -m tox run"
    assert "pip install --quiet --upgrade pip tox" in ci
    assert "tox run" in ci


@pytest.mark.parametrize(
    ("shown", "real", "alike"),
    [
        ("a  b", "a b\n", True),
        ("a ... z", "a\nb\nz", True),
        ("a ... z", "a b", False),
        ("a.c", "abc", False),
        ("a", "a b", False),
    ],
)
def test_how_outputs_are_compared(shown, real, alike):
    assert examples.looks_like(shown, real) is alike


def test_broken_pages_are_told(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- example: sometimes -->\n```console\n$ true\n```\n")
    with pytest.raises(ValueError, match=r"page\.md:1: unknown directive 'sometimes'"):
        list(examples.blocks(page))
    page.write_text("text\n```console\n$ true\n")
    with pytest.raises(ValueError, match=r"page\.md:2: this block never closes"):
        list(examples.blocks(page))
    page.write_text("```console\noutput\n```\n")
    with pytest.raises(ValueError, match="begins with a command"):
        examples.commands(next(examples.blocks(page)))


def test_links_between_pages_lead_somewhere():
    import re

    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", page.read_text("utf-8")):
            path = target[0] or target[1]
            if not path.startswith(("http://", "https://")):
                assert (page.parent / path).exists(), f"{page.name} points at {path}"
