// Answers requests on standard input, one line of JSON each, with one line of JSON each; ends with its input.
'use strict';
const readline = require('node:readline');

module.exports = async (handle) => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer;
    try {
      answer = { ok: await handle(JSON.parse(line)) };
    } catch (error) {
      answer = { error: String((error && error.message) || error), code: error && error.modbusCode };
    }
    process.stdout.write(JSON.stringify(answer === undefined ? null : answer) + '\n');
  }
  process.exit(0);
};
