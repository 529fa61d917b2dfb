"""The demo without a terminal, from the wheel, in an empty folder."""

import re
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.e2e.conftest import Home

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a new venv that holds the built wheel.

    Its dependencies (5 GB with torch) are read from the environment of the tests; ftui itself can
    only come from the wheel, which the test asserts.
    """
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "venv")], check=True)
    python = place / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True)
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (Path(purelib) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python.parent


def test_the_demo_from_the_wheel(home: Home, installed: Path) -> None:
    home.env.pop("PYTHONPATH", None)  # it would stand before the wheel
    where = subprocess.run(
        [installed / "python", "-c", "import ftui, engine; print(ftui.__file__, engine.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        cwd=home.folder,
        env=home.env,
    ).stdout.split()
    assert all(Path(file).is_relative_to(installed.parent) for file in where)

    home.command = str(installed / "ftui")
    done = home.ftui("demo", "--headless", "--set", "training.epochs=2")
    assert done.returncode == 0, done.stdout + done.stderr

    accuracy = re.search(r"validation top-1 ([\d.]+) %", done.stdout)
    baseline = re.search(r"baseline ([\d.]+) %", done.stdout)
    assert accuracy
    assert baseline
    assert float(accuracy[1]) >= 65
    assert float(baseline[1]) < 20
    assert re.search(r"look at it again: \S*ftui attach", done.stdout)

    folder = Path(done.stdout.splitlines()[-1])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {path.name for path in folder.iterdir()}
    logs = {"events.jsonl", "commands.jsonl", "worker.log"}
    assert files >= {"config.toml", "checkpoints", "run.lock", *logs}
    (run,) = home.ls()
    assert run["state"] == "finished"
    assert run["best"]["val_top1"] * 100 == pytest.approx(float(accuracy[1]), abs=0.1)
