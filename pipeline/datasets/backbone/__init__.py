"""A public network with frozen weights, which makes features of pictures where they lie, ahead of what is trained."""

from pipeline.datasets.backbone.backbone import Backbone, backbone_path, is_at, prepared

__all__ = ["Backbone", "backbone_path", "is_at", "prepared"]
