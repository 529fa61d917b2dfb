"""Each pixel of a picture to one of several classes."""

from contextlib import suppress
from functools import partial

import torch
from torch import Tensor

from engine.contract.config import Config, own_module
from engine.contract.errors import UserError
from engine.contract.events import Warned
from engine.data.loader import TrainLoader, ValLoader
from engine.data.mask_folder import MaskedPicture, MaskIndex, index_masks
from engine.data.masked import MaskedPictures
from engine.data.preview import MaskedPart, Preview
from engine.data.workers import Feeding
from engine.models.source import LoadedModel, Tell
from engine.tasks import seen
from engine.tasks.segmenting import Segmenting
from engine.tasks.task import Blank


class SemanticSegmentation:
    """Pictures with masks, a network that gives logits of each pixel by torchvision's names."""

    def index(self, config: Config, tell: Tell) -> MaskIndex:
        pre = None
        with suppress(UserError):  # whoever loads the model says what is wrong with it
            pre = seen.evaluated(config)
        return index_masks(config, tell, pre)

    def data(
        self, config: Config, index: MaskIndex, model: LoadedModel, feeding: Feeding
    ) -> tuple[TrainLoader, ValLoader]:
        for remark in index.remarks:
            feeding.tell(Warned(message=remark))
        pre, seed = model.preprocessing(config), config.training.seed
        train, val = (
            MaskedPictures(pairs, index.coding, pre, seed) for pairs in (index.train, index.val)
        )
        return TrainLoader(train, config.data, seed, feeding), ValLoader(val, config.data, feeding)

    def preview(self, config: Config, tell: Tell) -> Preview:
        own = own_module(config.model.name)  # which runs only where somebody has allowed it to
        index = index_masks(config, tell) if own else self.index(config, tell)
        classes = len(index.classes)

        def part(pairs: list[MaskedPicture]) -> MaskedPart:
            pictures = seen.pictures(config, classes, partial(MaskedPictures, pairs, index.coding))
            files = seen.files(config, [pair.image for pair in pairs])
            return MaskedPart(pictures, len(pairs), *files)

        return Preview(
            index.told(),
            part(index.train),
            part(index.val),
            index.skipped,
            index.held_out,
            index.remarks,
            pixels=index.train_counts.pixels,
        )

    def objective(self, config: Config, index: MaskIndex) -> Segmenting:
        return Segmenting(config, index.train_counts.pixels)

    def blank(self, config: Config, model: LoadedModel, classes: int) -> Blank:
        side = model.preprocessing(config).image_size

        def batch(size: int) -> tuple[Tensor, Tensor]:
            masks = torch.zeros(size, side, side, dtype=torch.int16)
            return torch.empty(size, 3, side, side), masks

        return Blank(Segmenting(config, [1] * classes), batch)
