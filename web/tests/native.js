// The command line, for what has to agree with it.
import { execFile } from "node:child_process";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const program = process.env.SPLITMIX ?? "../target/debug/splitmix";

/** Runs the program. @param {string[]} args */
export const splitmix = (...args) => promisify(execFile)(program, args, { maxBuffer: 1 << 24 });

/** A new folder. */
export const folder = () => mkdtemp(join(tmpdir(), "splitmix-web-"));

/** Trains natively and returns the run's folder and its metrics. @param {string[]} options */
export async function train(...options) {
  const out = join(await folder(), "run");
  await splitmix("train", "--out", out, "--no-table", ...options);
  const lines = (await readFile(join(out, "metrics.jsonl"), "utf8")).trim().split("\n");
  return { out, metrics: lines.map((line) => JSON.parse(line)) };
}

/** Test accuracies of a checkpoint by λ and width. @param {string} file @param {string[]} options @returns {Promise<Record<string, Record<string, number>>>} */
export async function grid(file, ...options) {
  const json = join(await folder(), "report.json");
  await splitmix("eval", file, "--json", json, ...options);
  const report = JSON.parse(await readFile(json, "utf8"));
  const byWidth = (/** @type {any} */ point) => Object.fromEntries(point.standard.widths.map((/** @type {any} */ w) => [w.width, w.mean]));
  return Object.fromEntries(report.grid.map((/** @type {any} */ point) => [point.lambda, byWidth(point)]));
}

/** Test accuracies of a checkpoint by width, at λ = 0. @param {string} file @param {string[]} options */
export const accuracies = async (file, ...options) => (await grid(file, ...options))["0"];
