"""Data sets: a folder becomes an index of samples, an index becomes batches."""

from engine.data.batch import Batch
from engine.data.folder import index_folder
from engine.data.loader import TrainLoader, ValLoader
from engine.data.samples import DataIndex, Sample
from engine.data.workers import Feeding, most_workers

__all__ = [
    "Batch",
    "DataIndex",
    "Feeding",
    "Sample",
    "TrainLoader",
    "ValLoader",
    "index_folder",
    "most_workers",
]
