// npm receiptline and @point-of-sale/receipt-printer-encoder: they only make bytes, which are then sent to the port given as
// argument. A request is {receiptline: text, options} or {encoder: [[method, ...arguments], ...], options}; a picture is
// {width, height, on: "checked"}.
'use strict';
const net = require('node:net');
const receiptline = require('receiptline');
const encoderModule = require('@point-of-sale/receipt-printer-encoder');
const requests = require('./requests.cjs');

const Encoder = encoderModule.default || encoderModule;

function checked({ width, height }) {
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (((x >> 3) + (y >> 3)) % 2) data.fill(0, (y * width + x) * 4, (y * width + x) * 4 + 3);
    }
  }
  return { width, height, data };
}

function bytes(request) {
  if (request.receiptline) return Buffer.from(receiptline.transform(request.receiptline, request.options), 'binary');
  const encoder = new Encoder(request.options);
  for (const [method, ...rest] of request.encoder) {
    encoder[method](...rest.map((one) => (one && one.on === 'checked' ? checked(one) : one)));
  }
  return Buffer.from(encoder.encode());
}

requests(
  (request) =>
    new Promise((resolve, reject) => {
      const job = bytes(request);
      const socket = net.connect(Number(process.argv[2]), '127.0.0.1', () => socket.end(job));
      socket.on('error', reject);
      socket.on('close', () => resolve(job.length));
      socket.resume();
    }),
);
