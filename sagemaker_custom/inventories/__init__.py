"""Layers of a base image → what the base has installed; kept on disk and beside the image in its registry."""

from sagemaker_custom.inventories.combined import combine
from sagemaker_custom.inventories.layer_scan import LayerFacts, LayerScanner, scan_layer
from sagemaker_custom.inventories.store import Inventories

__all__ = ["Inventories", "LayerFacts", "LayerScanner", "combine", "scan_layer"]
