// Takes pictures of the pages of the demo: `node pictures.mjs FOLDER`. With a third argument
// it only takes the one of the README, which `make screenshot` does.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { demo, serve } from "./programs.mjs";

const [folder, readme] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const server = await serve("-f", demo.after, "--since", demo.before);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

// open opens the page of a person or thing by its name.
async function open(page, name) {
  await page.goto(new URL(`/search?q=${encodeURIComponent(name)}`, server.url).href);
  await page.getByRole("table").getByRole("link", { name, exact: true }).first().click();
  await page.getByRole("heading", { level: 1, name }).waitFor();
}

const resource = "Web Shop";
const pages = {
  overview: (page) => page.goto(server.url),
  changes: (page) => page.goto(new URL("/changes", server.url).href),
  person: (page) => open(page, "Dana Whitfield"),
  resource: (page) => open(page, resource),
};

async function takeAll() {
  for (const [size, width] of [["wide", 1280], ["narrow", 400]]) {
    const page = await browser.newPage({ viewport: { width, height: 800 }, deviceScaleFactor: 1.5 });
    for (const [name, goTo] of Object.entries(pages)) {
      await goTo(page);
      await page.screenshot({ path: join(folder, `${name}-${size}.png`), fullPage: true });
      if (size === "wide") writeFileSync(join(folder, `${name}.pdf`), await page.pdf({ preferCSSPageSize: true }));
    }
  }
}

// takeGraph takes the upper part of the page of a resource, down to the end of the graph.
async function takeGraph() {
  const page = await browser.newPage({ viewport: { width: 1060, height: 1200 }, deviceScaleFactor: 1.5 });
  await open(page, resource);
  const main = await page.locator("main").boundingBox();
  const { y, height } = await page.locator(".picture").boundingBox();
  await page.screenshot({ path: join(folder, "who.png"), clip: { x: main.x - 16, y: main.y, width: main.width + 32, height: y + height - main.y } });
}

try {
  await (readme ? takeGraph() : takeAll());
} finally {
  await browser.close();
  await server.stop();
}
