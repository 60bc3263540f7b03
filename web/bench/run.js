// Runs the benchmark in a headless Chromium on its software adapter and prints what the page says: node bench/run.js URL
import { chromium } from "@playwright/test";
import { launchOptions } from "../chromium.js";

const browser = await chromium.launch(launchOptions);
const page = await browser.newPage();
page.on("pageerror", (error) => console.error(String(error)));
await page.goto(process.argv[2]);
await page.waitForFunction(() => ["done", "failed"].includes(document.title), undefined, { timeout: 1_800_000 });
console.log(await page.locator("#result").textContent());
const failed = (await page.title()) === "failed";
await browser.close();
process.exit(failed ? 1 : 0);
