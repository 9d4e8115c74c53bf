"""Read what lines of vLLM's log beside its arguments tell of what it was told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_SHARE = {
    "gpu_memory_utilization": r"gpu[-_]memory[-_]utilization=(\d\.\d+) is equivalent"
    r"|[Dd]esired GPU memory utilization (?:is )?\((\d\.\d+),",
}
"""Where lines beside the arguments state the share of the GPU, whether it was given or not."""

_SAID = {
    "max_model_len": r"Using max model len (\d+)|max seq len \((\d+)\)|for ([\d,]+) tokens per request",
    "max_num_seqs": r"max_num_seqs \((\d+)\) exceeds",
    "max_num_batched_tokens": r"Chunked prefill is enabled with max_num_batched_tokens=(\d+)"
    r"|must be <= max_num_batched_tokens \((\d+)\)",
}
"""Flag -> how other lines tell its value, in a log without the arguments."""

_BANNER = re.compile(r"█\s+model\s+(?P<model>\S+)\s*$")


def share_said(lines: Sequence[str]) -> dict[str, object]:
    """Return the share of the GPU, where lines state it, by its flag."""
    return {flag: float(value) for flag, value in _last_said(_SHARE, lines).items()}


def numbers_said(lines: Sequence[str]) -> dict[str, object]:
    """Return the numbers that lines state, by their flags."""
    return {flag: int(value.replace(",", "")) for flag, value in _last_said(_SAID, lines).items()}


def _last_said(patterns: Mapping[str, str], lines: Sequence[str]) -> dict[str, str]:
    """Return the last value that lines state of each flag, as it is printed."""
    told, text = dict[str, str](), "\n".join(lines)
    for flag, pattern in patterns.items():
        for match in re.finditer(pattern, text):
            told[flag] = next(filter(None, match.groups()))
    return told


def model_of_banner(lines: Sequence[str]) -> str | None:
    """Return the model that the banner names, if there is one."""
    return next((match["model"] for line in lines if (match := _BANNER.search(line))), None)
