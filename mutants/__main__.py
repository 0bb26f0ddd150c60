"""``python -m mutants [--check] [--jobs N] [MUTANT ...]``: write the kill matrix, or show what catches some mutants."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from mutants.catalogue import DRILLS, MUTANTS
from mutants.matrix import all_kills, matrix_page, play, survivors
from scenarios.verdicts import Verdict


def main(arguments: list[str]) -> int:
    """Run from a checkout.

    Returns 0; 1 when a mutant survives, the reference fails a drill, or ``--check`` finds the files out of date; 2 when
    called wrongly.
    """
    parser = argparse.ArgumentParser(
        prog="python -m mutants", description="play the drills on the mutants, write docs/mutants.md"
    )
    parser.add_argument("mutants", nargs="*", metavar="MUTANT", help="M01 ...: play only these, and show why")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; say whether the files are current"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # broken parts complain, as they should
    if options.mutants:
        return _show(options.mutants)
    data, page = Path("mutants/kills.json"), Path("docs/mutants.md")
    if not data.parent.is_dir() or not page.parent.is_dir():
        print(
            "run this in a checkout of the project: mutants/ and docs/ must lie below the current folder",
            file=sys.stderr,
        )
        return 2
    weak = [drill for drill in DRILLS if any(r.verdict is not Verdict.PASS for r in play(None, drill))]
    if weak:
        print(f"the reference itself does not pass: {', '.join(weak)}", file=sys.stderr)
        return 1
    found = all_kills(jobs=max(1, options.jobs))
    for slug in survivors(found):
        print(f"{slug} survives", file=sys.stderr)
    texts = {data: json.dumps(found, indent=1) + "\n", page: matrix_page(found)}
    if options.check:
        old = [path for path, text in texts.items() if not path.is_file() or path.read_text("utf-8") != text]
        print(f"out of date: {', '.join(map(str, old))}" if old else "current")
        return int(bool(old or survivors(found)))
    for path, text in texts.items():
        path.write_text(text, "utf-8")
        print(f"wrote {path}")
    return int(bool(survivors(found)))


def _show(slugs: list[str]) -> int:
    known = {mutant.slug: mutant for mutant in MUTANTS}
    unknown = [slug for slug in slugs if slug not in known]
    if unknown:
        print(f"no mutant {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    alive = 0
    for slug in slugs:
        mutant = known[slug]
        print(f"{slug}: {mutant.title}")
        caught = False
        for drill in DRILLS:
            for result in play(mutant, drill):
                if result.verdict is Verdict.FAIL:
                    caught = True
                    print(f"  {drill}: {result.check}: {result.message}")
        if not caught:
            alive += 1
            print("  survives")
    return int(alive > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
