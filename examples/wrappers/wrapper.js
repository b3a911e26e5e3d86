#!/usr/bin/env node
// A wrapper in Node.js: coachman spawn -- examples/wrappers/wrapper.js

const http = require("node:http");
const readline = require("node:readline");

const request = {};
let acknowledged = false;

console.log("!> I have control 1.0");
const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => {
  if (!acknowledged) {
    acknowledged = line === "You have control 1.0";
    if (!acknowledged) process.exit(1);
  } else if (line === "") {
    start();
  } else {
    const [key] = line.split(": ", 1);
    request[key] = line.slice(key.length + 2);
  }
});
lines.on("close", () => process.exit(0)); // the end of stdin: we are to quit

function start() {
  const path = `${request.socket_dir}/node.${process.pid}`;
  const server = http.createServer((_, response) => response.end(`hello from ${process.pid}\n`));
  server.on("error", (error) => {
    process.stdout.write(`!> Error\n!> \nthe server could not be started: ${error}\n`, () => process.exit(1));
  });
  server.listen(path, () => {
    console.log(`!> Ready\n!> socket: main;unix:${path};http;0\n!> `);
  });
}
