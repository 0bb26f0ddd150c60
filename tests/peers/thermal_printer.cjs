// npm node-thermal-printer. Argument: port, or path of a device. A request is a list of [method, ...arguments], then all is
// sent at once and the connection destroyed, as this client does.
'use strict';
const { printer: ThermalPrinter, types } = require('node-thermal-printer');
const requests = require('./requests.cjs');

requests(async (calls) => {
  const printer = new ThermalPrinter({
    type: types.EPSON,
    interface: /^\d+$/.test(process.argv[2]) ? `tcp://127.0.0.1:${process.argv[2]}` : process.argv[2],
    characterSet: process.argv[3],
    removeSpecialCharacters: false,
    options: { timeout: 10000 },
  });
  const connected = await printer.isPrinterConnected();
  let wait = false;
  for (const [method, ...rest] of calls) {
    if (method === 'bytes') {
      printer.add(Buffer.from(rest[0], 'hex'));
      wait = true;
    } else {
      wait ||= method === 'getStatus';
      await printer[method](...rest);
    }
  }
  const reply = await printer.execute({ waitForResponse: wait });
  return { connected, reply: reply ? Buffer.from(reply).toString('hex') : null };
});
