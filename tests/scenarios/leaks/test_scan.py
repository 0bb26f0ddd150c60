"""A planted leak is found in each place; what is clean stays so; what could not be searched is never called clean."""

from __future__ import annotations

import asyncio
import base64
import bz2
import gzip
import io
import json
import lzma
import os
import sqlite3
import tarfile
import zipfile
import zlib

import asyncpg
import pytest
from PIL import Image, PngImagePlugin

from scenarios.leaks import CanaryError, Finder, Scan, make_canaries, read_canaries, write_canaries
from scenarios.leaks.tables import postgres_tables
from scenarios.processes.postgres import PostgresError, PostgresServer
from scenarios.verdicts import Verdict
from sim.wires import Capture

from .number_forms import CARD_FORMS, FORMS

CANARIES = make_canaries("scan", cards=30, phones=10)
CARD, PHONE = CANARIES[0], CANARIES[-1]
TEXT = f'{{"t_us":1767225600000000,"title":"张三 {CARD.digits}"}}\n'.encode()


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder(CANARIES)


def zipped(data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("readme.txt", "nothing")
        archive.writestr("logs/backend.log", b"x" * 200 + data)
    return file.getvalue()


def tarred(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        info = tarfile.TarInfo("events.ndjson")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def picture(data: bytes) -> bytes:
    file = io.BytesIO()
    notes = PngImagePlugin.PngInfo()
    notes.add_text("receipt", data.decode(), zip=True)
    Image.new("L", (8, 8)).save(file, "PNG", pnginfo=notes)
    return file.getvalue()


PLACES = {
    "log": lambda data: data,
    "gzip": lambda data: gzip.compress(data * 3),
    "gzip after something else": lambda data: b"head\n" * 9 + gzip.compress(data) + b"tail",
    "cut gzip": lambda data: gzip.compress(data + os.urandom(4000))[:-1500],
    "zlib": zlib.compress,
    "PDF": lambda data: b"%PDF-1.7\n4 0 obj\nstream\n" + zlib.compress(data) + b"\nendstream",
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
    "stored zip": lambda data: zipped(data, zipfile.ZIP_STORED),
    "zip with bzip2": lambda data: zipped(data, zipfile.ZIP_BZIP2),
    "zip without its directory": lambda data: zipped(data)[:-90],
    "tar.gz": tarred,
    "zip in zip": lambda data: zipped(zipped(data)),
    "gzip in base64": lambda data: json.dumps(
        {"file": base64.b64encode(gzip.compress(data)).decode()}
    ).encode(),
    "zlib in hex": lambda data: b"blob=" + zlib.compress(data).hex().encode(),
    "base64 three deep": lambda data: base64.b64encode(base64.b64encode(base64.b64encode(data))),
    "data URI": lambda data: b'<img src="data:image/png;base64,' + base64.b64encode(picture(TEXT)) + b'">',
    "picture with a note": picture,
}


@pytest.mark.requirement("sec.no-card-number-anywhere")
@pytest.mark.parametrize("place", PLACES)
def test_a_leak_is_found_in_each_place(finder, tmp_path, place):
    folder = tmp_path / "evidence" / "deep"
    folder.mkdir(parents=True)
    (folder / "a-file").write_bytes(PLACES[place](TEXT))
    scan = Scan(finder)
    scan.folder(tmp_path)
    assert scan.report.verdict is Verdict.FAIL
    assert {finding.canary for finding in scan.report.findings} == {CARD}
    assert all("evidence/deep/a-file" in finding.place for finding in scan.report.findings)
    assert CARD.digits not in json.dumps(scan.report.as_json())


@pytest.mark.requirement("sec.no-card-number-anywhere")
@pytest.mark.parametrize("place", PLACES)
def test_every_form_is_found_in_each_place(finder, tmp_path, place):
    if place == "data URI":
        return  # its picture holds another text
    file = tmp_path / "a-file"
    for form, write in {**FORMS, **CARD_FORMS}.items():
        if place.startswith("picture") and not write(CARD.digits).isascii():
            continue  # its notes are text
        file.write_bytes(PLACES[place](b"head " * 60 + write(CARD.digits) + b" tail" * 60))
        scan = Scan(finder)
        scan.folder(file)
        assert CARD in {finding.canary for finding in scan.report.findings}, form


@pytest.mark.parametrize("place", PLACES)
def test_the_same_places_without_a_leak_are_clean(finder, tmp_path, place):
    if place == "data URI":
        return
    (tmp_path / "a-file").write_bytes(PLACES[place](TEXT.replace(CARD.digits.encode(), CARD.masked.encode())))
    scan = Scan(finder)
    scan.folder(tmp_path)
    assert (scan.report.verdict, scan.report.found, scan.report.unsearched) == (Verdict.PASS, 0, [])


def sqlite_file(path, *rows, wal=False):
    database = sqlite3.connect(path)
    if wal:
        database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE orders (id INTEGER, title TEXT, note BLOB, amount INTEGER)")
    database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
    database.commit()
    return database


@pytest.mark.requirement("sec.no-card-number-anywhere")
@pytest.mark.parametrize(
    ("row", "column"),
    [
        ((1, f"x {CARD.digits}", None, 0), "title"),
        ((1, None, CARD.digits.encode("utf-16"), 0), "note"),
        ((1, None, None, int(CARD.digits)), "amount"),
        ((1, CARD.digits[:9], CARD.digits[9:].encode(), 0), "title"),
        ((1, PHONE.digits, None, 0), "title"),
        ((1, "", gzip.compress(CARD.digits.encode()), 0), ""),
    ],
)
def test_a_leak_in_a_column_is_found_with_its_place(finder, tmp_path, row, column):
    sqlite_file(tmp_path / "backend.sqlite3", (0, "nothing", b"", 5), row).close()
    scan = Scan(finder)
    scan.folder(tmp_path)
    places = [finding.place for finding in scan.report.findings]
    if column:
        assert f"backend.sqlite3: table orders, row 2, column {column}" in places
    assert any(place.startswith("backend.sqlite3") for place in places)
    assert scan.report.rows == 2


def test_a_number_split_over_two_rows_is_found(finder, tmp_path):
    sqlite_file(tmp_path / "b.db", (1, CARD.digits[:8], b"", 100), (2, CARD.digits[8:], b"", 200)).close()
    scan = Scan(finder)
    scan.folder(tmp_path)
    assert any("table orders" in finding.place for finding in scan.report.findings)


def test_a_row_longer_than_a_page_is_found_in_the_table(finder, tmp_path):
    """On disk its text is split over pages; only its row has it whole."""
    for padding in range(3000, 8200, 400):
        file = tmp_path / f"{padding}.db"
        sqlite_file(file, (1, "y" * padding + CARD.digits + "y" * 3000, b"", 0)).close()
        scan = Scan(finder)
        scan.folder(file)
        assert f"{padding}.db: table orders, row 1, column title" in [f.place for f in scan.report.findings]


def test_what_is_still_in_the_log_of_a_database_is_found(finder, tmp_path):
    database = sqlite_file(tmp_path / "b.db", (1, CARD.digits, b"", 0), wal=True)
    try:
        before = (tmp_path / "b.db").read_bytes(), sorted(p.name for p in tmp_path.iterdir())
        scan = Scan(finder)
        scan.folder(tmp_path / "b.db")
        assert "b.db: table orders, row 1, column title" in [
            finding.place for finding in scan.report.findings
        ]
        assert ((tmp_path / "b.db").read_bytes(), sorted(p.name for p in tmp_path.iterdir())) == before
    finally:
        database.close()


def test_a_deleted_row_is_still_in_the_file(finder, tmp_path):
    database = sqlite_file(tmp_path / "b.db", (1, CARD.digits, b"", 0))
    database.execute("PRAGMA secure_delete = OFF")
    database.execute("DELETE FROM orders")
    database.commit()
    database.close()
    scan = Scan(finder)
    scan.folder(tmp_path)
    assert [finding.place for finding in scan.report.findings] == ["b.db"]


@pytest.mark.requirement("sec.no-card-number-anywhere")
def test_a_leak_in_postgresql_is_found(finder):
    try:
        server = PostgresServer.start(settings={"fsync": "off"})
    except PostgresError as error:
        pytest.skip(str(error))

    async def fill() -> None:
        connection = await asyncpg.connect(server.url)
        await connection.execute(
            'CREATE SCHEMA "odd name"; CREATE TABLE "odd name"."Orders" (id int, title jsonb, raw bytea, n numeric, f text);'
            "CREATE TABLE clean (id int, t text)"
        )
        filler = base64.b64encode(os.urandom(20)).decode() + "y" * 9000  # TOAST compresses it
        values = (json.dumps({"name": CANARIES[1].digits}), CANARIES[2].digits.encode(), CANARIES[3].digits)
        await connection.execute(
            'INSERT INTO "odd name"."Orders" VALUES (1, $1, $2, $3::text::numeric, $4)',
            *values,
            filler + CANARIES[4].digits,
        )
        await connection.execute("INSERT INTO clean VALUES (1, $1)", CARD.masked)
        await connection.close()

    with server:
        asyncio.run(fill())
        scan = Scan(finder)
        for text in asyncio.run(postgres_tables(server.url)):
            scan.table(text)
    assert {finding.canary for finding in scan.report.findings} == set(CANARIES[1:5])
    assert all(
        finding.place.startswith("PostgreSQL: table odd name.Orders") for finding in scan.report.findings
    )
    assert scan.report.rows == 2


def test_a_number_that_went_out_in_two_bursts_is_found(finder, tmp_path):
    capture = Capture("printer")
    site, printer = capture.port("site"), capture.port("printer")
    digits = CARD.digits.encode()
    capture.record(1000, site, b"\x1b@" + digits[:5])
    capture.record(1500, printer, b"\x12")
    capture.record(2000, site, digits[5:] + b"\n")
    capture.write(tmp_path / "printer.fcap")
    scan = Scan(finder)
    scan.folder(tmp_path)
    assert "printer.fcap: bytes sent by site" in [finding.place for finding in scan.report.findings]


def test_the_name_of_a_file_is_searched(finder, tmp_path):
    (tmp_path / f"order-{CARD.digits}.txt").write_text("x")
    scan = Scan(finder)
    scan.folder(tmp_path)
    (finding,) = scan.report.findings
    assert CARD.digits not in finding.as_json()["place"]


@pytest.mark.parametrize("magic", [b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"])
def test_what_cannot_be_opened_is_not_called_clean(finder, tmp_path, magic):
    (tmp_path / "log").write_bytes(magic + b"\0" * 100)
    scan = Scan(finder)
    scan.folder(tmp_path)
    assert scan.report.verdict is Verdict.INCONCLUSIVE
    assert "log" in scan.report.unsearched[0]


def test_an_encrypted_member_is_not_called_clean(finder, tmp_path):
    data = bytearray(zipped(b"text"))
    place = data.rindex(b"PK\x03\x04")
    data[place + 6] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    scan = Scan(finder)
    scan.folder(tmp_path)
    assert scan.report.verdict is Verdict.INCONCLUSIVE
    assert "encrypted" in scan.report.unsearched[0]


def test_a_bomb_is_told_and_not_unpacked(finder, tmp_path, monkeypatch):
    monkeypatch.setattr("scenarios.leaks.containers.MOST_INFLATED", 100_000)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    scan = Scan(finder)
    scan.folder(tmp_path)
    assert scan.report.verdict is Verdict.INCONCLUSIVE
    assert "bomb.gz: gzip at 0 holds more than 100,000 bytes" in scan.report.unsearched


def test_nothing_searched_is_inconclusive(finder, tmp_path):
    scan = Scan(finder)
    assert scan.report.verdict is Verdict.INCONCLUSIVE
    scan.folder(tmp_path)
    (tmp_path / "empty").touch()
    scan.folder(tmp_path)
    assert scan.report.verdict is Verdict.INCONCLUSIVE


def test_links_and_pipes_are_left_alone(finder, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(TEXT)
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    (folder / "file").write_text("clean")
    scan = Scan(finder)
    scan.folder(folder)
    assert (scan.report.verdict, scan.report.files) == (Verdict.PASS, 1)


def test_the_list_of_canaries_does_not_find_itself(finder, tmp_path):
    write_canaries(tmp_path / "canaries.txt", CANARIES)
    (tmp_path / "log").write_text("clean")
    scan = Scan(finder)
    scan.folder(tmp_path, but=[tmp_path / "canaries.txt"])
    assert scan.report.verdict is Verdict.PASS
    assert read_canaries(tmp_path / "canaries.txt") == CANARIES
    assert (tmp_path / "canaries.txt").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no canary"),
        ("# nothing\n\n", "holds no canary"),
        ("4242424242424242\n4242424242424241\n", "line 2"),
        ("12800138000", "line 1"),
        ("not a number", "line 1"),
        ("\x00\xff", "line 1"),
    ],
)
def test_a_bad_list_of_canaries_names_its_line(tmp_path, text, why):
    file = tmp_path / "c"
    file.write_text(text)
    with pytest.raises(CanaryError, match=why) as caught:
        read_canaries(file)
    assert "424242424" not in str(caught.value)


def test_more_findings_than_are_kept_are_counted(finder, tmp_path, monkeypatch):
    monkeypatch.setattr("scenarios.leaks.report.KEPT", 3)
    (tmp_path / "log").write_text("\n".join(canary.digits for canary in CANARIES))
    scan = Scan(finder)
    scan.folder(tmp_path)
    assert scan.report.found >= len(CANARIES)
    assert len(scan.report.findings) == 3
