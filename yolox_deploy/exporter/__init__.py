"""From a checkpoint to a proven model file."""

from yolox_deploy.exporter.pipeline import Artifact, export

__all__ = ["Artifact", "export"]
