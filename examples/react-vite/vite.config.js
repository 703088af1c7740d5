import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const bridge = process.env.BRIDGE ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  server: {
    host: "127.0.0.1",
    // The package is a link into this tree; one from a registry needs no such line.
    fs: { allow: [".", "../../target/npm"] },
    // The bridge under the page's own origin, as a proxy has it in production.
    proxy: {
      "/v1": { target: bridge, ws: true },
      "/dev": { target: bridge },
    },
  },
  // Found beside its script at run time; bundling it beforehand would lose the way to the .wasm.
  optimizeDeps: { exclude: ["@tidegate/client"] },
});
