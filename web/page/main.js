// The page: what is pressed, what is shown. The engine works in worker.js.
import * as Comlink from "./vendor/comlink.js";
import { del, get, set } from "./vendor/idb-keyval.js";
import { Pad, paint } from "./pad.js";
import { Plot } from "./plots.js";

/** @typedef {import("./splitmix/splitmix.js").Round} Round */
/** @typedef {import("./splitmix/splitmix.js").ClientInfo} ClientInfo */
/** @typedef {import("./splitmix/splitmix.js").ModelInfo} ModelInfo */

/** What is kept in the browser: enough to show the run again and to go on. */
/** @typedef {{settings: Record<string, string>, clients: ClientInfo[], rounds: Round[], total: number, last: Uint8Array, best?: Uint8Array}} Run */

const SAVED = "splitmix-run";

/** @template {HTMLElement} [T=HTMLElement] @param {string} id @returns {T} */
const $ = (id) => /** @type {T} */ (document.getElementById(id));
/** @param {number | undefined | null} share */
const percent = (share) => (share === undefined || share === null ? "–" : `${(100 * share).toFixed(1)}%`);
const number = new Intl.NumberFormat("en");

const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
/** @type {Comlink.Remote<import("./worker.js").Api>} */
const engine = Comlink.wrap(worker);
// Said where this program does not start.
$("unstarted").remove();


const settings = /** @type {HTMLFormElement} */ ($("settings"));
const loss = new Plot($("loss"), "Loss");
const accuracy = new Plot($("accuracy"), "Accuracy in %");
const pad = new Pad($("pad"), () => void predict());

/** @type {Run | undefined} */
let run;
/** @type {ModelInfo | undefined} */
let model;
/** @type {string[]} */
let classes = [];
/** @type {import("./splitmix/splitmix.js").DomainInfo[]} */
let domains = [];
/** The class and the domain of what is on the pad, where it is a test image. @type {{label: number, domain: string} | undefined} */
let taken;
let training = false;

/** Tells what went wrong. @param {unknown} error */
function fail(error) {
  $("error").hidden = false;
  $("error").textContent = error instanceof Error ? error.message : String(error);
}

/** Does something that may fail. @template T @param {() => Promise<T>} work */
async function attempt(work) {
  $("error").hidden = true;
  try {
    return await work();
  } catch (error) {
    fail(error);
    return undefined;
  }
}

/** @param {HTMLTableElement} table @param {(string | number)[]} head @param {(string | number)[][]} rows */
function fill(table, head, rows) {
  table.replaceChildren();
  const line = (/** @type {(string | number)[]} */ cells, /** @type {"th" | "td"} */ kind) => {
    const row = table.insertRow();
    cells.forEach((text) => row.append(Object.assign(document.createElement(kind), { textContent: String(text) })));
    return row;
  };
  line(head, "th");
  rows.forEach((cells) => line(cells, "td"));
}

/** @param {HTMLElement} list @param {Record<string, string | number>} facts */
function facts(list, facts) {
  list.replaceChildren(
    ...Object.entries(facts).map(([name, value]) => {
      const row = document.createElement("div");
      row.append(
        Object.assign(document.createElement("dt"), { textContent: name }),
        Object.assign(document.createElement("dd"), { textContent: String(value) }),
      );
      return row;
    }),
  );
}

// ---- Training

function options() {
  const form = new FormData(settings);
  const attack = String(form.get("trainAttack"));
  return {
    rounds: Number(form.get("rounds")),
    clientsPerDomain: Number(form.get("clientsPerDomain")),
    trainPerDomain: Number(form.get("trainPerDomain")),
    seed: Number(form.get("seed")),
    validateEvery: 1,
    // Dual batch norms want statistics of their own, and these go without the corrections: as in presets/robust.toml.
    ...(attack ? { lambdaTrain: 0.5, trainAttack: attack, bnMode: "tracked", rescaleInit: false, rescaleLayer: false, lr: 0.1 } : {}),
  };
}

/** Buttons as the moment allows. */
function enable() {
  const set = (/** @type {string} */ id, /** @type {boolean} */ on) => ($(id).toggleAttribute("disabled", !on));
  set("train", !training);
  set("stop", training);
  set("resume", !training && run !== undefined && run.last.length > 0 && run.rounds.length < run.total);
  set("download", model !== undefined);
  set("forget", !training && run !== undefined);
  for (const id of ["width", "measure", "attack"]) set(id, model !== undefined);
  set("lambda", model?.dual === true);
}

/** @param {Round} round */
function showRound(round) {
  const x = round.round + 1;
  loss.add(round.robustAccuracy === undefined ? "loss" : "clean and attacked", x, round.loss);
  for (const width of round.validation) if (width.accuracy !== undefined) accuracy.add(width.width, x, 100 * width.accuracy);
  const robust = round.robustValidation?.accuracy;
  if (robust !== undefined) accuracy.add("1, attacked", x, 100 * robust);
}

function showRun() {
  if (!run) return;
  const { rounds, total, clients } = run;
  const last = rounds.at(-1);
  $("progress").setAttribute("value", String(rounds.length / total));
  if (last) {
    const at = last.validation.map((v) => `${v.width}: ${percent(v.accuracy)}`).join(", ");
    $("status").textContent = `Round ${rounds.length} of ${total}: loss ${last.loss.toFixed(3)}${at ? `; accuracy at width ${at}` : ""}`;
  }
  const widths = last?.validation.map((v) => v.width) ?? [];
  fill(
    /** @type {HTMLTableElement} */ ($("rounds")),
    ["round", "loss", "training", ...widths.map((w) => `width ${w}`), "dispatches", "submits", "readbacks"],
    rounds.map((r) => [
      r.round + 1,
      r.loss.toFixed(4),
      percent(r.accuracy),
      ...r.validation.map((v) => percent(v.accuracy)),
      r.dispatches,
      r.submits,
      r.readbacks,
    ]),
  );
  const bases = 8;
  const table = /** @type {HTMLTableElement} */ ($("federation"));
  fill(table, ["client", "budget", ...Array.from({ length: bases }, (_, b) => b + 1)], clients.map((c) => [c.name, c.budget, ...Array(bases).fill("")]));
  for (const [client, base] of last?.trained ?? []) {
    const cell = table.rows[client + 1]?.cells[base + 2];
    if (cell) Object.assign(cell, { className: "on", textContent: "●", title: `${clients[client].name} trained base ${base + 1}` });
  }
}

function redraw() {
  loss.clear();
  accuracy.clear();
  run?.rounds.forEach(showRound);
  loss.draw();
  accuracy.draw();
  showRun();
}

async function save() {
  if (run) await set(SAVED, run).catch((error) => fail(new Error(`the run could not be kept in this browser: ${error.message}`)));
}

/** Trains what is prepared, from where it is. */
async function train() {
  if (!run) return;
  const own = run;
  training = true;
  enable();
  try {
    const ended = await engine.train(
      Comlink.proxy(async (/** @type {Round} */ round, /** @type {Uint8Array} */ checkpoint) => {
        own.rounds.push(round);
        own.last = checkpoint;
        if (round.best) own.best = checkpoint;
        showRound(round);
        loss.draw();
        accuracy.draw();
        showRun();
        await showCounts(round);
        // Kept as it goes, so that a closed tab or a lost device costs a round at most.
        await save();
      }),
    );
    $("status").textContent += ended === "stopped" ? " Stopped." : " Done.";
  } catch (error) {
    fail(error);
    if (own.rounds.length) $("status").textContent += ` Ended by an error; the ${own.rounds.length} rounds before it are kept.`;
  }
  training = false;
  enable();
}

async function begin() {
  await attempt(async () => {
    $("status").textContent = "Dealing images to clients and compiling kernels …";
    training = true;
    enable();
    try {
      const prepared = await engine.prepare(options());
      const form = Object.fromEntries([...new FormData(settings)].map(([k, v]) => [k, String(v)]));
      run = { settings: form, clients: prepared.clients, rounds: [], total: prepared.options.rounds, last: new Uint8Array() };
    } finally {
      training = false;
      enable();
    }
    redraw();
    await train();
    await useRun();
  });
}

async function goOn() {
  await attempt(async () => {
    if (!run) return;
    training = true;
    enable();
    try {
      $("status").textContent = "Going on …";
      await engine.prepare({}, run.last);
    } finally {
      training = false;
      enable();
    }
    await train();
    await useRun();
  });
}

// ---- The model

/** Takes a checkpoint as the model that the sliders change. @param {Uint8Array} bytes */
async function use(bytes) {
  const info = await engine.load(bytes);
  if (info.image.join() !== "3,28,28" || info.classes !== classes.length) {
    throw new Error(`this page shows models of ${classes.length} classes of 28×28 images; this one has ${info.classes} of ${info.image.join("×")}`);
  }
  model = info;
  const width = /** @type {HTMLInputElement} */ ($("width"));
  width.max = String(info.widths.length);
  width.value = width.max;
  $("lambda-why").textContent = info.dual
    ? "0: as accurate as can be on clean images. 1: as robust as can be."
    : "This model was trained on clean images only: for a choice of robustness, train one with an attack.";
  if (!info.dual) /** @type {HTMLInputElement} */ ($("lambda")).value = "0";
  enable();
  await customise();
}

async function useRun() {
  const bytes = run?.best ?? (run?.last.length ? run.last : undefined);
  if (bytes) await use(bytes);
}

function choice() {
  const width = model?.widths[Number(/** @type {HTMLInputElement} */ ($("width")).value) - 1] ?? "1";
  return { width, lambda: Number(/** @type {HTMLInputElement} */ ($("lambda")).value) };
}

/** Accuracies at a λ, all widths at once: the bases are the same. @type {Map<number, Promise<Map<string, number | undefined>>>} */
let known = new Map();
/** @type {ModelInfo | undefined} */
let knownOf;

/** @param {number} lambda @param {ModelInfo} info */
function accuracies(lambda, info) {
  if (knownOf !== info) [known, knownOf] = [new Map(), info];
  let found = known.get(lambda);
  if (!found) {
    const tested = engine.evaluate({ widths: info.widths, lambda, imagesPerClient: 128 });
    found = tested.then((all) => new Map(all.map((w) => [w.width, w.accuracy])));
    known.set(lambda, found);
  }
  return found;
}

/** Shows what the sliders choose, at once; what has to be computed, as it comes. */
async function customise() {
  const info = model;
  const { width, lambda } = choice();
  $("width-value").textContent = width;
  $("lambda-value").textContent = String(lambda);
  if (!info) return;
  const still = () => choice().width === width && choice().lambda === lambda && model === info;
  await attempt(async () => {
    const cost = await engine.cost(width);
    if (!still()) return;
    $("fact-parameters").textContent = number.format(cost.parameters);
    $("fact-macs").textContent = `${(cost.macs / 1e6).toFixed(2)} million`;
    $("fact-accuracy").textContent = "…";
    $("fact-robust").textContent = "–";
    // The slider may be on its way: only where it rests is measured.
    await new Promise((done) => setTimeout(done, 150));
    if (!still()) return;
    await predict();
    if (!still()) return;
    const found = (await accuracies(lambda, info)).get(width);
    if (still()) $("fact-accuracy").textContent = percent(found);
  });
}

async function measure() {
  const { width, lambda } = choice();
  $("fact-robust").textContent = "…";
  await attempt(async () => {
    const [result] = await engine.evaluate({ widths: [width], lambda, attack: "pgd-7", imagesPerClient: 16 });
    $("fact-robust").textContent = `${percent(result.accuracy)} (PGD, 7 steps, 16 images a client)`;
  });
}

// ---- A digit

/** @param {ArrayLike<number> | undefined} probabilities */
function showBars(probabilities) {
  const all = Array.from(probabilities ?? []);
  const top = all.indexOf(Math.max(...all));
  const bars = $("bars");
  bars.replaceChildren(
    ...all.map((p, i) => {
      const row = Object.assign(document.createElement("div"), { className: i === top ? "bar top" : "bar" });
      const meter = Object.assign(document.createElement("meter"), { min: 0, max: 1, value: p, textContent: percent(p) });
      row.append(Object.assign(document.createElement("span"), { textContent: classes[i] }), meter);
      row.append(Object.assign(document.createElement("span"), { textContent: percent(p) }));
      return row;
    }),
  );
  bars.setAttribute("aria-label", all.length ? `Prediction: ${classes[top]}, ${percent(all[top])}` : "No prediction yet");
  return top;
}

/** The domain that a picture is judged among: a drawing looks like MNIST's. */
const among = () => taken?.domain ?? domains[0].name;

async function predict() {
  $("attacked").hidden = true;
  const pixels = pad.pixels();
  if (!model || !pixels) return;
  await attempt(async () => {
    const { probabilities, milliseconds } = await engine.predict(pixels, { ...choice(), ...context() });
    showBars(probabilities);
    $("fact-time").textContent = `${milliseconds.toFixed(0)} ms, with ${CONTEXT} images for the batch norms`;
  });
}

const CONTEXT = 63;
const context = () => ({ context: CONTEXT, domain: among() });

async function attack() {
  const pixels = pad.pixels();
  if (!model || !pixels) return fail(new Error("draw a digit or take a test image first"));
  await attempt(async () => {
    $("attacked").hidden = false;
    $("attack-says").textContent = "Attacking …";
    const before = await engine.predict(pixels, { ...choice(), ...context() });
    const guess = before.probabilities.indexOf(Math.max(...before.probabilities));
    const label = taken?.label ?? guess;
    const name = /** @type {HTMLSelectElement} */ ($("attack-name")).value;
    const done = await engine.attack(pixels, label, { ...choice(), ...context(), attack: name });
    paint($("attack-image"), done.pixels);
    paint($("attack-noise"), Array.from(done.pixels, (v, i) => 128 + 16 * (v - pixels[i])));
    showBars(done.before);
    const after = showBars(done.after);
    const most = Math.max(...Array.from(done.pixels, (v, i) => Math.abs(v - pixels[i])));
    const was = done.before.indexOf(Math.max(...done.before));
    $("attack-says").textContent =
      (after === was ? `Still taken for ${classes[after]}` : `Taken for ${classes[after]} instead of ${classes[was]}`) +
      ` (${percent(done.after[after])}); no value was changed by more than ${most} of 255.`;
  });
}

/** Which test image of each domain comes next. */
const next = new Map();

async function pick() {
  const domain = Number(/** @type {HTMLSelectElement} */ ($("pick-domain")).value);
  const index = next.get(domain) ?? 0;
  next.set(domain, (index + 1) % domains[domain].test);
  await attempt(async () => {
    const { pixels, label } = await engine.image(domain, index);
    pad.show(pixels);
    taken = { label, domain: domains[domain].name };
    await predict();
  });
}

async function showDomains() {
  for (const [d, domain] of domains.entries()) {
    const row = Object.assign(document.createElement("div"), { className: "domain" });
    row.append(Object.assign(document.createElement("span"), { textContent: `${domain.name} (${domain.origin}), ${number.format(domain.train)} images` }));
    for (let i = 0; i < 10; i++) {
      const { pixels, label } = await engine.image(d, i);
      const canvas = Object.assign(document.createElement("canvas"), { width: 28, height: 28 });
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `a ${classes[label]} of ${domain.name}`);
      paint(canvas, pixels);
      row.append(canvas);
    }
    $("domains").append(row);
    $("pick-domain").append(new Option(domain.name, String(d)));
  }
}

// ---- Keeping and checking

function download(/** @type {Uint8Array} */ bytes) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (bytes)]));
  link.download = "model.safetensors";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function showCounts(/** @type {Round | undefined} */ round) {
  const all = await engine.counts();
  facts($("counts"), {
    ...(round
      ? {
          "Dispatches of the last round": round.dispatches,
          "Submits of the last round": round.submits,
          "Readbacks of the last round": round.readbacks,
          "Waves of the last round": round.waves,
        }
      : {}),
    "Dispatches in all": all.dispatches,
    "Submits in all": all.submits,
    "Readbacks in all": all.readbacks,
  });
}

async function selfTest() {
  $("self-test").toggleAttribute("disabled", true);
  $("self-test-details").hidden = false;
  let [done, failed] = [0, 0];
  const table = /** @type {HTMLTableElement} */ ($("self-test-rows"));
  fill(table, ["kernel", "error / allowed", "verdict", "shape"], []);
  const finished = await attempt(async () => {
    await engine.selfTest(
      Comlink.proxy((/** @type {import("./splitmix/splitmix.js").SelfTestRow} */ row) => {
        done += 1;
        failed += row.failure ? 1 : 0;
        $("self-test-says").textContent = `${done} checks, ${failed} failed …`;
        const line = table.insertRow();
        for (const text of [row.op, percent(row.worst), row.failure ? `FAILED: ${row.failure}` : "ok", row.shape]) line.insertCell().textContent = text;
        if (row.failure) line.className = "failed";
      }),
    );
    $("self-test-says").textContent = failed
      ? `${failed} of ${done} checks failed: results on this GPU are not to be trusted. Update browser and driver.`
      : `All ${done} checks passed.`;
    return true;
  });
  if (!finished) $("self-test-says").textContent = `Ended early, after ${done} checks, ${failed} failed: see the error.`;
  $("self-test").toggleAttribute("disabled", false);
}

// ---- Start

async function start() {
  if (!("gpu" in navigator)) throw new Error("This browser has no WebGPU, or keeps it switched off.");
  const { adapter, domains: all, classes: names } = await engine.start();
  [domains, classes] = [all, names];
  $("adapter").textContent = `Runs on: ${adapter.name}${adapter.software ? " – slow: on a graphics card it takes a small part of the time" : ""}`;
  facts($("limits"), {
    "Largest binding": `${(adapter.largestBinding / 2 ** 20).toFixed(0)} MiB`,
    "Invocations of a workgroup": adapter.invocations,
    "Workgroup memory": `${adapter.workgroupMemory / 1024} KiB`,
    "Storage buffers of a dispatch": adapter.storageBuffers,
  });
  const defaults = adapter.software
    ? { rounds: "6", clientsPerDomain: "1", trainPerDomain: "60", trainAttack: "", seed: "1" }
    : { rounds: "20", clientsPerDomain: "2", trainPerDomain: "1200", trainAttack: "pgd-3", seed: "1" };
  const saved = /** @type {Run | undefined} */ (await get(SAVED).catch(() => undefined));
  for (const [name, value] of Object.entries(saved?.settings ?? defaults)) {
    const field = settings.elements.namedItem(name);
    if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) field.value = value;
  }
  $("main").hidden = false;
  await showDomains();
  if (saved) {
    run = saved;
    redraw();
    $("status").textContent += " Restored from this browser.";
    await attempt(useRun);
  }
  loss.draw();
  accuracy.draw();
  await showCounts(run?.rounds.at(-1));
  enable();
}

settings.addEventListener("submit", (event) => {
  event.preventDefault();
  void begin();
});
$("stop").addEventListener("click", () => {
  $("status").textContent += " Stopping after this round …";
  void engine.stop();
});
$("resume").addEventListener("click", () => void goOn());
for (const id of ["width", "lambda"]) $(id).addEventListener("input", () => void customise());
$("measure").addEventListener("click", () => void measure());
$("clear").addEventListener("click", () => {
  pad.clear();
  taken = undefined;
  showBars(undefined);
  $("attacked").hidden = true;
});
$("pad").addEventListener("pointerdown", () => (taken = undefined));
$("pick").addEventListener("click", () => void pick());
$("attack").addEventListener("click", () => void attack());
$("download").addEventListener("click", () => void attempt(async () => download(await engine.checkpoint())));
$("upload").addEventListener("change", async (event) => {
  const file = /** @type {HTMLInputElement} */ (event.target).files?.[0];
  if (file) await attempt(async () => use(new Uint8Array(await file.arrayBuffer())));
});
$("forget").addEventListener("click", () =>
  attempt(async () => {
    await del(SAVED);
    run = undefined;
    redraw();
    fill($("rounds"), [], []);
    fill($("federation"), [], []);
    $("progress").setAttribute("value", "0");
    $("status").textContent = "Not trained yet.";
    enable();
  }),
);
$("self-test").addEventListener("click", () => void selfTest());

start().catch((error) => {
  $("adapter").textContent = "No GPU can be used.";
  $("missing").hidden = false;
  $("missing-why").textContent = error instanceof Error ? error.message : String(error);
});
