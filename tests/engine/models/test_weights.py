"""Weights files: what is read, what is refused, and in which words."""

import json
import os
import pickle
import re
from argparse import Namespace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.contract.errors import UserError
from engine.models.describe import LayersOnMeta
from engine.models.filling import fill
from engine.models.weights import read_state


def network(classes: int = 3) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, classes))


def on_meta(classes: int = 3) -> nn.Sequential:
    with LayersOnMeta():
        return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, classes))


def same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


class Harmful:
    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self):
        return os.system, (f"touch {self.touched}",)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin", ".ckpt"])
def test_both_formats_give_the_tensors_back(tmp_path: Path, suffix: str) -> None:
    state, path = network().state_dict(), tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert same(read_state(path), dict(state))


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
def test_wrappers_are_taken_off(tmp_path: Path, wrapper: str) -> None:
    state = network().state_dict()
    torch.save({"epoch": 3, wrapper: state, "optimizer": {"state": {}}}, tmp_path / "x.pth")
    assert same(read_state(tmp_path / "x.pth"), dict(state))


def test_checkpoints_of_lightning_and_timm(tmp_path: Path) -> None:
    state, averaged = network().state_dict(), network(4).state_dict()
    lightning = {
        "pytorch-lightning_version": "2.6.0",
        "hyper_parameters": {"lr": 0.1, "root": tmp_path},
        "state_dict": {f"model.{name}": t for name, t in state.items()},
    }
    timm = {"arch": "x", "args": Namespace(lr=1), "state_dict": state, "state_dict_ema": averaged}
    torch.save(lightning, tmp_path / "lightning.ckpt")
    torch.save(timm, tmp_path / "timm.pth.tar")
    assert set(read_state(tmp_path / "lightning.ckpt")) == {f"model.{name}" for name in state}
    assert same(read_state(tmp_path / "timm.pth.tar"), dict(averaged))  # as timm itself does


def test_a_file_in_several_parts(tmp_path: Path) -> None:
    state = dict(network().state_dict())
    parts = {"a.safetensors": list(state)[:3], "b.safetensors": list(state)[3:]}
    for file, names in parts.items():
        save_file({name: state[name] for name in names}, tmp_path / file)
    where = {name: file for file, names in parts.items() for name in names}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    assert same(read_state(index), state)
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(UserError, match=r"it names b\.safetensors, which is not beside it"):
        read_state(index)
    index.write_text("[]")
    with pytest.raises(UserError, match="no index of safetensors files"):
        read_state(index)


@pytest.mark.parametrize(
    "prefix",
    ["module.", "model.", "_orig_mod.", "module._orig_mod.", "net.encoder.", "model.backbone."],
)
@pytest.mark.parametrize("on_head", [True, False])
def test_prefixes_are_taken_off_and_told(prefix: str, on_head: bool) -> None:
    state = dict(network().state_dict())
    bare = "" if on_head else "2."
    renamed = {n if bare and n.startswith(bare) else prefix + n: t for n, t in state.items()}
    module = on_meta()
    filled = fill(module, renamed, ["2"], "x", own_file=True)
    assert same(dict(module.state_dict()), state)
    taken = prefix.replace("_orig_mod.", "")
    told = f', "{taken}" taken off the names' if taken else ""
    assert filled.words == f", head included{told}"


def test_a_file_of_a_bare_network_goes_into_one_that_wraps_it() -> None:
    state, module = dict(network().state_dict()), nn.Module()
    module.net = on_meta()
    filled = fill(module, {f"module.{n}": t for n, t in state.items()}, ["net.2"], "x", True)
    assert same(dict(module.net.state_dict()), state)
    assert filled.words == ', head included, "module." in the names read as "net."'


def test_a_copy_beside_the_weights_is_left_over() -> None:
    state = dict(network().state_dict())
    both = {f"teacher.{n}": t + 1 for n, t in state.items()} | {
        f"model.{n}": t for n, t in state.items()
    }
    module = on_meta()
    filled = fill(module, both, ["2"], "x", own_file=True)
    assert same(dict(module.state_dict()), state)
    assert "9 tensors left over (teacher.0.weight, " in filled.words


def test_a_file_of_ones_own_need_not_be_whole() -> None:
    state = dict(network(classes=9).state_dict())
    del state["1.weight"], state["1.running_var"]
    state |= {"0.bias": torch.ones(6), "loss.scale": torch.ones(1)}
    more = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4))).state_dict()
    state |= {f"{int(n[0]) + 3}{n[1:]}": t for n, t in more.items()}

    def build(layers=nn.Sequential) -> nn.Sequential:
        torch.manual_seed(5)
        return nn.Sequential(*network(), *(nn.Linear(2, 2) for _ in range(4)))

    with LayersOnMeta():
        module = nn.Sequential(*on_meta(), *(nn.Linear(2, 2) for _ in range(4)))
    torch.manual_seed(0)
    filled = fill(module, state, ["2"], "x", own_file=True, build=build)
    assert filled.words == (
        ", 11 of 14 tensors before the head, head new (2.weight is 9×5, not 3×5), 1 tensor of "
        "another shape (0.bias is 6, not 5), 2 tensors missing (1.weight, 1.running_var) and "
        "1 tensor left over (loss.scale)"
    )
    drawn = build()
    assert torch.equal(module[0].bias, drawn[0].bias)
    assert torch.equal(module[0].weight, state["0.weight"])
    torch.manual_seed(0)  # what was drawn for the missing ones is not of the head's stream
    assert torch.equal(module[2].weight, nn.Linear(5, 3).weight)


def test_most_of_the_backbone_must_be_there() -> None:
    state = {"0.weight": torch.ones(5, 4)}
    with pytest.raises(UserError) as raised:
        fill(on_meta(), state, ["2"], "x.pth does not fit y", own_file=True)
    assert str(raised.value) == (
        "x.pth does not fit y: it is a checkpoint of another architecture, as only 1 of the 6 "
        "tensors before the head are in it."
    )


@pytest.mark.parametrize("plain_pickle", [False, True])
def test_code_in_a_file_never_runs(tmp_path: Path, plain_pickle: bool) -> None:
    path, touched = tmp_path / "evil.pth", tmp_path / "touched"
    content = {"weight": Harmful(touched)}
    path.write_bytes(pickle.dumps(content, protocol=2)) if plain_pickle else torch.save(
        content, path
    )
    with pytest.raises(UserError, match=r"evil\.pth"):
        read_state(path)
    assert not touched.exists()
    if not plain_pickle:
        pickle.loads(pickle.dumps(content))  # the bait works
        assert touched.exists()


@pytest.mark.parametrize(
    "content", [network(), {"model": {"x": torch.ones(1)}, "args": Fraction(1, 2)}]
)
def test_what_is_more_than_weights_is_named(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"x\.pth holds more than weights \([\w.]+\) .*state_dict"):
        read_state(tmp_path / "x.pth")


def damaged(tmp_path: Path, kind: str) -> Path:
    state = network().state_dict()
    torch.save(state, tmp_path / "whole.pth")
    save_file(state, tmp_path / "whole.safetensors")
    path = tmp_path / ("bad.safetensors" if kind.startswith("safetensors") else "bad.pth")
    whole = (tmp_path / f"whole{path.suffix}").read_bytes()
    if kind == "legacy":
        torch.save(state, path, _use_new_zipfile_serialization=False)
        whole = path.read_bytes()
    page = b"<!DOCTYPE html><html>404 \x1b[31mnot found</html>"
    path.write_bytes({"empty": b"", "page": page}.get(kind.rpartition("-")[2], whole[:-20]))
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "truncated",
        "legacy",
        "empty",
        "page",
        "safetensors",
        "safetensors-empty",
        "safetensors-page",
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, kind: str) -> None:
    path = damaged(tmp_path, kind)
    with pytest.raises(UserError, match=r"is broken \(.+\); fetch or copy it again\.$"):
        read_state(path)
    with pytest.raises(UserError) as raised:
        read_state(path, "; delete it")
    assert re.fullmatch(
        rf"The weights file {re.escape(str(path))} is broken \(.+\); delete it\.", str(raised.value)
    )
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("content", [[1, 2], {}, {"lr": 0.1}, torch.ones(3), "text"])
def test_a_file_without_named_tensors(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"x\.pth holds no tensors by name"):
        read_state(tmp_path / "x.pth")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "no.pth", tmp_path):
        with pytest.raises(UserError, match="does not exist"):
            read_state(path)


def test_filling_takes_all_but_the_head() -> None:
    state = network(classes=9).state_dict()
    module = on_meta()
    assert fill(module, state, ["2"], "x", own_file=True).head_kept is False
    filled = module.state_dict()
    assert all(torch.equal(filled[k], state[k]) for k in state if not k.startswith("2."))
    assert module(torch.ones(2, 4)).shape == (2, 3)
    assert all(p.requires_grad and p.is_leaf for p in module.parameters())


def test_a_head_that_fits_is_kept_only_where_asked() -> None:
    state = network().state_dict()
    kept, anew = on_meta(), on_meta()
    assert fill(kept, state, ["2"], "x", own_file=True).words == ", head included"
    assert fill(anew, state, ["2"], "x", own_file=False).words == ""
    assert torch.equal(kept[2].weight, state["2.weight"])
    assert not torch.equal(anew[2].weight, state["2.weight"])


def test_a_new_head_follows_the_global_seed() -> None:
    state, heads = network(classes=9).state_dict(), []
    for seed in (0, 0, 1):
        module = on_meta()
        torch.manual_seed(seed)
        fill(module, state, ["2"], "x", own_file=True)
        heads.append(module[2].weight.detach())
    torch.manual_seed(0)
    assert torch.equal(heads[0], nn.Linear(5, 3).weight)  # torch's own initialisation
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_files_older_than_num_batches_tracked_and_half_precision() -> None:
    state = {k: t.half() for k, t in network().state_dict().items() if "num_batches" not in k}
    module = on_meta()
    fill(module, state, ["2"], "x", own_file=True)
    assert module[0].weight.dtype == torch.float32
    assert module[1].num_batches_tracked.item() == 0


def test_the_file_may_change_afterwards(tmp_path: Path) -> None:
    path, state = tmp_path / "x.safetensors", network().state_dict()
    save_file(state, path)
    module = on_meta()
    fill(module, read_state(path), ["2"], "x", own_file=True)
    with path.open("r+b") as file:
        file.seek(-40, os.SEEK_END)
        file.write(b"\x7f" * 40)
    assert same(dict(module.state_dict()), dict(state))


def test_what_does_not_fit_is_named() -> None:
    state = network().state_dict()
    cases = {
        "of another shape (0.weight is 1×4, not 5×4)": state | {"0.weight": torch.ones(1, 4)},
        "1 tensor missing (0.weight)": {k: t for k, t in state.items() if k != "0.weight"},
        "1 tensor left over (9.w�)": state | {"9.w\x07": torch.ones(1)},
        "4 tensors missing (0.weight, 0.bias, 1.weight, ...) and 1 tensor left over": {
            "conv.weight": torch.ones(3),
            **{k: t for k, t in state.items() if k in ("1.running_mean", "1.running_var")},
        },
    }
    for words, wrong in cases.items():
        with pytest.raises(UserError) as raised:
            fill(on_meta(), wrong, ["2"], "x.pth does not fit torchvision/y", own_file=False)
        assert str(raised.value).startswith("x.pth does not fit torchvision/y: ")
        assert words in str(raised.value)


def test_known_extras_are_passed_over() -> None:
    state = network().state_dict() | {"aux.fc.weight": torch.ones(2)}
    filled = fill(on_meta(), state, ["2"], "x", own_file=True, ignore=("aux.",))
    assert filled.words == ", head included"
