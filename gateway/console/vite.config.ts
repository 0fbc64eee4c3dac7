import { defineConfig } from "vite";

export default defineConfig({
  // Data URLs and inline scripts would need exceptions in the page's content security policy.
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
});
