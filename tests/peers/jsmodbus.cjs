// npm jsmodbus. Arguments: port, unit. A request is a list of [method, ...arguments], all sent at once; answers are register
// values, or the code of an exception.
'use strict';
const net = require('node:net');
const { client } = require('jsmodbus');
const requests = require('./requests.cjs');

const [port, unit] = process.argv.slice(2).map(Number);
const socket = net.connect(port, '127.0.0.1');
const master = new client.TCP(socket, unit, 5000);

requests(async (calls) => {
  const done = await Promise.allSettled(calls.map(([method, ...rest]) => master[method](...rest)));
  return done.map(({ value, reason }) =>
    reason ? { exception: reason.response && reason.response.body.code } : { data: value.response.body.valuesAsArray },
  );
});
