"""Whether a process is at work, as the operating system sees it."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass
class ProcessActivity:
    """What one process was last seen doing.

    Its starter fills in `pid`. Without one, or once the process is gone, `work` stays as it was last seen.
    """

    pid: int | None = None
    work: float = 0.0
    """CPU seconds so far."""
    suspended: bool = False
    """Whether a signal holds it."""

    def feel(self) -> ProcessActivity:
        """Look again."""
        if self.pid is not None:
            try:
                process = psutil.Process(self.pid)
                times = process.cpu_times()
                self.work = times.user + times.system
                self.suspended = process.status() == psutil.STATUS_STOPPED
            except psutil.Error:
                self.suspended = False
        return self
