"""Data sets: a folder becomes an index of samples, an index becomes batches."""

from engine.data.folder import index_folder
from engine.data.loader import Batch, TrainLoader, ValLoader
from engine.data.samples import DataIndex, Sample
from engine.data.workers import auto_workers

__all__ = [
    "Batch",
    "DataIndex",
    "Sample",
    "TrainLoader",
    "ValLoader",
    "auto_workers",
    "index_folder",
]
