// The page where something goes wrong: what is said, what stays, and that it goes on.
import { expect, test } from "@playwright/test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { folder } from "./native.js";

/** Complaints of the browser itself, where none are expected. @type {string[]} */
let complaints = [];

test.beforeEach(({ page }) => {
  complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
});

/** @param {import("@playwright/test").Page} page @param {number} rounds */
async function train(page, rounds) {
  await page.locator("[name=rounds]").fill(String(rounds));
  await page.locator("[name=trainPerDomain]").fill("40");
  await page.locator("#train").click();
}

/** The file of a checkpoint before its first round, made by the package. @param {import("@playwright/test").Page} page @param {object} options */
async function checkpoint(page, options) {
  const bytes = await page.evaluate(async (options) => {
    const { default: init, Data, Engine } = await import(/** @type {any} */ ("/splitmix/splitmix.js"));
    await init();
    const engine = await Engine.create();
    const federation = await engine.federation(Data.embedded(), { clientsPerDomain: 1, trainPerDomain: 40, ...options });
    const bytes = await federation.checkpoint();
    engine.close();
    // As text: a list of so many numbers takes a minute to get here.
    return bytes.toBase64();
  }, options);
  const file = join(await folder(), "model.safetensors");
  writeFileSync(file, Buffer.from(bytes, "base64"));
  return file;
}

/** A network for larger images than the page's. */
const LARGER = {
  name: "larger",
  input: [3, 32, 32],
  layers: [
    { type: "conv2d", name: "conv", "out-channels": 8, kernel: 5, padding: 2 },
    { type: "batch-norm", name: "bn" },
    { type: "max-pool", kernel: 4, stride: 4 },
    { type: "linear", name: "fc" },
  ],
};

test("an error that ends a training stays, and after a lost device the page goes on", async ({ page }) => {
  // The worker's engine is within reach of the test.
  const body = `${readFileSync("dist/worker.js", "utf8")}\nself.lose = () => engine.close();`;
  await page.route("**/worker.js", (route) => route.fulfill({ body, contentType: "text/javascript" }));
  await page.goto("/");
  await train(page, 3);
  await expect(page.locator("#status")).toContainText("Round 1 of 3");
  await page.workers()[0].evaluate(() => /** @type {any} */ (self).lose());
  await expect(page.locator("#status")).toContainText("Ended by an error");
  // Told by whoever noticed first, the device or who waited for it.
  const gone = /the GPU device was closed|reading results back failed/;
  await expect(page.locator("#error")).toHaveText(gone);
  // The model of what is kept is taken meanwhile, on another device, which hides nothing.
  await expect(page.locator("#fact-accuracy")).toHaveText(/%$/);
  await expect(page.locator("#error")).toHaveText(gone);
  await page.locator("#resume").click();
  await expect(page.locator("#error")).toBeHidden();
  await expect(page.locator("#status")).toContainText("Round 3 of 3");
  await expect(page.locator("#status")).toContainText("Done.");
  await expect(page.locator("#error")).toBeHidden();
  expect(complaints).toEqual([]);
});

test("what cannot be trained is told, and the status is as it was; Stop counts while a training is prepared", async ({ page }) => {
  await page.goto("/");
  await page.locator("[name=trainPerDomain]").fill("20");
  await page.locator("[name=clientsPerDomain]").fill("16");
  await page.locator("#train").click();
  await expect(page.locator("#error")).toBeVisible();
  await expect(page.locator("#status")).toHaveText("Not trained yet.");
  await page.locator("[name=clientsPerDomain]").fill("1");
  await train(page, 6);
  await page.locator("#stop").click();
  await expect(page.locator("#status")).toContainText("Stopped");
  await expect(page.locator("#error")).toBeHidden();
  expect(await page.locator("#rounds tr").count()).toBeLessThan(3);
});

test("checkpoints of other options are shown and judged, one of other images changes nothing", async ({ page }) => {
  await page.goto("/");
  await expect(page.locator("#train")).toBeEnabled();
  const local = { bnMode: "tracked", localBn: true, rescaleInit: false, rescaleLayer: false, lambdaTrain: 0.5, domains: ["optdigits"] };
  await page.locator("#upload").setInputFiles(await checkpoint(page, local));
  await expect(page.locator("#fact-accuracy")).toHaveText(/%$/);
  await expect(page.locator("#client option")).toHaveCount(1);
  await page.locator("#pick").click();
  await expect(page.locator("#bars .bar")).toHaveCount(10);
  await expect(page.locator("#prediction")).toHaveText(/Prediction: \d/);
  await page.locator("#attack-name").selectOption("fgsm");
  await page.locator("#attack").click();
  await expect(page.locator("#attack-says")).toContainText("no value was changed");
  await expect(page.locator("#error")).toBeHidden();

  // Batch statistics of one domain, which is not that of the picture.
  await page.locator("#upload").setInputFiles(await checkpoint(page, { domains: ["optdigits"] }));
  await expect(page.locator("#client-choice")).toBeHidden();
  await expect(page.locator("#fact-time")).toContainText("63 images");
  await expect(page.locator("#fact-accuracy")).toHaveText(/%$/);
  await expect(page.locator("#error")).toBeHidden();

  const kept = async () => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#download").click()]);
    return [await page.locator("#fact-accuracy").textContent(), readFileSync(await download.path()).toString("base64")];
  };
  const before = await kept();
  await page.locator("#upload").setInputFiles(await checkpoint(page, { network: LARGER }));
  await expect(page.locator("#error")).toContainText("this one is of 32×32");
  await expect(page.locator("#upload")).toHaveValue("");
  expect(await kept()).toEqual(before);
  expect(complaints).toEqual([]);
});

test("figures are those of the choice that is shown", async ({ page }) => {
  await page.goto("/");
  await page.locator("#upload").setInputFiles(await checkpoint(page, { budgets: "4" }));
  await expect(page.locator("#fact-accuracy")).toHaveText(/%$/);
  // All in one task: nothing was computed meanwhile.
  const shown = await page.evaluate(() => {
    const width = /** @type {HTMLInputElement} */ (document.getElementById("width"));
    document.getElementById("measure")?.click();
    width.value = "1";
    width.dispatchEvent(new Event("input"));
    return ["accuracy", "robust", "parameters", "macs"].map((fact) => document.getElementById(`fact-${fact}`)?.textContent);
  });
  expect(shown).toEqual(["–", "–", "–", "–"]);
  await expect(page.locator("#fact-accuracy")).toHaveText(/%$/);
  // The measurement of the other width came before that.
  await expect(page.locator("#fact-robust")).toHaveText("–");
});

test("a worker that ends, or is not there, is told", async ({ page }) => {
  await page.goto("/");
  await expect(page.locator("#train")).toBeEnabled();
  await page.workers()[0].evaluate(() => void setTimeout(() => Promise.reject(new Error("unreachable"))));
  await expect(page.locator("#error")).toContainText("The engine stopped");
  await expect(page.locator("#error")).toContainText("unreachable");
  for (const id of ["train", "stop", "pick", "upload"]) await expect(page.locator(`#${id}`)).toBeDisabled();

  await page.route("**/worker.js", (route) => route.abort());
  await page.reload();
  await expect(page.locator("#error")).toContainText("The engine stopped: reload the page");
  await page.unroute("**/worker.js");
});

test("a page whose program does not start says so", async ({ page }) => {
  await page.route("**/main.js", (route) => route.fulfill({ body: "", contentType: "application/octet-stream" }));
  await page.goto("/");
  await expect(page.locator("#unstarted")).toBeVisible();
  await page.unroute("**/main.js");
  await page.goto("/");
  await expect(page.locator("#adapter")).toContainText("Runs on:");
  await expect(page.locator("#unstarted")).toHaveCount(0);
});
