"""Wardround: verified federated-learning rounds for hospital consortia."""

import os

from pipeline.host.proxies import spare_loopback

__version__ = "0.1.0"

# Here, since commands, workers, services, tests and whatever library they use all ask by this process's environment.
spare_loopback(os.environ)
