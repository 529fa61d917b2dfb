"""What is known of a model before it is chosen: one row of the catalogue."""

from msgspec import Struct


class CatalogueEntry(Struct, frozen=True):
    """A model that a source offers; None where the library states nothing."""

    name: str
    """SOURCE/NAME, as the config takes it."""
    parameters: int | None = None
    """Parameters of the published network, its own head included."""
    image_size: int | None = None
    """Side of the square that the default weights take, in pixels."""
    accuracy: float | None = None
    """Published top-1 on ImageNet-1k of the default weights, 0 to 1."""
    download_size: int | None = None
    """Bytes of the default weights."""
    weights: list[str] = []
    """Names that `model.weights` takes, the default first."""
    weights_file: str | None = None
    """File name of the default weights in the source's cache folder."""
    tasks: tuple[str, ...] = ("image-classification", "multi-label-classification")
    """What it can learn; the first is what it is taken for."""


class Catalogue(Struct, frozen=True):
    """All sources' models, as a helper process lists them for the app."""

    entries: list[CatalogueEntry]
    cache_folders: dict[str, str] = {}
    """Source to the folder where its downloaded weights lie."""
