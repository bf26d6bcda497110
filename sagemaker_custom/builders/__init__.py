"""Builders: a BuildPlan → a verified image in its place. One interface, one engine a file."""

from sagemaker_custom.builders.interface import FoundImage, ImageBuilder, ImageStore

__all__ = ["FoundImage", "ImageBuilder", "ImageStore"]
