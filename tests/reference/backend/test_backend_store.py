"""What both stores promise beside the rules, and when the outbox wakes."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import bindparam, select, text

import reference.backend.migrations as migrations
from reference.backend.store import sqlite
from reference.backend.store.plans import Plans
from reference.backend.store.schema import alarms, metadata
from reference.backend.store.sqlite import SqliteDatabase

_BY_SUBJECT = select(alarms.c.kind, alarms.c.raised_us).where(alarms.c.subject == bindparam("wanted"))
_MOVE = (
    alarms.update()
    .where(alarms.c.subject == bindparam("wanted"))
    .values(raised_us=bindparam("now_us"))
    .returning(alarms.c.id, alarms.c.raised_us)
)


def _alarm(subject, kind="test"):
    return {"kind": kind, "subject": subject, "detail": "", "raised_us": 1}


def test_the_newest_revision_is_the_one_that_stores_are_compared_with():
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_a_store_in_memory_is_the_same_whether_migrated_or_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "_migrated", [])  # as in a new process

    async def told(store):
        await store.start()
        store.copy_to(tmp_path / "copy.db")
        await store.stop()
        with closing(connect(tmp_path / "copy.db")) as copy:
            return list(copy.iterdump())

    async def scene():
        migrated, copied = await told(SqliteDatabase()), await told(SqliteDatabase())
        assert f"""INSERT INTO "alembic_version" VALUES('{migrations.HEAD}');""" in migrated
        assert sum("CREATE TRIGGER" in line for line in migrated) > 1  # those that keep the books append-only
        assert copied == migrated == await told(SqliteDatabase(str(tmp_path / "file.db")))

    asyncio.run(scene())


def test_single_statements_read_and_write_like_transactions(play):
    async def scene(w):
        db = w.database
        await db.run(lambda tx: tx.insert(alarms, _alarm("a")))
        (row,) = await db.single(_BY_SUBJECT, {"wanted": "a"})
        assert (row.kind, row.raised_us, row[0], tuple(row)) == ("test", 1, "test", ("test", 1))
        with pytest.raises(AttributeError):
            row.subject  # noqa: B018 - not one of its columns
        assert [moved.raised_us for moved in await db.single(_MOVE, {"wanted": "a", "now_us": 7})] == [7]
        assert (await db.single(_BY_SUBJECT, {"wanted": "a"}))[0].raised_us == 7
        assert list(await db.single(_BY_SUBJECT, {"wanted": "b"})) == []

    play(scene)


def test_a_transaction_that_raises_leaves_nothing_and_tells_nobody(play):
    async def scene(w):
        db = w.database

        async def work(tx):
            await tx.insert(alarms, _alarm("a"))
            tx.notify("news", "never to be told")
            raise LookupError("on purpose")

        with db.hub.subscribe("news") as news:
            with pytest.raises(LookupError, match="on purpose"):
                await db.run(work)
            # A hub that has just connected wakes everybody, with no payload: that is no news.
            assert "never to be told" not in (await news.wait(0)).values()
        assert list(await db.single(_BY_SUBJECT, {"wanted": "a"})) == []
        await db.run(lambda tx: tx.insert(alarms, _alarm("b")))  # the connection can still be used

    play(scene)


def test_a_cancelled_transaction_leaves_nothing_and_the_next_one_works(play_postgres):
    async def scene(w):
        db = w.database
        entered = asyncio.Event()

        async def work(tx):
            await tx.insert(alarms, _alarm("a"))
            entered.set()
            await tx.rows(text("SELECT pg_sleep(60)"))

        task = asyncio.create_task(db.run(work))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert list(await db.single(_BY_SUBJECT, {"wanted": "a"})) == []

    play_postgres(scene)


def test_a_connection_that_breaks_before_the_commit_is_no_trouble(play_postgres):
    async def scene(w):
        db = w.database
        tries = []

        async def work(tx):
            tries.append(1)
            await tx.insert(alarms, _alarm("a"))
            if len(tries) == 1:
                tx._connection.terminate()
            await tx.insert(alarms, _alarm("b"))

        await db.run(work)
        assert len(tries) == 2
        assert [len(await db.single(_BY_SUBJECT, {"wanted": subject})) for subject in "ab"] == [1, 1]

    play_postgres(scene)


def test_a_statement_without_a_fixed_text_is_refused(play):
    async def scene(w):
        loose = select(alarms.c.id).where(alarms.c.subject.in_(["a", "b"]))
        with pytest.raises(NotImplementedError, match="fixed text"):
            await w.database.single(loose)

    play(scene)


def test_stray_statements_do_not_pile_up():
    from sqlalchemy.dialects import sqlite

    plans = Plans(sqlite.dialect())
    for number in range(2_500):
        plans.of(text(f"SELECT {number}"))
    assert len(plans._plans) <= 1_000
    assert plans.insert(metadata.tables["alarms"], ("kind",), ignore=True).sql.endswith("DO NOTHING")


# The outbox wakes for what is due, not for what will be


def _watch(outbox):
    """Counts the looks into the table; gives an event for each."""
    looks = []
    plain = outbox._claim

    async def claim(most):
        looks.append(most)
        return await plain(most)

    outbox._claim = claim
    return looks


async def _put(w, subject, delay_us):
    outbox = w.backends[0].core.outbox
    await w.database.run(lambda tx: outbox.put(tx, "test", subject, delay_us=delay_us))


def test_a_task_for_later_wakes_nobody_and_one_for_now_does(play_sqlite):
    async def scene(w):
        outbox = w.backends[0].core.outbox
        ran = []
        done = asyncio.Event()

        async def handler(task):
            ran.append(task.subject)
            done.set()

        outbox.handlers["test"] = handler
        looks = _watch(outbox)
        outbox.start()
        await asyncio.sleep(0)
        await _put(w, "near", 30_000_000)
        for _ in range(20):
            await asyncio.sleep(0)
        at_rest = len(looks)
        await _put(w, "far", 900_000_000)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(looks) == at_rest
        await _put(w, "now", 0)
        async with asyncio.timeout(5):
            await done.wait()
        assert ran == ["now"]
        await outbox.stop()
        assert w.database.hub.listeners.count(outbox._hear) == 0

    play_sqlite(scene)


def test_a_killed_outbox_hears_nothing_more(play_sqlite):
    async def scene(w):
        outbox = w.backends[0].core.outbox
        outbox.start()
        await asyncio.sleep(0)
        assert w.database.hub.listeners.count(outbox._hear) == 1
        outbox.kill()
        assert w.database.hub.listeners.count(outbox._hear) == 0

    play_sqlite(scene)
