// npm modbus-serial. Arguments: port, unit. A request is a list of [method, ...arguments], all started at once.
'use strict';
const ModbusRTU = require('modbus-serial');
const requests = require('./requests.cjs');

const [port, unit] = process.argv.slice(2).map(Number);

(async () => {
  const client = new ModbusRTU();
  await client.connectTCP('127.0.0.1', { port });
  client.setID(unit);
  client.setTimeout(5000);
  await requests(async (calls) => {
    const done = await Promise.allSettled(calls.map(([method, ...rest]) => client[method](...rest)));
    return done.map(({ value, reason }) => (reason ? { exception: reason.modbusCode, why: reason.message } : value));
  });
})();
