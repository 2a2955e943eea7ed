"""The parties' connection: mutual TLS, and nobody but the pinned certificates is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime import libspu

_MEGABYTE = 1 << 20


def connect(task: Mapping[str, Any]) -> libspu.link.Context:
    """The context of one party, connected to the others, who have met and start at the same time."""
    desc = libspu.link.Desc()
    for index, host in enumerate(task["hosts"]):
        desc.add_party(f"node{index}", host)
    desc.enable_ssl = True
    for options in (desc.client_ssl_opts, desc.server_ssl_opts):
        options.cert.certificate_path = task["certificate"]
        options.cert.private_key_path = task["private_key"]
        options.verify.ca_file_path = task["pinned"]
        options.verify.verify_depth = 1
    desc.connect_retry_interval_ms = 100
    desc.connect_retry_times = task["timeout_ms"] // 100
    _retry_soon(desc.retry_opts)
    # Whoever started this process ends it at the deadline or when a peer fails; shorter limits would only break off
    # slow rounds.
    desc.recv_timeout_ms = desc.http_timeout_ms = task["timeout_ms"]
    desc.http_max_payload_size = 16 * _MEGABYTE
    # A window of unacknowledged messages costs a third of the wall time on one machine, and memory is bounded by the
    # blocks of values. Without a window acknowledgements serve nobody, and each is a message more. Names of messages
    # are never used twice, so that one which comes twice is read once all the same.
    desc.throttle_window_size = 0
    desc.disable_msg_seq_id = True
    return libspu.link.create_brpc(desc, task["index"])


def _retry_soon(options: libspu.link.RetryOptions) -> None:
    """Send again after 20 ms, 40, 60 and so on; after 9 seconds the message is given up, as by SPU's own 1, 3, 5."""
    # The first message goes out when the peer may not listen yet: a whole second then waited for milliseconds.
    options.retry_interval_ms = options.retry_interval_incr_ms = 20
    options.max_retry = 30
