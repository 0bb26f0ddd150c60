"""What the API takes and shows of shifts and test deliveries."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from pydantic import BaseModel, Field, StringConstraints

from reference.backend.live import Count, NozzleNumber
from reference.backend.private_numbers import CleanStruct, StrictModel

__all__ = [
    "DayView",
    "Handover",
    "HandoverAccepted",
    "HandoverPost",
    "HandoverStarted",
    "ShiftList",
    "ShiftView",
    "TestMark",
]

_Grade = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+_-]{1,16}$")]
_Name = r"^[^\x00-\x1f\x7f]{1,40}$"


class NozzlePost(CleanStruct, forbid_unknown_fields=True):
    """A nozzle at the moment of the handover; see `reference.backend.shifts.report.NozzleMark`."""

    nozzle: NozzleNumber
    grade: _Grade
    tank: Annotated[int, Meta(ge=0, le=9999)] | None
    sequence: Count
    volume_ml: Count | None
    amount_fen: Count | None
    running_ml: Count = 0
    running_fen: Count = 0
    offline: bool = False


class HandoverPost(CleanStruct, forbid_unknown_fields=True):
    """A handover as the site took it: it opens shift ``number`` and closes the one before.

    ``at_us`` is the site's Unix time; ``attendant`` the one who comes on duty; ``cash_counted_fen`` what the drawer held.
    """

    number: Annotated[int, Meta(ge=1, le=2**31)]
    at_us: Count
    attendant: Annotated[str, Meta(pattern=_Name)]
    cash_counted_fen: Count | None
    nozzles: Annotated[list[NozzlePost], Meta(min_length=1, max_length=256)]


class HandoverAccepted(BaseModel):
    """Whether the handover was new."""

    new: bool


class Handover(StrictModel):
    """An attendant comes on duty. ``closes`` is the open shift (0: there is none yet), so that a second click is no second handover."""

    closes: Annotated[int, Field(ge=0, le=2**31)]
    attendant: Annotated[str, StringConstraints(pattern=_Name)]
    cash_counted_fen: Annotated[int, Field(ge=0, le=2**53)] | None = None


class HandoverStarted(BaseModel):
    """The site was told; the shift stands in the list when it has taken the readings."""

    closes: int


class TestMark(StrictModel):
    """The fuel of a sale went into the proving can and back into its tank. ``client_token`` makes repeating it harmless."""

    __test__ = False  # no test of pytest's

    client_token: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,80}$")]


class ShiftNozzle(BaseModel):
    """A nozzle's totalisers at both ends, its sales, and the difference (null where a total is not known).

    ``sequence`` is that of its last delivery before the end. ``late_*`` belongs to a shift before that was closed when it became known: it raises the start.
    """

    nozzle: int
    grade: str
    sequence: int
    start_volume_ml: int | None
    start_amount_fen: int | None
    end_volume_ml: int | None
    end_amount_fen: int | None
    sales: int
    volume_ml: int
    amount_fen: int
    tests: int
    tests_ml: int
    tests_fen: int
    late_ml: int
    late_fen: int
    running_ml: int
    offline: bool
    missing: int
    difference_ml: int | None
    difference_fen: int | None


class DayGrade(BaseModel):
    """Sales of a grade in a day."""

    grade: str
    sales: int
    volume_ml: int
    amount_fen: int


class ShiftGrade(BaseModel):
    """Sales of a grade; test deliveries apart."""

    grade: str
    sales: int
    volume_ml: int
    amount_fen: int
    tests_ml: int


class ShiftTender(BaseModel):
    """How the shift's sales were paid when it was closed; ``unpaid`` is one of them."""

    tender: str
    sales: int
    amount_fen: int


class ShiftAttendant(BaseModel):
    """Sales of whoever had logged in at the pump; those of pumps at which nobody had are the shift's own attendant's."""

    attendant: str
    sales: int
    amount_fen: int


class MoneyTaken(BaseModel):
    """Money taken during the shift, less what was given back, whenever the fuel was delivered."""

    tender: str
    entries: int
    amount_fen: int


class OddSale(BaseModel):
    """A sale that a person should look at, and why."""

    sale_id: str
    nozzle: int
    sequence: int
    volume_ml: int
    amount_fen: int
    why: list[str]


class ShiftTank(BaseModel):
    """Stock at both ends: start + received - sold - unexplained = end, what running pumps have drawn allowed for."""

    group: int
    grade: str
    start_ml: int | None
    end_ml: int | None
    age_us: int | None
    received_ml: int
    sold_ml: int
    returned_ml: int
    unexplained_ml: int | None


class ShiftCorrection(BaseModel):
    """What became known after the shift was closed: it stands beside the report and changes nothing in it."""

    entry_id: int
    kind: Literal["late_sale", "late_test", "return", "delivery"]
    sale_id: str | None
    nozzle: int | None
    sequence: int | None
    grp: int | None
    grade: str
    volume_ml: int
    amount_fen: int
    recorded_us: int


class ShiftView(BaseModel):
    """A closed shift: its report as it was filed, and the dated corrections to it."""

    station: str
    business_date: str
    shift: int
    attendant: str
    opened_us: int
    closed_us: int
    sales: int
    volume_ml: int
    amount_fen: int
    tests: int
    tests_ml: int
    nozzles: list[ShiftNozzle]
    grades: list[ShiftGrade]
    attendants: list[ShiftAttendant]
    tenders: list[ShiftTender]
    taken: list[MoneyTaken]
    cash_expected_fen: int
    cash_counted_fen: int | None
    cash_difference_fen: int | None
    electronic_fen: int
    drive_off_after_us: int
    drive_offs: int
    drive_off_fen: int
    odd: list[OddSale]
    tanks: list[ShiftTank]
    corrections: list[ShiftCorrection]


class DayView(BaseModel):
    """A business day by the station's own midnight: what ended in it. ``unpaid_fen`` is part of ``amount_fen``."""

    station: str
    day: str
    time_zone: str
    from_us: int
    until_us: int
    sales: int
    volume_ml: int
    amount_fen: int
    unpaid_fen: int
    tests_ml: int
    grades: list[DayGrade]


class ShiftList(BaseModel):
    """Closed shifts, oldest first, and the number of the open one (0: none yet)."""

    shifts: list[ShiftView]
    open: int
    open_since_us: int | None
    attendant: str | None
