// node_client.js HOST PORT CONNECTIONS REQUESTS - posts random bytes over kept connections, compares what comes back
'use strict';
const http = require('http');
const crypto = require('crypto');
const [host, port, connections, requests] = process.argv.slice(2);
const agent = new http.Agent({keepAlive: true, maxSockets: Number(connections)});
let left = Number(requests);

function fail(text) {
  console.error(text);
  process.exit(1);
}
function post(number) {
  const body = crypto.randomBytes([0, 10, 1460, 20000, 100000][number % 5]);
  const options = {host, port, agent, method: 'POST', timeout: 30000, headers: {'content-length': body.length}};
  const request = http.request(options, (response) => {
    const parts = [];
    response.on('data', (part) => parts.push(part));
    response.on('end', () => {
      if (response.statusCode !== 200 || !Buffer.concat(parts).equals(body))
        fail(`request ${number}: status ${response.statusCode}, other bytes`);
      if (--left === 0) agent.destroy();
    });
  });
  request.on('timeout', () => fail(`request ${number}: no answer for 30 s`));
  request.on('error', (error) => fail(`request ${number}: ${error}`));
  request.end(body);
}
for (let i = 0; i < Number(requests); i++) post(i);
