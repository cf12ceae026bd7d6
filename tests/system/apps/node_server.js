// node_server.js KIND PORT ADDRESS... - an HTTP server that sends back what it is sent, in one process or in a cluster
'use strict';
const http = require('http');
const cluster = require('cluster');
const [kind, port, ...addresses] = process.argv.slice(2);

function serve() {
  for (const address of addresses)
    http.createServer((request, response) => {
      response.writeHead(200, {'x-length': request.headers['content-length'] || '0'});
      request.pipe(response);
    }).listen(Number(port), address);
}
process.on('SIGTERM', () => process.exit(0));
if (kind === 'cluster' && cluster.isPrimary) {
  for (let i = 0; i < 2; i++) cluster.fork();
} else {
  serve();
}
