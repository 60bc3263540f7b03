// The package on its own, without the page: what its README promises.
import { expect, test } from "@playwright/test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { accuracies, folder, train } from "./native.js";

/** @param {import("@playwright/test").Page} page */
async function open(page) {
  // A page of the same origin that does nothing itself.
  await page.goto("/splitmix/package.json");
}

const TINY = { rounds: 2, clientsPerDomain: 1, trainPerDomain: 60, validateEvery: 1, seed: 3 };
/** Eight bases as narrow as can be, which a software adapter is soon done with, and the same for the command line. */
const EIGHT = { ...TINY, baseWidth: "1/64", budgets: "64-32-16-8" };
const EIGHT_FLAGS = Object.entries(EIGHT).map(([name, value]) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}=${value}`);
/** Two bases, and five lanes: for what does not depend on how many there are. */
const NARROW = { ...EIGHT, budgets: "64-64-64-32" };

test("trains to the native run's metrics", async ({ page }) => {
  await open(page);
  const [native, browser] = await Promise.all([
    train(...EIGHT_FLAGS),
    page.evaluate(async (options) => {
      const { default: init, Data, Engine } = await import(/** @type {any} */ ("/splitmix/splitmix.js"));
      await init();
      const engine = await Engine.create();
      const federation = await engine.federation(Data.embedded(), options);
      /** @type {any[]} */
      const rounds = [];
      await federation.train({ onRound: (/** @type {any} */ round) => rounds.push(round) });
      return rounds;
    }, EIGHT),
  ]);
  expect(browser).toHaveLength(2);
  for (const [i, round] of browser.entries()) {
    // The same sums in another order: adapters differ in their tiles. What a round's first steps differ by in the last bits, its
    // later steps magnify.
    expect(Math.abs(round.loss - native.metrics[i]["train-loss"])).toBeLessThan(2e-3);
    expect(Math.abs(round.accuracy - native.metrics[i]["train-accuracy"])).toBeLessThan(0.02);
    expect(round.readbacks).toBe(1);
    for (const [w, width] of round.validation.entries()) {
      expect(width.width).toBe(native.metrics[i].validation[w].width);
      // 12 images a client: one that tips is 2 points of the mean.
      expect(Math.abs(width.accuracy - native.metrics[i].validation[w].accuracy)).toBeLessThan(0.05);
    }
  }
});

test("own images, checkpoints both ways, ONNX", async ({ page }) => {
  await open(page);
  const done = await page.evaluate(async (options) => {
    const { default: init, Data, Engine } = await import(/** @type {any} */ ("/splitmix/splitmix.js"));
    await init();
    const engine = await Engine.create();
    // Two classes of 8×8 images: bright left or bright right.
    const set = (/** @type {number} */ count) => {
      const [pixels, labels] = [new Uint8Array(count * 192), new Uint8Array(count)];
      for (let i = 0; i < count; i++) {
        labels[i] = i % 2;
        for (let p = 0; p < 192; p++) pixels[i * 192 + p] = (Math.floor(p / 3) % 8 < 4 ? 1 - labels[i] : labels[i]) * 200 + ((i * 7 + p * 13) % 40);
      }
      return { pixels, labels };
    };
    const own = Data.fromArrays({ classes: ["left", "right"], height: 8, width: 8, domains: [{ name: "mine", train: set(80), test: set(40) }] });
    const federation = await engine.federation(own, { ...options, trainPerDomain: 80, bnMode: "tracked", rescaleInit: false, rescaleLayer: false, rounds: 4, lr: 0.1 });
    await federation.train();
    const bytes = await federation.checkpoint();
    const model = await engine.load(bytes, own);
    const [tested] = await model.evaluate({ widths: [0.5] });
    const onnx = await model.onnx({ width: "1/2" });
    const mixed = await engine.load(await model.mix({ width: 0.25 }), own);
    return {
      size: own.imageSize[0],
      same: bytes.length > 0 && String(model.checkpoint()) === String(bytes),
      accuracy: tested.accuracy,
      onnx: onnx.length,
      mixed: mixed.info.widths,
      best: federation.bestCheckpoint()?.length > 0,
      classes: (await mixed.predict(new Uint8Array(2352))).length,
    };
  }, TINY);
  expect(done).toMatchObject({ size: 8, same: true, mixed: ["1/4"], best: true, classes: 2 });
  // Bright left or bright right: nothing is easier.
  expect(done.accuracy).toBeGreaterThanOrEqual(0.95);
  expect(done.onnx).toBeGreaterThan(1e6);
});

test("goes on from its own checkpoint as if it had not stopped; native evaluation agrees", async ({ page }) => {
  await open(page);
  const done = await page.evaluate(async (options) => {
    const { default: init, Data, Engine } = await import(/** @type {any} */ ("/splitmix/splitmix.js"));
    await init();
    const engine = await Engine.create();
    const data = Data.embedded();
    const whole = await engine.federation(data, options);
    await whole.train();
    const first = await engine.federation(data, options);
    await first.train({ rounds: 1 });
    const second = await engine.resume(await first.checkpoint(), data);
    await second.train();
    const [a, b] = [await whole.checkpoint(), await second.checkpoint()];
    const model = await engine.load(a, data);
    const tested = await model.evaluate({ imagesPerClient: 100 });
    const same = a.length === b.length && a.every((/** @type {number} */ v, /** @type {number} */ i) => v === b[i]);
    // As text: a list of so many numbers takes a minute to get here.
    return { same, bytes: a.toBase64(), tested };
  }, NARROW);
  expect(done.same).toBe(true);
  const file = join(await folder(), "browser.safetensors");
  await writeFile(file, Buffer.from(done.bytes, "base64"));
  const native = await accuracies(file, "--images-per-client=100");
  for (const { width, accuracy } of done.tested) expect(Math.abs(accuracy - native[width])).toBeLessThan(0.01);
});

test("does several things at once on one device", async ({ page }) => {
  await open(page);
  const done = await page.evaluate(async (options) => {
    const { default: init, Data, Engine } = await import(/** @type {any} */ ("/splitmix/splitmix.js"));
    await init();
    const engine = await Engine.create();
    const data = Data.embedded();
    const first = await engine.federation(data, { ...options, rounds: 1 });
    await first.train();
    const bytes = await first.checkpoint();
    const one = async () => {
      const model = await engine.load(bytes, data);
      const [tested] = await model.evaluate({ widths: [1 / 32], imagesPerClient: 20 });
      return tested.accuracy;
    };
    const alone = await one();
    const [a, b, rounds] = await Promise.all([
      one(),
      one(),
      engine.federation(data, options).then(async (/** @type {any} */ federation) => {
        await federation.train();
        return federation.roundsDone();
      }),
    ]);
    return { same: a === alone && b === alone, rounds };
  }, NARROW);
  expect(done).toEqual({ same: true, rounds: 2 });
});

test("failures say what is wrong, and cost nothing that is done", async ({ page }) => {
  await open(page);
  const said = await page.evaluate(async (options) => {
    const { default: init, Data, Engine } = await import(/** @type {any} */ ("/splitmix/splitmix.js"));
    await init();
    const engine = await Engine.create();
    const data = Data.embedded();
    const why = async (/** @type {() => any} */ work) => {
      try {
        await work();
        return "no error";
      } catch (/** @type {any} */ error) {
        return `${error.name} ${error.kind}: ${error.message}`;
      }
    };
    const stop = new AbortController();
    const aborted = await engine.federation(data, { ...options, rounds: 5 });
    const lost = await engine.federation(data, { ...options, rounds: 5 });
    const last = await engine.federation(data, { ...options, rounds: 1 });
    const model = await engine.load(await aborted.checkpoint(), data);
    return {
      option: await why(() => engine.federation(data, { round: 1 })),
      value: await why(() => engine.federation(data, { rounds: 0 })),
      type: await why(() => engine.federation(data, { rounds: "many" })),
      native: await why(() => engine.federation(data, { adapter: "0" })),
      memory: await why(() => engine.federation(data, { ...options, memoryLimit: "1kB" })),
      effective: await engine.federation(data, options).then((/** @type {any} */ f) => f.options()),
      file: await why(() => engine.load(new Uint8Array([1, 2, 3]), data)),
      arrays: await why(() => Data.fromArrays({ classes: ["a"], height: 2, width: 2, domains: [] })),
      extra: await why(() => Data.fromArrays({ classes: ["a"], height: 2, width: 2, domains: [], clients: [] })),
      width: await why(() => model.evaluate({ widths: [0.3] })),
      typo: await why(() => model.evaluate({ imagePerClient: 1 })),
      lambda: await why(() => model.evaluate({ lambda: 0.5 })),
      picture: await why(() => model.predict(new Uint8Array(7))),
      image: await why(() => data.testImage(9, 0)),
      call: await why(() => aborted.train({ round: 1 })),
      rounds: await why(() => aborted.train({ rounds: "1" })),
      told: await why(() => aborted.train({ onRound: "told" })),
      untrained: await aborted.roundsDone(),
      abort: await why(() => aborted.train({ signal: stop.signal, onRound: () => stop.abort() })),
      abortedRounds: await aborted.roundsDone(),
      // By now the signal is aborted, but there was nothing left to stop.
      whole: await why(() => last.train().then(() => last.train({ signal: stop.signal }))),
      lost: await why(() => lost.train({ onRound: () => engine.close() })),
      kept: (await lost.checkpoint()).length,
      keptRounds: await lost.roundsDone(),
      after: await why(() => engine.federation(data, options)),
      // A new device takes what was on the lost one.
      again: await why(async () => {
        const other = await Engine.create();
        const [resumed, loaded] = [await other.resume(await lost.checkpoint(), data), await other.load(model.checkpoint(), data)];
        await resumed.train({ rounds: 1 });
        await loaded.predict(data.testImage(0, 0));
      }),
    };
  }, NARROW);
  expect(said.option).toMatch(/SplitmixError config: options: there is no round; there are .*rounds/);
  expect(said.value).toContain("SplitmixError config: rounds = 0: it must be at least 1");
  expect(said.type).toContain("SplitmixError config: options: invalid type");
  expect(said.native).toContain("SplitmixError config: options: adapter is for the command line alone");
  expect(said.memory).toMatch(/SplitmixError (config|gpu): .*memory/);
  expect(said.effective).toMatchObject({ rounds: 2, bnMode: "batch" });
  expect(Object.keys(said.effective)).not.toContain("dataDir");
  expect(said.file).toContain("SplitmixError data: checkpoint: the file is cut short");
  expect(said.arrays).toContain("it has no domain");
  expect(said.extra).toContain("SplitmixError config: data: there is no clients; there are classes, height, width, domains");
  expect(said.typo).toContain("SplitmixError config: evaluate: there is no imagePerClient");
  expect(said.call).toContain("SplitmixError config: train: there is no round; there are rounds, onRound, signal");
  expect(said.rounds).toContain("SplitmixError config: train: rounds must be a whole number, 0 or more");
  expect(said.told).toContain("SplitmixError config: train: onRound must be a function");
  expect(said.untrained).toBe(0);
  expect(said.width).toMatch(/SplitmixError config: .*3\/10/);
  expect(said.lambda).toContain("no adversarial batch norms");
  expect(said.picture).toContain("the picture has 7 bytes; 28×28 pixels");
  expect(said.image).toContain("no test image 0 of domain 9");
  expect(said.abort).toContain("AbortError");
  expect(said.abortedRounds).toBe(1);
  expect(said.whole).toBe("no error");
  expect(said.lost).toContain("SplitmixError gpu: the GPU device was closed");
  expect(said.keptRounds).toBe(1);
  // Two bases of 3764 parameters.
  expect(said.kept).toBeGreaterThan(2 * 3764 * 4);
  expect(said.after).toContain("SplitmixError gpu");
  expect(said.again).toBe("no error");
});

test("the README's example runs", async ({ page }) => {
  const readme = await readFile("package/README.md", "utf8");
  const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  expect(example.split("\n").length).toBeLessThanOrEqual(16);
  await open(page);
  const module = example.replace('"@splitmix/web"', '"/splitmix/splitmix.js"').replace(/rounds: \d+/, "rounds: 1, clientsPerDomain: 1, trainPerDomain: 60").replace("pgd-7", "fgsm");
  expect(module).not.toBe(example);
  // The example is a module of its own, served by the test.
  await page.route("**/example.js", (route) => route.fulfill({ body: `${module}\nexport default probabilities;`, contentType: "text/javascript" }));
  const probabilities = await page.evaluate(async () => [...(await import(/** @type {any} */ ("/example.js"))).default]);
  expect(probabilities).toHaveLength(10);
  expect(probabilities.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 4);
});
