"""A station whose pumps count: what it sells, the marks at its handovers, and what the backend shows of a shift."""

from __future__ import annotations

from typing import Any

S = 1_000_000
STATION_KEY = "station-key-of-km01"
HOUR = 3_600 * S


class Pumps:
    """Eight nozzles with totalisers, as a site knows them."""

    def __init__(self, w: Any) -> None:
        self.w = w
        self.total = {n: [1_000_000, 781_000] for n in range(1, 9)}
        self.sequence = dict.fromkeys(range(1, 9), 0)

    def fuel(self, nozzle: int = 1, amount_fen: int = 9_600, **changes: Any) -> dict[str, Any]:
        """A delivery that ends now; not uploaded."""
        self.w.now_us += 60 * S
        volume_ml = amount_fen * 1000 // 781 // 10 * 10
        self.total[nozzle][0] += volume_ml
        self.total[nozzle][1] += amount_fen
        self.sequence[nozzle] += 1
        totals = {"end_total_volume_ml": self.total[nozzle][0], "end_total_amount_fen": self.total[nozzle][1]}
        made = {"sequence": self.sequence[nozzle], "volume_ml": volume_ml, **totals, **changes}
        return self.w.sale(nozzle, amount_fen, **made)

    async def sell(self, nozzle: int = 1, amount_fen: int = 9_600, **changes: Any) -> Any:
        return await self.w.site("POST", "/sales", self.fuel(nozzle, amount_fen, **changes), status=201)

    def mark(self, number: int, cash: int | None = None, **changes: Any) -> dict[str, Any]:
        nozzles = [
            {
                "nozzle": n,
                "grade": "92" if n % 2 else "95",
                "tank": 1,
                "sequence": self.sequence[n],
                "volume_ml": self.total[n][0],
                "amount_fen": self.total[n][1],
            }
            for n in self.total
        ]
        known = {"number": number, "at_us": self.w.now_us, "attendant": f"A{number}"}
        return {**known, "cash_counted_fen": cash, "nozzles": nozzles, **changes}

    async def hand_over(self, number: int, cash: int | None = None, status: int = 201) -> dict[str, Any]:
        self.w.now_us += S
        body = self.mark(number, cash)
        self.w.now_us += 10 * S
        await self.w.site("POST", "/shifts", body, status=status)
        return body


async def report(w: Any, shift: int) -> Any:
    return await w.site("GET", f"/shifts/{shift}", status=200)


async def settle(w: Any, sale_id: str, amount_fen: int, tender: str = "cash", status: int = 200) -> Any:
    w.now_us += S
    body = {"client_token": f"till-{sale_id}", "tender": tender, "amount_fen": amount_fen}
    return await w.site("POST", f"/sales/{sale_id}/settle", body, status=status)


def nozzle_of(shown: Any, nozzle: int) -> Any:
    return next(row for row in shown["nozzles"] if row["nozzle"] == nozzle)
