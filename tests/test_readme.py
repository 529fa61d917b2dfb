"""The README tells the truth about its two commands."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def first_block() -> list[str]:
    block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert block
    return block[1].strip().splitlines()


def test_the_first_block_is_two_commands_of_one_line() -> None:
    demo, tests = first_block()
    assert demo.endswith("ftui demo")
    assert tests.endswith("pytest")


def test_ci_calls_exactly_the_test_command() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert first_block()[1] in lines
