// npm wechatpay-node-v3. Argument: a JSON file with the merchant's keys. A request is [method, ...arguments].
'use strict';
const fs = require('node:fs');
const WxPay = require('wechatpay-node-v3');
const requests = require('./requests.cjs');

const keys = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const pay = new WxPay({
  appid: keys.appid,
  mchid: keys.mchid,
  serial_no: keys.serial_no,
  publicKey: Buffer.from(keys.certificate),
  privateKey: Buffer.from(keys.private_key),
  key: keys.apiv3_key,
});

requests(async ([method, ...rest]) => pay[method](...rest));
