// Makes page/page.png, the picture of the page that README and page show: node picture.js URL CHECKPOINT
// The page at URL (splitmix web) trains for some minutes, then takes CHECKPOINT, an adversarially trained model, for the rest.
import { chromium } from "@playwright/test";
import { launchOptions } from "./chromium.js";

const [url, checkpoint] = process.argv.slice(2);
const browser = await chromium.launch(launchOptions);
const page = await browser.newPage({ viewport: { width: 1100, height: 900 } });
page.setDefaultTimeout(1_500_000);
await page.goto(url);
await page.locator("[name=rounds]").fill("8");
await page.locator("[name=trainPerDomain]").fill("120");
await page.locator("#train").click();
await page.locator("#status", { hasText: "Done." }).waitFor();
await page.locator("#upload").setInputFiles(checkpoint);
await page.locator("#lambda:enabled").waitFor();
await page.locator("#width").fill("2");
await page.locator("#lambda").fill("0.2");
await page.locator("#fact-accuracy", { hasText: "%" }).waitFor();
await page.locator("#measure").click();
await page.locator("#fact-robust", { hasText: "%" }).waitFor();
for (let i = 0; i < 12; i++) {
  await page.locator("#pick").click();
  await page.locator("#bars .bar").first().waitFor();
  await page.locator("#attack").click();
  await page.locator("#attack-says", { hasText: "no value" }).waitFor();
  if ((await page.locator("#attack-says").textContent())?.startsWith("Taken")) break;
}
await page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement.blur());
// Boxes are told from the top of the window.
await page.evaluate(() => scrollTo(0, 0));
const end = await page.locator("#keep-title").boundingBox();
await page.screenshot({ path: "page/page.png", fullPage: true, clip: { x: 0, y: 0, width: 1100, height: (end?.y ?? 1500) - 30 } });
await browser.close();
