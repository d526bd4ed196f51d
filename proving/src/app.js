// The application behind the servers under test. How it behaves stands in app.json beside it or in APP_* variables.
'use strict';
const fs = require('fs');
const http = require('http');
const path = require('path');

const told = JSON.parse(fs.readFileSync(path.join(__dirname, 'app.json'), 'utf8'));
for (const name of Object.keys(told)) {
  const value = process.env['APP_' + name.toUpperCase()];
  if (value !== undefined) told[name] = typeof told[name] === 'string' ? value : JSON.parse(value);
}

let requests = 0;
let underWay = 0;
let held = [];
let ending = false;

function answer(response, status, body) {
  underWay -= 1;
  response.statusCode = status;
  response.setHeader('x-version', told.version);
  response.setHeader('x-pid', String(process.pid));
  response.setHeader('content-type', 'text/plain');
  response.setHeader('content-length', Buffer.byteLength(body));
  if (ending) response.setHeader('connection', 'close');
  response.end(body);
}

const server = http.createServer((request, response) => {
  request.resume();
  underWay += 1;
  if (request.url === '/under-way') return answer(response, 200, String(underWay - 1));
  if (request.url === '/hold') return void held.push(response);
  if (request.url === '/release') {
    held.splice(0).forEach((one) => answer(one, 200, told.version));
    return answer(response, 200, '');
  }
  requests += 1;
  // Of any hundred in a row exactly so many fail.
  const failed = Math.floor(requests * told.fails_percent / 100) - Math.floor((requests - 1) * told.fails_percent / 100);
  setTimeout(() => answer(response, failed ? 500 : 200, told.version), told.request_ms);
});
server.keepAliveTimeout = 65000;

function end() {
  if (ending) return;
  ending = true;
  // Idle connections are closed, those under way when they are answered; then nothing holds the process any more.
  server.close(() => process.exit(0));
  server.closeIdleConnections();
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, told.ignores_signals ? () => {} : end);
}

function ready() {
  if (process.send) process.send('ready');
  if (told.dies_after_ms > 0) setTimeout(() => process.exit(1), told.dies_after_ms);
}

function listen() {
  if (told.crash_at_boot) throw new Error('told to crash at boot');
  if (told.never_ready) return void setInterval(() => {}, 1000);
  const socket = process.env.SOCKET_PATH;
  if (!socket) return server.listen(told.wrong_address ? 0 : Number(process.env.PORT), '127.0.0.1', ready);
  const own = told.wrong_address ? socket + '.wrong' : socket;
  fs.rmSync(own, { force: true });
  // The workers of a server run as another user, who must be able to connect from the first moment on.
  process.umask(0);
  server.listen(own, ready);
}

setTimeout(listen, told.boot_ms);
