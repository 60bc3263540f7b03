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

/** No checkpoint that a browser has memory for is larger, in bytes. */
const LARGEST = 2 ** 29;

/** @template {HTMLElement} [T=HTMLElement] @param {string} id @returns {T} */
const $ = (id) => /** @type {T} */ (document.getElementById(id));
/** @param {number | undefined | null} share */
const percent = (share) => (share === undefined || share === null ? "–" : `${(100 * share).toFixed(1)}%`);
const number = new Intl.NumberFormat("en");

// Said where this program does not start.
$("unstarted").remove();

const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
/** @type {Comlink.Remote<import("./worker.js").Api>} */
const engine = Comlink.wrap(worker);

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
let stopped = false;

/** What may fail: each tells its last failure until it is tried again or a button is pressed. @typedef {"training" | "keeping" | "model" | "picture" | "self-test" | "engine"} Kind */

/** @type {Map<Kind, string>} */
const failures = new Map();

function showFailures() {
  $("error").hidden = failures.size === 0;
  $("error").replaceChildren(...Array.from(failures.values(), (text) => Object.assign(document.createElement("p"), { textContent: text })));
}

/** Tells what went wrong. @param {Kind} kind @param {unknown} error */
function fail(kind, error) {
  failures.set(kind, error instanceof Error ? error.message : String(error));
  showFailures();
}

/** Does something that may fail. @template T @param {Kind} kind @param {() => Promise<T>} work */
async function attempt(kind, work) {
  if (failures.delete(kind)) showFailures();
  try {
    return await work();
  } catch (error) {
    fail(kind, error);
    return undefined;
  }
}

// Whoever presses a button has read what failed before. Only a stopped engine stays told.
document.addEventListener(
  "click",
  (event) => {
    if (!(event.target instanceof Element && event.target.closest("button"))) return;
    for (const kind of failures.keys()) if (kind !== "engine") failures.delete(kind);
    showFailures();
  },
  true,
);

// A worker that was not loaded, or whose program ended: what was asked of it is never answered.
for (const name of ["error", "messageerror"]) {
  worker.addEventListener(name, (event) => {
    stopped = true;
    const why = event instanceof ErrorEvent && event.message ? ` (${event.message})` : "";
    fail("engine", `The engine stopped${why}: reload the page; the last whole round is kept.`);
    $("adapter").textContent = "The engine stopped.";
    enable();
  });
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
  if (stopped) {
    for (const control of document.querySelectorAll("main :is(button, input, select)")) control.toggleAttribute("disabled", true);
    return;
  }
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
  await attempt("keeping", async () => {
    if (run) await set(SAVED, run).catch((error) => Promise.reject(new Error(`the run could not be kept in this browser: ${error.message}`)));
  });
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
    fail("training", error);
    if (own.rounds.length) $("status").textContent += ` Ended by an error; the ${own.rounds.length} rounds before it are kept.`;
  }
  training = false;
  enable();
}

/**
 * Prepares a training, and trains.
 * @param {string} says @param {() => ReturnType<typeof engine.prepare>} prepare
 * @param {(prepared: NonNullable<Awaited<ReturnType<typeof engine.prepare>>>) => void} ready
 */
async function trainAfter(says, prepare, ready) {
  const prepared = await attempt("training", async () => {
    const before = $("status").textContent;
    $("status").textContent = says;
    training = true;
    enable();
    try {
      const made = await prepare();
      $("status").textContent = made ? says : "Stopped before a round.";
      return made;
    } catch (error) {
      $("status").textContent = before;
      throw error;
    } finally {
      training = false;
      enable();
    }
  });
  if (!prepared) return;
  ready(prepared);
  await train();
  await attempt("model", useRun);
}

function begin() {
  const form = Object.fromEntries([...new FormData(settings)].map(([k, v]) => [k, String(v)]));
  const wanted = options();
  return trainAfter(
    "Dealing images to clients and compiling kernels …",
    () => engine.prepare(wanted),
    (prepared) => {
      run = { settings: form, clients: prepared.clients, rounds: [], total: prepared.options.rounds, last: new Uint8Array() };
      redraw();
    },
  );
}

async function goOn() {
  const last = run?.last;
  if (last) await trainAfter("Going on …", () => engine.prepare({}, last), () => {});
}

// ---- The model

/** Takes a checkpoint as the model that the sliders change. @param {Uint8Array} bytes */
async function use(bytes) {
  const info = await engine.load(bytes);
  model = info;
  const width = /** @type {HTMLInputElement} */ ($("width"));
  width.max = String(info.widths.length);
  width.value = width.max;
  $("lambda-why").textContent = info.dual
    ? "0: as accurate as can be on clean images. 1: as robust as can be."
    : "This model was trained on clean images only: for a choice of robustness, train one with an attack.";
  if (!info.dual) /** @type {HTMLInputElement} */ ($("lambda")).value = "0";
  $("client").replaceChildren(...info.clients.map((name) => new Option(name)));
  $("client-choice").hidden = info.clients.length === 0;
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
    // What failed is tried again when it is wanted again.
    const own = known;
    found.catch(() => own.delete(lambda));
    known.set(lambda, found);
  }
  return found;
}

/** What the sliders choose now, and whether they still do. */
function chosen() {
  const [info, { width, lambda }] = [model, choice()];
  return { info, width, lambda, still: () => choice().width === width && choice().lambda === lambda && model === info };
}

/** Shows what the sliders choose, at once; what has to be computed, as it comes. */
async function customise() {
  const { info, width, lambda, still } = chosen();
  $("width-value").textContent = width;
  $("width").setAttribute("aria-valuetext", width);
  $("lambda-value").textContent = String(lambda);
  if (!info) return;
  // Figures of another choice are none of this one.
  for (const fact of ["accuracy", "robust", "parameters", "macs", "time"]) $(`fact-${fact}`).textContent = "–";
  await attempt("model", async () => {
    const cost = await engine.cost(width);
    if (!still()) return;
    $("fact-parameters").textContent = number.format(cost.parameters);
    $("fact-macs").textContent = `${(cost.macs / 1e6).toFixed(2)} million`;
    // The slider may be on its way: only where it rests is measured.
    await new Promise((done) => setTimeout(done, 150));
    if (!still()) return;
    $("fact-accuracy").textContent = "…";
    await predict();
    if (!still()) return;
    const found = (await accuracies(lambda, info)).get(width);
    if (still()) $("fact-accuracy").textContent = percent(found);
  });
  if (still() && failures.has("model")) $("fact-accuracy").textContent = "–";
}

async function measure() {
  const { width, lambda, still } = chosen();
  $("fact-robust").textContent = "…";
  const measured = await attempt("model", async () => {
    const [result] = await engine.evaluate({ widths: [width], lambda, attack: "pgd-7", imagesPerClient: 16 });
    return `${percent(result.accuracy)} (PGD, 7 steps, 16 images a client)`;
  });
  if (still()) $("fact-robust").textContent = measured ?? "–";
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

const CONTEXT = 63;

/** How a picture is judged: as chosen, with what the model wants beside it. */
function judging() {
  const client = /** @type {HTMLSelectElement} */ ($("client")).value;
  // A drawing looks like MNIST's digits.
  const domain = taken?.domain ?? domains[0].name;
  return {
    ...choice(),
    ...(model?.bnMode === "batch" ? { context: CONTEXT, ...(model.domains.includes(domain) ? { domain } : {}) } : {}),
    ...(client ? { client } : {}),
  };
}

/** How often what is shown of a picture became another's: an answer to an earlier question is not shown. */
let pictures = 0;

async function predict() {
  const mine = ++pictures;
  $("attacked").hidden = true;
  const pixels = pad.pixels();
  if (!model || !pixels) return;
  await attempt("picture", async () => {
    const how = judging();
    const { probabilities, milliseconds } = await engine.predict(pixels, how);
    if (mine !== pictures) return;
    const top = showBars(probabilities);
    $("prediction").textContent = `Prediction: ${classes[top]}, ${percent(probabilities[top])}`;
    $("fact-time").textContent = `${milliseconds.toFixed(0)} ms${"context" in how ? `, with ${CONTEXT} images for the batch norms` : ""}`;
  });
}

async function attack() {
  const pixels = pad.pixels();
  if (!model || !pixels) return fail("picture", new Error("draw a digit or take a test image first"));
  const mine = ++pictures;
  await attempt("picture", async () => {
    // All of one moment: picture, label and sliders may change on the way.
    const [how, shows] = [judging(), taken?.label];
    const name = /** @type {HTMLSelectElement} */ ($("attack-name")).value;
    $("attacked").hidden = false;
    $("attack-says").textContent = "Attacking …";
    const guess = async () => {
      const { probabilities } = await engine.predict(pixels, how);
      return probabilities.indexOf(Math.max(...probabilities));
    };
    const label = shows ?? (await guess());
    const done = await engine.attack(pixels, label, { ...how, attack: name });
    if (mine !== pictures) return;
    paint($("attack-image"), done.pixels);
    paint($("attack-noise"), Array.from(done.pixels, (v, i) => 128 + 16 * (v - pixels[i])));
    const after = showBars(done.after);
    const most = Math.max(...Array.from(done.pixels, (v, i) => Math.abs(v - pixels[i])));
    const was = done.before.indexOf(Math.max(...done.before));
    $("attack-says").textContent =
      (after === was ? `Still taken for ${classes[after]}` : `Taken for ${classes[after]} instead of ${classes[was]}`) +
      ` (${percent(done.after[after])}); no value was changed by more than ${most} of 255.`;
  });
  if (mine === pictures && failures.has("picture")) $("attacked").hidden = true;
}

/** Which test image of each domain comes next. */
const next = new Map();

async function pick() {
  const domain = Number(/** @type {HTMLSelectElement} */ ($("pick-domain")).value);
  const index = next.get(domain) ?? 0;
  next.set(domain, (index + 1) % domains[domain].test);
  await attempt("picture", async () => {
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
  $("self-test-says").textContent = "Checking …";
  const finished = await attempt("self-test", async () => {
    await engine.selfTest(
      Comlink.proxy((/** @type {import("./splitmix/splitmix.js").SelfTestRow} */ row) => {
        done += 1;
        failed += row.failure ? 1 : 0;
        $("self-test-count").textContent = `${done} checks, ${failed} failed`;
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
  $("self-test-count").textContent = "";
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
    await attempt("model", useRun);
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
  pictures += 1;
  showBars(undefined);
  $("prediction").textContent = "";
  $("attacked").hidden = true;
});
$("pad").addEventListener("pointerdown", () => {
  taken = undefined;
  pictures += 1;
});
$("pick").addEventListener("click", () => void pick());
$("attack").addEventListener("click", () => void attack());
$("client").addEventListener("change", () => void predict());
$("download").addEventListener("click", () => void attempt("model", async () => download(await engine.checkpoint())));
$("upload").addEventListener("change", async (event) => {
  const input = /** @type {HTMLInputElement} */ (event.target);
  const file = input.files?.[0];
  if (!file) return;
  await attempt("model", async () => {
    if (file.size > LARGEST) {
      throw new Error(`${file.name} has ${(file.size / 2 ** 20).toFixed(0)} MiB, and this page takes checkpoints of up to ${LARGEST / 2 ** 20}`);
    }
    await use(new Uint8Array(await file.arrayBuffer()));
  });
  // So that the same file can be chosen again, changed perhaps.
  input.value = "";
});
$("forget").addEventListener("click", () =>
  attempt("keeping", async () => {
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
