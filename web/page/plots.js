// Curves that grow while the page trains, in the colours of the page's theme.
import uPlot from "./vendor/uplot.js";

/** Colours that are told apart in light and dark, and by most colour-blind eyes. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#8f6ad1"];

/** Rows of pixels of a plot, its legend apart. */
const HEIGHT = 200;

export class Plot {
  /**
   * @param {HTMLElement} place
   * @param {string} unit What the values are, for the text that stands for the picture.
   */
  constructor(place, unit) {
    this.place = place;
    this.unit = unit;
    /** @type {{name: string, points: Map<number, number>}[]} */
    this.series = [];
    new ResizeObserver(() => this.draw()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Forgets all points. */
  clear() {
    this.series = [];
    this.draw();
  }

  /** @param {string} name @param {number} x @param {number} y */
  add(name, x, y) {
    let series = this.series.find((s) => s.name === name);
    if (!series) this.series.push((series = { name, points: new Map() }));
    series.points.set(x, y);
  }

  draw() {
    const width = this.place.clientWidth;
    if (width === 0) return;
    const xs = [...new Set(this.series.flatMap((s) => [...s.points.keys()]))].sort((a, b) => a - b);
    const data = [xs, ...this.series.map((s) => xs.map((x) => s.points.get(x) ?? null))];
    const style = getComputedStyle(this.place);
    const axis = { stroke: style.color, grid: { stroke: style.borderTopColor, width: 1 }, ticks: { show: false } };
    this.plot?.destroy();
    this.plot = new uPlot(
      {
        width,
        height: HEIGHT,
        scales: { x: { time: false } },
        axes: [{ ...axis, incrs: [1, 2, 5, 10, 20, 50, 100] }, { ...axis, size: 48 }],
        series: [
          { label: "Round" },
          ...this.series.map((s, i) => ({ label: s.name, stroke: COLOURS[i % COLOURS.length], width: 2, spanGaps: true, points: { size: 5 } })),
        ],
        cursor: { drag: { x: false, y: false } },
      },
      /** @type {any} */ (data),
      this.place,
    );
    const last = this.series.map((s) => `${s.name} ${[...s.points.values()].at(-1)?.toFixed(2)}`).join(", ");
    this.place.setAttribute("aria-label", xs.length ? `${this.unit} after ${xs.at(-1)} rounds: ${last}` : `${this.unit}: nothing yet`);
  }
}
