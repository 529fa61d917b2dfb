"""How many parameters each named method trains on five families, against arithmetic on the shapes
of their layers as the papers and torchvision's documentation give them."""

from collections import Counter

import pytest

from engine.contract.errors import UserError
from engine.contract.methods import METHODS
from engine.contract.plan import resolve, trainable_parameters, with_rules
from engine.contract.rules import Rule
from engine.contract.tree import ModelInfo
from engine.models.source import Wanted
from engine.models.torchvision import TorchvisionSource

CLASSES = 10
Count = Counter[str]
"""Elements by kind: weight, bias, and the scale and shift of norms; of attention under @. Beside
them what adapters would have: the rows and columns of weights that can have one."""
ADAPTERS = ("rows", "columns")
RANK = 8


def conv(inputs: int, outputs: int, kernel: int, groups: int = 1, bias: bool = False) -> Count:
    weight = kernel * kernel * (inputs // groups) * outputs
    count = Count(weight=weight, bias=outputs if bias else 0)
    if groups == 1:
        count += Count(rows=outputs, columns=kernel * kernel * inputs)
    return count


def projection(inputs: int, outputs: int) -> Count:
    """A bare parameter, not a layer."""
    return kinds(linear(inputs, outputs), "weight", "bias")


def linear(inputs: int, outputs: int, bias: bool = True) -> Count:
    return conv(inputs, outputs, 1, bias=bias)


def norm(channels: int) -> Count:
    return Count(scale=channels, shift=channels)


def of_attention(*parts: Count) -> Count:
    names = {kind: kind if kind in ADAPTERS else f"@{kind}" for kind in total(*parts)}
    return Count({names[kind]: count for kind, count in total(*parts).items()})


def total(*parts: Count) -> Count:
    return sum(parts, Count())


class Net:
    """A network as its stem, its blocks with what lies between them, what follows, and its head."""

    def __init__(self, stem: Count, blocks: list[Count], tail: Count, head: Count) -> None:
        self.stem, self.blocks, self.tail, self.head = stem, blocks, tail, head

    def trains(self, method: str) -> int:
        last = [block for block in self.blocks if "between" not in block]
        body = total(self.stem, *self.blocks, self.tail)
        del body["between"]
        factors = RANK * (body["rows"] + body["columns"])
        of_kind = {
            "linear-probe": Count(),
            "lp-ft": Count(),  # to begin with
            "gradual": Count(),
            "last-1": total(self.tail, *last[-1:]),
            "last-2": total(self.tail, *last[-2:]),
            "norm-only": kinds(body, "scale", "shift"),
            "bitfit": kinds(body, "shift", "bias", "@bias"),
            "norms-and-biases": kinds(body, "scale", "shift", "bias", "@bias"),
            "attention-only": kinds(body, "@weight", "@bias", "@table"),
            "lora": Count(factors=factors),
            "dora": Count(factors=factors, magnitudes=body["rows"]),
        }
        return size(total(of_kind.get(method, body), self.head))

    def last(self, count: int) -> Count:
        """All from the start of a block on, what lies between blocks included."""
        starts = [i for i, block in enumerate(self.blocks) if "between" not in block]
        return total(*self.blocks[starts[-count] :], self.tail, self.head)

    def all(self) -> Count:
        return total(self.stem, *self.blocks, self.tail, self.head)


def size(count: Count) -> int:
    return sum(count[kind] for kind in count if kind not in (*ADAPTERS, "between"))


def kinds(count: Count, *names: str) -> Count:
    return Count({name: count[name] for name in names})


def between(*parts: Count) -> Count:
    """A layer between two stages, which belongs to no block of the last two."""
    return total(*parts, Count(between=1))


def resnet18() -> Net:
    def basic(inputs: int, outputs: int) -> Count:
        both = total(conv(inputs, outputs, 3), conv(outputs, outputs, 3))
        shortcut = total(conv(inputs, outputs, 1), norm(outputs)) if inputs != outputs else Count()
        return total(both, norm(outputs), norm(outputs), shortcut)

    widths = [(64, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)]
    widths += [(256, 512), (512, 512)]
    stem = total(conv(3, 64, 7), norm(64))
    return Net(stem, [basic(i, o) for i, o in widths], Count(), linear(512, CLASSES))


def vit_b_16() -> Net:
    wide, hidden, tokens = 768, 4 * 768, (224 // 16) ** 2 + 1
    attention = of_attention(projection(wide, 3 * wide), linear(wide, wide))
    mlp = total(linear(wide, hidden), linear(hidden, wide))
    block = total(norm(wide), attention, norm(wide), mlp)
    stem = total(conv(3, wide, 16, bias=True), Count(token=wide, position=tokens * wide))
    return Net(stem, [block] * 12, norm(wide), linear(wide, CLASSES))


def swin_t() -> Net:
    def block(wide: int, heads: int) -> Count:
        table = Count(table=(2 * 7 - 1) ** 2 * heads)  # of 7×7 windows
        attention = of_attention(linear(wide, 3 * wide), linear(wide, wide), table)
        mlp = total(linear(wide, 4 * wide), linear(4 * wide, wide))
        return total(norm(wide), attention, norm(wide), mlp)

    def merging(wide: int) -> Count:
        return between(norm(4 * wide), linear(4 * wide, 2 * wide, bias=False))

    blocks = [*[block(96, 3)] * 2, merging(96), *[block(192, 6)] * 2, merging(192)]
    blocks += [*[block(384, 12)] * 6, merging(384), *[block(768, 24)] * 2]
    return Net(total(conv(3, 96, 4, bias=True), norm(96)), blocks, norm(768), linear(768, CLASSES))


def convnext_tiny() -> Net:
    def block(wide: int) -> Count:
        depthwise = conv(wide, wide, 7, groups=wide, bias=True)
        mlp = total(linear(wide, 4 * wide), linear(4 * wide, wide))
        return total(depthwise, norm(wide), mlp, Count(layer_scale=wide))

    def down(wide: int) -> Count:
        return between(norm(wide), conv(wide, 2 * wide, 2, bias=True))

    blocks = [*[block(96)] * 3, down(96), *[block(192)] * 3, down(192)]
    blocks += [*[block(384)] * 9, down(384), *[block(768)] * 3]
    return Net(total(conv(3, 96, 4, bias=True), norm(96)), blocks, norm(768), linear(768, CLASSES))


def efficientnet_b0() -> Net:
    def mbconv(expand: int, kernel: int, inputs: int, outputs: int) -> Count:
        wide, squeezed = expand * inputs, inputs // 4
        widen = total(conv(inputs, wide, 1), norm(wide)) if expand > 1 else Count()
        depthwise = total(conv(wide, wide, kernel, groups=wide), norm(wide))
        squeeze = total(linear(wide, squeezed), linear(squeezed, wide))
        return total(widen, depthwise, squeeze, conv(wide, outputs, 1), norm(outputs))

    blocks = [mbconv(1, 3, 32, 16), mbconv(6, 3, 16, 24), mbconv(6, 3, 24, 24)]
    blocks += [mbconv(6, 5, 24, 40), mbconv(6, 5, 40, 40)]
    blocks += [mbconv(6, 3, 40, 80), *[mbconv(6, 3, 80, 80)] * 2]
    blocks += [mbconv(6, 5, 80, 112), *[mbconv(6, 5, 112, 112)] * 2]
    blocks += [mbconv(6, 5, 112, 192), *[mbconv(6, 5, 192, 192)] * 3, mbconv(6, 3, 192, 320)]
    stem, tail = total(conv(3, 32, 3), norm(32)), total(conv(320, 1280, 1), norm(1280))
    return Net(stem, blocks, tail, linear(1280, CLASSES))


NETS = {
    "resnet18": (resnet18(), 11_689_512 - 513 * 1000 + 513 * 10),
    "vit_b_16": (vit_b_16(), 86_567_656 - 769 * 1000 + 769 * 10),
    "swin_t": (swin_t(), 28_288_354 - 769 * 1000 + 769 * 10),
    "convnext_tiny": (convnext_tiny(), 28_589_128 - 769 * 1000 + 769 * 10),
    "efficientnet_b0": (efficientnet_b0(), 5_288_548 - 1281 * 1000 + 1281 * 10),
}
"""With the published size, its head of 1,000 classes made one of 10."""
WITH_ATTENTION = {"vit_b_16", "swin_t"}
WITH_BATCH_NORM = {"resnet18", "efficientnet_b0"}


@pytest.fixture(scope="module")
def infos() -> dict[str, ModelInfo]:
    source = TorchvisionSource()
    return {name: source.describe(Wanted(name, "none", classes=CLASSES)) for name in NETS}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("method", METHODS)
def test_trainable_parameters(name: str, method: str, infos: dict[str, ModelInfo]) -> None:
    info, (net, _) = infos[name], NETS[name]
    if method == "attention-only" and name not in WITH_ATTENTION:
        with pytest.raises(UserError, match="no attention layers"):
            METHODS[method].rules(info)
    else:
        plan = resolve(METHODS[method].rules(info), info)
        assert trainable_parameters(plan, info) == net.trains(method)


def but_batch_norm(name: str, count: Count) -> int:
    left = {"scale", "shift"} if name in WITH_BATCH_NORM else set()
    return size(Count({kind: count[kind] for kind in count if kind not in left}))


def stage_by_stage(name: str, method: str, epochs: int, info: ModelInfo) -> list[int]:
    """Trainable parameters of each stage."""
    rules, counts = METHODS[method].rules(info), []
    for stage in METHODS[method].stages(info, epochs):
        rules = with_rules(rules, stage.trainable)
        counts.append(trainable_parameters(resolve(rules, info), info))
    return counts


GROUPS = {
    "resnet18": [2, 4, 6, 8],
    "vit_b_16": [12],
    "swin_t": [2, 8, 10, 12],
    "convnext_tiny": [3, 12, 15, 18],
    "efficientnet_b0": [1, 5, 8, 11, 13, 15, 16],
}
"""Blocks from the output to the start of each stage of the network."""


@pytest.mark.parametrize("name", NETS)
def test_gradual_unfreezing_takes_a_stage_of_the_network_an_epoch(
    name: str, infos: dict[str, ModelInfo]
) -> None:
    info, (net, _) = infos[name], NETS[name]
    counts = [but_batch_norm(name, net.last(blocks)) for blocks in GROUPS[name]]
    everything = but_batch_norm(name, net.all())
    assert stage_by_stage(name, "gradual", 99, info) == [*counts, everything]
    assert stage_by_stage(name, "gradual", 3, info) == [counts[0], everything]
    assert stage_by_stage(name, "gradual", 1, info) == [everything]
    assert all(x.after == "1 epoch" for x in METHODS["gradual"].stages(info, 9))


@pytest.mark.parametrize("name", NETS)
def test_lp_ft_trains_all_after_half_of_the_epochs(name: str, infos: dict[str, ModelInfo]) -> None:
    info, (net, _) = infos[name], NETS[name]
    assert stage_by_stage(name, "lp-ft", 9, info) == [but_batch_norm(name, net.all())]
    (stage,) = METHODS["lp-ft"].stages(info, 9)
    frozen = [Rule("type:BatchNorm2d", train=False)] if name in WITH_BATCH_NORM else []
    assert (stage.after, stage.trainable) == ("4 epochs", [Rule("*", lr_scale=0.1), *frozen])


@pytest.mark.parametrize("name", NETS)
def test_the_arithmetic_gives_the_published_size(name: str) -> None:
    net, published = NETS[name]
    assert net.trains("full") == published


def test_some_of_it_as_plain_numbers() -> None:
    assert resnet18().trains("last-1") == 5_130 + 2 * (9 * 512 * 512) + 2 * 1024
    assert resnet18().trains("bitfit") == 5_130 + 4_800
    assert but_batch_norm("resnet18", resnet18().all()) == 11_689_512 - 513 * 990 - 2 * 4_800
    assert vit_b_16().trains("attention-only") == 7_690 + 12 * (4 * 768 * 768 + 4 * 768)
    assert vit_b_16().trains("norm-only") == 7_690 + 25 * 2 * 768
    patches, outputs, mlps = 3 * 16**2 + 768, 12 * 2 * 768, 12 * 2 * (768 + 3072)
    assert vit_b_16().trains("lora") == 7_690 + 8 * (patches + outputs + mlps)
    magnitudes = 768 + 12 * (768 + 3072 + 768)
    assert vit_b_16().trains("dora") == vit_b_16().trains("lora") + magnitudes


@pytest.mark.parametrize(
    ("name", "scales"),
    [
        (
            "vit_b_16",
            {
                "heads.head.weight": 1.0,
                "encoder.ln.weight": 0.75,  # after the last block
                "encoder.layers.encoder_layer_11.mlp.0.weight": 0.75,
                "encoder.layers.encoder_layer_0.ln_1.bias": 0.75**12,
                "encoder.pos_embedding": 0.75**13,
                "class_token": 0.75**13,
            },
        ),
        (
            "swin_t",
            {
                "features.7.0.norm1.weight": 0.75**2,
                "features.6.reduction.weight": 0.75**3,
                "features.5.5.norm1.weight": 0.75**3,
                "features.0.0.weight": 0.75**13,
            },
        ),
        ("resnet18", {"layer4.0.conv1.weight": 0.75**2, "conv1.weight": 0.75**9}),
        (
            "efficientnet_b0",
            {"features.8.0.weight": 0.75, "features.1.0.block.0.0.weight": 0.75**16},
        ),
    ],
)
def test_rates_fall_block_by_block(
    name: str, scales: dict[str, float], infos: dict[str, ModelInfo]
) -> None:
    plan = resolve(METHODS["layer-decay"].rules(infos[name]), infos[name])
    assert {key: plan[key].lr_scale for key in scales} == pytest.approx(scales, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "scales"),
    [
        (
            "resnet18",
            {
                "fc.bias": 1.0,
                "layer4.0.conv1.weight": 1 / 2.6,
                "layer3.1.bn1.bias": 2.6**-2,
                "layer1.0.conv1.weight": 2.6**-4,
                "bn1.weight": 2.6**-5,
            },
        ),
        (
            "vit_b_16",
            {
                "encoder.ln.weight": 1 / 2.6,
                "encoder.layers.encoder_layer_0.ln_1.bias": 1 / 2.6,
                "conv_proj.weight": 2.6**-2,
            },
        ),
        (
            "convnext_tiny",
            {
                "features.7.0.layer_scale": 1 / 2.6,
                "features.6.1.weight": 2.6**-2,
                "features.1.0.layer_scale": 2.6**-4,
                "features.0.0.weight": 2.6**-5,
            },
        ),
    ],
)
def test_rates_fall_stage_by_stage(
    name: str, scales: dict[str, float], infos: dict[str, ModelInfo]
) -> None:
    plan = resolve(METHODS["discriminative"].rules(infos[name]), infos[name])
    assert {key: plan[key].lr_scale for key in scales} == pytest.approx(scales, rel=1e-5)
