"""Stand-ins for the process that knows torch."""

import asyncio

from engine.contract.catalogue import Catalogue, CatalogueEntry
from engine.contract.config import Config
from engine.contract.cost import Cost
from engine.contract.errors import UserError
from engine.contract.inspection import TextBaseline
from engine.contract.preprocessing import Preprocessing
from engine.contract.tree import ModelInfo, ModuleInfo
from tests.ui.scripted import resnet18

ENTRIES = [
    CatalogueEntry(
        "torchvision/resnet18",
        11_689_512,
        224,
        0.69758,
        46_830_571,
        ["IMAGENET1K_V1"],
        "resnet18-f37072fd.pth",
    ),
    CatalogueEntry(
        "torchvision/resnet50",
        25_557_032,
        224,
        0.80858,
        102_540_417,
        ["IMAGENET1K_V2", "IMAGENET1K_V1"],
        "resnet50-11ad3fa6.pth",
    ),
    CatalogueEntry("torchvision/resnet101", 44_549_160, 224, 0.81886, 178_814_045, ["V2"], "r101"),
    CatalogueEntry("torchvision/vit_b_16", 86_567_656, 224, 0.81072, 346_328_529, ["V1"], "vit"),
    CatalogueEntry("timm/resnet18", image_size=224, weights=["a1_in1k"]),
    CatalogueEntry("timm/tf_efficientnet_lite0", image_size=224, weights=["in1k"]),
]


TEXT_BASELINE = TextBaseline(
    commonest="[b]sport[/b]",
    majority={"accuracy": 0.23, "macro_f1": 0.075},
    tfidf={"accuracy": 0.986, "macro_f1": 0.985},
    train=1400,
    val=727,
    seconds=4.0,
)


class FakeInspector:
    """Answers at once, or when `let_go` is set; fails with `error` while that is not empty."""

    def __init__(self, cache: str = "/nowhere", entries: list[CatalogueEntry] = ENTRIES) -> None:
        self.listed = Catalogue(list(entries), {"torchvision": cache, "timm": cache})
        self.error = ""
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.asked: list[tuple[str, str]] = []
        self.tasks: list[str] = []
        self.poolings: list[str] = []
        self.fitted: list[Config] = []
        self.costed: list[Config] = []
        self.closed = False

    async def start(self) -> None:
        pass

    async def catalogue(self) -> Catalogue:
        await self._answer()
        return self.listed

    async def describe(
        self,
        name: str,
        weights: str = "DEFAULT",
        classes: int | None = None,
        task: str = "image-classification",
        pooling: str = "auto",
    ) -> ModelInfo:
        self.asked.append((name, weights))
        self.tasks.append(task)
        self.poolings.append(pooling)
        await self._answer()
        if name == "torchvision/resnet18":
            return resnet18(classes or 1000)
        modules = [
            ModuleInfo("stem", "Conv2d", {"weight": 9408}),
            ModuleInfo("head", "Linear", {"weight": 512_000, "bias": 1000}),
        ]
        return ModelInfo(name, modules, ["head"], Preprocessing())

    async def cost(self, config: Config, classes: int | None = None, pieces: int = 1) -> Cost:
        self.costed.append(config)
        await self._answer()
        trained = sum(rule.train for rule in config.trainable)
        return Cost(
            trainable=513_000,
            weights=100 * 2**20,
            gradients=2 * 2**20,
            optimizer=2 * 2**20,
            activations=trained * 2**29,
            peak=trained * 2**30,
            batch=config.data.batch_size,
            length=None,
            flops=80 * 10**9,
            prefix=0.75,
            seconds=2.0 * trained,
            prefix_seconds=0.5,
            free=5 * 2**30,
            device="cpu",
        )

    async def baseline(self, config: Config) -> TextBaseline:
        self.fitted.append(config)
        await self._answer()
        return TEXT_BASELINE

    async def close(self) -> None:
        self.closed = True

    async def _answer(self) -> None:
        await self.let_go.wait()
        if self.error:
            raise UserError(self.error)
