// Runs the programs of bin/ for the tests and pictures of the pages.
import { spawn, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const bin = join(import.meta.dirname, "..", "..", "bin");

// demo has the files that `make demo` leaves.
export const demo = {
  before: join(bin, "demo", "sync.c1z"),
  after: join(bin, "demo", "later.c1z"),
};

export const segmentIAM = (...args) => execFileSync(join(bin, "segment-iam"), args, { encoding: "utf8" });

// start starts a program and waits until it has printed all of some values.
async function start(program, args, ...patterns) {
  const process = spawn(join(bin, program), args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(process, "exit");
  const found = [];
  for await (const line of createInterface({ input: process.stdout })) {
    patterns.forEach((pattern, i) => {
      const match = line.match(pattern);
      if (match) found[i] = match[1];
    });
    if (patterns.every((_, i) => found[i] !== undefined)) {
      const stop = async () => {
        process.kill("SIGINT");
        const [code, signal] = await ended;
        if (signal !== null || (program === "segment-iam" && code !== 0)) throw new Error(`${program} ended with ${code}, ${signal}`);
      };
      return { found, stop };
    }
  }
  throw new Error(`${program} ended too early`);
}

// syncHostile reads the simulator's workspace of hostile names into a file.
export async function syncHostile() {
  const dir = mkdtempSync(join(tmpdir(), "browser-"));
  const file = join(dir, "hostile.c1z");
  const simulator = await start("segment-sim", ["-addr", "127.0.0.1:0", "-workspace", "hostile"], /^URL=(.*)/, /^TOKEN=(.*)/);
  const [url, token] = simulator.found;
  try {
    execFileSync(join(bin, "baton-segment"), ["-f", file, "--log-level", "error"], { env: { ...process.env, BATON_BASE_URL: url, BATON_TOKEN: token } });
  } finally {
    await simulator.stop();
  }
  return { file, remove: () => rmSync(dir, { recursive: true }) };
}

// serve shows files, and returns the address of the first page.
export async function serve(...args) {
  const server = await start("segment-iam", ["serve", ...args], /^(http:\S+)/);
  return { url: server.found[0], stop: server.stop };
}
