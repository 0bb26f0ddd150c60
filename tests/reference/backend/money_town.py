"""A town in virtual time: two backends on one store, the simulated gateway and tax platform, and who judges their books."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict

import httpx
from sqlalchemy import select

from protocols.wechatpay import RefundEvent, RefundState
from reference.backend import BackendSettings, Database, SqliteDatabase, audit, create_backend
from reference.backend.store import schema as tables
from sim.kernel import VirtualKernel
from sim.net import Network
from sim.taxplatform import Seller, tax_platform_behind
from sim.wechatpay import GatewayFault, WeChatPayGateway

EPOCH_US = 1_767_225_600_000_000
STATION = {"Authorization": "Bearer station-key-of-km01"}
ADMIN = {"Authorization": "Bearer admin-key-for-tests"}
TITLE = {"title_type": "INDIVIDUAL", "name": "张三"}
SECOND_US = 1_000_000
PRICE = 781
NODES = ("a", "b")


class Mortal(Database):
    """One instance's way to the store. Once the instance is dead nothing of it reaches the store any more.

    ``fuse`` counts the instants before and after each transaction; at nought the instance dies right there.
    """

    def __init__(self, inner, die):
        self.inner, self.hub, self.dialect = inner, inner.hub, inner.dialect
        self.is_dead = False
        self.fuse = None
        self._die = die

    async def start(self):
        await self.inner.start()

    async def stop(self):
        await self.inner.stop()

    def _pass(self):
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self._die()
        if self.is_dead:
            raise asyncio.CancelledError

    async def run(self, work):
        self._pass()
        result = await self.inner.run(work)
        self._pass()
        return result

    async def single(self, statement, values=None):
        self._pass()
        rows = await self.inner.single(statement, values)
        self._pass()
        return rows


class Post(httpx.AsyncBaseTransport):
    """Carries the gateway's callbacks to the two instances in turn, and keeps a copy of each."""

    def __init__(self, network):
        self.transport = network.transport("wechatpay")
        self.kept = []

    async def handle_async_request(self, request):
        body = await request.aread()
        self.kept.append((request.url.path, dict(request.headers), body))
        host = f"{NODES[len(self.kept) % 2]}.station"
        request.url = request.url.copy_with(host=host)
        return await self.transport.handle_async_request(request)


class Town:
    """The whole chain, and short words for what people do in it. Words start something; `pass_time` lets it happen."""

    def __init__(self, keys, number, **changes):
        platform, self.merchant = keys
        self.kernel = VirtualKernel(number, epoch_us=EPOCH_US)
        self.network = Network(self.kernel)
        self.post = Post(self.network)
        self.gateway = WeChatPayGateway(
            self.kernel,
            [self.merchant.account],
            platform,
            notify_client=httpx.AsyncClient(transport=self.post),
        )
        mchid = self.merchant.credentials.mchid
        seller = Seller(mchid, "昆明石油", "91530100MA6K00001X", "https://backend.station/v1/notify/fapiao")
        self.tax = tax_platform_behind(self.gateway, [seller])
        self.settings = BackendSettings(
            station_keys={"KM01": "station-key-of-km01"},
            admin_key="admin-key-for-tests",
            service_secret="service-secret-for-tests",
            **changes,
        ).with_merchant(self.merchant.credentials)
        self.store = SqliteDatabase()
        for host, app in {
            "api.mch.weixin.qq.com": self.gateway.app,
            "api.weixin.qq.com": self.gateway.jscode_app,
            "payer.sim": self.gateway.payer_app,
        }.items():
            self.network.register(host, app)
        self.lives = 0
        self.nodes = {}
        self.phones = []
        self.orders = []  # what phones know of their orders
        self.sales = []  # posted deliveries
        self.fills = {}  # order -> (nozzle, preset) that the site was told to serve
        self.commands_done = 0
        self.problems = []
        self.faults = 0
        self.healing = []
        self.sequence = Counter()
        self.payer = self.network.client("phone", "payer.sim")
        for name in NODES:
            self.network.register(f"{name}.station", self._start(name))
        self.wait(self._open())

    # Instances

    def _start(self, name):
        self.lives += 1
        life = self.lives
        store = Mortal(self.store, lambda: self.kill(name, life))
        backend = create_backend(
            self.settings,
            database=store,
            clock_us=lambda: self.kernel.unix_us,
            rng=random.Random(f"{name}/{life}"),
            http=self.network.transport,
            instance=f"backend-{name}",
        )
        self.nodes[name] = (backend, store, life)
        return backend.app

    def kill(self, name, life=None):
        """Kill -9."""
        backend, store, now_alive = self.nodes[name]
        if store.is_dead or (life is not None and life != now_alive):
            return
        store.is_dead = True
        self.network.kill(f"{name}.station")
        backend.kill()

    def revive(self, name):
        if self.nodes[name][1].is_dead:
            self.network.restore(f"{name}.station", self._start(name))
            self.kernel.spawn(self.nodes[name][0].start(), f"start-{name}")

    async def _open(self):
        for backend, _, _ in self.nodes.values():
            await backend.start()
        nozzles = [
            {"nozzle": n, "fuelling_point": n, "grade": "92", "price_fen_per_l": PRICE} for n in (1, 2)
        ]
        setup = {"name": "昆明一号站", "lift_policy": "authorise", "nozzles": nozzles}
        await self.call("a", "PUT", "/v1/stations/KM01", setup, STATION)
        for who in ("zhang", "li"):
            reply = await self.call("a", "POST", "/v1/sessions", {"js_code": f"js-{who}"}, {})
            self.phones.append((reply.json()["openid"], {"Authorization": f"Bearer {reply.json()['token']}"}))

    # Time

    def wait(self, coro):
        """Do something, and wait until it is done."""
        done = self.kernel.task(coro)
        for _ in range(600):
            if done.triggered:
                break
            self.kernel.run(self.kernel.now_us + SECOND_US // 10)
        assert done.triggered
        assert done.ok, done.value
        return done.value

    def go(self, coro):
        """Start something; a crash of it is a crash of the run."""
        self.kernel.spawn(coro, "somebody")

    def pass_time(self, us):
        self.kernel.run(self.kernel.now_us + us)

    # Calls

    async def call(self, node, method, path, body, headers):
        """The reply, or None: nobody knows."""
        client = self.network.client("world", f"{node}.station")
        try:
            reply = await client.request(method, path, json=body, headers=headers, timeout=12)
        except httpx.TransportError:
            return None
        if reply.status_code >= 500 and reply.status_code not in {502, 503}:
            self.problems.append(f"{method} {path}: {reply.status_code} {reply.text}")
        return reply

    # Phones

    async def scan(self, node, phone, nozzle, mode, fen, invoice):
        openid, headers = self.phones[phone]
        body = {
            "client_token": f"t{len(self.orders)}",
            "station": "KM01",
            "nozzle": nozzle,
            "mode": mode,
            "invoice": TITLE if invoice else None,
        }
        if mode == "prepay":
            body["preset_fen"] = fen
        known = {"openid": openid, "headers": headers, "order_id": None, "asked": None}
        self.orders.append(known)
        for _ in range(3):
            reply = await self.call(node, "POST", "/v1/orders", body, headers)
            if reply is not None:
                break
            node = "b" if node == "a" else "a"
        if reply is not None and reply.status_code in {200, 201}:
            known["order_id"] = reply.json()["order_id"]

    async def pay(self, node, known):
        path = f"/v1/orders/{known['order_id']}/pay"
        reply = await self.call(node, "POST", path, {"channel": "wechatpay"}, known["headers"])
        if reply is not None and reply.status_code == 200:
            known["asked"] = reply.json()

    async def confirm(self, node, known):
        try:
            await self.payer.post(f"/payers/{known['openid']}/confirm", json=known["asked"], timeout=10)
        except httpx.TransportError:
            return
        path = f"/v1/orders/{known['order_id']}/client-result"
        await self.call(node, "POST", path, {"result": "ok"}, known["headers"])

    async def cancel(self, node, known):
        await self.call(node, "POST", f"/v1/orders/{known['order_id']}/cancel", None, known["headers"])

    # The station

    async def site(self, node):
        """Take commands and answer them."""
        path = f"/v1/stations/KM01/commands?after={self.commands_done}"
        reply = await self.call(node, "GET", path, None, STATION)
        if reply is None or reply.status_code != 200:
            return
        for command in reply.json()["commands"]:
            order_id, ok = command["order_id"], True
            if command["kind"] == "authorise":
                ok = all(nozzle != command["nozzle"] for nozzle, _ in self.fills.values())
                if ok or order_id in self.fills:
                    self.fills.setdefault(order_id, (command["nozzle"], command["preset_fen"]))
                    ok = True
            elif command["kind"] == "cancel":
                ok = order_id not in {sale["order_id"] for sale in self.sales}
                if ok:
                    self.fills.pop(order_id, None)
            path = f"/v1/stations/KM01/commands/{command['id']}/result"
            answer = await self.call(node, "POST", path, {"ok": ok, "reason": None}, STATION)
            if answer is None or answer.status_code >= 500:
                return

    async def deliver(self, node, order_id, nozzle, fen):
        """A delivery ends; its sale is posted until somebody has it."""
        self.sequence[nozzle] += 1
        number = self.sequence[nozzle]
        sale = {
            "nozzle": nozzle,
            "sequence": number,
            "fuelling_point": nozzle,
            "grade": "92",
            "volume_ml": fen * 1000 // PRICE,
            "amount_fen": fen,
            "price_fen_per_l": PRICE,
            "started_us": self.kernel.unix_us,
            "ended_us": self.kernel.unix_us,
            "end_total_volume_ml": number * 100_000,
            "end_total_amount_fen": number * 100_000,
            "order_id": order_id,
        }
        known = {"order_id": order_id, "fen": fen, "sale_id": None}
        self.sales.append(known)
        for attempt in range(2000):
            node = NODES[attempt % 2]
            reply = await self.call(node, "POST", "/v1/stations/KM01/sales", sale, STATION)
            if reply is not None and reply.status_code in {200, 201}:
                known["sale_id"] = reply.json()["sale_id"]
                return
            await asyncio.sleep(1)

    def fill(self, which, share):
        """End the delivery of an order that the site was told to serve."""
        order_id = sorted(self.fills)[which % len(self.fills)]
        nozzle, preset = self.fills.pop(order_id)
        # Now and then the valve closes late.
        fen = 100 + 50 * share if preset is None else preset * min(share, 10) // 10 + 3 * (share == 11)
        self.go(self.deliver("a", order_id, nozzle, fen))

    async def settle(self, node, known):
        path = f"/v1/stations/KM01/sales/{known['sale_id']}/settle"
        body = {"client_token": f"c{known['sale_id'][-8:]}", "tender": "cash", "amount_fen": known["fen"]}
        await self.call(node, "POST", path, body, STATION)

    # The operator

    async def give_back(self, node, known, fen, token):
        body = {"client_token": token, "amount_fen": fen, "operator": "王站长", "reason": "complaint"}
        await self.call(node, "POST", f"/v1/admin/orders/{known['order_id']}/refunds", body, ADMIN)

    # The network

    async def replay(self, which, at):
        """One kept callback, to both instances at once."""
        path, headers, body = self.post.kept[which % len(self.post.kept)]
        if at is not None:
            place = at % len(body)
            body = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        headers = {name: value for name, value in headers.items() if name not in {"host", "content-length"}}

        async def send(node):
            client = self.network.client("wechatpay", f"{node}.station")
            try:
                reply = await client.post(path, content=body, headers=headers)
            except httpx.TransportError:
                return
            if at is not None and reply.status_code < 400:
                self.problems.append(f"a callback with one bit changed was taken: {reply.status_code}")

        await asyncio.gather(*(send(node) for node in NODES))

    def fault(self, kind, **fields):
        self.faults += 1
        self.gateway.faults.arm(GatewayFault(kind=kind, name=f"f{self.faults}", limit=1, **fields))
        if not kind.startswith("bill-"):
            self.healing.append(f"f{self.faults}")

    # The end

    def heal(self):
        """Everything works again, the last deliveries end, and time passes until all is settled."""
        while self.healing:
            self.gateway.faults.disarm(self.healing.pop())
        for _, store, _ in self.nodes.values():
            store.fuse = None
        for name in NODES:
            self.revive(name)
        for minutes in (1, 1, 5, 20, 5, 5, 20, 5, 30, 60, 60):
            self.wait(self.site("a"))
            while self.fills:
                self.fill(0, 7)
            for record in self.gateway.refunds.refunds:
                if record.state is RefundState.ABNORMAL:
                    self.gateway.refunds.move(record, RefundEvent.SETTLE, self.kernel.unix_us)
            self.wait(self._see_to_refunds())
            self.pass_time(minutes * 60 * SECOND_US)

    async def _see_to_refunds(self):
        reply = await self.call("b", "GET", "/v1/admin/refunds?limit=1000", None, ADMIN)
        for row in reply.json()["rows"]:
            if row["state"] in {"HELD", "ABNORMAL"}:
                await self.call("b", "POST", f"/v1/admin/refunds/{row['out_refund_no']}/retry", None, ADMIN)

    def judge(self):
        """What contradicts, in words. The gateway's books are the truth about money, the pump's about fuel."""
        found = list(self.problems)
        found += [f"{error.method} {error.path}: {error.error!r}" for error in self.network.app_errors]
        found += self.wait(self.store.run(audit))
        rows = {
            name: self.wait(self.store.run(lambda tx, table=table: tx.rows(select(table))))
            for name, table in (
                ("orders", tables.orders),
                ("payments", tables.payments),
                ("refunds", tables.refunds),
                ("sales", tables.sales),
            )
        }
        found += self._judge_gateway(rows)
        found += self._judge_orders(rows)
        found += self._judge_invoices()
        return found

    def _judge_gateway(self, rows):
        ours = {row.out_trade_no: row for row in rows["payments"]}
        for order in self.gateway.ledger.orders:
            row = ours.get(order.out_trade_no)
            is_paid = order.success_us is not None
            if row is None:
                yield f"the gateway has {order.out_trade_no}, which the backend does not know"
            elif is_paid != (row.state == "SUCCESS"):
                yield f"{order.out_trade_no}: {order.state} at the gateway, {row.state} here"
            if order.refunded_fen > (order.total_fen if is_paid else 0):
                yield f"{order.out_trade_no}: {order.refunded_fen} fen refunded of {order.total_fen}"
        theirs = {record.out_refund_no: record for record in self.gateway.refunds.refunds}
        for row in rows["refunds"]:
            record = theirs.pop(row.out_refund_no, None)
            if record is None or (str(record.state), record.refund_fen) != (row.state, row.amount_fen):
                yield f"refund {row.out_refund_no}: {record and record.state} at the gateway, {row.state} here"
        yield from (f"the gateway refunded {number}, which nobody asked for" for number in theirs)

    def _judge_orders(self, rows):
        sales = {row.sale_id: row for row in rows["sales"]}
        desk = {row.out_refund_no for row in rows["refunds"] if row.reason.startswith("desk")}
        belongs = {row.out_trade_no: row.order_id for row in rows["payments"]}
        kept, given = defaultdict(int), defaultdict(int)
        for order in self.gateway.ledger.orders:
            if order.success_us is not None:
                kept[belongs.get(order.out_trade_no)] += order.total_fen
        for record in self.gateway.refunds.refunds:
            if record.state is RefundState.SUCCESS:
                order_id = belongs.get(record.order.out_trade_no)
                kept[order_id] -= record.refund_fen
                given[order_id] += record.refund_fen if record.out_refund_no in desk else 0
        for order in rows["orders"]:
            done = {"COMPLETED", "REFUNDED", "CANCELLED", "CLOSED"} | (
                {"PAID"} if order.mode == "postpay" else set()
            )
            if order.state not in done:
                yield f"order {order.order_id} ends as {order.state}"
            sale = sales.get(order.sale_id)
            due = 0
            if sale is not None and sale.state == "cleared" and sale.order_id == order.order_id:
                due = min(sale.amount_fen, order.payable_fen) - given[order.order_id]
            if kept[order.order_id] != due:
                yield f"order {order.order_id} ({order.mode}, {order.state}): {kept[order.order_id]} fen kept, {due} due"
        yield from (
            f"sale of {known['fen']} fen was never taken" for known in self.sales if known["sale_id"] is None
        )

    def _judge_invoices(self):
        numbers = defaultdict(list)
        for (_, apply_id), application in self.tax.applications.items():
            numbers[apply_id] += [fapiao.number for fapiao in application.fapiaos.values() if fapiao.number]
        return [f"application {key} has invoices {found}" for key, found in numbers.items() if len(found) > 1]
