// Takes pictures of the pages: `node pictures.mjs FOLDER`. `make screenshot` takes the one
// of the README.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { demo, serve } from "./programs.mjs";

const [folder, only] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const server = await serve("-f", demo.after, "--since", demo.before);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  for (const [size, width] of [["wide", 1280], ["narrow", 400]]) {
    const context = await browser.newContext({ viewport: { width, height: 800 }, deviceScaleFactor: 1.5 });
    const page = await context.newPage();
    const paths = { overview: "/", changes: "/changes" };
    for (const [kind, name] of [["person", "Dana Whitfield"], ["resource", "Web Shop"]]) {
      await page.goto(new URL(`/search?q=${encodeURIComponent(name)}`, server.url).href);
      paths[kind] = await page.getByRole("table").getByRole("link", { name }).first().getAttribute("href");
    }
    for (const [kind, path] of Object.entries(paths)) {
      const name = `${kind}-${size}`;
      if (only && only !== name) continue;
      await page.goto(new URL(path, server.url).href);
      await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
      if (size === "wide") writeFileSync(join(folder, `${kind}.pdf`), await page.pdf({ preferCSSPageSize: true }));
    }
  }
} finally {
  await browser.close();
  await server.stop();
}
