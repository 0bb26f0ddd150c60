"""What a command's exit code says: one meaning for each number, in every command's help."""

from __future__ import annotations

from typing import Final

__all__ = ["exit_codes"]

_USAGE: Final = "2 usage or configuration"
_ENDS: Final = "130 interrupted (143 by SIGTERM, 129 by SIGHUP)"


def exit_codes(
    zero: str,
    *,
    one: str = "",
    usage: str = "",
    three: str = "",
    broken: str = "harness error",
    stays: bool = False,
) -> str:
    """The last lines of a command's help.

    Args:
        zero: what 0 says.
        one: what 1 says; empty for a command that judges nothing.
        usage: an example of what gives 2.
        three: what 3, inconclusive, says; empty for a command that never is.
        broken: what 4 says.
        stays: the command stays until a signal, so that being stopped is 0.
    """
    told = [f"0 {zero}"]
    if one:
        told.append(f"1 {one}")
    told.append(f"{_USAGE} ({usage})" if usage else _USAGE)
    if three:
        told.append(f"3 {three}")
    told.append(f"4 {broken}")
    if not stays:
        told.append(_ENDS)
    return f"Exit codes: {', '.join(told)}."
