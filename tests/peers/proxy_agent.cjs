// What an installation behind a proxy gives Node: HTTPS through CONNECT. Required with `node --require`; the clients stay
// as they are. The certificate authority comes with NODE_EXTRA_CA_CERTS.
'use strict';
const http = require('node:http');
const https = require('node:https');
const tls = require('node:tls');

const proxy = new URL(process.env.FORECOURT_PROXY);

class Tunnel extends https.Agent {
  createConnection(options, done) {
    const path = `${options.host}:${options.port || 443}`;
    const request = http.request({ host: proxy.hostname, port: proxy.port, method: 'CONNECT', path });
    request.on('connect', (reply, socket) => {
      if (reply.statusCode !== 200) done(new Error(`the proxy answered ${reply.statusCode}`));
      else done(null, tls.connect({ ...options, socket, servername: options.servername || options.host }));
    });
    request.on('error', done);
    request.end();
  }
}

https.globalAgent = new Tunnel({ keepAlive: true });
