// npm amap-web-api-sdk and co-wechat-api against `forecourt gateways`, whose folder is the argument; prints one JSON object.
// The first has an axios that sends https addresses to the proxy in absolute form, by the environment alone. The second reads no proxy
// from anywhere; its agent comes from proxy_agent.cjs, as behind any company's proxy.
'use strict';
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const path = require('node:path');
const Amap = require('amap-web-api-sdk');
const WechatAPI = require('co-wechat-api');

const known = JSON.parse(fs.readFileSync(path.join(process.argv[2], 'gateways.json'), 'utf8'));
const { amap, wechat } = known.services;

// The control API is the payer's phone, not a client: plain Node.
const control = (target, body) =>
  new Promise((done, fail) => {
    const request = http.request(`${known.control}/wechat/${target}`, { method: 'POST', agent: false }, (reply) => {
      let text = '';
      reply.on('data', (chunk) => (text += chunk));
      reply.on('end', () => done(text ? JSON.parse(text) : null));
    });
    request.on('error', fail);
    request.end(JSON.stringify(body || {}));
  });

const outcome = async (work) => {
  try {
    return await work();
  } catch (error) {
    return error.code || error.infocode || String(error);
  }
};

(async () => {
  const maps = new Amap(amap.key, 'a signature that this key does not ask for');
  const api = new WechatAPI(wechat.appid, wechat.secret);
  api.setOpts({ agent: https.globalAgent, timeout: 20000 });
  const found = await maps.geocode.geo({ address: '昆明市北京路928号' });
  const near = await maps.geocode.regeo({ location: found.geocodes[0].location });
  const session = await api.code2Session((await control('users/o-npm/login-code')).js_code);
  await control('users/o-npm/consents', { template_id: 'forecourt-paid' });
  const words = { thing1: { value: '92号汽油' }, amount2: { value: '200.00元' }, time3: { value: '15:01' } };
  const send = () => outcome(() => api.sendSubscribeMessage('o-npm', 'forecourt-paid', 'pages/receipt', words));
  const sent = (await send()).errcode;
  await control(`tokens/${wechat.appid}/end`); // the client fetches a new one and sends again
  console.log(
    JSON.stringify({
      address: near.regeocode.formatted_address,
      unknown: await outcome(() => maps.weather.weatherInfo({ city: '530100' })),
      openid: session.openid,
      sent: [sent, await send()],
    }),
  );
})();
