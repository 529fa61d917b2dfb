"""Weights files: what is read, what is refused, and in which words."""

import os
import pickle
import re
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.contract.errors import UserError
from engine.models.describe import LayersOnMeta
from engine.models.weights import fill, read_state


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
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "module._orig_mod."])
def test_wrappers_and_prefixes_are_taken_off(tmp_path: Path, wrapper: str, prefix: str) -> None:
    state = network().state_dict()
    wrapped = {"epoch": 3, wrapper: {prefix + name: t for name, t in state.items()}}
    torch.save(wrapped, tmp_path / "x.pth")
    assert same(read_state(tmp_path / "x.pth"), dict(state))


def test_a_prefix_that_only_some_names_have_stays(tmp_path: Path) -> None:
    torch.save({"model.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "x.pth")
    assert set(read_state(tmp_path / "x.pth")) == {"model.a", "b"}


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


@pytest.mark.parametrize("content", [network(), {"args": Namespace(lr=1)}])
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
    assert fill(module, state, ["2"], "x", keep_head=True) is False
    filled = module.state_dict()
    assert all(torch.equal(filled[k], state[k]) for k in state if not k.startswith("2."))
    assert module(torch.ones(2, 4)).shape == (2, 3)
    assert all(p.requires_grad and p.is_leaf for p in module.parameters())


def test_a_head_that_fits_is_kept_only_where_asked() -> None:
    state = network().state_dict()
    kept, anew = on_meta(), on_meta()
    assert fill(kept, state, ["2"], "x", keep_head=True) is True
    assert fill(anew, state, ["2"], "x", keep_head=False) is False
    assert torch.equal(kept[2].weight, state["2.weight"])
    assert not torch.equal(anew[2].weight, state["2.weight"])


def test_a_new_head_follows_the_global_seed() -> None:
    state, heads = network(classes=9).state_dict(), []
    for seed in (0, 0, 1):
        module = on_meta()
        torch.manual_seed(seed)
        fill(module, state, ["2"], "x", keep_head=True)
        heads.append(module[2].weight.detach())
    torch.manual_seed(0)
    assert torch.equal(heads[0], nn.Linear(5, 3).weight)  # torch's own initialisation
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_files_older_than_num_batches_tracked_and_half_precision() -> None:
    state = {k: t.half() for k, t in network().state_dict().items() if "num_batches" not in k}
    module = on_meta()
    fill(module, state, ["2"], "x", keep_head=True)
    assert module[0].weight.dtype == torch.float32
    assert module[1].num_batches_tracked.item() == 0


def test_the_file_may_change_afterwards(tmp_path: Path) -> None:
    path, state = tmp_path / "x.safetensors", network().state_dict()
    save_file(state, path)
    module = on_meta()
    fill(module, read_state(path), ["2"], "x", keep_head=True)
    with path.open("r+b") as file:
        file.seek(-40, os.SEEK_END)
        file.write(b"\x7f" * 40)
    assert same(dict(module.state_dict()), dict(state))


def test_what_does_not_fit_is_named() -> None:
    state = network().state_dict()
    cases = {
        "of another shape (0.weight is 1×4, not 5×4)": state | {"0.weight": torch.ones(1, 4)},
        "1 tensor missing (0.weight)": {k: t for k, t in state.items() if k != "0.weight"},
        "1 tensor that it does not know (9.w�)": state | {"9.w\x07": torch.ones(1)},
        "4 tensors missing (0.weight, 0.bias, 1.weight) and 1 tensor that": {
            "conv.weight": torch.ones(3),
            **{k: t for k, t in state.items() if k in ("1.running_mean", "1.running_var")},
        },
    }
    for words, wrong in cases.items():
        with pytest.raises(UserError) as raised:
            fill(on_meta(), wrong, ["2"], "x.pth does not fit torchvision/y", keep_head=True)
        assert str(raised.value).startswith("x.pth does not fit torchvision/y: ")
        assert words in str(raised.value)


def test_known_extras_are_passed_over() -> None:
    state = network().state_dict() | {"aux.fc.weight": torch.ones(2)}
    assert fill(on_meta(), state, ["2"], "x", keep_head=True, ignore=("aux.",)) is True
