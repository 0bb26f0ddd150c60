// npm wechatpay-axios-plugin; it checks headers, time and signature of every 2xx. Argument: a JSON file with the merchant's
// keys and the platform's. A request is [path, method, ...arguments].
'use strict';
const fs = require('node:fs');
const { Wechatpay } = require('wechatpay-axios-plugin');
const requests = require('./requests.cjs');

const keys = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const wechatpay = new Wechatpay({
  mchid: keys.mchid,
  serial: keys.serial_no,
  privateKey: Buffer.from(keys.private_key),
  certs: keys.platform,
});

requests(async ([path, method, ...rest]) => {
  try {
    const { status, data } = await wechatpay.chain(path)[method](...rest);
    return { status, data };
  } catch (error) {
    if (!error.response || error.response.status < 400) throw error; // a 2xx that it did not believe
    return { status: error.response.status, data: error.response.data };
  }
});
