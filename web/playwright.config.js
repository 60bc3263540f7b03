import { defineConfig } from "@playwright/test";
import { launchOptions } from "./chromium.js";

// The tests need nothing but the built page, the program and a Chromium: web/test.sh sees to them.
export default defineConfig({
  testDir: "tests",
  // A software adapter takes all cores for what it computes, and one while it compiles: two pages at a time.
  workers: 2,
  fullyParallel: false,
  timeout: 600_000,
  expect: { timeout: 240_000 },
  reporter: [["list"]],
  outputDir: "test-results",
  use: {
    baseURL: "http://localhost:8118/",
    viewport: { width: 1280, height: 900 },
    launchOptions,
  },
  webServer: {
    command: `${process.env.SPLITMIX ?? "../target/debug/splitmix"} web --dir dist --no-open --port 8118`,
    url: "http://localhost:8118/",
    reuseExistingServer: false,
  },
});
