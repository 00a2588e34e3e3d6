/** One script and one style sheet, with nothing to load later, so that both can be written into a page. */

import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export default defineConfig({
  build: {
    outDir: path("../src/liuli/static"),
    emptyOutDir: true,
    target: "es2022",
    cssTarget: "chrome123", // light-dark() stays as it is
    lib: { entry: path("src/main.ts"), name: "liuliViews", formats: ["iife"], fileName: () => "views.js", cssFileName: "views" },
  },
});
