// Tests the pages of segment-iam in Chromium: report and serve, of the demo and of the
// workspace of hostile names. `make test-browser` runs it.
import assert from "node:assert/strict";
import { readFileSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { demo, segmentIAM, serve, syncHostile } from "./programs.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

let browser, hostile, dir;
const reports = {};
const servers = {};

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "browser-"));
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  hostile = await syncHostile();
  const sources = { demo: ["-f", demo.after, "--since", demo.before], hostile: ["-f", hostile.file], both: ["-f", demo.after, "-f", hostile.file, "--since", demo.before] };
  for (const [name, args] of Object.entries(sources)) {
    const file = join(dir, `${name}.html`);
    segmentIAM("report", "-o", file, ...args);
    reports[name] = pathToFileURL(file).href;
    servers[name] = await serve(...args);
  }
});

after(async () => {
  await browser?.close();
  for (const server of Object.values(servers)) await server.stop();
  hostile?.remove();
  if (dir) rmSync(dir, { recursive: true });
});

// open opens a page that fails the test if it logs an error, asks for anything but pages of
// its own, or shows a dialog.
async function open(t, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(5000);
  const page = await context.newPage();
  const wrong = [];
  const own = url.startsWith("file:") ? url : new URL(url).origin + "/";
  page.on("console", (message) => wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  page.on("dialog", (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    if (!request.url().startsWith(own) || !request.isNavigationRequest()) wrong.push(`request: ${request.url()}`);
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  });
  await page.goto(url);
  return page;
}

// checkAccessible runs axe-core. Its script comes through the debugger, past the policy of the page.
async function checkAccessible(page, what) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
  console.log(`axe-core ${what}: ${passes.length} rules passed, ${violations.length} violations`);
  assert.deepEqual(violations.map((v) => ({ rule: v.id, help: v.help, at: v.nodes.slice(0, 3).map((n) => n.html) })), []);
}

async function checkFits(page, width) {
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, `wider than ${width} px`);
}

async function checkPrints(page) {
  const pdf = await page.pdf({ preferCSSPageSize: true });
  assert.equal(pdf.subarray(0, 5).toString(), "%PDF-");
  return pdf;
}

test("serve: search a person, follow to a resource, print", async (t) => {
  const page = await open(t, servers.demo.url);
  await page.getByRole("searchbox").fill("kwame");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Kwame Asante" }).click();
  await page.getByRole("heading", { level: 1, name: "user Kwame Asante" }).waitFor();
  await page.getByRole("table").getByRole("link", { name: /^source / }).first().click();
  await page.getByRole("heading", { level: 1, name: /^source / }).waitFor();
  await page.getByRole("table").getByRole("link", { name: "Kwame Asante" }).first().waitFor();
  await checkPrints(page);
});

test("report: search a person, follow to a resource, print", async (t) => {
  const page = await open(t, reports.demo);
  await page.getByRole("searchbox").fill("KWAME.asante@");
  await page.locator("#found").getByRole("link", { name: "Kwame Asante" }).click();
  const person = page.locator("section:target");
  await person.getByRole("heading", { name: "Kwame Asante" }).waitFor();
  await person.getByRole("table").getByRole("link", { name: /^source / }).first().click();
  await page.locator("section:target").getByRole("heading", { level: 3, name: /^source / }).waitFor();
  await page.getByRole("searchbox").fill("nobody is called this");
  await page.locator("#found").getByText("No matches").waitFor();
  await checkPrints(page);
});

for (const [name, colorScheme, width] of [["demo", "light", 1280], ["hostile", "dark", 400], ["both", "dark", 1280]]) {
  test(`axe-core finds nothing: ${name}, ${colorScheme}, ${width} px`, async (t) => {
    const options = { colorScheme, viewport: { width, height: 900 } };
    const served = await open(t, servers[name].url, options);
    let paths = ["/", "/changes", "/search?q=a", "/list?name=owners"]; // Pages that differ if there are several workspaces.
    if (name !== "both") {
      const page = await open(t, reports[name], options);
      await checkFits(page, width);
      await checkAccessible(page, `report of ${name}, ${colorScheme}, ${width} px`);
      paths = await pagesOfEachKind(served);
    }
    for (const path of paths) {
      await served.goto(new URL(path, servers[name].url).href);
      await checkFits(served, width);
      await checkAccessible(served, `${path} of ${name}, ${colorScheme}, ${width} px`);
    }
  });
}

// pagesOfEachKind returns one address of each kind of page, and of lists one of each kind
// of rows.
async function pagesOfEachKind(page) {
  const lists = ["owners", "invites", "unheld-roles", "people"].map((name) => `/list?name=${name}`);
  const kinds = new Map();
  const links = () => page.evaluate(() => Array.from(document.querySelectorAll("a[href^='/']"), (a) => a.getAttribute("href")));
  for (const list of (await links()).filter((path) => path.startsWith("/list"))) {
    await page.goto(new URL(list, page.url()).href);
    for (const path of await links()) {
      const kind = path.replace(/\?.*/, "");
      if (kind !== "/list" && !kinds.has(kind)) kinds.set(kind, path);
    }
  }
  return ["/search?q=a", ...lists, ...kinds.values()];
}

test("hostile names are shown as text", async (t) => {
  for (const url of [reports.hostile, servers.hostile.url]) {
    const page = await open(t, url);
    const { elements, scripts } = await page.evaluate(() => ({
      elements: Array.from(new Set(Array.from(document.querySelectorAll("body *"), (e) => e.localName))).sort(),
      scripts: document.scripts.length,
    }));
    assert.ok(scripts <= 1);
    for (const element of ["img", "iframe", "object", "embed", "link", "base", "audio", "video"]) assert.ok(!elements.includes(element), element);
  }
});

test("keyboard alone", async (t) => {
  const page = await open(t, servers.demo.url);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  const focused = await page.evaluate(() => ({ inMain: document.querySelector("main").contains(document.activeElement), outline: getComputedStyle(document.activeElement).outlineStyle }));
  assert.deepEqual(focused, { inMain: true, outline: "solid" });
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Workspace owners" }).waitFor();
});
