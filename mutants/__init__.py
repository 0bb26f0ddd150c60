"""The reference with known field defects built in, one at a time, and the drills that must catch each of them.

A suite that has never failed proves nothing. So each defect that pumps, drivers and gauges have shown in the field can
be switched on here (`Mutant.switch`, a context manager; nothing in the production path knows of it), a set of short
deterministic drills is played, and at least one check has to say FAIL. The reference itself passes every drill.
``python -m mutants`` writes the kill matrix, ``docs/mutants.md``.
"""

from __future__ import annotations

from mutants.catalogue import DRILLS, MUTANTS
from mutants.checks import CHECKS
from mutants.mutant import Mutant

__all__ = ["CHECKS", "DRILLS", "MUTANTS", "Mutant"]
