"""A network and a state dict of one's own, by the README's words only."""

import re
from pathlib import Path

import torch

from tests.e2e.conftest import Home

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(kind: str, first: str) -> str:
    """The README's block of code that begins so."""
    found = re.search(rf"```{kind}\n({re.escape(first)}\n.*?)```", README, re.S)
    assert found, f"no such block: {first}"
    return found[1]


def test_the_readmes_own_network_trains(home: Home, pictures: Path) -> None:
    code = block("python", "# net.py")
    (home.folder / "net.py").write_text(code)
    config = block("toml", "# net.toml").replace("data/pets", "pictures")
    (home.folder / "net.toml").write_text(config)
    made: dict[str, object] = {}
    exec(code, made)
    theirs = made["make"](2)  # type: ignore[operator]
    state = {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}
    torch.save(state, home.folder / "mine.pth")
    words = ("--set", "training.epochs=1", "--set", "training.device=cpu")
    done = home.ftui("train", "net.toml", "--foreground", *words, "--set", "training.threads=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'{home.folder}/mine.pth, head included, "module." taken off the names' in done.stdout
    run = Path(done.stdout.splitlines()[-1])
    assert (run / "model.safetensors").is_file()

    with (home.folder / "net.py").open("a") as file:
        file.write("# changed\n")
    more = home.ftui("resume", str(run), "--set", "training.epochs=2", "--foreground")
    assert more.returncode == 0, more.stdout + more.stderr
    assert "net.py:make is not what it was when the run began" in more.stdout
    (home.folder / "net.py").unlink()
    gone = home.ftui("resume", str(run), "--set", "training.epochs=3", "--foreground")
    assert gone.returncode == 2
    assert f"model.name: there is no file {home.folder}/net.py." in gone.stderr
    assert "Traceback" not in gone.stderr


def test_its_replay_is_the_same_bit_for_bit(home: Home, pictures: Path) -> None:
    (home.folder / "net.py").write_text(block("python", "# net.py"))
    home.config(model__name='"net.py:make"', model__weights='"DEFAULT"', training__epochs="1")
    done = home.ftui("train", "config.toml", "--foreground")
    assert done.returncode == 0, done.stdout + done.stderr
    again = home.ftui("replay", done.stdout.splitlines()[-1])
    assert again.returncode == 0, again.stdout + again.stderr


def test_several_labels_from_a_list(home: Home, pictures: Path) -> None:
    rows = ["file,label,split"]
    for path in sorted(pictures.rglob("*.png")):
        split, kind = path.parts[-3:-1]
        labels = "|".join([kind, *(["even"] if int(path.stem) % 2 == 0 else [])])
        rows.append(f"{path.relative_to(home.folder)},{labels},{split}")
    (home.folder / "list.csv").write_text("\n".join(rows))
    home.config(task='"multi-label-classification"', data__path='"list.csv"', training__epochs="1")
    done = home.ftui("train", "config.toml", "--foreground")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"validation mAP \d", done.stdout)
    assert "the same scores for all pictures" in done.stdout
