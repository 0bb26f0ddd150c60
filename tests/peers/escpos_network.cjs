// npm escpos on its adapter escpos-network. Argument: port. A request is {job: [[method, ...arguments], ...]}, sent in one
// connection that is destroyed at once, or {ask: hex, bytes: n}, sent alone, answered with the first n bytes that come back.
'use strict';
const escpos = require('escpos');
escpos.Network = require('escpos-network');
const requests = require('./requests.cjs');

const open = (device) => new Promise((resolve, reject) => device.open((error) => (error ? reject(error) : resolve())));

requests(async ({ job, ask, bytes }) => {
  const device = new escpos.Network('127.0.0.1', Number(process.argv[2]));
  await open(device);
  if (ask) {
    const reply = await new Promise((resolve) => {
      let heard = Buffer.alloc(0);
      device.read((data) => {
        heard = Buffer.concat([heard, data]);
        if (heard.length >= bytes) resolve(heard.toString('hex'));
      });
      device.write(Buffer.from(ask, 'hex'));
    });
    device.close();
    return reply;
  }
  const printer = new escpos.Printer(device, { encoding: 'GB18030', width: 48 });
  for (const [method, ...rest] of job) {
    if (method === 'qrimage') {
      await new Promise((resolve, reject) => printer.qrimage(...rest, (error) => (error ? reject(error) : resolve())));
    } else {
      printer[method](...rest);
    }
  }
  await new Promise((resolve) => printer.close(resolve));
  return null;
});
