"""How a picture becomes the model's input, as its weights were trained."""

from typing import Literal

from msgspec import Struct


class Preprocessing(Struct, frozen=True):
    """Resize the shorter side, crop the middle square, scale to 0..1, normalise."""

    image_size: int = 224
    """Side of the square, in pixels."""
    resize_size: int = 256
    """Length of the shorter side before the crop, in pixels."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"

    def at(self, image_size: int) -> "Preprocessing":
        """The same for another size, the ratio of resize to crop kept."""
        resize = round(self.resize_size * image_size / self.image_size)
        return Preprocessing(image_size, resize, self.mean, self.std, self.interpolation)
