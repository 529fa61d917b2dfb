"""Whether logging out ends what was started: systemd's logind may see to it."""

import re
import subprocess
from pathlib import Path

_SCOPE = "systemd-run --user --scope"


def warn_if_killed_on_logout(cgroup: Path = Path("/proc/self/cgroup")) -> str | None:
    """A sentence where a worker started here would end with this login, and what helps.

    A process in a login session's scope ends with it under `KillUserProcesses=yes`; one under the
    user's own service manager ends with the last session unless the user lingers.
    """
    try:
        groups = cgroup.read_text()
    except OSError:
        return None
    in_session = re.search(r"/session-[^/]+\.scope", groups)
    if in_session and _logind("Manager", "", "KillUserProcesses") == "true":
        return (
            "This machine ends your processes when you log out (KillUserProcesses=yes): "
            f"run 'loginctl enable-linger' once, and start ftui with '{_SCOPE} ftui'."
        )
    user = re.search(r"/user@(\d+)\.service", groups)
    if user and _logind("User", f"/user/_{user[1]}", "Linger") == "false":
        return (
            "This machine ends your processes when your last login ends: "
            "run 'loginctl enable-linger' once to keep them."
        )
    return None


def _logind(kind: str, path: str, name: str) -> str:
    """A property of logind, or nothing where it can't be asked."""
    service = "org.freedesktop.login1"
    address = [service, f"/org/freedesktop/login1{path}", f"{service}.{kind}", name]
    try:
        answer = subprocess.run(
            ["busctl", "get-property", *address], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip().removeprefix("b ")
