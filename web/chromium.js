// The browser that everything here runs in: a system's Chromium on the software adapter that comes with it, the same on every machine.
import { existsSync } from "node:fs";

export const launchOptions = {
  executablePath: process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((file) => existsSync(file)),
  args: ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--no-sandbox", "--disable-quic", "--disable-background-networking"],
};
